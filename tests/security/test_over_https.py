"""Credentials and rights as a client meets them: over HTTPS, through the whole server."""

from __future__ import annotations

import base64
import json
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kybern.clock import VirtualClock
from kybern.cluster import issue
from kybern.cluster.cluster import Cluster, running
from kybern.cluster.pki import KeyPair
from kybern.cluster.state import Record, State
from kybern.config import APIConfig, Config, NodesConfig, StoreConfig
from tests.security.test_pki import request as certificate_request

pytestmark = pytest.mark.anyio

CORE = "/api/v1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"


@pytest.fixture
def kybern_config() -> Config:
    return Config(name="test", api=APIConfig(port=0), store=StoreConfig(driver="memory"), nodes=NodesConfig(count=0))


class Caller:
    """One client: a certificate, or a token, or nothing."""

    def __init__(self, cluster: Cluster, pair: KeyPair | None = None, token: str = "", **headers: str) -> None:
        self.cluster, self.url = cluster, cluster.url
        self.context: ssl.SSLContext = cluster.pki.client_ssl_context(pair)
        # The server's certificate is of the virtual clock's time.
        self.context.verify_flags |= 0x200000
        self.headers = {**headers, **({"Authorization": f"Bearer {token}"} if token else {})}

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, self.url + path, json=body, ssl=self.context, headers={**self.headers, **headers}
            ) as answer,
        ):
            text = await answer.text()
            return answer.status, json.loads(text) if text.startswith("{") else text

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        return await self.ask("GET", path, **headers)

    async def code(self, path: str, **headers: str) -> int:
        return (await self.get(path, **headers))[0]

    async def made(self, path: str, body: Any) -> Any:
        code, answer = await self.ask("POST", path, body)
        assert code in (200, 201), answer
        return answer

    async def refused(self, method: str, path: str, body: Any = None) -> str:
        code, answer = await self.ask(method, path, body)
        assert (code, answer["reason"]) == (403, "Forbidden"), answer
        return str(answer["message"])


@pytest.fixture
async def admin(kybern_cluster: Cluster) -> Caller:
    return Caller(kybern_cluster, kybern_cluster.pki.admin)


def user(admin: Caller, name: str, *groups: str, lifetime: float = 86400.0) -> Caller:
    return Caller(admin.cluster, admin.cluster.pki.issue_client(name, groups, lifetime=lifetime))


async def settled(admin: Caller) -> None:
    await admin.cluster.clock.advance(0.1)  # type: ignore[attr-defined]  # the fixture's clock is virtual


