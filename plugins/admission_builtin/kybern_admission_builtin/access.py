"""Ask the cluster's authorizers about a right that the request itself does not show, by a SubjectAccessReview."""

from __future__ import annotations

from typing import Any

import attrs

from kybern.apiserver.user import User
from kybern.client.interface import Client

__all__ = ["Access"]


@attrs.frozen
class Access:
    """Questions on behalf of users."""

    client: Client

    async def may(
        self,
        user: User,
        verb: str,
        resource: str,
        *,
        group: str = "",
        name: str = "",
        namespace: str = "",
        subresource: str = "",
    ) -> bool:
        """Whether the user has the right."""
        from kybern.api.authorization import ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec

        asked = ResourceAttributes(
            verb=verb,
            group=group or None,
            resource=resource,
            subresource=subresource or None,
            name=name or None,
            namespace=namespace or None,
        )
        spec = SubjectAccessReviewSpec(
            user=user.name,
            uid=user.uid or None,
            groups=list(user.groups) or None,
            extra={key: list(values) for key, values in user.extra.items()} or None,
            resourceAttributes=asked,
        )
        answer: Any = await self.client.create(SubjectAccessReview(spec=spec))
        return bool(answer.status.allowed)
