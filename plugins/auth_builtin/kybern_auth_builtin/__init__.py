"""Who may do what: the authenticators and authorizers that every Kubernetes API server has.

Client certificates, a static token file, service-account and bootstrap tokens, anonymous health
checks; system:masters, the node authorizer and RBAC with its default policy; the review kinds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

import attrs

from kybern.hookspecs import hookimpl

if TYPE_CHECKING:
    from kybern.apiserver.admission import Admission
    from kybern.apiserver.authentication import Authenticator
    from kybern.apiserver.authorization import Authorizer
    from kybern.apiserver.reviews import Review
    from kybern.apiserver.routes import Route
    from kybern.client.interface import Client
    from kybern.cluster.start import Start
    from kybern.reconcile.interface import Controller

__all__ = ["Options"]


@attrs.frozen
class Options:
    """Section `[plugins.auth_builtin]` of kybern.toml."""

    anonymous_paths: tuple[str, ...] = ("/healthz", "/livez", "/readyz")
    """Paths that answer without credentials; `["*"]`: all (authorization still applies)."""
    issuer: str = "https://kubernetes.default.svc"
    """Issuer of service-account tokens."""
    former_issuers: tuple[str, ...] = ()
    """Issuers whose tokens are still good."""
    audiences: tuple[str, ...] = ()
    """What this API server is called in tokens; the issuer when empty."""
    trusted_key_files: tuple[str, ...] = ()
    """PEM files of further public keys that sign good tokens."""
    longest_token_seconds: int = 0
    """Tokens are cut to this lifetime; 0: no limit."""
    stretch_tokens: bool = True
    """Pods' tokens live a year, for clients that read them only once."""


@hookimpl
def kybern_authenticator(start: Start) -> Iterable[Authenticator]:
    from kybern_auth_builtin.parts import authenticators

    return authenticators(start)


@hookimpl
def kybern_authorizer(start: Start) -> Iterable[Authorizer]:
    from kybern_auth_builtin.masters import MastersAuthorizer
    from kybern_auth_builtin.node import NodeAuthorizer
    from kybern_auth_builtin.rbac import RBACAuthorizer, grants

    return [MastersAuthorizer(), NodeAuthorizer(start.informers), RBACAuthorizer(grants(start.informers))]


@hookimpl
def kybern_admission(start: Start) -> Iterable[Admission]:
    from kybern_auth_builtin.escalation import EscalationCheck
    from kybern_auth_builtin.rbac import grants

    return [EscalationCheck(grants(start.informers))]


@hookimpl
def kybern_controllers(start: Start) -> Iterable[Controller]:
    from kybern_auth_builtin.parts import controllers

    return controllers(start)


@hookimpl
def kybern_reviews(start: Start) -> Iterable[Review]:
    from kybern_auth_builtin.parts import reviews

    return reviews(start)


@hookimpl
def kybern_routes(start: Start) -> Iterable[Route]:
    from kybern_auth_builtin.parts import routes

    return routes(start)


@hookimpl
def kybern_bootstrap(start: Start) -> Iterable[Callable[[Client], Awaitable[None]]]:
    from kybern_auth_builtin.parts import informed
    from kybern_auth_builtin.reconcile_policy import reconcile_policy

    return [reconcile_policy, informed(start)]
