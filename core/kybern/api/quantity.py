"""Resource quantities, exact: `1500m`, `1.5`, `2Gi`, `1e3`.

Rules from the Kubernetes API documentation of `Quantity`: the canonical form has no fraction and
the largest suffix that allows that; binary suffixes stay binary; nothing finer than nano.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor

__all__ = ["FORMAT_MESSAGE", "canonical", "format", "milli", "parse", "value"]

FORMAT_MESSAGE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
SUFFIX_MESSAGE = "unable to parse quantity's suffix"

_SHAPE = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?([eEinumkKMGTP]*[-+]?\d*)\Z", re.ASCII)
_EXPONENT = re.compile(r"[eE]([-+]?\d+)\Z")
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_BY_POWER = {power: suffix for suffix, power in _DECIMAL.items()}
_NANO = Fraction(1, 10**9)
_LARGEST = Fraction(2**63 - 1)
_EXPONENT_LIMIT = 1000


def _split(text: str) -> tuple[Fraction, str]:
    """(value, format) with the format DecimalSI, BinarySI or DecimalExponent."""
    found = _SHAPE.match(text)
    if not found or not (found[2] or found[3]):
        raise ValueError(FORMAT_MESSAGE)
    sign, whole, fraction, suffix = found.groups()
    number = Fraction(int((whole or "") + (fraction or "") or "0"), 10 ** len(fraction or ""))
    if sign == "-":
        number = -number
    if suffix in _BINARY:
        return _bounded(number * 2 ** _BINARY[suffix]), "BinarySI"
    if suffix in _DECIMAL:
        return _bounded(number * Fraction(10) ** _DECIMAL[suffix]), "DecimalSI"
    if exponent := _EXPONENT.match(suffix):
        power = max(-_EXPONENT_LIMIT, min(_EXPONENT_LIMIT, int(exponent[1])))
        return _bounded(number * Fraction(10) ** power), "DecimalExponent"
    raise ValueError(SUFFIX_MESSAGE)


def _bounded(number: Fraction) -> Fraction:
    """Within int64, and rounded up (away from zero) to a multiple of nano."""
    if abs(number) > _LARGEST:
        return _LARGEST if number > 0 else -_LARGEST
    if (number / _NANO).denominator != 1:
        steps = number / _NANO
        number = (ceil(steps) if number > 0 else floor(steps)) * _NANO
    return number


@lru_cache(maxsize=8192)
def parse(text: str | int | float) -> Fraction:
    """The exact value; ValueError with upstream's words when it is no quantity."""
    return _split(str(text))[0]


@lru_cache(maxsize=8192)
def canonical(text: str | int | float) -> str:
    """The canonical form, as the API shows it; ValueError with upstream's words."""
    return format(*_split(str(text)))


def format(number: Fraction | int, form: str = "DecimalSI") -> str:
    """A value in its canonical form. `form`: DecimalSI, BinarySI or DecimalExponent."""
    number = Fraction(number)
    if not number:
        return "0"
    if form == "BinarySI" and number.denominator == 1 and abs(number) >= 1024:
        return _format_binary(int(number))
    power = 18
    while power > -9 and (number / Fraction(10) ** power).denominator != 1:
        power -= 3
    count = number / Fraction(10) ** power
    if form == "DecimalExponent":
        return f"{int(count)}e{power}" if power else str(int(count))
    return f"{int(count)}{_DECIMAL_BY_POWER[power]}"


def _format_binary(number: int) -> str:
    suffix = ""
    for name in _BINARY:
        if number % 1024:
            break
        number //= 1024
        suffix = name
    return f"{number}{suffix}"


@lru_cache(maxsize=8192)
def value(text: str | int | float) -> int:
    """The value as a whole number, rounded up."""
    return ceil(parse(text))


@lru_cache(maxsize=8192)
def milli(text: str | int | float) -> int:
    """The value in thousandths, rounded up: `100m` -> 100."""
    return ceil(parse(text) * 1000)
