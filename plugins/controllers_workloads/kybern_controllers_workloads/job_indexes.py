"""Sets of completion indexes as a Job's status writes them: `0-3,5,7,8`, kept as ranges because they may be many."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

import attrs

__all__ = ["NONE", "Indexes"]

Range = tuple[int, int]
"""First and last."""


@attrs.frozen
class Indexes:
    """An immutable set of indexes."""

    ranges: tuple[Range, ...] = ()
    """In order, with a gap between each two."""

    @classmethod
    def parse(cls, text: str | None, limit: int) -> Indexes:
        """What the text names below `limit`; a part that is no range is passed over."""
        found = []
        for part in text.split(",") if text else ():
            first, _, last = part.partition("-")
            if first.isdigit() and (not last or last.isdigit()) and int(first) < limit:
                found.append((int(first), min(int(last or first), limit - 1)))
        return cls(_joined(found))

    @classmethod
    def of(cls, indexes: Iterable[int]) -> Indexes:
        """These single ones."""
        return cls(_joined((i, i) for i in indexes))

    def __or__(self, other: Indexes) -> Indexes:
        if not other.ranges:
            return self
        return Indexes(_joined((*self.ranges, *other.ranges)))

    def __contains__(self, index: int) -> bool:
        at = bisect_left(self.ranges, index, key=_last)
        return at < len(self.ranges) and self.ranges[at][0] <= index

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def __str__(self) -> str:
        return ",".join(_text(*ends) for ends in self.ranges)

    def common(self, other: Indexes) -> int:
        """How many are in both."""
        mine, theirs, found = list(self.ranges), list(other.ranges), 0
        while mine and theirs:
            (first, last), (begin, end) = mine[-1], theirs[-1]
            found += max(0, min(last, end) - max(first, begin) + 1)
            # The range that begins later can meet nothing further down.
            (mine if first >= begin else theirs).pop()
        return found

    def missing(self, limit: int) -> Iterator[int]:
        """The indexes below `limit` that are not in it, in order."""
        start = 0
        for first, last in self.ranges:
            yield from range(start, min(first, limit))
            start = last + 1
        yield from range(start, limit)


NONE = Indexes()


def _last(ends: Range) -> int:
    return ends[1]


def _text(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first}{',' if last == first + 1 else '-'}{last}"


def _joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """In order, those that touch made one."""
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined)
