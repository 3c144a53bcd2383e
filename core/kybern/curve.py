"""A quantity as a function of time: what a fake container uses, what a made-up metric measures.

    250m                          always the same
    100m@0,800m@60,200m@5min      by age, in steps
    ramp(100m, 800m, 5min)        from one value to another within a time, and then it stays there
    wave(100m, 800m, 10min)       up and down between two values, once per period
    2 / peers + 0.1 * sin(t / 60) any expression

Expressions know `t` (age in seconds), `now` (wall time) and what the caller adds; `+ - * / // %`,
comparisons, `and or not`, `a if c else b`, and the functions below. Numbers may carry a quantity's
suffix (`200m`, `64Mi`) or a time's (`30s`, `5min`, `2h`). Nothing else of Python is reachable.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from kybern.api import quantity

__all__ = ["Curve", "CurveError", "curve"]

Values = Mapping[str, float]
Term = Callable[[Values], float]

_LONGEST = 500
_SHORTEST_PERIOD = 1.0
_NUMBER = re.compile(r"(?<![\w.])(\d+(?:\.\d*)?|\.\d+)([A-Za-z]+)?(?![\w.])")
_TIMES = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_STEPS = re.compile(r"^[^@(),]+@[^@(),]+(?:,[^@(),]+@[^@(),]+)*$")
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.USub: operator.neg, ast.UAdd: operator.pos,
    ast.Not: operator.not_, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip


class CurveError(ValueError):
    """A text that is no curve; says what is wrong with it."""


class Curve:
    """A parsed text."""

    __slots__ = ("_term", "constant", "names")

    def __init__(self, term: Term, names: frozenset[str]) -> None:
        self._term = term
        self.names = names
        """The variables it depends on."""
        self.constant = None if names else self.at({})
        """Its value when it depends on nothing."""

    def at(self, values: Values) -> float:
        """The value, never negative; 0 where the expression has none (a division by zero)."""
        try:
            value = float(self._term(values))
        except (ArithmeticError, ValueError):
            return 0.0
        return value if 0.0 <= value < math.inf else 0.0


@lru_cache(maxsize=4096)
def curve(text: str, variables: frozenset[str] = frozenset()) -> Curve:
    """Parse; `variables` are known beside `t` and `now`. CurveError when it means nothing."""
    known = variables | {"t", "now"}
    if len(text) > _LONGEST:
        raise CurveError(f"longer than {_LONGEST} characters")
    if _STEPS.match(text.strip()):
        return Curve(_steps(text), frozenset({"t"}))
    source = _NUMBER.sub(lambda found: repr(_number(found[1], found[2] or "")), text.strip())
    try:
        tree = ast.parse(source, mode="eval")
    except (SyntaxError, RecursionError, MemoryError):
        raise CurveError(f"{text!r} is neither a quantity nor an expression") from None
    names: set[str] = set()
    return Curve(_term(tree.body, known, names), frozenset(names))


def _number(digits: str, suffix: str) -> float:
    if suffix in _TIMES:
        return float(digits) * _TIMES[suffix]
    try:
        return float(quantity.parse(digits + suffix))
    except ValueError:
        raise CurveError(f"{digits}{suffix}: no such unit; times are s, min, h, d") from None


def _plain(text: str) -> float:
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        raise CurveError(f"{text.strip()!r} is not a number")
    return _number(found[1], found[2] or "")


def _steps(text: str) -> Term:
    steps = sorted((_plain(at), _plain(value)) for value, _, at in (part.partition("@") for part in text.split(",")))

    def term(values: Values) -> float:
        age, now = values["t"], 0.0
        for at, value in steps:
            if at <= age:
                now = value
        return now

    return term


def _term(node: ast.AST, known: frozenset[str], names: set[str]) -> Term:
    """A node as a function; only what is listed here exists."""

    def sub(inner: ast.AST) -> Term:
        return _term(inner, known, names)

    match node:
        case ast.Constant(value=bool() | int() | float() as value):
            number = float(value)
            return lambda _: number
        case ast.Name(id=name):
            return _name(name, known, names)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            act, only = _OPERATORS[type(op)], sub(operand)
            return lambda v: act(only(v))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            act, a, b = _OPERATORS[type(op)], sub(left), sub(right)
            return lambda v: act(a(v), b(v))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _OPERATORS:
            act, a, b = _OPERATORS[type(op)], sub(left), sub(right)
            return lambda v: act(a(v), b(v))
        case ast.BoolOp(op=op, values=parts):
            terms, test = [sub(part) for part in parts], all if isinstance(op, ast.And) else any
            return lambda v: test(term(v) for term in terms)
        case ast.IfExp(test=condition, body=body, orelse=other):
            c, a, b = sub(condition), sub(body), sub(other)
            return lambda v: a(v) if c(v) else b(v)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return _call(name, [sub(argument) for argument in arguments], names)
    raise CurveError(f"{ast.unparse(node)!r} is not understood here")


def _name(name: str, known: frozenset[str], names: set[str]) -> Term:
    if name == "pi":
        return lambda _: math.pi
    if name not in known:
        raise CurveError(f"{name!r} is not known; there are {', '.join(sorted(known))} and pi")
    names.add(name)
    return lambda values: values[name]


_PLAIN: dict[str, tuple[int, Callable[..., Any]]] = {
    # name: (fewest arguments, function)
    "abs": (1, abs), "ceil": (1, math.ceil), "cos": (1, math.cos), "exp": (1, math.exp), "floor": (1, math.floor),
    "log": (1, math.log), "max": (2, max), "min": (2, min), "round": (1, round), "sin": (1, math.sin),
    "sqrt": (1, math.sqrt),
}  # fmt: skip


def _call(name: str, arguments: list[Term], names: set[str]) -> Term:
    if name in ("ramp", "wave"):
        names.add("t")
        return _shape(name, arguments)
    if name not in _PLAIN:
        raise CurveError(f"{name!r} is no function; there are {', '.join(sorted([*_PLAIN, 'ramp', 'wave']))}")
    fewest, function = _PLAIN[name]
    if len(arguments) < fewest or (fewest == 1 and len(arguments) > 1):
        raise CurveError(f"{name} takes {'one argument' if fewest == 1 else 'two arguments or more'}")
    return lambda values: function(*[argument(values) for argument in arguments])


def _shape(name: str, arguments: list[Term]) -> Term:
    if len(arguments) != 3:
        raise CurveError(f"{name} takes two values and a time: {name}(100m, 800m, 5min)")
    low, high, time = arguments
    try:
        length = time({})
    except KeyError:
        raise CurveError(f"{name}: its time must be a number") from None
    if not length >= _SHORTEST_PERIOD:
        raise CurveError(f"{name}: {length:g} seconds is too short a time (minutes are written 5min)")

    def ramp(values: Values) -> float:
        start, end = low(values), high(values)
        return start + (end - start) * min(max(values["t"] / length, 0.0), 1.0)

    def wave(values: Values) -> float:
        start, end = low(values), high(values)
        return start + (end - start) * (1.0 - math.cos(2.0 * math.pi * values["t"] / length)) / 2.0

    return ramp if name == "ramp" else wave
