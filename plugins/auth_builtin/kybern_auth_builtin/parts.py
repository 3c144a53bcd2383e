"""Puts the authenticators, reviews and routes together, with what each needs to see of the cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import attrs

from kybern.apiserver.authentication import Authenticator
from kybern.apiserver.reviews import Review
from kybern.apiserver.routes import Route
from kybern.apiserver.user import User
from kybern.config import ConfigError
from kybern.reconcile.interface import Controller
from kybern.reconcile.lookup import Lookup
from kybern_auth_builtin.access_reviews import access_reviews
from kybern_auth_builtin.anonymous import AnonymousAuthenticator
from kybern_auth_builtin.bootstrap_token import BootstrapTokenAuthenticator
from kybern_auth_builtin.certificate import CertificateAuthenticator
from kybern_auth_builtin.identity_reviews import identity_reviews
from kybern_auth_builtin.oidc import Discovery
from kybern_auth_builtin.secret_tokens import SecretTokenAuthenticator, SecretTokenController
from kybern_auth_builtin.service_account import ServiceAccountAuthenticator
from kybern_auth_builtin.service_account_tokens import TokenChecker
from kybern_auth_builtin.token_file import TokenFileAuthenticator, read_token_file
from kybern_auth_builtin.token_keys import TokenKeys
from kybern_auth_builtin.token_request import TokenIssuer

if TYPE_CHECKING:
    from kybern.client.interface import Client
    from kybern.cluster.start import Start
    from kybern.reconcile.informers import Informers
    from kybern_auth_builtin import Options

__all__ = ["authenticators", "controllers", "informed", "reviews", "routes"]


@attrs.frozen
class _Tokens:
    """What issuing and checking of service-account tokens share."""

    keys: TokenKeys
    options: Options
    audiences: tuple[str, ...]
    accounts: Lookup[Any]
    pods: Lookup[Any]
    nodes: Lookup[Any]
    secrets: Lookup[Any]


_SHARED: WeakKeyDictionary[Informers, _Tokens] = WeakKeyDictionary()
"""Hooks are called one by one; all that is made for one cluster shares keys and verified tokens."""


def _tokens(start: Start) -> _Tokens:
    known = _SHARED.get(start.informers)
    if known is None:
        known = _SHARED[start.informers] = _make_tokens(start)
    return known


def _make_tokens(start: Start) -> _Tokens:
    from kybern.api.core import Node, Pod, Secret, ServiceAccount

    def lookup(kind: type[Any]) -> Lookup[Any]:
        return Lookup(start.client, start.informers.informer(kind), kind)

    options: Options = start.options("auth_builtin")
    trusted = [_read(file, "plugins.auth_builtin.trusted_key_files") for file in options.trusted_key_files]
    return _Tokens(
        TokenKeys(start.pki.service_account_key, trusted),
        options,
        tuple(options.audiences) or (options.issuer,),
        lookup(ServiceAccount),
        lookup(Pod),
        lookup(Node),
        Lookup(start.client, None, Secret),
    )


def _read(file: str, setting: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"{setting}: {file}: {error.strerror}") from None


def _users(file: str) -> dict[str, User]:
    try:
        return read_token_file(Path(file))
    except OSError as error:
        raise ConfigError(f"api.token_file: {file}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"api.token_file: {error}") from None


def authenticators(start: Start) -> Iterator[Authenticator]:
    """Every way to prove an identity."""
    shared = _tokens(start)
    issuers = (shared.options.issuer, *shared.options.former_issuers)
    checker = TokenChecker(shared.accounts, shared.pods, shared.secrets, shared.nodes)
    yield CertificateAuthenticator(start.clock.outside)
    if start.config.api.token_file:
        yield TokenFileAuthenticator(_users(start.config.api.token_file), shared.audiences)
    yield ServiceAccountAuthenticator(shared.keys, checker, start.clock, issuers, shared.audiences)
    yield SecretTokenAuthenticator(shared.keys, shared.accounts, shared.secrets, shared.audiences)
    yield BootstrapTokenAuthenticator(shared.secrets, start.clock, shared.audiences)
    yield AnonymousAuthenticator(tuple(shared.options.anonymous_paths))


def controllers(start: Start) -> list[Controller]:
    """What fills in the tokens of secrets."""
    return [SecretTokenController(_tokens(start).keys, lambda: start.pki.ca_certificate)]


def reviews(start: Start) -> list[Review]:
    """Every question about identities and rights, and the token request."""
    shared = _tokens(start)
    issuer = TokenIssuer(
        shared.keys,
        shared.pods,
        shared.secrets,
        shared.nodes,
        shared.options.issuer,
        shared.audiences,
        shared.options.longest_token_seconds,
        shared.options.stretch_tokens,
    )
    return [*access_reviews(), *identity_reviews(shared.audiences), Review("serviceaccounts/token", issuer.answer)]


def informed(start: Start) -> Callable[[Client], Awaitable[None]]:
    """Returns when authorization knows what was there before: nobody is refused because we have only just started."""

    async def wait(client: Client) -> None:
        from kybern.api.core import ServiceAccount
        from kybern.api.rbac import ClusterRole, ClusterRoleBinding, Role, RoleBinding

        kinds: tuple[type[Any], ...] = (ServiceAccount, Role, ClusterRole, RoleBinding, ClusterRoleBinding)
        for kind in kinds:
            await start.informers.informer(kind).synced()

    return wait


def routes(start: Start) -> list[Route]:
    """The discovery documents of our token issuer."""
    shared = _tokens(start)
    return Discovery(shared.keys, shared.options.issuer).routes()
