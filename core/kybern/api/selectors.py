"""Label and field selectors, from text and from objects, complete and with upstream's words.

Grammar: documentation "Labels and Selectors" and "Field Selectors".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import attrs

from kybern.api.field import go_quote

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "NUMBER",
    "FieldSelector",
    "Requirement",
    "Selector",
    "from_label_selector",
    "parse_fields",
    "parse_labels",
]

_NAME = r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)"
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_QUALIFIED = re.compile(_NAME + r"\Z")
NUMBER = re.compile(r"[+-]?[0-9]+")
"""What compares as a number: `int` would also take `1_0` and digits of other scripts."""


@attrs.frozen
class Requirement:
    """`key operator values`. Operators: = == in, != notin, exists, !, gt, lt (as in, notin, exists, !, gt, lt)."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels satisfy it."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        bound = self.values[0]
        if not NUMBER.fullmatch(value) or not NUMBER.fullmatch(bound):
            return False
        return int(value) > int(bound) if self.operator == "gt" else int(value) < int(bound)

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{self.values[0]}"
            case "in" if len(self.values) == 1:
                return f"{self.key}={self.values[0]}"
            case "notin" if len(self.values) == 1:
                return f"{self.key}!={self.values[0]}"
        return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"


@attrs.frozen
class Selector:
    """A conjunction of requirements; `none` matches nothing at all."""

    requirements: tuple[Requirement, ...] = ()
    none: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether labels (None: no labels) satisfy all requirements."""
        if self.none:
            return False
        labels = labels or {}
        return all(r.matches(labels) for r in self.requirements)

    @property
    def empty(self) -> bool:
        """Whether it matches everything."""
        return not self.none and not self.requirements

    def exact(self, key: str) -> str | None:
        """The one value that a label must have, if the selector says so; for indexes."""
        for r in self.requirements:
            if r.key == key and r.operator == "in" and len(r.values) == 1:
                return r.values[0]
        return None

    def __str__(self) -> str:
        return ",".join(str(r) for r in sorted(self.requirements, key=lambda r: r.key))


EVERYTHING = Selector()
NOTHING = Selector(none=True)

_NO_VALUE = ("=", "==", "!=", "!", "<", ">", "(", ")")
_NO_KEY = ("", ",", *(token for token in _NO_VALUE if token != "!"))
_TOKEN = re.compile(r"\s*(?:(?P<op>==|!=|[=!<>(),])|(?P<word>[^\s=!<>(),]+))")


class _Parser:
    """Recursive descent over `requirement (, requirement)*`."""

    def __init__(self, text: str) -> None:
        self.tokens = [found["op"] or found["word"] for found in _TOKEN.finditer(text)]
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def parse(self) -> Selector:
        requirements: list[Requirement] = []
        while self.peek():
            requirements.append(self.term())
            token = self.take()
            if not token:
                break
            if token != ",":
                raise ValueError(f"found '{token}', expected: ',' or 'end of string'")
            if self.peek() in _NO_KEY:
                raise ValueError(f"found '{self.peek()}', expected: identifier after ','")
        return Selector(tuple(requirements)) if requirements else EVERYTHING

    def term(self) -> Requirement:
        if self.peek() in _NO_KEY:
            raise ValueError(f"found '{self.peek()}', expected: !, identifier, or 'end of string'")
        try:
            return self.requirement()
        except ValueError as error:
            raise ValueError(f"unable to parse requirement: {error}") from None

    def requirement(self) -> Requirement:
        if self.peek() == "!":
            self.take()
            return Requirement(self.key(), "!")
        key = self.key()
        if self.peek() in ("", ","):
            return Requirement(key, "exists")
        operator = self.take()
        if operator in ("in", "notin"):
            return Requirement(key, operator, self.values(key))
        if operator in ("=", "==", "!="):
            value = self.single()
            _check_values(key, [value])
            return Requirement(key, "notin" if operator == "!=" else "in", (value,))
        if operator in ("<", ">"):
            value = self.single()
            if not re.fullmatch(r"[+-]?\d+", value):
                raise ValueError(
                    f"values[0][{key}]: Invalid value: {go_quote(value)}: "
                    "for 'Gt', 'Lt' operators, the value must be an integer"
                )
            return Requirement(key, "gt" if operator == ">" else "lt", (value,))
        raise ValueError(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def key(self) -> str:
        key = self.take()
        if key in _NO_KEY or key == "!":
            raise ValueError(f"found '{key}', expected: identifier")
        _check_key(key)
        return key

    def single(self) -> str:
        token = self.peek()
        if token in ("", ","):
            return ""
        if token in _NO_VALUE:
            raise ValueError(f"found '{token}', expected: identifier")
        return self.take()

    def values(self, key: str) -> tuple[str, ...]:
        opening = self.take()
        if opening != "(":
            raise ValueError(f"found '{opening}' expected: '('")
        values = sorted(set(self.listed()))
        _check_values(key, values)
        return tuple(values)

    def listed(self) -> list[str]:
        """What is between parentheses; nothing before or after a comma is an empty value."""
        values: list[str] = []
        if self.peek() not in ("", ",", ")") and self.peek() in _NO_VALUE:
            raise ValueError(f"found '{self.peek()}', expected: ',', ')' or identifier")
        while True:
            token = self.take()
            if token == ")":
                return [*values, ""]
            if token == ",":
                values.append("")
                continue
            if not token or token in _NO_VALUE:
                raise ValueError(f"found '{token}', expected: ',', or identifier")
            values.append(token)
            after = self.take()
            if after == ")":
                return values
            if after != ",":
                raise ValueError(f"found '{after}', expected: ',' or ')'")


def _check_key(key: str) -> None:
    prefix, slash, name = key.rpartition("/")
    good = (
        _QUALIFIED.match(name) and len(name) <= 63 and (not slash or (_SUBDOMAIN.match(prefix) and len(prefix) <= 253))
    )
    if not good:
        from kybern.api.validation.names import qualified_name

        raise ValueError(f"<nil>: Invalid value: {go_quote(key)}: {'; '.join(qualified_name(key))}")


def _check_values(key: str, values: list[str]) -> None:
    bad = [(i, v) for i, v in enumerate(values) if v and (len(v) > 63 or not _QUALIFIED.match(v))]
    if not bad:
        return
    from kybern.api.validation.names import label_value

    texts = [f"values[{i}][{key}]: Invalid value: {go_quote(v)}: {'; '.join(label_value(v))}" for i, v in bad]
    raise ValueError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")


@lru_cache(maxsize=1024)
def parse_labels(text: str) -> Selector:
    """Text such as `app=web,tier in (a,b),!old` -> Selector; ValueError with upstream's words."""
    return _Parser(text).parse()


