"""The controller SDK's contract: what an author writes (`Controller`) and what it is given (`Context`).

Level-triggered, as controller-runtime: a reconcile gets a key, reads the caches, compares desired
with actual, acts through the client, and may ask to be called again later. An error backs off per
key; a conflict retries at once; one key is never reconciled twice at the same time.
"""

from __future__ import annotations

import builtins
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

import attrs

from kybern.client.interface import Client
from kybern.clock import Clock

K = TypeVar("K")

__all__ = ["Context", "Controller", "EventRecorder", "Informer", "Key", "Result"]


class Key(NamedTuple):
    """Namespace ("" for cluster-scoped) and name of the object to reconcile."""

    namespace: str
    name: str


@attrs.frozen
class Result:
    """What a reconcile may ask for. None or `Result()`: done until something changes."""

    requeue_after: float | None = None
    """Seconds until the key is reconciled again."""


class Informer(ABC, Generic[K]):
    """A local, always current copy of all objects of a kind (shared by everyone in the process).

    Objects are the cache's own: read-only.
    """

    kind: type[K]

    @abstractmethod
    def get(self, name: str, namespace: str = "") -> K | None:
        """The object, or None."""

    @abstractmethod
    def list(self, namespace: str = "", selector: Callable[[Any], bool] | None = None) -> list[K]:
        """All objects, of one namespace or all, that match `selector` (called with the labels dict)."""

    @abstractmethod
    def add_index(self, name: str, values: Callable[[K], Iterable[str]]) -> None:
        """Keep an index: `values(object)` are the index values it is found under. Idempotent by name."""

    @abstractmethod
    def by_index(self, name: str, value: str) -> builtins.list[K]:
        """Objects found under an index value."""

    @abstractmethod
    def on_change(self, callback: Callable[[K | None, K | None], None]) -> None:
        """Call `callback(old, new)` on every change: old None on add, new None on delete. Objects already
        known are announced as added. Must not wait or raise."""

    @abstractmethod
    async def synced(self) -> None:
        """Return once the first complete list is in."""


class EventRecorder(ABC):
    """Writes Events about objects, with upstream's aggregation of repeated ones; never fails, never waits."""

    @abstractmethod
    def event(self, about: Any, type: str, reason: str, message: str, *, action: str = "") -> None:
        """`type` is Normal or Warning; `reason` CamelCase; about: any Struct with metadata."""


class Context(ABC):
    """What a controller is given at setup."""

    client: Client
    clock: Clock
    events: EventRecorder
    options: Any
    """The plugin's config section, as its attrs class, or None."""

    @abstractmethod
    def informer(self, kind: type[K]) -> Informer[K]:
        """The shared informer of a kind; started and synced before the first reconcile."""

    @abstractmethod
    def watch(
        self,
        kind: type[K],
        keys: Callable[[K], Iterable[Key]] | None = None,
        *,
        on: Callable[[K | None, K | None], bool] | None = None,
    ) -> Informer[K]:
        """Reconcile on changes of a kind. `keys` maps an object to keys (default: its own); on an update it is asked
        for the old and the new object. `on(old, new)` False skips the event."""

    @abstractmethod
    def watch_owned(self, kind: type[Any], owner: type[Any]) -> Informer[Any]:
        """Reconcile an `owner` object when an object of `kind` that it controls (ownerReferences) changes."""

    @abstractmethod
    def enqueue(self, key: Key, after: float = 0.0) -> None:
        """Reconcile the key, now or in `after` seconds."""


class Controller(ABC):
    """Brings the world closer to what objects say. Written on this class alone, ours and users' alike."""

    name: str
    """As in `deployment`; unique in the cluster; also the field manager and the event source `<name>-controller`."""
    event_source: str = ""
    """The `source.component` of its Events where it is not `<name>-controller`."""
    workers: int = 4
    """How many keys are reconciled at the same time."""

    @abstractmethod
    def setup(self, context: Context) -> None:
        """Keep what is needed of the context; declare watches. Called once, before anything runs."""

    @abstractmethod
    async def reconcile(self, key: Key) -> Result | None:
        """Make it so. Raise anything to be called again with back-off."""

    async def run(self) -> None:  # noqa: B027  optional, so not abstract
        """Optional background task beside the queue (periodic work); cancelled at shutdown."""
