"""The client: everything a controller, the scheduler, a node or a tool may ask of an API server.

Two transports implement it: `kybern.client.http` speaks HTTPS to any Kubernetes API server;
the in-process one (made by `cluster`) enters the same request pipeline after authentication.
Structs that come from it are shared and read-only: change a `copy()`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any, Generic, Literal, TypeVar

import attrs

K = TypeVar("K")

__all__ = ["Client", "Event", "ObjectList"]

Propagation = Literal["Background", "Foreground", "Orphan"]
PatchType = Literal["merge", "strategic", "json", "apply"]


@attrs.frozen
class ObjectList(Generic[K]):
    """A list, exact at `resource_version`."""

    items: list[K]
    resource_version: str
    continue_: str = ""
    remaining: int | None = None


@attrs.frozen
class Event(Generic[K]):
    """One watch event. BOOKMARK events carry an object that only has metadata.resourceVersion."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: K


class Client(ABC):
    """Verbs of the Kubernetes API. `kind` is a Struct class (`kybern.api.core.Pod`).

    Every method raises StatusError for the server's refusals; a lost connection is a StatusError
    503 `ServiceUnavailable`. `namespace` is ignored by cluster-scoped kinds. What a method is given
    it neither changes nor keeps.
    """

    @abstractmethod
    async def get(self, kind: type[K], name: str, namespace: str = "", *, resource_version: str = "") -> K:
        """One object; StatusError 404 when there is none."""

    @abstractmethod
    async def list(
        self,
        kind: type[K],
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
    ) -> ObjectList[K]:
        """Objects of a namespace ("" : of all). Selectors in their text form."""

    @abstractmethod
    def watch(
        self,
        kind: type[K],
        namespace: str = "",
        *,
        resource_version: str = "",
        labels: str = "",
        fields: str = "",
        bookmarks: bool = True,
    ) -> AsyncIterator[Event[K]]:
        """Changes after `resource_version`, until caller or server ends it. StatusError 410: list again."""

    @abstractmethod
    async def create(self, obj: K, *, dry_run: bool = False, field_manager: str = "") -> K:
        """Create in `obj.metadata.namespace`; returns the object as stored."""

    @abstractmethod
    async def update(self, obj: K, *, subresource: str = "", dry_run: bool = False, field_manager: str = "") -> K:
        """Replace; StatusError 409 when `metadata.resourceVersion` is no longer the newest."""

    async def update_status(self, obj: K) -> K:
        """Replace the status and nothing else."""
        return await self.update(obj, subresource="status")

    @abstractmethod
    async def patch(
        self,
        kind: type[K],
        name: str,
        namespace: str,
        patch: Any,
        *,
        type: PatchType = "merge",
        subresource: str = "",
        dry_run: bool = False,
        field_manager: str = "",
        force: bool = False,
    ) -> K:
        """Patch with plain data (a list of operations for `json`)."""

    @abstractmethod
    async def delete(
        self,
        kind: type[K],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        propagation: Propagation | None = None,
        grace_period: int | None = None,
        dry_run: bool = False,
    ) -> Any:
        """Delete; `uid` and `resource_version` are preconditions (409). Returns the object or a Status."""

    @abstractmethod
    async def delete_collection(
        self,
        kind: type[K],
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        propagation: Propagation | None = None,
    ) -> None:
        """Delete all that match."""

    @abstractmethod
    async def create_subresource(self, kind: type[Any], name: str, namespace: str, subresource: str, body: Any) -> Any:
        """POST a Struct to a subresource: `binding`, `eviction`, `token`. Returns the answer's Struct or plain data."""

    @abstractmethod
    async def raw(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Any path: (code, body). Does not raise on error codes."""

    async def close(self) -> None:  # noqa: B027  a client without connections has nothing to do
        """Let go of connections."""