_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def from_label_selector(selector: Any) -> Selector:
    """A meta/v1 LabelSelector -> Selector. None matches nothing, an empty one everything."""
    if selector is None:
        return NOTHING
    requirements = [Requirement(k, "in", (v,)) for k, v in (selector.matchLabels or {}).items()]
    for e in selector.matchExpressions or ():
        operator = _OPERATORS.get(e.operator)
        if operator is None:
            raise ValueError(f"{go_quote(e.operator)} is not a valid label selector operator")
        requirements.append(Requirement(e.key, operator, tuple(e.values or ())))
    return Selector(tuple(requirements))


def from_map(labels: Mapping[str, str] | None) -> Selector:
    """A map of labels that must all be there (Service, ReplicationController); None and empty match nothing."""
    return Selector(tuple(Requirement(k, "in", (v,)) for k, v in labels.items())) if labels else NOTHING


@attrs.frozen
class FieldSelector:
    """`field=value,field!=value`: (field, "=" or "!=", value) each."""

    requirements: tuple[tuple[str, str, str], ...] = ()

    def matches(self, get: Callable[[str], str]) -> bool:
        """Whether an object satisfies it; `get(field)` gives a field's value, "" when unset."""
        return all((get(field) == value) is (operator == "=") for field, operator, value in self.requirements)

    def exact(self, field: str) -> str | None:
        """The one value a field must have, if the selector says so."""
        return next((v for f, op, v in self.requirements if f == field and op == "="), None)

    def __str__(self) -> str:
        return ",".join(f"{f}{op}{v}" for f, op, v in self.requirements)


@lru_cache(maxsize=1024)
def parse_fields(text: str) -> FieldSelector:
    """Text such as `spec.nodeName=a,status.phase!=Failed` -> FieldSelector; ValueError with upstream's words."""
    requirements = []
    for term in re.split(r"(?<!\\),", text):
        if not term.strip():
            continue
        found = re.match(r"([^=!\\]+)(!=|==|=)(.*)\Z", term.strip(), re.DOTALL)
        if not found:
            raise ValueError(f"invalid selector: '{text}'; can't understand '{term}'")
        requirements.append((found[1], "!=" if found[2] == "!=" else "=", _unescaped(found[3])))
    return FieldSelector(tuple(requirements))


def _unescaped(value: str) -> str:
    """A field's value as meant: backslash, comma and equals sign are written with a backslash before them."""
    if bad := re.search(r"\\(?:[^\\,=]|\Z)", re.sub(r"\\[\\,=]", "", value), re.DOTALL):
        raise ValueError(f"invalid field selector: invalid escape sequence: {bad[0]}")
    if "=" in re.sub(r"\\[\\,=]", "", value):
        raise ValueError("invalid field selector: unescaped character in value: =")
    return re.sub(r"\\([\\,=])", r"\1", value)
