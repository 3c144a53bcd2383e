"""Long-lived service-account tokens in secrets of type `kubernetes.io/service-account-token`.

The older form of token: without end or audience, good for as long as the secret holds it. Somebody
creates the secret, naming the account in an annotation; the controller here fills in the token.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.apiserver.authentication import Authenticator, Credentials
from kybern.apiserver.user import User
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern.reconcile.lookup import Lookup
from kybern_auth_builtin.service_account_tokens import GROUP, PREFIX
from kybern_auth_builtin.token_keys import BadToken, TokenKeys, peek

__all__ = ["SecretTokenAuthenticator", "SecretTokenController"]

ISSUER = "kubernetes/serviceaccount"
TYPE = "kubernetes.io/service-account-token"
ACCOUNT, ACCOUNT_UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"
_CLAIM = "kubernetes.io/serviceaccount/"
_BY_ACCOUNT = "secret-tokens-by-account"
_REMEMBERED = 4096

Claims = dict[str, Any]


class SecretTokenAuthenticator(Authenticator):
    """Knows tokens that our controller wrote, while their secret and account are there."""

    name = "secret-token"
    order = 31

    def __init__(
        self, keys: TokenKeys, accounts: Lookup[Any], secrets: Lookup[Any], audiences: tuple[str, ...] = ()
    ) -> None:
        """`audiences`: those of this API server; the tokens are good for no others."""
        self._keys = keys
        self._accounts = accounts
        self._secrets = secrets
        self._audiences = audiences
        self._verified: dict[str, Claims] = {}

    async def authenticate(self, credentials: Credentials) -> User | None:
        token = credentials.bearer or ""
        if (peek(token) or {}).get("iss") != ISSUER:
            return None
        try:
            return await self._user(token, self._verified.get(token) or await self._verify(token))
        except BadToken as error:
            raise StatusError.unauthorized() from error

    async def review(self, token: str, audiences: tuple[str, ...]) -> tuple[User, tuple[str, ...]] | None:
        good = tuple(audience for audience in audiences if audience in self._audiences)
        user = await self.authenticate(Credentials(bearer=token)) if good else None
        return (user, good) if user else None

    async def _verify(self, token: str) -> Claims:
        claims = await self._keys.verify(token)
        if len(self._verified) >= _REMEMBERED:
            self._verified.clear()
        self._verified[token] = claims
        return claims

    async def _user(self, token: str, claims: Claims) -> User:
        namespace, secret_name, name, uid = (
            str(claims.get(_CLAIM + what, ""))
            for what in ("namespace", "secret.name", "service-account.name", "service-account.uid")
        )
        secret = await self._secrets.get(secret_name, namespace)
        held = (secret.data or {}).get("token", b"") if secret is not None else b""
        if secret is None or secret.metadata.deletionTimestamp or not hmac.compare_digest(held, token.encode()):
            raise BadToken("service account token has been invalidated")
        account = await self._accounts.get(name, namespace)
        if account is None or account.metadata.uid != uid:
            raise BadToken(f"service account {namespace}/{name} has been deleted")
        return User(f"{PREFIX}{namespace}:{name}", (GROUP, f"{GROUP}:{namespace}"), uid)


class SecretTokenController(Controller):
    """Fills in tokens, and removes secrets whose account is gone. Keys are secrets."""

    name = "secret-token"

    def __init__(self, keys: TokenKeys, certificate: Callable[[], bytes]) -> None:
        """`certificate` gives the PEM of the cluster's CA as it is now."""
        self._keys = keys
        self._certificate = certificate

    def setup(self, context: Context) -> None:
        from kybern.api.core import Secret, ServiceAccount

        self.client, self.kind = context.client, Secret
        self.secrets = context.watch(Secret, on=lambda old, new: new is not None and _is_token(new))
        self.secrets.add_index(_BY_ACCOUNT, lambda secret: [_account_of(secret)] if _is_token(secret) else [])
        accounts = context.watch(ServiceAccount, self._secrets_of, on=lambda old, new: old is None or new is None)
        self.accounts = Lookup(context.client, accounts, ServiceAccount)

    def _secrets_of(self, account: Any) -> list[Key]:
        found = self.secrets.by_index(_BY_ACCOUNT, f"{account.metadata.namespace}/{account.metadata.name}")
        return [Key(secret.metadata.namespace or "", secret.metadata.name or "") for secret in found]

    async def reconcile(self, key: Key) -> Result | None:
        secret = self.secrets.get(key.name, key.namespace)
        if secret is None or not _is_token(secret) or secret.metadata.deletionTimestamp:
            return None
        account = await self.accounts.get(_account_of(secret).partition("/")[2], key.namespace)
        annotations = secret.metadata.annotations or {}
        if account is None or annotations.get(ACCOUNT_UID, account.metadata.uid) != account.metadata.uid:
            await self._delete(secret)
            return None
        data = secret.data or {}
        wanted = {"ca.crt": self._certificate(), "namespace": key.namespace.encode()}
        if data.get("token") and ACCOUNT_UID in annotations and wanted.items() <= data.items():
            return None
        changed = types.copy(secret)
        token = data.get("token") or (await self._keys.sign(_claims(secret, account))).encode()
        changed.data = {**data, **wanted, "token": token}
        changed.metadata.annotations = {**annotations, ACCOUNT_UID: account.metadata.uid or ""}
        await self.client.update(changed)
        return None

    async def _delete(self, secret: Any) -> None:
        metadata = secret.metadata
        try:
            await self.client.delete(self.kind, metadata.name, metadata.namespace, uid=metadata.uid)
        except StatusError as error:
            if error.code != 404:
                raise


def _is_token(secret: Any) -> bool:
    return secret.type == TYPE and bool((secret.metadata.annotations or {}).get(ACCOUNT))


def _account_of(secret: Any) -> str:
    return f"{secret.metadata.namespace}/{secret.metadata.annotations[ACCOUNT]}"


def _claims(secret: Any, account: Any) -> Claims:
    metadata = account.metadata
    return {
        "iss": ISSUER,
        _CLAIM + "namespace": metadata.namespace,
        _CLAIM + "secret.name": secret.metadata.name,
        _CLAIM + "service-account.name": metadata.name,
        _CLAIM + "service-account.uid": metadata.uid,
        "sub": f"{PREFIX}{metadata.namespace}:{metadata.name}",
    }
