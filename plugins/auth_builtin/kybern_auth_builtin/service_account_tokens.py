"""What stands in a service-account token: the claims that are issued, and whether claims still hold.

A token may be bound to a pod, secret or node: it is good for as long as that very object exists.
Holding is judged on every use, from memory; only the signature is remembered.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from kybern.api.time import parse_time
from kybern.apiserver.user import User
from kybern.reconcile.lookup import Lookup
from kybern_auth_builtin.token_keys import BadToken

__all__ = ["Bound", "Claimed", "TokenChecker", "claims_for"]

PREFIX = "system:serviceaccount:"
GROUP = "system:serviceaccounts"
PRIVATE = "kubernetes.io"
_EXTRA = "authentication.kubernetes.io/"
_LEEWAY = 60.0
"""Seconds a token outlives the deletion mark of what it is bound to, for a graceful end."""

Claims = dict[str, Any]


@attrs.frozen
class Bound:
    """Objects a token is bound to (Structs); a pod brings its node along."""

    pod: Any = None
    secret: Any = None
    node: Any = None


def claims_for(
    account: Any, bound: Bound, audiences: Sequence[str], issuer: str, now: float, seconds: int, warn_after: int = 0
) -> Claims:
    """The claims of a new token. `warn_after`: seconds after which use of a stretched token is worth a warning."""
    metadata = account.metadata
    private: Claims = {"namespace": metadata.namespace, "serviceaccount": _named(account)}
    for kind in ("pod", "secret", "node"):
        if (obj := getattr(bound, kind)) is not None:
            private[kind] = _named(obj)
    issued = int(now)
    if warn_after:
        private["warnafter"] = issued + warn_after
    return {
        "aud": list(audiences),
        "exp": issued + seconds,
        "iat": issued,
        "iss": issuer,
        "jti": str(uuid.uuid4()),
        PRIVATE: private,
        "nbf": issued,
        "sub": f"{PREFIX}{metadata.namespace}:{metadata.name}",
    }


def _named(obj: Any) -> dict[str, str]:
    return {"name": obj.metadata.name, "uid": obj.metadata.uid or ""}


@attrs.frozen
class Claimed:
    """The claims that matter, in the types they must have."""

    namespace: str
    account: tuple[str, str]
    """Name and uid."""
    objects: Mapping[str, tuple[str, str]]
    """Name and uid of pod, secret and node."""
    audiences: tuple[str, ...]
    begins: float
    ends: float
    token_id: str

    @classmethod
    def of(cls, claims: Claims) -> Claimed:
        """BadToken when the claims do not have the form we issue."""
        try:
            private = claims[PRIVATE]
            audience = claims.get("aud", [])
            account = _reference(private["serviceaccount"])
            if claims["sub"] != f"{PREFIX}{private['namespace']}:{account[0]}":
                raise BadToken("sub claim did not match the service account in the kubernetes.io claim")
            return cls(
                namespace=private["namespace"],
                account=account,
                objects={kind: _reference(private[kind]) for kind in ("pod", "secret", "node") if kind in private},
                audiences=tuple([audience] if isinstance(audience, str) else map(str, audience)),
                begins=float(claims.get("nbf", 0)),
                ends=float(claims["exp"]),
                token_id=str(claims.get("jti", "")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadToken("service account token claims could not be read") from error


def _reference(claim: Any) -> tuple[str, str]:
    return str(claim["name"]), str(claim["uid"])


class TokenChecker:
    """Judges claims against the cluster as it is now."""

    def __init__(self, accounts: Lookup[Any], pods: Lookup[Any], secrets: Lookup[Any], nodes: Lookup[Any]) -> None:
        self._accounts = accounts
        self._bound = {"pod": pods, "secret": secrets, "node": nodes}

    async def user(self, claimed: Claimed, now: float) -> User:
        """Who the token stands for; BadToken, with the reason, when it does not hold (any more)."""
        if now >= claimed.ends:
            raise BadToken("service account token has expired")
        if now < claimed.begins:
            raise BadToken("service account token is not valid yet")
        await self._check_account(claimed, now)
        for kind, (name, uid) in claimed.objects.items():
            # A pod's token also tells the pod's node; that node may go while the pod is being moved off it.
            if kind != "node" or "pod" not in claimed.objects:
                await self._check_bound(kind, name, uid, claimed, now)
        return _user(claimed)

    async def _check_account(self, claimed: Claimed, now: float) -> None:
        name, uid = claimed.account
        account = await self._find(self._accounts, name, claimed.namespace, uid)
        if account is None or _gone(account, now):
            raise BadToken(f"service account {claimed.namespace}/{name} has been deleted")
        if account.metadata.uid != uid:
            raise BadToken(f"service account UID ({account.metadata.uid}) does not match claim ({uid})")

    async def _check_bound(self, kind: str, name: str, uid: str, claimed: Claimed, now: float) -> None:
        obj = await self._find(self._bound[kind], name, "" if kind == "node" else claimed.namespace, uid)
        if obj is None or _gone(obj, now):
            raise BadToken("service account token has been invalidated")
        if obj.metadata.uid != uid:
            raise BadToken(f"{kind} UID ({obj.metadata.uid}) does not match service account {kind} ref claim ({uid})")

    @staticmethod
    async def _find(objects: Lookup[Any], name: str, namespace: str, uid: str) -> Any | None:
        """A cached object of another uid may be a predecessor: then the server is asked."""
        found = await objects.get(name, namespace)
        if found is not None and found.metadata.uid != uid:
            return await objects.fresh(name, namespace)
        return found


def _gone(obj: Any, now: float) -> bool:
    deleted = obj.metadata.deletionTimestamp
    return bool(deleted) and parse_time(deleted) < now - _LEEWAY


def _user(claimed: Claimed) -> User:
    extra: dict[str, tuple[str, ...]] = {}
    if claimed.token_id:
        extra[_EXTRA + "credential-id"] = (f"JTI={claimed.token_id}",)
    for kind in ("node", "pod"):
        if kind in claimed.objects:
            name, uid = claimed.objects[kind]
            extra[f"{_EXTRA}{kind}-name"] = (name,)
            extra[f"{_EXTRA}{kind}-uid"] = (uid,)
    name, uid = claimed.account
    groups = (GROUP, f"{GROUP}:{claimed.namespace}")
    return User(f"{PREFIX}{claimed.namespace}:{name}", groups, uid, extra)
