"""Bootstrap tokens, with which new nodes introduce themselves: expired ones are deleted, and `cluster-info` is signed.

A node that joins reads the public ConfigMap `cluster-info` without knowing whom to trust; the
signature by a token that it was given out of band tells it that the contents are genuine.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.time import parse_time
from kybern.reconcile.interface import Context, Controller, Key, Result

TYPE = "bootstrap.kubernetes.io/token"
NAME_PREFIX = "bootstrap-token-"
SYSTEM, PUBLIC = "kube-system", "kube-public"
CLUSTER_INFO = Key(PUBLIC, "cluster-info")
KUBECONFIG = "kubeconfig"
SIGNATURE_PREFIX = "jws-kubeconfig-"
_ID = re.compile(r"[a-z0-9]{6}")


def is_token(secret: Any) -> bool:
    """Whether a Secret is a bootstrap token."""
    return bool(secret.type == TYPE) and secret.metadata.namespace == SYSTEM


def field(secret: Any, name: str) -> str:
    """One field of a token, "" when it is not there."""
    return bytes((secret.data or {}).get(name, b"")).decode(errors="replace")


def seconds_left(secret: Any, now: float) -> float | None:
    """Until the token expires; None: never. One whose time cannot be read has expired."""
    text = field(secret, "expiration")
    if not text:
        return None
    try:
        return max(0.0, parse_time(text) - now)
    except ValueError:
        return 0.0


def signing_key(secret: Any, now: float) -> tuple[str, str] | None:
    """(id, secret) of a token that may sign; None when it may not."""
    identifier, key = field(secret, "token-id"), field(secret, "token-secret")
    if secret.metadata.name != f"{NAME_PREFIX}{identifier}" or not _ID.fullmatch(identifier) or not key:
        return None
    if field(secret, "usage-bootstrap-signing") != "true" or seconds_left(secret, now) == 0.0:
        return None
    return identifier, key


def signature(content: str, identifier: str, key: str) -> str:
    """A JWS of the content, which is left out of it (RFC 7515, appendix F)."""
    header = _base64(msgspec.json.encode({"alg": "HS256", "kid": identifier}))
    signed = f"{header}.{_base64(content.encode())}".encode()
    return f"{header}..{_base64(hmac.new(key.encode(), signed, hashlib.sha256).digest())}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenCleaner(Controller):
    """Deletes tokens when they expire."""

    name = "token-cleaner"
    workers = 1

    def setup(self, context: Context) -> None:
        from kybern.api.core import Secret

        self.client, self.clock = context.client, context.clock
        self.secrets = context.watch(Secret, on=lambda old, new: new is not None and is_token(new))

    async def reconcile(self, key: Key) -> Result | None:
        secret: Any = self.secrets.get(key.name, key.namespace)
        left = seconds_left(secret, self.clock.now()) if secret is not None and is_token(secret) else None
        if left is None:
            return None
        if left > 0:
            return Result(left)
        try:
            await self.client.delete(type(secret), key.name, key.namespace, uid=secret.metadata.uid)
        except StatusError as error:
            if error.code != 404:
                raise
        return None


class BootstrapSigner(Controller):
    """Signs the kubeconfig in `cluster-info` with every token that is for signing."""

    name = "bootstrap-signer"
    workers = 1

    def __init__(self, kubeconfig: Callable[[], str] | None = None) -> None:
        """`kubeconfig`: what `cluster-info` shall hold when the first token finds none, as kubeadm would make it."""
        self._kubeconfig = kubeconfig

    def setup(self, context: Context) -> None:
        from kybern.api.core import ConfigMap, Secret

        self.client, self.clock = context.client, context.clock
        self.maps = context.watch(ConfigMap, on=lambda old, new: new is not None and _is_cluster_info(new))
        self.secrets = context.watch(Secret, lambda secret: (CLUSTER_INFO,) if is_token(secret) else ())

    async def reconcile(self, key: Key) -> Result | None:
        info: Any = self.maps.get(CLUSTER_INFO.name, CLUSTER_INFO.namespace)
        tokens = [secret for secret in self.secrets.list(SYSTEM) if is_token(secret)]
        now = self.clock.now()
        if info is None and self._kubeconfig is not None and any(signing_key(token, now) for token in tokens):
            info = await self._publish(self._kubeconfig())
        if info is None or not (info.data or {}).get(KUBECONFIG):
            return None
        wanted = signed(info.data, tokens, now)
        if wanted != info.data:
            changed = types.copy(info)
            changed.data = wanted
            await self.client.update(changed)
        ends = [left for secret in tokens if (left := seconds_left(secret, now))]
        return Result(min(ends)) if ends else None

    async def _publish(self, text: str) -> Any:
        from kybern.api.core import ConfigMap
        from kybern.api.meta import ObjectMeta

        metadata = ObjectMeta(name=CLUSTER_INFO.name, namespace=CLUSTER_INFO.namespace)
        try:
            return await self.client.create(ConfigMap(metadata=metadata, data={KUBECONFIG: text}))
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
        return None


def public_kubeconfig(server: str, ca_certificate: bytes) -> str:
    """Where the cluster is and how to know it, without anybody's credentials."""
    import yaml

    authority = base64.b64encode(ca_certificate).decode()
    cluster = {"name": "", "cluster": {"certificate-authority-data": authority, "server": server}}
    plain = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": None, "users": None}
    return str(yaml.safe_dump({**plain, "current-context": ""}))


def signed(data: dict[str, str], tokens: Iterable[Any], now: float) -> dict[str, str]:
    """The ConfigMap's data with the signatures it should have and no others."""
    keys = [key for token in tokens if (key := signing_key(token, now)) is not None]
    kept = {name: value for name, value in data.items() if not name.startswith(SIGNATURE_PREFIX)}
    made = {f"{SIGNATURE_PREFIX}{identifier}": signature(data[KUBECONFIG], identifier, key) for identifier, key in keys}
    return kept | made


def _is_cluster_info(config_map: Any) -> bool:
    metadata = config_map.metadata
    return (metadata.namespace, metadata.name) == CLUSTER_INFO