async def grant(admin: Caller, name: str, *rules: dict[str, Any]) -> None:
    """A cluster role of these rules, bound to a user of the same name."""
    await admin.made(f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": list(rules)})
    await bind(admin, name, name)


async def bind(admin: Caller, role: str, who: str, kind: str = "User") -> None:
    subject = {"kind": kind, "name": who, "apiGroup": "rbac.authorization.k8s.io"}
    body = {
        "metadata": {"name": f"{role}-{who}"},
        "roleRef": {"kind": "ClusterRole", "name": role, "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [subject],
    }
    await admin.made(f"{RBAC}/clusterrolebindings", body)
    await settled(admin)


def rule(verbs: str, resources: str, group: str = "", *names: str) -> dict[str, Any]:
    only = {"resourceNames": list(names)} if names else {}
    return {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split(), **only}


async def test_nobody_sees_the_health_and_nothing_else(admin: Caller) -> None:
    nobody = Caller(admin.cluster)
    assert [await nobody.code(path) for path in ("/healthz", "/livez", "/readyz")] == [200, 200, 200]
    for path in ("/api", "/version", "/metrics", f"{CORE}/pods", "/healthz/../api", "/openid/v1/jwks"):
        code, answer = await nobody.get(path)
        assert code == 401, path
        assert (answer["reason"], answer["message"]) == ("Unauthorized", "Unauthorized")


@pytest.mark.parametrize("token", ["x", "a.b.c", "abcdef.0123456789abcdef", "eyJhbGciOiJub25lIn0.e30.", "%00"])
async def test_a_bad_token_is_a_401_even_for_the_health(admin: Caller, token: str) -> None:
    assert await Caller(admin.cluster, token=token).code("/healthz") == 401


async def test_a_good_certificate_beside_a_bad_token_is_good(admin: Caller) -> None:
    assert await admin.code("/api", Authorization="Bearer nonsense") == 200


async def test_an_expired_certificate_is_a_401_and_the_connection_stays(admin: Caller) -> None:
    jane = user(admin, "jane", lifetime=3600)
    assert await jane.code("/api") == 200
    await admin.cluster.clock.advance(3601)  # type: ignore[attr-defined]  # the fixture's clock is virtual
    code, answer = await jane.get("/api")
    assert (code, answer["message"]) == (401, "Unauthorized")


async def test_rights_come_and_go_with_bindings(admin: Caller) -> None:
    jane = user(admin, "jane")
    assert await jane.refused("GET", f"{CORE}/namespaces/default/pods") == (
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"'
    )
    await grant(admin, "jane", rule("get list", "pods"))
    assert await jane.code(f"{CORE}/namespaces/default/pods") == 200
    assert await jane.refused("DELETE", f"{CORE}/namespaces/default/pods/x") == (
        'pods "x" is forbidden: User "jane" cannot delete resource "pods" in API group "" in the namespace "default"'
    )
    await admin.ask("DELETE", f"{RBAC}/clusterrolebindings/jane-jane")
    await settled(admin)
    assert await jane.code(f"{CORE}/namespaces/default/pods") == 403


async def test_a_namespace_itself_is_read_by_rights_in_it(admin: Caller) -> None:
    subject = {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "ClusterRole", "name": "view", "apiGroup": "rbac.authorization.k8s.io"}
    body = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [subject]}
    await admin.made(f"{RBAC}/namespaces/default/rolebindings", body)
    await settled(admin)
    jane = user(admin, "jane")
    assert await jane.code(f"{CORE}/namespaces/default") == 200
    assert await jane.code(f"{CORE}/namespaces/kube-system") == 403
    assert await jane.code(f"{CORE}/namespaces") == 403
    assert await jane.code(f"{CORE}/namespaces/default/secrets") == 403


async def test_a_missing_role_is_told_in_the_refusal(admin: Caller) -> None:
    await bind(admin, "gone", "jane")
    message = await user(admin, "jane").refused("GET", f"{CORE}/pods")
    assert message.endswith('at the cluster scope: RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found')


async def test_roles_by_label_join_view(admin: Caller) -> None:
    labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    metadata = {"name": "widgets", "labels": labels}
    await admin.made(f"{RBAC}/clusterroles", {"metadata": metadata, "rules": [rule("list", "widgets", "x.io")]})
    await bind(admin, "edit", "jane")
    review = {"spec": {"resourceAttributes": {"verb": "list", "group": "x.io", "resource": "widgets"}}}
    jane = user(admin, "jane")
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert (await jane.made(path, review))["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by ClusterRoleBinding "edit-jane" of ClusterRole "edit" to User "jane"',
    }
    await admin.ask("DELETE", f"{RBAC}/clusterroles/widgets")
    await settled(admin)
    assert (await jane.made(path, review))["status"] == {"allowed": False}


async def test_nobody_gives_himself_more(admin: Caller) -> None:
    writes = rule("create update", "roles rolebindings", "rbac.authorization.k8s.io")
    await grant(admin, "jane", writes, rule("get", "pods"))
    jane = user(admin, "jane", "devs")
    roles = f"{RBAC}/namespaces/default/roles"
    await jane.made(roles, {"metadata": {"name": "ok"}, "rules": [rule("get", "pods")]})
    body = {"metadata": {"name": "no"}, "rules": [rule("get list", "pods")]}
    assert await jane.refused("POST", roles, body) == (
        'roles.rbac.authorization.k8s.io "no" is forbidden: user "jane" (groups=["devs" "system:authenticated"]) '
        "is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["list"]}'
    )
    update = {"metadata": {"name": "ok"}, "rules": [rule("list", "pods")]}
    assert "not currently held" in await jane.refused("PUT", f"{roles}/ok", update)
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
    }
    assert "not currently held" in await jane.refused("POST", f"{RBAC}/namespaces/default/rolebindings", binding)


