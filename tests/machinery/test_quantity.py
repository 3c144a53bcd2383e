"""Quantities: exact values, canonical text."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kybern.api import quantity


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"), ("0.0", "0"), ("-0", "0"), ("1", "1"), ("+1", "1"), ("1.0", "1"), ("1000m", "1"), ("0.5", "500m"),
        ("1500m", "1500m"), (".5", "500m"), ("5.", "5"), ("1000", "1k"), ("1e3", "1e3"), ("1E3", "1e3"), ("1.5e3", "1500"),
        ("1Ki", "1Ki"), ("1024Ki", "1Mi"), ("1.5Gi", "1536Mi"), ("0.5Ki", "512"), ("1k", "1k"), ("100u", "100u"),
        ("1n", "1n"), ("0.1n", "1n"), ("-1500m", "-1500m"), ("2048Mi", "2Gi"), ("9Ei", "9223372036854775807"), (3, "3"),
    ],
)  # fmt: skip
def test_canonical_form(text, canonical):
    assert quantity.canonical(text) == canonical


@pytest.mark.parametrize("text", ["", "x", "1x", "1 ", "1.2.3", "--1", "1Kb", "e3", ".", "1e", "1ki"])
def test_what_is_no_quantity(text):
    with pytest.raises(ValueError, match=r"quantities must match|unable to parse"):
        quantity.canonical(text)


def test_rounding_is_up():
    assert quantity.value("1500m") == 2
    assert quantity.milli("1500u") == 2
    assert quantity.milli("100m") == 100


@given(st.integers(-(10**15), 10**15), st.sampled_from(["", "n", "u", "m", "k", "M", "Ki", "Mi"]))
def test_canonical_form_keeps_the_value_and_is_stable(number, suffix):
    text = f"{number}{suffix}"
    once = quantity.canonical(text)
    assert quantity.parse(once) == quantity.parse(text)
    assert quantity.canonical(once) == once


@given(st.fractions(min_value=-1000, max_value=1000, max_denominator=1000))
def test_format_and_parse_are_inverse_for_thousandths(number):
    thousandths = Fraction(round(number * 1000), 1000)
    assert quantity.parse(quantity.format(thousandths)) == thousandths
