"""Who makes a request."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

__all__ = ["ANONYMOUS", "User"]


@attrs.frozen
class User:
    """An authenticated identity (upstream: `user.Info`)."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
