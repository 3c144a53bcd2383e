"""A list, or one page of it, as the watch cache answers it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from kybern.store.items import Item
from kybern.store.paging import continue_token

__all__ = ["Listing", "page"]


@attrs.frozen
class Listing:
    """A list, or one page of it, exact at `revision`."""

    items: list[Item]
    revision: int
    continue_: str = ""
    """Token of the next page; empty on the last."""
    remaining: int | None = None
    """How many objects follow after this page, when that is known (no predicate)."""


def page(
    prefix: str,
    found: Iterable[Item],
    total: int,
    predicate: Callable[[Any], bool] | None,
    limit: int,
    revision: int,
) -> Listing:
    """The first `limit` matching items of those found."""
    if not limit:
        return Listing([i for i in found if predicate is None or predicate(i.object)], revision)
    rest, seen, items = iter(found), 0, []
    for item in rest:
        seen += 1
        if predicate is None or predicate(item.object):
            items.append(item)
        if len(items) == limit:
            break
    if next(rest, None) is None:
        return Listing(items, revision)
    remaining = total - seen if predicate is None else None
    return Listing(items, revision, continue_token(revision, items[-1].key[len(prefix) :] + "\0"), remaining)
