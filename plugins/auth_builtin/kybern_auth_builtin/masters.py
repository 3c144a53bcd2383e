"""The group system:masters may do everything, whatever the roles say: the way back in after a mistake in them."""

from __future__ import annotations

from kybern.apiserver.authorization import Attributes, Authorizer, Decision, Rules
from kybern.apiserver.user import User

__all__ = ["MASTERS", "MastersAuthorizer"]

MASTERS = "system:masters"


class MastersAuthorizer(Authorizer):
    """Allows members of system:masters; has no opinion on others."""

    name = "system-masters"
    order = 0

    def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        return (Decision.ALLOW if MASTERS in attributes.user.groups else Decision.NO_OPINION), ""

    def rules(self, user: User, namespace: str) -> Rules:
        return Rules()
