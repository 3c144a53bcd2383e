"""One operation on a resource, whoever asks for it: over HTTPS or in process."""

from __future__ import annotations

from typing import Any

import attrs

from kybern.api.kind import WriteContext
from kybern.apiserver.user import User

__all__ = ["Operation", "Written"]


@attrs.define
class Operation:
    """Who wants what done to which object, and how."""

    user: User
    now: float
    """Wall time when it arrived, seconds since the epoch."""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    dry_run: bool = False
    field_manager: str = ""
    """Who writes, for `managedFields`: as the client says, or else its program's name."""
    named: bool = False
    """The client said so itself, and expects to find itself there."""
    applied: bool = False
    """A server-side apply: the object comes with the managedFields it shall have."""
    warnings: list[str] = attrs.field(factory=list)
    """Texts for the client, filled on the way."""
    options: Any = None
    """The options object of the verb, for admission plugins."""

    def context(self) -> WriteContext:
        """What the kind's own functions may know."""
        user = self.user
        return WriteContext(
            now=self.now, user=user.name, groups=user.groups, extra=user.extra, uid=user.uid,
            subresource=self.subresource, warnings=self.warnings, dry_run=self.dry_run,
        )  # fmt: skip


@attrs.define
class Written:
    """What a write left behind."""

    object: Any
    """The object as stored (read-only), or as it would be stored on a dry run."""
    json: bytes
    created: bool = False
    deleted: bool = False
    """The object is gone; `object` is its last state."""
