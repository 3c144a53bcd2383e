"""The review kinds of group authorization.k8s.io: may this user, may I, and what may I?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kybern.api.errors import StatusError
from kybern.apiserver.authorization import Attributes, Decision
from kybern.apiserver.reviews import Review, ReviewRequest
from kybern.apiserver.user import User

__all__ = ["access_reviews"]

_GROUP = "authorization.k8s.io"
_OPERATORS = {"In": "=", "NotIn": "!="}


def access_reviews() -> list[Review]:
    """What answers each kind."""
    return [
        Review(f"subjectaccessreviews.{_GROUP}", _subject),
        Review(f"localsubjectaccessreviews.{_GROUP}", _subject),
        Review(f"selfsubjectaccessreviews.{_GROUP}", _self),
        Review(f"selfsubjectrulesreviews.{_GROUP}", _rules),
    ]


async def _subject(request: ReviewRequest) -> Any:
    spec = request.object.spec
    extra = {key.lower(): tuple(values or ()) for key, values in (spec.extra or {}).items()}
    return _decide(request, User(spec.user or "", tuple(spec.groups or ()), spec.uid or "", extra))


async def _self(request: ReviewRequest) -> Any:
    return _decide(request, request.user)


def _decide(request: ReviewRequest, user: User) -> Any:
    from kybern.api.authorization import SubjectAccessReviewStatus

    decision, reason = request.authorize(_attributes(request.object.spec, user))
    denied = True if decision is Decision.DENY else None
    allowed = decision is Decision.ALLOW
    request.object.status = SubjectAccessReviewStatus(allowed=allowed, denied=denied, reason=reason or None)
    return request.object


def _attributes(spec: Any, user: User) -> Attributes:
    if spec.nonResourceAttributes is not None:
        asked = spec.nonResourceAttributes
        return Attributes(user, asked.verb or "", resource_request=False, path=asked.path or "")
    asked = spec.resourceAttributes
    return Attributes(
        user,
        asked.verb or "",
        group=asked.group or "",
        version=asked.version or "",
        resource=asked.resource or "",
        subresource=asked.subresource or "",
        namespace=asked.namespace or "",
        name=asked.name or "",
        label_selector=_selector(asked.labelSelector),
        field_selector=_selector(asked.fieldSelector),
    )


def _selector(selector: Any) -> str:
    """The selector as text. Requirements that have no such form are left out: fewer restrictions, so fewer rights."""
    if selector is None:
        return ""
    if selector.rawSelector:
        return str(selector.rawSelector)
    simple = [r for r in selector.requirements or () if r.operator in _OPERATORS and len(r.values or ()) == 1]
    return ",".join(f"{r.key}{_OPERATORS[r.operator]}{r.values[0]}" for r in simple)


async def _rules(request: ReviewRequest) -> Any:
    from kybern.api.authorization import SelfSubjectRulesReview, SubjectRulesReviewStatus
    from kybern.api.types import from_plain

    namespace = request.object.spec.namespace
    if not namespace:
        raise StatusError.bad_request("no namespace on request")
    answers = [authorizer.rules(request.user, namespace) for authorizer in request.authorizers]
    status: Mapping[str, Any] = {
        "resourceRules": [rule for answer in answers for rule in answer.resource_rules],
        "nonResourceRules": [rule for answer in answers for rule in answer.non_resource_rules],
        "incomplete": any(answer.incomplete for answer in answers),
        "evaluationError": ", ".join(answer.error for answer in answers if answer.error),
    }
    return SelfSubjectRulesReview(status=from_plain(SubjectRulesReviewStatus, dict(status)))
