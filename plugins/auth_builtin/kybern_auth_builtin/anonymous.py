"""Requests without credentials: `system:anonymous`, and only where the options let it in (health checks by default)."""

from __future__ import annotations

from collections.abc import Sequence

from kybern.apiserver.authentication import Authenticator, Credentials
from kybern.apiserver.user import ANONYMOUS, User

__all__ = ["AnonymousAuthenticator"]


class AnonymousAuthenticator(Authenticator):
    """Knows whoever shows nothing. A bad credential is not nothing."""

    name = "anonymous"
    order = 1000

    def __init__(self, paths: Sequence[str]) -> None:
        """`paths`: exact paths; `*` is every path."""
        self._paths = frozenset(paths)

    async def authenticate(self, credentials: Credentials) -> User | None:
        shown = credentials.bearer is not None or credentials.certificate is not None
        if shown or not ("*" in self._paths or credentials.path in self._paths):
            return None
        return ANONYMOUS

    async def review(self, token: str, audiences: tuple[str, ...]) -> tuple[User, tuple[str, ...]] | None:
        return None
