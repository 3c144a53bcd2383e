"""Quantities as functions of time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kybern.curve import CurveError, curve

PEERS = frozenset({"peers"})


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("250m", {0: 0.25, 900: 0.25}),
        ("64Mi", {0: 2**26}),
        ("100m@0,800m@60,200m@5min", {0: 0.1, 59: 0.1, 60: 0.8, 299: 0.8, 300: 0.2, 9999: 0.2}),
        ("1@10", {9: 0, 10: 1}),
        ("ramp(100m, 800m, 5min)", {0: 0.1, 150: 0.45, 300: 0.8, 900: 0.8}),
        ("ramp(1, 0, 1h)", {0: 1, 1800: 0.5, 7200: 0}),
        ("wave(0, 2, 10min)", {0: 0, 150: 1, 300: 2, 600: 0}),
        ("2 / peers", {0: 0.5}),
        ("500m if t < 1min else 100m", {59: 0.5, 60: 0.1}),
        ("min(1, t / 100) + max(0, t - 150) * 0", {50: 0.5, 200: 1}),
        ("(t // 60) % 2 == 0 and 3", {0: 1, 60: 0}),
        ("64Mi + 1Mi * t / 60", {60: 65 * 2**20}),
    ],
)
def test_says_what_it_means(text: str, values: dict[float, float]) -> None:
    for age, value in values.items():
        assert curve(text, PEERS).at({"t": age, "now": 0, "peers": 4}) == pytest.approx(value)


@pytest.mark.parametrize("text", ["1 / 0", "-3", "log(0)", "sqrt(-1)", "exp(9999)", "1e308 * 10", "0 % 0"])
def test_a_value_that_is_none_counts_as_nothing(text: str) -> None:
    assert curve(text).at({"t": 1, "now": 1}) == 0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "neither a quantity nor an expression"),
        ("much", "'much' is not known; there are now, t and pi"),
        ("5foo", "5foo: no such unit; times are s, min, h, d"),
        ("ramp(1, 2, 5m)", "0.005 seconds is too short a time (minutes are written 5min)"),
        ("ramp(1, 2, t)", "its time must be a number"),
        ("wave(1, 2)", "wave takes two values and a time"),
        ("max(1)", "max takes two arguments or more"),
        ("sin(1, 2)", "sin takes one argument"),
        ("1@x", "'x' is not a number"),
        ("1 + " * 200 + "1", "longer than 500 characters"),
        ("__import__('os').system('true')", "is not understood here"),
        ("(1).__class__", "is not understood here"),
        ("2 ** 99", "is not understood here"),
        ("open(1)", "is no function"),
        ("[t for t in 'x']", "is not understood here"),
        ("(lambda: 1)()", "is not understood here"),
        ("max(*t)", "is not understood here"),
        ("t.real", "is not understood here"),
    ],
)
def test_what_means_nothing_is_refused_with_the_reason(text: str, error: str) -> None:
    with pytest.raises(CurveError) as raised:
        curve(text)
    assert error in str(raised.value)


@given(st.text("0123456789+-*/%().,@<>=tmk piflesandrwv", max_size=40), st.floats(0, 1e9))
def test_any_text_is_refused_or_gives_a_finite_value(text: str, age: float) -> None:
    try:
        found = curve(text)
    except CurveError:
        return
    assert 0 <= found.at({"t": age, "now": age}) < float("inf")