async def test_impersonation_takes_the_right_for_every_part(admin: Caller) -> None:
    pods = f"{CORE}/namespaces/default/pods"
    assert await admin.code(pods, **{"Impersonate-User": "jane"}) == 403
    only_joe = [rule("impersonate", "users", "", "joe"), rule("impersonate", "groups", "", "devs")]
    extra = rule("impersonate", "userextras/scopes uids", "authentication.k8s.io")
    await grant(admin, "jane", *only_joe, extra, rule("impersonate", "serviceaccounts"))
    jane, review = user(admin, "jane"), "/apis/authentication.k8s.io/v1/selfsubjectreviews"

    async def as_(**headers: str) -> Any:
        code, answer = await jane.ask("POST", review, {}, **{k.replace("_", "-"): v for k, v in headers.items()})
        return answer["status"]["userInfo"] if code == 201 else answer["message"]

    whole = {"Impersonate_Group": "devs", "Impersonate_Uid": "u", "Impersonate_Extra_Scopes": "s"}
    assert await as_(Impersonate_User="joe", **whole) == {
        "username": "joe", "groups": ["devs", "system:authenticated"], "uid": "u", "extra": {"scopes": ["s"]},
    }  # fmt: skip
    assert (await as_(Impersonate_User="system:serviceaccount:a:b"))["groups"] == [
        "system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated",
    ]  # fmt: skip
    assert 'User "jane" cannot impersonate resource "users"' in await as_(Impersonate_User="ann")
    denied = await as_(Impersonate_User="joe", Impersonate_Group="system:masters")
    assert 'groups "system:masters" is forbidden: User "jane" cannot impersonate resource "groups"' in denied
    assert "userextras" in await as_(Impersonate_User="joe", Impersonate_Extra_Other="s")
    assert "without impersonating a user" in await as_(Impersonate_Group="devs")


async def token(admin: Caller, account: str = "default", **spec: Any) -> str:
    path = f"{CORE}/namespaces/default/serviceaccounts/{account}/token"
    return str((await admin.made(path, {"spec": spec}))["status"]["token"])


