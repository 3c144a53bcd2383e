"""Selectors: grammar, matching, and what is wrong with a bad one."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    "text", ["=", "a=b=c", "a in", "a in (b", ",", "a,,b", "a>x", "a b", "-a=b", "a=b c", "!", "a in b"]
)
def test_bad_selectors_are_refused(text):
    with pytest.raises(ValueError, match=r"\S"):
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
