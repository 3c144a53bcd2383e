"""Selectors: grammar, matching, and what is wrong with a bad one."""

from __future__ import annotations

import re

import pytest

from kybern.api import selectors
from kybern.api.meta import LabelSelector, LabelSelectorRequirement

LABELS = {"app": "web", "tier": "front", "n": "5"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True), ("app", True), ("!app", False), ("nope", False), ("!nope", True), ("app=web", True), ("app==web", True),
        ("app!=web", False), ("nope!=x", True), ("app in (web,db)", True), ("app notin (web,db)", False),
        ("nope notin (x)", True), ("n>4", True), ("n<5", False), ("app=web,tier=front", True), ("app=web,tier=back", False),
        (" app = web , tier in ( front ) ", True), ("app in ()", False), ("app=", False), ("example.com/x notin (a)", True),
    ],
)  # fmt: skip
def test_matching(text, matches):
    assert selectors.parse_labels(text).matches(LABELS) is matches


def test_only_decimal_digits_are_a_number():
    above = selectors.parse_labels("n>4")
    assert [value for value in ("5", "+5", "1_0", "٩", " 9", "x") if above.matches({"n": value})] == ["5", "+5"]


@pytest.mark.parametrize(
    "text", ["=", "a=b=c", "a in", "a in (b", ",", "a,,b", "a>x", "a b", "-a=b", "a=b c", "!", "a in b"]
)
def test_bad_selectors_are_refused(text):
    with pytest.raises(ValueError, match=r"\S"):
        selectors.parse_labels(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("=", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,,b", "found ',', expected: identifier after ','"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("-a", 'unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of'),
        ("a=-b", 'unable to parse requirement: values[0][a]: Invalid value: "-b": a valid label must be'),
        ("a in (b,-c)", 'unable to parse requirement: values[0][a]: Invalid value: "-c": a valid label'),
        ("a>b", "unable to parse requirement: values[0][a]: Invalid value: \"b\": for 'Gt', 'Lt' operators"),
    ],
)
def test_a_bad_selector_is_told_what_was_found_and_expected(text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        selectors.parse_labels(text)


def test_no_selector_matches_nothing_and_an_empty_one_everything():
    assert not selectors.from_label_selector(None).matches({})
    assert selectors.from_label_selector(LabelSelector()).matches(None)


def test_expressions_of_a_label_selector():
    expressions = [
        LabelSelectorRequirement(key="app", operator="In", values=["web"]),
        LabelSelectorRequirement(key="gone", operator="DoesNotExist"),
    ]
    selector = selectors.from_label_selector(LabelSelector(matchLabels={"tier": "front"}, matchExpressions=expressions))
    assert selector.matches(LABELS)
    assert not selector.matches({**LABELS, "gone": ""})
    assert str(selector) == "app=web,!gone,tier=front"


@pytest.mark.parametrize(
    ("text", "matches"), [("", True), ("a=1", True), ("a!=1", False), ("a=1,b!=3", True), ("a==2", False), ("c=", True)]
)
def test_field_selectors(text, matches):
    fields = {"a": "1", "b": "2"}
    assert selectors.parse_fields(text).matches(lambda f: fields.get(f, "")) is matches


def test_a_field_selector_without_a_value_is_refused():
    with pytest.raises(ValueError, match="can't understand 'a'"):
        selectors.parse_fields("a")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r"a=b\x", r"invalid field selector: invalid escape sequence: \x"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
        ("a=b=c", "invalid field selector: unescaped character in value: ="),
    ],
)
def test_a_field_value_is_escaped_or_refused(text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        selectors.parse_fields(text)


def test_an_escaped_field_value_is_what_it_stands_for():
    assert selectors.parse_fields(r"a=b\,c\=d\\").requirements == (("a", "=", "b,c=d\\"),)
