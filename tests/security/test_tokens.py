"""Service-account tokens: what is issued, what is accepted, and everything that is not."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from kybern.api.core import Node, Pod, Secret, ServiceAccount
from kybern.api.errors import StatusError
from kybern.api.time import format_time
from kybern.apiserver.authentication import Credentials
from kybern.apiserver.authorization import Decision
from kybern.apiserver.reviews import ReviewRequest
from kybern.apiserver.routes import RouteRequest
from kybern.clock import VirtualClock
from kybern_auth_builtin.identity_reviews import identity_reviews
from kybern_auth_builtin.oidc import Discovery
from kybern_auth_builtin.service_account import ServiceAccountAuthenticator
from kybern_auth_builtin.service_account_tokens import TokenChecker
from kybern_auth_builtin.token_keys import BadToken, TokenKeys
from kybern_auth_builtin.token_request import TokenIssuer
from tests.security.world import JANE, World, plain

pytestmark = pytest.mark.anyio

ISSUER = "https://kubernetes.default.svc"
KEY = ECKey.generate_key("P-256")
PEM = KEY.as_pem(private=True)


class Tokens:
    """An issuer and an authenticator over the same world."""

    def __init__(self, **options: Any) -> None:
        self.world, self.clock = World(), VirtualClock()
        self.keys = TokenKeys(PEM)
        lookups = [self.world.lookup(kind) for kind in (Pod, Secret, Node)]
        checker = TokenChecker(self.world.lookup(ServiceAccount), *lookups)
        self.authenticator = ServiceAccountAuthenticator(self.keys, checker, self.clock, (ISSUER,), (ISSUER,))
        self.issuer = TokenIssuer(self.keys, *lookups, ISSUER, (ISSUER,), **options)
        self.account = self.world.add(plain("v1/ServiceAccount", metadata={"name": "bot", "namespace": "a"}))
        self.node = self.world.add(plain("v1/Node", metadata={"name": "n"}))

    def pod(self, name: str = "p", account: str = "bot") -> Any:
        spec = {"serviceAccountName": account, "nodeName": "n", "containers": []}
        return self.world.add(plain("v1/Pod", metadata={"name": name, "namespace": "a"}, spec=spec))

    async def request(self, spec: dict[str, Any] | None = None, **metadata: str) -> Any:
        spec = spec or {"expirationSeconds": 3600}
        body = plain("authentication.k8s.io/v1/TokenRequest", metadata=metadata, spec=spec)
        return await self.issuer.answer(self.question(body, self.account))

    def question(self, body: Any, parent: Any = None) -> ReviewRequest:
        name = parent.metadata.name if parent is not None else ""
        known = [self.authenticator]
        return ReviewRequest(
            body, JANE, "a", name, parent, self.clock.now(), False, known, [], lambda _: (Decision.DENY, "")
        )

    async def token(self, **spec: Any) -> str:
        return str((await self.request({"expirationSeconds": 3600, **spec})).status.token)

    async def user(self, token: str) -> Any:
        return await self.authenticator.authenticate(Credentials(bearer=token))

    async def refused(self, token: str) -> str:
        """Why the token is refused."""
        with pytest.raises(StatusError) as caught:
            await self.user(token)
        assert (caught.value.code, caught.value.message) == (401, "Unauthorized")
        assert isinstance(caught.value.__cause__, BadToken)
        return str(caught.value.__cause__)


def bound(obj: Any, **fields: Any) -> dict[str, Any]:
    reference = {"apiVersion": "v1", "kind": obj.kind, "name": obj.metadata.name, "uid": obj.metadata.uid}
    return {"boundObjectRef": {**reference, **fields}}


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return decoded


def forged(token: str, change: Callable[[dict[str, Any]], None], key: Any = KEY, algorithm: str = "ES256") -> str:
    altered = claims(token)
    change(altered)
    return jwt.encode({"alg": algorithm}, altered, key)


async def test_a_token_stands_for_its_account() -> None:
    tokens = Tokens()
    user = await tokens.user(await tokens.token())
    assert (user.name, user.uid) == ("system:serviceaccount:a:bot", tokens.account.metadata.uid)
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:a")
    assert list(user.extra) == ["authentication.kubernetes.io/credential-id"]


async def test_the_answer_repeats_the_request_with_its_defaults() -> None:
    tokens = Tokens()
    answer = await tokens.request({"expirationSeconds": 600})
    assert (answer.metadata.name, answer.metadata.namespace) == ("bot", "a")
    assert (answer.spec.audiences, answer.spec.expirationSeconds) == ([ISSUER], 600)
    assert answer.status.expirationTimestamp == "2026-01-01T00:10:00Z"


async def test_the_claims_are_those_of_kubernetes() -> None:
    tokens = Tokens()
    pod = tokens.pod()
    told = claims(await tokens.token(**bound(pod)))
    assert {k: told[k] for k in ("iss", "aud", "sub", "iat", "nbf", "exp")} == {
        "iss": ISSUER, "aud": [ISSUER], "sub": "system:serviceaccount:a:bot",
        "iat": 1767225600, "nbf": 1767225600, "exp": 1767229200,
    }  # fmt: skip
    assert told["kubernetes.io"] == {
        "namespace": "a",
        "serviceaccount": {"name": "bot", "uid": tokens.account.metadata.uid},
        "pod": {"name": "p", "uid": pod.metadata.uid},
        "node": {"name": "n", "uid": tokens.node.metadata.uid},
    }


async def test_a_pods_token_tells_pod_and_node_to_the_authorizers() -> None:
    tokens = Tokens()
    pod = tokens.pod()
    extra = (await tokens.user(await tokens.token(**bound(pod)))).extra
    prefix = "authentication.kubernetes.io/"
    assert extra[prefix + "pod-name"] == ("p",)
    assert extra[prefix + "pod-uid"] == (pod.metadata.uid,)
    assert extra[prefix + "node-name"] == ("n",)


async def test_the_token_volumes_lifetime_is_stretched_and_marked() -> None:
    told = claims(await Tokens().token(expirationSeconds=3607))
    assert told["exp"] - told["iat"] == 365 * 86400
    assert told["kubernetes.io"]["warnafter"] - told["iat"] == 3607
    exact = claims(await Tokens(stretch=False).token(expirationSeconds=3607))
    assert exact["exp"] - exact["iat"] == 3607
    foreign = claims(await Tokens().token(expirationSeconds=3607, audiences=["vault"]))
    assert foreign["exp"] - foreign["iat"] == 3607


async def test_lifetimes_are_cut_to_the_longest() -> None:
    answer = await Tokens(longest=900).request({"expirationSeconds": 7200})
    assert answer.spec.expirationSeconds == 900
    told = claims(answer.status.token)
    assert told["exp"] - told["iat"] == 900


async def test_an_expired_token_is_refused() -> None:
    tokens = Tokens()
    token = await tokens.token(expirationSeconds=600)
    await tokens.clock.advance(599)
    assert await tokens.user(token)
    await tokens.clock.advance(1)
    assert await tokens.refused(token) == "service account token has expired"


async def test_a_token_of_tomorrow_is_refused() -> None:
    tokens = Tokens()
    early = forged(await tokens.token(), lambda c: c.update(nbf=c["nbf"] + 60))
    assert await tokens.refused(early) == "service account token is not valid yet"


async def test_a_token_for_somebody_else_is_refused() -> None:
    tokens = Tokens()
    assert await tokens.refused(await tokens.token(audiences=["vault", "x"])) == (
        f'token audiences ["vault" "x"] is invalid for the target audiences ["{ISSUER}"]'
    )


async def test_the_token_of_a_deleted_account_is_refused_at_once() -> None:
    tokens = Tokens()
    token = await tokens.token()
    assert await tokens.user(token)
    tokens.world.remove(tokens.account)
    assert await tokens.refused(token) == "service account a/bot has been deleted"


async def test_the_token_of_an_earlier_account_of_the_name_is_refused() -> None:
    tokens = Tokens()
    token = await tokens.token()
    tokens.world.remove(tokens.account)
    again = tokens.world.add(plain("v1/ServiceAccount", metadata={"name": "bot", "namespace": "a"}))
    assert await tokens.refused(token) == (
        f"service account UID ({again.metadata.uid}) does not match claim ({tokens.account.metadata.uid})"
    )


async def test_an_account_made_anew_that_no_cache_knows_yet_can_use_its_token() -> None:
    tokens = Tokens()
    old = tokens.account
    tokens.account = tokens.world.add_on_server(plain("v1/ServiceAccount", metadata={"name": "bot", "namespace": "a"}))
    assert tokens.account.metadata.uid != old.metadata.uid
    assert (await tokens.user(await tokens.token())).uid == tokens.account.metadata.uid


@pytest.mark.parametrize("kind", ["pod", "secret", "node"])
async def test_a_bound_token_ends_with_its_object(kind: str) -> None:
    tokens = Tokens()
    obj = {
        "pod": tokens.pod,
        "secret": lambda: tokens.world.add(plain("v1/Secret", metadata={"name": "s", "namespace": "a"})),
        "node": lambda: tokens.node,
    }[kind]()
    token = await tokens.token(**bound(obj))
    assert await tokens.user(token)
    tokens.world.remove(obj)
    assert await tokens.refused(token) == "service account token has been invalidated"


async def test_a_bound_token_is_not_good_for_the_next_pod_of_the_name() -> None:
    tokens = Tokens()
    first = tokens.pod()
    token = await tokens.token(**bound(first))
    tokens.world.remove(first)
    second = tokens.pod()
    assert await tokens.refused(token) == (
        f"pod UID ({second.metadata.uid}) does not match service account pod ref claim ({first.metadata.uid})"
    )


async def test_a_pod_on_its_way_out_keeps_its_token_for_a_minute() -> None:
    tokens = Tokens()
    pod = tokens.pod()
    token = await tokens.token(**bound(pod))
    pod.metadata.deletionTimestamp = format_time(tokens.clock.now())
    await tokens.clock.advance(60)
    assert await tokens.user(token)
    await tokens.clock.advance(1)
    assert await tokens.refused(token) == "service account token has been invalidated"


async def test_a_pods_token_outlives_the_object_of_its_node() -> None:
    tokens = Tokens()
    token = await tokens.token(**bound(tokens.pod()))
    tokens.world.remove(tokens.node)
    assert await tokens.user(token)


def unsigned(token: str) -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    return f"{header}.{token.split('.')[1]}."


def other_claims(token: str) -> str:
    head, _, signature = token.split(".")
    stolen = claims(token) | {"sub": "system:serviceaccount:kube-system:root"}
    body = base64.urlsafe_b64encode(json.dumps(stolen).encode()).decode().rstrip("=")
    return f"{head}.{body}.{signature}"


def signed_with_public_key(token: str) -> str:
    """The classic: what everybody may know, used as the secret of a symmetric signature."""
    header = base64.urlsafe_b64encode(b'{"alg":"HS256"}').decode().rstrip("=")
    body = f"{header}.{token.split('.')[1]}"
    digest = hmac.digest(KEY.as_pem(private=False), body.encode(), "sha256")
    return f"{body}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


@pytest.mark.parametrize(
    "forge",
    [
        unsigned,
        lambda token: unsigned(token) + token.split(".")[2],
        other_claims,
        lambda token: token[:-4] + "AAAA",
        lambda token: forged(token, lambda c: None, ECKey.generate_key("P-256")),
        lambda token: forged(token, lambda c: None, RSAKey.generate_key(2048), "RS256"),
        lambda token: forged(token, lambda c: None, OctKey.generate_key(256), "HS256"),
        lambda token: signed_with_public_key(token),
    ],
    ids=[
        "alg none",
        "alg none, old signature",
        "other claims",
        "other signature",
        "other key",
        "rsa",
        "hmac",
        "public key as hmac secret",
    ],
)
async def test_forged_tokens_are_refused(forge: Callable[[str], str]) -> None:
    tokens = Tokens()
    assert await tokens.refused(forge(await tokens.token())) == "invalid bearer token"


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("kubernetes.io"),
        lambda c: c.update({"kubernetes.io": "x"}),
        lambda c: c["kubernetes.io"].pop("serviceaccount"),
        lambda c: c.pop("exp"),
        lambda c: c.update(exp="soon"),
        lambda c: c.update(sub="system:serviceaccount:a:other"),
        lambda c: c["kubernetes.io"].update(namespace="b"),
        lambda c: c.update(aud=None),
        lambda c: c.update(aud=[]),
        lambda c: c["kubernetes.io"].update(pod={}),
    ],
)
async def test_signed_tokens_of_another_form_are_refused(change: Callable[[dict[str, Any]], None]) -> None:
    tokens = Tokens()
    assert await tokens.refused(forged(await tokens.token(), change))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30.", "....", "\x00", "ü.ü.ü", "e30.W10.x", "a" * 100_000])
async def test_what_is_no_token_of_ours_is_left_to_others(token: str) -> None:
    assert await Tokens().user(token) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(ISSUER),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["iss", "kid", "alg", "exp", "aud"]), inner),
    max_leaves=6,
)
PARTS = JSON.map(lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("="))


@given(st.lists(PARTS | st.text(max_size=20), max_size=4).map(".".join))
def test_whatever_is_shown_is_nobody_or_a_401(token: str) -> None:
    tokens = Tokens()

    async def show() -> Any:
        try:
            return await tokens.user(token)
        except StatusError as error:
            return None if error.code == 401 else error

    assert asyncio.run(show()) is None


@pytest.mark.parametrize("depth", [2_000, 20_000, 1_000_000])
async def test_deep_nesting_is_no_token(depth: int) -> None:
    deep = base64.urlsafe_b64encode(b'{"iss":"https://kubernetes.default.svc","x":' + b"[" * depth).decode()
    whole = base64.urlsafe_b64encode(
        b'{"iss":"https://kubernetes.default.svc","x":' + b"[" * depth + b"]" * depth + b"}"
    ).decode()
    for payload in (deep, whole):
        status = await review(Tokens(), f"e30.{payload}.x")
        assert status.error == "invalid bearer token"


async def test_another_issuers_token_is_left_to_others() -> None:
    tokens = Tokens()
    assert await tokens.user(forged(await tokens.token(), lambda c: c.update(iss="https://elsewhere"))) is None


async def test_tokens_of_a_former_key_are_good_while_it_is_trusted() -> None:
    tokens = Tokens()
    old = await tokens.token()
    new_key = ECKey.generate_key("P-256").as_pem(private=True)
    assert await TokenKeys(new_key, [KEY.as_pem(private=False)]).verify(old)
    with pytest.raises(BadToken):
        await TokenKeys(new_key).verify(old)


async def test_rsa_keys_may_be_trusted_too() -> None:
    rsa = RSAKey.generate_key(2048)
    token = forged(await Tokens().token(), lambda c: None, rsa, "RS256")
    assert await TokenKeys(PEM, [rsa.as_pem(private=False)]).verify(token)


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"kind": "Pod", "apiVersion": "v1", "name": "gone"}, 404, 'pods "gone" not found'),
        (
            {"kind": "Pod", "apiVersion": "v1", "name": "foreign"},
            400,
            'cannot bind token for serviceaccount "bot" to pod running with different serviceaccount name.',
        ),
        (
            {"kind": "Deployment", "apiVersion": "apps/v1", "name": "d"},
            400,
            "cannot bind token to object of type apps/v1, Kind=Deployment",
        ),
        (
            {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "other"},
            409,
            'Operation cannot be fulfilled on Pod "p": the UID in the bound object reference (other) does not match '
            "the UID in record. The object might have been deleted and then recreated",
        ),
    ],
)
async def test_tokens_are_bound_to_the_very_object_only(spec: dict[str, str], code: int, message: str) -> None:
    tokens = Tokens()
    tokens.pod()
    tokens.pod("foreign", account="other")
    with pytest.raises(StatusError) as caught:
        await tokens.token(boundObjectRef=spec)
    assert (caught.value.code, caught.value.message) == (code, message)


@pytest.mark.parametrize("metadata", [{"name": "other"}, {"namespace": "other"}])
async def test_the_body_may_not_contradict_the_path(metadata: dict[str, str]) -> None:
    with pytest.raises(StatusError) as caught:
        await Tokens().request(None, **metadata)
    assert caught.value.code == 400


async def review(tokens: Tokens, token: str, *audiences: str) -> Any:
    body = plain("authentication.k8s.io/v1/TokenReview", spec={"token": token, "audiences": list(audiences)})
    answer = identity_reviews((ISSUER,))[0].answer
    return (await answer(tokens.question(body))).status


async def test_a_token_review_names_the_user_and_the_audiences() -> None:
    tokens = Tokens()
    status = await review(tokens, await tokens.token(audiences=["vault", ISSUER]), "vault", "other")
    assert (status.authenticated, status.audiences) == (True, ["vault"])
    assert status.user.username == "system:serviceaccount:a:bot"
    assert status.user.groups[-1] == "system:authenticated"


async def test_a_token_review_tells_why_not() -> None:
    tokens = Tokens()
    assert (await review(tokens, "abc")).error == "invalid bearer token"
    token = await tokens.token(expirationSeconds=600)
    await tokens.clock.advance(601)
    status = await review(tokens, token)
    assert (status.authenticated or False, status.error) == (
        False,
        "[invalid bearer token, service account token has expired]",
    )


async def test_a_token_review_needs_a_token() -> None:
    with pytest.raises(StatusError, match="token is required for TokenReview in authentication"):
        await review(Tokens(), "")


async def test_others_can_check_our_tokens_by_discovery() -> None:
    tokens = Tokens()
    discovery = Discovery(tokens.keys, ISSUER)
    documents = {
        route.path: await route.handler(RouteRequest("GET", route.path, {}, {"host": "api:6443"}, b"", JANE))
        for route in discovery.routes()
    }
    configuration = json.loads(documents["/.well-known/openid-configuration"].body)
    assert configuration["issuer"] == ISSUER
    assert configuration["jwks_uri"] == "https://api:6443/openid/v1/jwks"
    keys = json.loads(documents["/openid/v1/jwks"].body)["keys"]
    assert len(keys) == 1 and "d" not in keys[0] and keys[0]["use"] == "sig"
    algorithms = configuration["id_token_signing_alg_values_supported"]
    assert jwt.decode(await tokens.token(), ECKey.import_key(keys[0]), algorithms=algorithms)


def test_the_jwt_library_is_not_imported_by_wiring() -> None:
    code = "import sys, kybern_auth_builtin.parts; assert not {'joserfc', 'cryptography'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
