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
    from kybern.apiserver.authentication import Authenticator
    from kybern.apiserver.authorization import Authorizer
    from kybern.client.interface import Client
    from kybern.cluster.start import Start

__all__ = ["Options", "kybern_authenticator", "kybern_authorizer"]


@attrs.frozen
class Options:
    """Section `[plugins.auth_builtin]` of kybern.toml."""

    anonymous_paths: tuple[str, ...] = ("/healthz", "/livez", "/readyz")
    """Paths that answer without credentials; `["*"]`: all (authorization still applies)."""


@hookimpl
def kybern_authenticator(start: Start) -> Iterable[Authenticator]:
    from pathlib import Path

    from kybern_auth_builtin.anonymous import AnonymousAuthenticator
    from kybern_auth_builtin.certificate import CertificateAuthenticator

    options = start.options("auth_builtin")
    yield CertificateAuthenticator(start.clock)
    if start.config.api.token_file:
        from kybern_auth_builtin.token_file import TokenFileAuthenticator, read_token_file

        yield TokenFileAuthenticator(read_token_file(Path(start.config.api.token_file)))
    yield AnonymousAuthenticator(options.anonymous_paths)


@hookimpl
def kybern_authorizer(start: Start) -> Iterable[Authorizer]:
    from kybern_auth_builtin.masters import MastersAuthorizer
    from kybern_auth_builtin.rbac import RBACAuthorizer, grants

    return [MastersAuthorizer(), RBACAuthorizer(grants(start.informers))]


def kybern_bootstrap(start: Start) -> Iterable[Callable[[Client], Awaitable[None]]]:
    """Default roles and bindings; to be run when the server answers and before it is ready."""
    from kybern_auth_builtin.reconcile_policy import reconcile_policy

    return [reconcile_policy]
