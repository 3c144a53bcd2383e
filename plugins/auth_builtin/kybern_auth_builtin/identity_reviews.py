"""The review kinds of group authentication.k8s.io: whose token is this, and who am I?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from kybern.api.errors import StatusError
from kybern.apiserver.authentication import Authenticator
from kybern.apiserver.reviews import Review, ReviewRequest
from kybern.apiserver.user import User
from kybern_auth_builtin.token_keys import BadToken

__all__ = ["identity_reviews"]

_GROUP = "authentication.k8s.io"
_AUTHENTICATED = "system:authenticated"
_UNKNOWN = "invalid bearer token"


def identity_reviews(audiences: tuple[str, ...]) -> list[Review]:
    """What answers each kind. `audiences`: those of this API server."""
    return [
        Review(f"tokenreviews.{_GROUP}", _TokenReviews(audiences).answer),
        Review(f"selfsubjectreviews.{_GROUP}", _self),
    ]


@attrs.frozen
class _TokenReviews:
    audiences: tuple[str, ...]

    async def answer(self, request: ReviewRequest) -> Any:
        from kybern.api.authentication import TokenReviewStatus

        spec = request.object.spec
        if not spec.token:
            raise StatusError.bad_request("token is required for TokenReview in authentication")
        wanted = tuple(spec.audiences or self.audiences)
        found, error = await _ask(request.authenticators, spec.token, wanted)
        if found is None:
            request.object.status = TokenReviewStatus(error=error)
        else:
            user, good = found
            status = TokenReviewStatus(authenticated=True, user=_user_info(user), audiences=list(good))
            request.object.status = status
        return request.object


async def _ask(
    authenticators: Sequence[Authenticator], token: str, audiences: tuple[str, ...]
) -> tuple[tuple[User, tuple[str, ...]] | None, str]:
    """The first that knows the token; else why not."""
    problems = [_UNKNOWN]
    for authenticator in authenticators:
        try:
            found = await authenticator.review(token, audiences)
        except StatusError as error:
            if error.code != 401:
                raise
            if isinstance(error.__cause__, BadToken):
                problems.append(str(error.__cause__))
            continue
        if found is not None:
            return found, ""
    texts = list(dict.fromkeys(problems))
    return None, texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


async def _self(request: ReviewRequest) -> Any:
    from kybern.api.authentication import SelfSubjectReviewStatus

    request.object.status = SelfSubjectReviewStatus(userInfo=_user_info(request.user))
    return request.object


def _user_info(user: User) -> Any:
    from kybern.api.authentication import UserInfo

    groups = user.groups
    if user.name != "system:anonymous" and _AUTHENTICATED not in groups:
        groups = (*groups, _AUTHENTICATED)
    return UserInfo(
        username=user.name,
        uid=user.uid or None,
        groups=list(groups) or None,
        extra={key: list(values) for key, values in user.extra.items()} or None,
    )
