"""Bootstrap tokens: secrets `bootstrap-token-<id>` in kube-system, with which a new node first introduces itself."""

from __future__ import annotations

import hmac
import re
from typing import Any

from kybern.api.errors import StatusError
from kybern.api.time import parse_time
from kybern.apiserver.authentication import Authenticator, Credentials
from kybern.apiserver.user import User
from kybern.clock import Clock
from kybern.reconcile.lookup import Lookup

__all__ = ["BootstrapTokenAuthenticator"]

TYPE = "bootstrap.kubernetes.io/token"
GROUP = "system:bootstrappers"
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_EXTRA_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class BootstrapTokenAuthenticator(Authenticator):
    """Knows tokens of the form `id.secret` whose secret says so and has not expired."""

    name = "bootstrap-token"
    order = 40

    def __init__(self, secrets: Lookup[Any], clock: Clock, audiences: tuple[str, ...] = ()) -> None:
        """`audiences`: those of this API server; the tokens are good for no others."""
        self._secrets = secrets
        self._clock = clock
        self._audiences = audiences

    async def authenticate(self, credentials: Credentials) -> User | None:
        match = _TOKEN.fullmatch(credentials.bearer or "")
        if match is None:
            return None
        identifier, token = match.groups()
        secret = await self._secrets.get(f"bootstrap-token-{identifier}", "kube-system")
        if secret is None or secret.type != TYPE or secret.metadata.deletionTimestamp:
            return None
        data = {key: _text(value) for key, value in (secret.data or {}).items()}
        if not hmac.compare_digest(data.get("token-secret", "").encode(), token.encode()):
            return None
        if data.get("token-id") != identifier or data.get("usage-bootstrap-authentication") != "true":
            return None
        if self._expired(data.get("expiration", "")):
            raise StatusError.unauthorized()
        groups = _groups(data.get("auth-extra-groups", ""))
        return None if groups is None else User(f"system:bootstrap:{identifier}", groups)

    async def review(self, token: str, audiences: tuple[str, ...]) -> tuple[User, tuple[str, ...]] | None:
        good = tuple(audience for audience in audiences if audience in self._audiences)
        user = await self.authenticate(Credentials(bearer=token)) if good else None
        return (user, good) if user else None

    def _expired(self, expiration: str) -> bool:
        if not expiration:
            return False
        try:
            return parse_time(expiration) <= self._clock.now()
        except ValueError:
            return True


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return ""


def _groups(extra: str) -> tuple[str, ...] | None:
    """Everyone's group and the token's own; None when one of them is outside system:bootstrappers."""
    wanted = [group.strip() for group in extra.split(",") if group.strip()]
    if not all(_EXTRA_GROUP.fullmatch(group) for group in wanted):
        return None
    return (GROUP, *sorted(set(wanted)))
