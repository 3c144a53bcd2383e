"""CEL selectors of device classes and claims, asked of one device.

Kubernetes' quantities and versions are strings here, with the functions that compare them. The CEL
library is heavy, so it is imported with the first selector.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from kybern.api import quantity

__all__ = ["SelectorError", "attribute_of", "facts_of", "qualified", "selects"]

VERSION = "semver:"
_DOMAIN = re.compile(r"""device\.(attributes|capacity)\[\s*['"]([^'"]+)['"]\s*\]""")


class SelectorError(ValueError):
    """The expression does not compile, or fails on this device."""


def selects(expression: str, facts: dict[str, Any]) -> bool:
    """Whether the expression is true of a device (given by `facts_of`)."""
    device = {**facts, "attributes": dict(facts["attributes"]), "capacity": dict(facts["capacity"])}
    for field, domain in _DOMAIN.findall(expression):
        # A domain that the device says nothing about is empty, so that one may ask for what is in it.
        device[field].setdefault(domain, {})
    value = _compiled(expression).eval(data={"device": device})
    if value.type().name() != "BOOL":
        raise SelectorError(f"runtime error: {value.value()}")
    return bool(value.plain_value())


def facts_of(driver: str, device: Any) -> dict[str, Any]:
    """What an expression may ask of a device. Names without a domain belong to the driver's."""
    shared = bool(device.allowMultipleAllocations)
    facts: dict[str, Any] = {"driver": driver, "attributes": {}, "capacity": {}, "allowMultipleAllocations": shared}
    for name, attribute in (device.attributes or {}).items():
        domain, plain = _split(name, driver)
        facts["attributes"].setdefault(domain, {})[plain] = _value(attribute)
    for name, capacity in (device.capacity or {}).items():
        domain, plain = _split(name, driver)
        facts["capacity"].setdefault(domain, {})[plain] = capacity.value
    return facts


def attribute_of(driver: str, device: Any, name: str) -> Any:
    """The value of a fully qualified attribute; None when the device has none."""
    for own, attribute in (device.attributes or {}).items():
        if qualified(own, driver) == name:
            return _value(attribute)
    return None


def qualified(name: str, driver: str) -> str:
    """The full name of an attribute or capacity."""
    return "/".join(_split(name, driver))


def _split(name: str, driver: str) -> tuple[str, str]:
    domain, slash, plain = name.rpartition("/")
    return (domain, plain) if slash else (driver, name)


def _value(attribute: Any) -> Any:
    if attribute.version is not None:
        return VERSION + attribute.version
    return next((v for v in (attribute.bool, attribute.int, attribute.string) if v is not None), None)


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> Any:
    try:
        return _environment().compile(expression)
    except RuntimeError as error:
        raise SelectorError(f"compilation failed: {error}") from None


@cache
def _environment() -> Any:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_bindings, ext_optional, ext_strings

    extensions = [ext_optional.ExtOptional(), ext_bindings.ExtBindings(), ext_strings.ExtStrings()]
    return cel.NewEnv(variables={"device": cel.Type.DYN}, extensions=extensions, functions=_functions())


def _functions() -> list[Any]:
    from cel_expr_python.cel import FunctionDecl, Overload, Type

    text, number, truth, real = Type.STRING, Type.INT, Type.BOOL, Type.DOUBLE
    table: list[tuple[str, Any, int, bool, Callable[..., Any]]] = [
        ("quantity", text, 1, False, quantity.canonical),
        ("isQuantity", truth, 1, False, _is_quantity),
        ("semver", text, 1, False, lambda version: VERSION + version),
        ("compareTo", number, 2, True, _compare),
        ("isGreaterThan", truth, 2, True, lambda a, b: _compare(a, b) > 0),
        ("isLessThan", truth, 2, True, lambda a, b: _compare(a, b) < 0),
        ("asInteger", number, 1, True, quantity.value),
        ("asApproximateFloat", real, 1, True, lambda a: float(quantity.parse(a))),
        ("sign", number, 1, True, lambda a: _compare(a, "0")),
        ("add", text, 2, True, lambda a, b: quantity.format(quantity.parse(a) + quantity.parse(b), "BinarySI")),
        ("sub", text, 2, True, lambda a, b: quantity.format(quantity.parse(a) - quantity.parse(b), "BinarySI")),
        ("major", number, 1, True, lambda a: _numbers(a)[0]),
        ("minor", number, 1, True, lambda a: _numbers(a)[1]),
        ("patch", number, 1, True, lambda a: _numbers(a)[2]),
    ]
    return [
        FunctionDecl(
            name,
            [
                Overload(
                    f"kubernetes_{name}", return_type=result, parameters=[text] * count, is_member=member, impl=call
                )
            ],
        )
        for name, result, count, member, call in table
    ]


def _is_quantity(value: str) -> bool:
    try:
        quantity.parse(value)
    except ValueError:
        return False
    return True


def _compare(one: str, other: str) -> int:
    """-1, 0 or 1, of two quantities or two versions."""
    if one.startswith(VERSION) and other.startswith(VERSION):
        a, b = _precedence(one), _precedence(other)
        return (a > b) - (a < b)
    x, y = quantity.parse(one), quantity.parse(other)
    return (x > y) - (x < y)


def _numbers(version: str) -> tuple[int, int, int]:
    plain = version.removeprefix(VERSION).partition("+")[0].partition("-")[0]
    major, minor, patch = (int(part) for part in plain.split("."))
    return major, minor, patch


def _precedence(version: str) -> tuple[Any, ...]:
    """semver.org, section 11: a pre-release comes before its release; its parts are numbers before words."""
    before = version.removeprefix(VERSION).partition("+")[0].partition("-")[2]
    parts = tuple((not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in before.split(".")) if before else ()
    return (*_numbers(version), not before, parts)
