"""Service-account tokens as credentials: JSON web tokens of our own issuer."""

from __future__ import annotations

from kybern.api.errors import StatusError
from kybern.apiserver.authentication import Authenticator, Credentials
from kybern.apiserver.user import User
from kybern.clock import Clock
from kybern_auth_builtin.service_account_tokens import Claimed, TokenChecker
from kybern_auth_builtin.token_keys import BadToken, TokenKeys, peek

__all__ = ["ServiceAccountAuthenticator"]

_REMEMBERED = 4096


class ServiceAccountAuthenticator(Authenticator):
    """Knows every token of our issuer that is signed, in time, for the right audience, and whose objects exist."""

    name = "service-account"
    order = 30

    def __init__(
        self, keys: TokenKeys, checker: TokenChecker, clock: Clock, issuers: tuple[str, ...], audiences: tuple[str, ...]
    ) -> None:
        """`issuers`: ours, the current one first. `audiences`: those this API server answers to."""
        self._keys = keys
        self._checker = checker
        self._clock = clock
        self._issuers = frozenset(issuers)
        self._audiences = audiences
        self._claimed: dict[str, Claimed] = {}

    async def authenticate(self, credentials: Credentials) -> User | None:
        if credentials.bearer is None:
            return None
        found = await self.review(credentials.bearer, ())
        return found[0] if found else None

    async def review(self, token: str, audiences: tuple[str, ...]) -> tuple[User, tuple[str, ...]] | None:
        try:
            claimed = self._claimed.get(token) or await self._read(token)
            if claimed is None:
                return None
            wanted = audiences or self._audiences
            good = tuple(audience for audience in claimed.audiences if audience in wanted)
            if not good:
                raise BadToken(
                    f"token audiences {_shown(claimed.audiences)} is invalid for the target audiences {_shown(wanted)}"
                )
            return await self._checker.user(claimed, self._clock.now()), good
        except BadToken as error:
            raise StatusError.unauthorized() from error

    async def _read(self, token: str) -> Claimed | None:
        """The claims of a token with a good signature; None when another issuer's.

        They are remembered, for a client shows the same token with every request; whether they hold is not.
        """
        issuer = (peek(token) or {}).get("iss")
        if not isinstance(issuer, str) or issuer not in self._issuers:
            return None
        claimed = Claimed.of(await self._keys.verify(token))
        if len(self._claimed) >= _REMEMBERED:
            self._claimed.clear()
        self._claimed[token] = claimed
        return claimed


def _shown(audiences: tuple[str, ...]) -> str:
    return "[" + " ".join(f'"{audience}"' for audience in audiences) + "]"
