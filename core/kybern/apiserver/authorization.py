"""The authorization stage: authorizers are asked in order; the first allow or deny wins."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Sequence

import attrs

from kybern.apiserver.user import User

__all__ = ["Attributes", "Authorizer", "Decision", "Rules"]


class Decision(enum.Enum):
    """What an authorizer thinks of a request."""

    ALLOW = "allow"
    DENY = "deny"
    NO_OPINION = "no opinion"


@attrs.frozen(cache_hash=True)
class Attributes:
    """What is asked for: a resource request, or a plain path (`resource_request` False)."""

    user: User = attrs.field(hash=False)
    verb: str
    """get list watch create update patch delete deletecollection, impersonate, bind...; for paths the HTTP method in
    lower case."""
    resource_request: bool = True
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    label_selector: str = ""
    field_selector: str = ""


@attrs.frozen
class Rules:
    """What a user may do in a namespace, for SelfSubjectRulesReview: PolicyRule-shaped plain data."""

    resource_rules: Sequence[dict[str, list[str]]] = ()
    non_resource_rules: Sequence[dict[str, list[str]]] = ()
    incomplete: bool = False
    error: str = ""


class Authorizer(ABC):
    """Decides whether a user may. Called on every request: answer from memory, never wait."""

    name: str
    order: int = 100

    @abstractmethod
    def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """The decision and, for the user, the reason (may be empty)."""

    def rules(self, user: User, namespace: str) -> Rules:
        """Everything the user may do in the namespace."""
        return Rules(incomplete=True, error=f"{self.name} authorizer does not support user rule resolution")