async def test_a_service_account_uses_its_token_until_it_is_deleted(admin: Caller) -> None:
    await admin.made(f"{CORE}/namespaces/default/serviceaccounts", {"metadata": {"name": "bot"}})
    bot = Caller(admin.cluster, token=await token(admin, "bot"))
    me = await bot.made("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert me["status"]["userInfo"]["username"] == "system:serviceaccount:default:bot"
    assert (await bot.get("/openid/v1/jwks"))[0] == 200
    await admin.ask("DELETE", f"{CORE}/namespaces/default/serviceaccounts/bot")
    await settled(admin)
    assert await bot.code("/api") == 401


async def test_a_token_ends_with_its_time_and_is_for_its_audience_only(admin: Caller) -> None:
    short = Caller(admin.cluster, token=await token(admin, expirationSeconds=600))
    assert await short.code("/api") == 200
    assert await Caller(admin.cluster, token=await token(admin, audiences=["vault"])).code("/api") == 401
    await admin.cluster.clock.advance(600)  # type: ignore[attr-defined]  # the fixture's clock is virtual
    assert await short.code("/api") == 401


async def test_the_default_account_and_the_root_ca_come_back(admin: Caller) -> None:
    for path in (f"{CORE}/namespaces/default/serviceaccounts/default",
                 f"{CORE}/namespaces/default/configmaps/kube-root-ca.crt"):  # fmt: skip
        old = (await admin.get(path))[1]["metadata"]["uid"]
        await admin.ask("DELETE", path)
        await settled(admin)
        code, new = await admin.get(path)
        assert (code, new["metadata"]["uid"] != old) == (200, True)
    assert new["data"]["ca.crt"] == admin.cluster.pki.ca_certificate.decode()


async def approve(caller: Caller, name: str) -> tuple[int, Any]:
    _, csr = await caller.get(f"{CSRS}/{name}")
    csr["status"]["conditions"] = [{"type": "Approved", "status": "True", "reason": "test", "message": "m"}]
    return await caller.ask("PUT", f"{CSRS}/{name}/approval", csr)


def csr(name: str, pem: bytes, signer: str, *usages: str) -> dict[str, Any]:
    spec = {"request": base64.b64encode(pem).decode(), "signerName": signer, "usages": list(usages)}
    return {"metadata": {"name": name}, "spec": spec}


async def certificate(admin: Caller, name: str) -> bytes:
    await eventually(admin, lambda: has_certificate(admin, name))
    return base64.b64decode((await admin.get(f"{CSRS}/{name}"))[1]["status"]["certificate"])


async def has_certificate(admin: Caller, name: str) -> bool:
    return "certificate" in (await admin.get(f"{CSRS}/{name}"))[1]["status"]


async def eventually(admin: Caller, done: Any) -> None:
    """Signing happens in a thread, in real time."""
    for _ in range(500):
        if await done():
            return
        await settled(admin)
    raise AssertionError("not in 500 rounds")


async def test_an_approved_request_becomes_a_certificate_that_works(admin: Caller) -> None:
    key = issue.new_key()
    request = csr("joe", certificate_request(key=key), "kubernetes.io/kube-apiserver-client", "client auth")
    made = await admin.made(CSRS, request)
    assert made["spec"]["username"] == "kubernetes-admin"
    await grant(
        admin,
        "jane",
        rule("get", "certificatesigningrequests", "certificates.k8s.io"),
        rule("update", "certificatesigningrequests/approval", "certificates.k8s.io"),
    )
    code, answer = await approve(user(admin, "jane"), "joe")
    assert code == 403
    assert answer["message"].endswith(
        'user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client"'
    )
    await bind(admin, "system:certificates.k8s.io:kube-apiserver-client-approver", "jane")
    assert (await approve(user(admin, "jane"), "joe"))[0] == 200
    joe = Caller(admin.cluster, KeyPair(await certificate(admin, "joe"), issue.key_pem(key)))
    me = await joe.made("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert (me["status"]["userInfo"]["username"], me["status"]["userInfo"]["groups"][0]) == ("joe", "devs")


async def test_a_request_that_its_signer_does_not_take_fails(admin: Caller) -> None:
    wrong = csr("joe", certificate_request(), "kubernetes.io/kube-apiserver-client", "server auth")
    await admin.made(CSRS, wrong)
    assert (await approve(admin, "joe"))[0] == 200

    async def failed() -> bool:
        return any(c["type"] == "Failed" for c in (await admin.get(f"{CSRS}/joe"))[1]["status"]["conditions"])

    await eventually(admin, failed)
    (condition,) = [c for c in (await admin.get(f"{CSRS}/joe"))[1]["status"]["conditions"] if c["type"] == "Failed"]
    assert (condition["reason"], condition["message"]) == (
        "SignerValidationFailure",
        "invalid usage for client certificate: server auth",
    )


async def test_old_requests_are_removed(admin: Caller) -> None:
    await admin.made(CSRS, csr("joe", certificate_request(), "example.com/mine", "client auth"))
    await admin.cluster.clock.advance(23 * 3600)  # type: ignore[attr-defined]  # the fixture's clock is virtual
    assert await admin.code(f"{CSRS}/joe") == 200
    await admin.cluster.clock.advance(3700)  # type: ignore[attr-defined]  # the fixture's clock is virtual
    assert await admin.code(f"{CSRS}/joe") == 404


async def test_a_new_node_joins_by_a_bootstrap_token(admin: Caller) -> None:
    data = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:workers",
    }
    metadata = {"name": "bootstrap-token-abcdef"}
    secret = {"metadata": metadata, "type": "bootstrap.kubernetes.io/token", "stringData": data}
    await admin.made(f"{CORE}/namespaces/kube-system/secrets", secret)
    await bind(admin, "system:node-bootstrapper", "system:bootstrappers:workers", "Group")
    await bind(
        admin, "system:certificates.k8s.io:certificatesigningrequests:nodeclient", "system:bootstrappers", "Group"
    )
    newcomer = Caller(admin.cluster, token="abcdef.0123456789abcdef")
    assert await newcomer.code(f"{CORE}/nodes") == 403
    key = issue.new_key()
    pem = bare_request(key, "system:node:n1", "system:nodes")
    signer = "kubernetes.io/kube-apiserver-client-kubelet"
    await newcomer.made(CSRS, csr("n1", pem, signer, "digital signature", "client auth"))
    node = Caller(admin.cluster, KeyPair(await certificate(admin, "n1"), issue.key_pem(key)))
    await node.made(f"{CORE}/nodes", {"metadata": {"name": "n1"}})
    assert "is not allowed to modify node" in await node.refused("POST", f"{CORE}/nodes", {"metadata": {"name": "n2"}})
    assert await node.code(f"{CORE}/nodes/n1") == 200
    assert await node.refused("GET", f"{CORE}/nodes/n2") == (
        'nodes "n2" is forbidden: User "system:node:n1" cannot get resource "nodes" in API group "" at the cluster '
        "scope: node 'n1' cannot read 'n2', only its own Node object"
    )
    await check_pod_secret(admin, node)


async def check_pod_secret(admin: Caller, node: Caller) -> None:
    """The node sees a secret from when a pod that uses it is bound to the node."""
    secret, pods = f"{CORE}/namespaces/default/secrets/s", f"{CORE}/namespaces/default/pods"
    await admin.made(f"{CORE}/namespaces/default/secrets", {"metadata": {"name": "s"}})
    assert await node.code(secret) == 403
    spec = {
        "nodeName": "n1",
        "containers": [{"name": "c", "image": "x"}],
        "volumes": [{"name": "v", "secret": {"secretName": "s"}}],
    }
    pod = await admin.made(pods, {"metadata": {"name": "p"}, "spec": spec})
    await settled(admin)
    assert await node.code(secret) == 200
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": pod["metadata"]["uid"]}
    path = f"{CORE}/namespaces/default/serviceaccounts/default/token"
    assert "not bound to a pod" in await node.refused("POST", path, {"spec": {}})
    answer = await node.made(path, {"spec": {"boundObjectRef": bound}})
    runs = Caller(admin.cluster, token=answer["status"]["token"])
    me = await runs.made("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert me["status"]["userInfo"]["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]


async def test_rights_and_tokens_hold_from_the_first_moment_of_a_new_start(tmp_path: Path) -> None:
    config = Config(name="test", api=APIConfig(port=0), nodes=NodesConfig(count=0))
    clock = VirtualClock()
    State(tmp_path / "state").write(Record(name="test"))
    async with running(config, state_dir=tmp_path / "state", clock=clock) as cluster:
        admin = Caller(cluster, cluster.pki.admin)
        await settled(admin)
        await grant(admin, "jane", rule("list", "pods"))
        bot = await token(admin)
        jane = cluster.pki.issue_client("jane")
    async with running(config, state_dir=tmp_path / "state", clock=clock) as cluster:
        assert await Caller(cluster, jane).code(f"{CORE}/pods") == 200
        assert await Caller(cluster, jane).code(f"{CORE}/secrets") == 403
        assert await Caller(cluster, token=bot).code("/api") == 200


def bare_request(key: Any, common_name: str, organization: str) -> bytes:
    """A certificate request without alternative names."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import NameOID

    subject = [(NameOID.ORGANIZATION_NAME, organization), (NameOID.COMMON_NAME, common_name)]
    name = x509.Name([x509.NameAttribute(oid, text) for oid, text in subject])
    signed = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


async def test_a_watch_on_one_object_is_a_request_for_it(admin: Caller) -> None:
    await grant(admin, "jane", rule("list", "secrets", "", "mine"))
    jane, secrets = user(admin, "jane"), f"{CORE}/namespaces/default/secrets"
    assert await jane.code(f"{secrets}?fieldSelector=metadata.name%3Dmine") == 200
    for other in ("", "?fieldSelector=metadata.name%3Dother", "?fieldSelector=metadata.name!%3Dmine"):
        assert await jane.code(secrets + other) == 403
