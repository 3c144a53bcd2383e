"""The authorization stage: may this user do this?

The first authorizer with an opinion decides; when nobody has one, the answer is no.
"""

from __future__ import annotations

from collections.abc import Sequence

from kybern.api.errors import StatusError
from kybern.apiserver.authorization import Attributes, Authorizer, Decision
from kybern.apiserver.request import Request

__all__ = ["Authorization", "attributes_of"]


class Authorization:
    """A chain of authorizers, in order."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self.authorizers = sorted(authorizers, key=lambda a: a.order)

    def __call__(self, request: Request) -> None:
        """StatusError 403 when the request may not be done."""
        self.require(attributes_of(request))

    def require(self, attributes: Attributes) -> None:
        """StatusError 403, in upstream's words, unless allowed."""
        decision, reason = self.decide(attributes)
        if decision is not Decision.ALLOW:
            raise _forbidden(attributes, reason)

    def decide(self, attributes: Attributes) -> tuple[Decision, str]:
        """The chain's decision and the reasons given for it."""
        reasons = []
        for authorizer in self.authorizers:
            decision, reason = authorizer.authorize(attributes)
            if decision is not Decision.NO_OPINION:
                return decision, reason
            if reason:
                reasons.append(reason)
        return Decision.NO_OPINION, "\n".join(reasons)


def attributes_of(request: Request) -> Attributes:
    """What a request asks for."""
    if not request.resource_request:
        return Attributes(request.user, request.verb, resource_request=False, path=request.path)
    label_selector = field_selector = ""
    if request.query and request.verb in ("list", "watch", "deletecollection"):
        label_selector = request.query.get("labelSelector", ("",))[0]
        field_selector = request.query.get("fieldSelector", ("",))[0]
    return Attributes(
        request.user, request.verb, True, request.group, request.version, request.resource, request.subresource,
        request.namespace, request.name, request.path, label_selector, field_selector,
    )  # fmt: skip


def _forbidden(asked: Attributes, reason: str) -> StatusError:
    tail = f": {reason}" if reason else ""
    if not asked.resource_request:
        text = f'forbidden: User "{asked.user.name}" cannot {asked.verb} path "{asked.path}"{tail}'
        return StatusError(403, "Forbidden", text, {})
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    text = (
        f'User "{asked.user.name}" cannot {asked.verb} resource "{resource}" in API group "{asked.group}" {where}{tail}'
    )
    return StatusError.forbidden(asked.resource, asked.group, asked.name, text)
