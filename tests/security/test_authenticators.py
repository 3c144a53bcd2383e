"""Client certificates, token files, bootstrap tokens, and nobody."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kybern.api.core import Secret
from kybern.api.errors import StatusError
from kybern.apiserver.authentication import Credentials
from kybern.apiserver.user import ANONYMOUS, User
from kybern.clock import VirtualClock
from kybern.cluster.certificate import pem_to_der
from kybern.cluster.pki import PKI
from kybern_auth_builtin.anonymous import AnonymousAuthenticator
from kybern_auth_builtin.bootstrap_token import BootstrapTokenAuthenticator
from kybern_auth_builtin.certificate import CertificateAuthenticator
from kybern_auth_builtin.token_file import TokenFileAuthenticator, read_token_file
from tests.security.world import World, plain

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    made = PKI(tmp_path_factory.mktemp("pki"), VirtualClock())
    made.ensure()
    return made


async def test_a_certificate_names_user_and_groups(pki: PKI) -> None:
    der = pem_to_der(pki.issue_client("jane", ["devs", "ops"]).certificate)
    user = await CertificateAuthenticator(VirtualClock()).authenticate(Credentials(certificate=der))
    assert user is not None and (user.name, user.groups) == ("jane", ("devs", "ops"))
    (identifier,) = user.extra["authentication.kubernetes.io/credential-id"]
    assert identifier.startswith("X509SHA256=") and len(identifier) == 11 + 64


async def test_an_expired_certificate_is_refused_and_so_is_one_of_tomorrow(pki: PKI) -> None:
    der = pem_to_der(pki.issue_client("jane", lifetime=3600).certificate)
    clock = VirtualClock()
    authenticator = CertificateAuthenticator(clock)
    assert await authenticator.authenticate(Credentials(certificate=der))
    await clock.advance(3601)
    with pytest.raises(StatusError) as caught:
        await authenticator.authenticate(Credentials(certificate=der))
    assert caught.value.code == 401
    with pytest.raises(StatusError):
        await CertificateAuthenticator(VirtualClock(0.0)).authenticate(Credentials(certificate=der))


async def test_a_certificate_without_common_name_names_nobody(pki: PKI) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    from kybern.cluster import issue

    key = issue.new_key()
    empty = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    der = pem_to_der(pki.sign(empty.public_bytes(serialization.Encoding.PEM), ["client auth"]))
    assert await CertificateAuthenticator(VirtualClock()).authenticate(Credentials(certificate=der)) is None


async def test_garbage_instead_of_a_certificate_is_a_401() -> None:
    with pytest.raises(StatusError) as caught:
        await CertificateAuthenticator(VirtualClock()).authenticate(Credentials(certificate=b"garbage"))
    assert caught.value.code == 401


async def test_without_a_certificate_others_are_asked() -> None:
    assert await CertificateAuthenticator(VirtualClock()).authenticate(Credentials(bearer="x")) is None


def test_who_uses_no_certificate_needs_no_x509_library() -> None:
    code = "import sys, kybern_auth_builtin.certificate; assert 'cryptography' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def token_file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "tokens.csv"
    file.write_text(text)
    return file


async def test_a_token_file_maps_tokens_to_users(tmp_path: Path) -> None:
    file = token_file(tmp_path, 't1,jane,u1,"devs,ops"\n\nt2, joe , u2\nt3,ann,u3,\n')
    authenticator = TokenFileAuthenticator(read_token_file(file), ("api",))
    assert await authenticator.authenticate(Credentials(bearer="t1")) == User("jane", ("devs", "ops"), "u1")
    assert await authenticator.authenticate(Credentials(bearer="t2")) == User("joe", (), "u2")
    assert await authenticator.authenticate(Credentials(bearer="t3")) == User("ann", (), "u3")
    for other in ("", "t", "t11", "T1"):
        assert await authenticator.authenticate(Credentials(bearer=other)) is None
    assert await authenticator.authenticate(Credentials()) is None


async def test_a_static_token_is_good_for_this_api_server_only(tmp_path: Path) -> None:
    authenticator = TokenFileAuthenticator(read_token_file(token_file(tmp_path, "t,jane,u")), ("api",))
    assert await authenticator.review("t", ("vault",)) is None
    assert await authenticator.review("t", ("vault", "api")) == (User("jane", (), "u"), ("api",))


@pytest.mark.parametrize(
    ("text", "where"),
    [("a,b\n", "line 1"), ("t,u,1\n,x,2\n", "line 2"), ("t,u,1\nt,v,2\n", "line 2: the token occurs twice")],
)
def test_a_bad_token_file_says_where(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(ValueError, match=where):
        read_token_file(token_file(tmp_path, text))


GOOD = {
    "token-id": "abcdef",
    "token-secret": "0123456789abcdef",
    "usage-bootstrap-authentication": "true",
    "expiration": "2026-01-01T01:00:00Z",
    "auth-extra-groups": "system:bootstrappers:workers",
}


def bootstrap(**changes: str | None) -> tuple[World, BootstrapTokenAuthenticator]:
    data = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    world = World()
    world.add(
        plain(
            "v1/Secret",
            metadata={"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
            type="bootstrap.kubernetes.io/token",
            data={key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
        )
    )
    return world, BootstrapTokenAuthenticator(world.lookup(Secret), VirtualClock())


TOKEN = Credentials(bearer="abcdef.0123456789abcdef")


async def test_a_bootstrap_token_is_a_bootstrapper() -> None:
    _, authenticator = bootstrap()
    user = await authenticator.authenticate(TOKEN)
    assert user == User("system:bootstrap:abcdef", ("system:bootstrappers", "system:bootstrappers:workers"))


@pytest.mark.parametrize(
    "change",
    [
        {"token-secret": "0123456789abcdee"},
        {"token-secret": None},
        {"token-id": "abcdee"},
        {"usage-bootstrap-authentication": None},
        {"usage-bootstrap-authentication": "false"},
        {"auth-extra-groups": "system:masters"},
        {"auth-extra-groups": "system:bootstrappers:"},
    ],
)
async def test_a_bootstrap_secret_that_does_not_fit_is_nobody(change: dict[str, str | None]) -> None:
    _, authenticator = bootstrap(**change)
    assert await authenticator.authenticate(TOKEN) is None


@pytest.mark.parametrize("expiration", ["2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z", "never"])
async def test_an_expired_bootstrap_token_is_refused(expiration: str) -> None:
    _, authenticator = bootstrap(expiration=expiration)
    with pytest.raises(StatusError) as caught:
        await authenticator.authenticate(TOKEN)
    assert caught.value.code == 401


@pytest.mark.parametrize(
    "token", ["abcdef", "abcdef.", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcdef0", "zzzzzz.0123456789abcdef"]
)
async def test_other_tokens_are_no_bootstrap_tokens(token: str) -> None:
    _, authenticator = bootstrap()
    assert await authenticator.authenticate(Credentials(bearer=token)) is None


async def test_a_bootstrap_token_dies_with_its_secret() -> None:
    world, authenticator = bootstrap()
    secret: Any = await world.get(Secret, "bootstrap-token-abcdef", "kube-system")
    world.remove(secret)
    assert await authenticator.authenticate(TOKEN) is None


@pytest.mark.parametrize(
    ("paths", "credentials", "known"),
    [
        (("/healthz",), Credentials(path="/healthz"), True),
        (("/healthz",), Credentials(path="/healthz/etcd"), False),
        (("/healthz",), Credentials(path="/api"), False),
        (("/healthz",), Credentials(path="/healthz", bearer="bad"), False),
        (("/healthz",), Credentials(path="/healthz", certificate=b"bad"), False),
        (("*",), Credentials(path="/api"), True),
        ((), Credentials(path="/healthz"), False),
    ],
)
async def test_nobody_is_let_in_for_some_paths_only(
    paths: tuple[str, ...], credentials: Credentials, known: bool
) -> None:
    user = await AnonymousAuthenticator(paths).authenticate(credentials)
    assert user == (ANONYMOUS if known else None)


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, r"api.token_file: .*tokens.csv: No such file"), ("a,b", r"api.token_file: .*tokens.csv, line 1: expected")],
)
async def test_a_cluster_with_a_bad_token_file_does_not_start(tmp_path: Path, content: str | None, why: str) -> None:
    from kybern.cluster.cluster import running
    from kybern.config import APIConfig, Config, ConfigError, StoreConfig
    from kybern.plugins import PluginError

    file = tmp_path / "tokens.csv"
    if content:
        file.write_text(content)
    config = Config(name="test", api=APIConfig(port=0, token_file=str(file)), store=StoreConfig(driver="memory"))
    with pytest.raises((ConfigError, PluginError), match=why):
        async with running(config, clock=VirtualClock()):
            pass
