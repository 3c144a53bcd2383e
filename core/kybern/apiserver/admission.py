"""The admission stage: plugins change, then check, an object on its way to the store."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import Any

import attrs

from kybern.api.kind import Kind
from kybern.apiserver.user import User

__all__ = ["Admission", "AdmissionRequest"]


@attrs.define
class AdmissionRequest:
    """One write (upstream: admission `Attributes`). `object` may be changed in `mutate` only."""

    operation: str
    """CREATE, UPDATE, DELETE, CONNECT."""
    kind: Kind
    subresource: str
    namespace: str
    name: str
    user: User
    object: Any
    """The new object (a Struct), None on DELETE. On a subresource with its own body: that body."""
    old: Any
    """The object as stored, None on CREATE."""
    dry_run: bool = False
    options: Any = None
    warnings: list[str] = attrs.field(factory=list)


class Admission(ABC):
    """An admission plugin. Both methods raise StatusError (mostly `forbidden`) to refuse.

    Plugins are asked in `order` (upstream's: NamespaceLifecycle 10, ServiceAccount 40,
    NodeRestriction 50, TaintNodesByCondition 60, Priority 80, DefaultTolerationSeconds 90, ...
    ResourceQuota last, 900): first every `mutate`, then every `validate`.
    """

    name: str
    order: int = 100

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        """Whether to ask this plugin at all; the answer is remembered per (operation, kind, subresource)."""
        return True

    async def mutate(self, request: AdmissionRequest) -> None:  # noqa: B027  # most plugins do one of the two
        """Change `request.object` or refuse. Must be idempotent."""

    async def validate(self, request: AdmissionRequest) -> None:  # noqa: B027  # most plugins do one of the two
        """Refuse, or let pass; never change anything."""


def handled(plugins: Sequence[Admission], operation: str, kind: Kind, subresource: str) -> list[Admission]:
    """The plugins to ask for such a write, in order."""
    return sorted((p for p in plugins if p.handles(operation, kind, subresource)), key=lambda p: p.order)
