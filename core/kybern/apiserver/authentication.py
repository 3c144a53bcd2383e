"""The authentication stage: a union of authenticators; the first that knows the credential wins."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import attrs

from kybern.apiserver.user import User

__all__ = ["Authenticator", "Credentials"]


@attrs.frozen
class Credentials:
    """What a connection or request brought to prove an identity."""

    certificate: bytes | None = None
    """DER of the client certificate that the TLS handshake verified against the client CA."""
    bearer: str | None = None
    """The token of an `Authorization: Bearer` header, or of a websocket subprotocol."""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    peer: str = ""
    """Address of the other side."""
    path: str = ""
    """Path asked for; anonymous access depends on it."""


class Authenticator(ABC):
    """Tells who a request is from. Drivers are asked in `order`."""

    name: str
    order: int = 100

    @abstractmethod
    async def authenticate(self, credentials: Credentials) -> User | None:
        """The user; None when this credential is not of our kind.

        Raises StatusError 401 when it is of our kind and bad (expired, wrong signature).
        """

    async def review(self, token: str, audiences: tuple[str, ...]) -> tuple[User, tuple[str, ...]] | None:
        """For TokenReview: the user and the audiences (out of those asked for) the token is good for; None: not ours.

        Raises StatusError 401 when the token is ours and bad.
        """
        user = await self.authenticate(Credentials(bearer=token))
        return (user, audiences) if user else None
