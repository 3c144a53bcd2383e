"""Kinds that are questions, not stored objects: what answers a TokenReview, SubjectAccessReview, TokenRequest...

An answering function is registered per resource. The server has authenticated, authorized, decoded,
defaulted and validated the question before it asks; the function fills in the status and returns it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from kybern.apiserver.user import User

if TYPE_CHECKING:
    from kybern.apiserver.authentication import Authenticator
    from kybern.apiserver.authorization import Attributes, Authorizer, Decision

__all__ = ["Review", "ReviewRequest"]


@attrs.frozen
class ReviewRequest:
    """One question."""

    object: Any
    """The body, as a Struct; the function may change and return it."""
    user: User
    """Who asks."""
    namespace: str
    """From the path; "" for cluster-scoped."""
    name: str
    """From the path: the parent's name for a subresource (`serviceaccounts/x/token`), else ""."""
    parent: Any
    """The stored parent object of a subresource, read-only; None otherwise."""
    now: float
    """Wall time of the request, seconds since the epoch."""
    dry_run: bool
    authenticators: Sequence[Authenticator]
    """The server's own, in order."""
    authorizers: Sequence[Authorizer]
    authorize: Callable[[Attributes], tuple[Decision, str]]
    """Ask the server's whole chain of authorizers."""


@attrs.frozen
class Review:
    """What answers for one resource."""

    resource: str
    """`tokenreviews.authentication.k8s.io`, `subjectaccessreviews.authorization.k8s.io`, `serviceaccounts/token`..."""
    answer: Callable[[ReviewRequest], Awaitable[Any]]
    """Returns the answered Struct; raises StatusError."""
