"""The newest version of an object that its controller wrote, while the cache is still behind."""

from __future__ import annotations

from typing import Any

import attrs

from kybern.reconcile.interface import Key

__all__ = ["Newest"]


@attrs.define
class _Written:
    obj: Any
    replaced: set[str]
    """Resource versions that ours came after."""


class Newest:
    """A controller that counts in a status must not count from an old one: it would do the same work again."""

    def __init__(self) -> None:
        self._written: dict[Key, _Written] = {}
        self._told: dict[Key, Any] = {}

    def current(self, key: Key, cached: Any | None) -> Any | None:
        """The cached object, or ours where the cache shows one that ours replaced."""
        written = self._written.get(key)
        if cached is None or written is None:
            return cached
        metadata = cached.metadata
        if metadata.uid == written.obj.metadata.uid and metadata.resourceVersion in written.replaced:
            return written.obj
        del self._written[key]
        return cached

    def is_news(self, old: Any | None, new: Any | None) -> bool:
        """Whether a change tells its controller more than what it did itself."""
        if old is None or new is None:
            return True
        before, after = old.metadata, new.metadata
        if before.generation != after.generation or before.deletionTimestamp != after.deletionTimestamp:
            return True
        key = Key(after.namespace, after.name)
        written = self._written.get(key)
        if written is not None and after.resourceVersion in written.replaced:
            return False
        return bool(new.status != self._told.get(key))

    def writes(self, key: Key, status: Any) -> None:
        """This status is about to be written, or is there already."""
        self._told[key] = status

    def wrote(self, key: Key, before: Any, after: Any) -> None:
        """`before` has become `after`."""
        known = self._written.get(key)
        replaced = known.replaced if known is not None else set()
        self._written[key] = _Written(after, replaced | {before.metadata.resourceVersion})

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._written.pop(key, None)
        self._told.pop(key, None)
