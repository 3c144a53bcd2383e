"""TokenRequest (`POST serviceaccounts/x/token`): issues a token for a service account, as the request says."""

from __future__ import annotations

from typing import Any

import attrs

from kybern.api.errors import StatusError
from kybern.api.field import go_quote
from kybern.api.time import format_time
from kybern.apiserver.reviews import ReviewRequest
from kybern.reconcile.lookup import Lookup
from kybern_auth_builtin.service_account_tokens import Bound, claims_for
from kybern_auth_builtin.token_keys import TokenKeys

__all__ = ["TokenIssuer"]

HOUR = 3600
STRETCHED_FROM = 3607
"""Projected volumes ask for this lifetime; such tokens are good for a year, for clients that read them once."""
STRETCHED_TO = 365 * 24 * HOUR


@attrs.frozen
class TokenIssuer:
    """Answers token requests."""

    keys: TokenKeys
    pods: Lookup[Any]
    secrets: Lookup[Any]
    nodes: Lookup[Any]
    issuer: str
    audiences: tuple[str, ...]
    """Of this API server; what a request that names none gets."""
    longest: int = 0
    """Most seconds a token may live; 0: no limit."""
    stretch: bool = True

    async def answer(self, request: ReviewRequest) -> Any:
        """The request with its status: the token and when it ends."""
        from kybern.api.authentication import TokenRequestStatus

        question, account = request.object, request.parent
        _check_names(question, request)
        question.metadata.name, question.metadata.namespace = request.name, request.namespace
        spec = question.spec
        spec.audiences = list(spec.audiences or self.audiences)
        bound = await self._bound(spec.boundObjectRef, account)
        seconds = spec.expirationSeconds or HOUR
        if self.longest and seconds > self.longest:
            seconds = self.longest
        spec.expirationSeconds = seconds
        stretched = self.stretch and seconds == STRETCHED_FROM and set(spec.audiences) <= set(self.audiences)
        lifetime, warn_after = (STRETCHED_TO, seconds) if stretched else (seconds, 0)
        claims = claims_for(account, bound, spec.audiences, self.issuer, request.now, lifetime, warn_after)
        token = await self.keys.sign(claims)
        ends = format_time(int(request.now) + seconds)
        question.status = TokenRequestStatus(token=token, expirationTimestamp=ends)
        return question

    async def _bound(self, reference: Any, account: Any) -> Bound:
        if reference is None:
            return Bound()
        name, namespace = reference.name or "", account.metadata.namespace
        kind = (reference.apiVersion or "", reference.kind or "")
        if kind == ("v1", "Pod"):
            return await self._bound_pod(reference, name, account)
        if kind == ("v1", "Secret"):
            return Bound(secret=_same(reference, await self.secrets.get(name, namespace), "secrets"))
        if kind == ("v1", "Node"):
            return Bound(node=_same(reference, await self.nodes.get(name), "nodes"))
        group, _, version = kind[0].rpartition("/")
        shown = f"{group}/{version}, Kind={kind[1]}"
        raise StatusError.bad_request(f"cannot bind token to object of type {shown}")

    async def _bound_pod(self, reference: Any, name: str, account: Any) -> Bound:
        pod = _same(reference, await self.pods.get(name, account.metadata.namespace), "pods")
        if (pod.spec.serviceAccountName or "") != account.metadata.name:
            raise StatusError.bad_request(
                f"cannot bind token for serviceaccount {go_quote(account.metadata.name)} to pod "
                "running with different serviceaccount name."
            )
        node = await self.nodes.get(pod.spec.nodeName) if pod.spec.nodeName else None
        return Bound(pod=pod, node=node)


def _check_names(question: Any, request: ReviewRequest) -> None:
    """The body may repeat the path, not contradict it."""
    metadata = question.metadata
    if metadata.name and metadata.name != request.name:
        shown = f"the name of the object ({metadata.name}) does not match the name on the URL ({request.name})"
        raise StatusError.bad_request(shown)
    if metadata.namespace and metadata.namespace != request.namespace:
        why = "the namespace of the provided object does not match the namespace sent on the request"
        raise StatusError.bad_request(why)


def _same(reference: Any, found: Any | None, resource: str) -> Any:
    """The object meant, and not a later one of the same name."""
    if found is None:
        raise StatusError.not_found(resource, "", reference.name or "")
    if reference.uid and reference.uid != found.metadata.uid:
        why = (
            f"the UID in the bound object reference ({reference.uid}) does not match the UID in record. "
            "The object might have been deleted and then recreated"
        )
        raise StatusError.conflict(reference.kind, "", reference.name or "", why)
    return found
