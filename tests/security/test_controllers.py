"""Accounts, the root CA, aggregated roles and certificate requests: the controllers, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.core import ConfigMap, Namespace, ServiceAccount
from kybern.api.errors import StatusError
from kybern.api.rbac import ClusterRole
from kybern.cluster.certificate import pem_to_der, read_certificate
from kybern.testing.world import World
from kybern_controllers_cluster.clusterrole_aggregation import ClusterRoleAggregationController
from kybern_controllers_cluster.csr_cleaner import ends
from kybern_controllers_cluster.csr_request import SIGNERS, Asked
from kybern_controllers_cluster.rootca import RootCAController
from kybern_controllers_cluster.serviceaccount import ServiceAccountController, created_or_pointless
from tests.security.test_pki import _SAMPLE
from tests.security.world import plain

pytestmark = pytest.mark.anyio


async def namespace(world: World, name: str, *, going: bool = False) -> None:
    await world.apply(Namespace, {"metadata": {"name": name}})
    if going:
        await world.client.delete(Namespace, name)


def held(world: World, kind: type[Any]) -> list[str]:
    return sorted(f"{obj.metadata.namespace}/{obj.metadata.name}" for obj in world.all(kind))


async def test_every_namespace_has_a_default_account_and_gets_it_back() -> None:
    world = World()
    await namespace(world, "a")
    await namespace(world, "going", going=True)
    async with world.running(ServiceAccountController()):
        await namespace(world, "b")
        await world.settle()
        assert held(world, ServiceAccount) == ["a/default", "b/default"]
        await world.client.delete(ServiceAccount, "default", "a")
        await world.settle()
        assert held(world, ServiceAccount) == ["a/default", "b/default"]


async def test_what_happened_while_nobody_watched_is_made_good_at_the_next_start() -> None:
    world = World()
    certificate = b"first"
    await namespace(world, "a")

    def controllers() -> tuple[Any, Any]:
        return ServiceAccountController(), RootCAController(lambda: certificate)

    async with world.running(*controllers()):
        await world.settle()
    await world.client.delete(ServiceAccount, "default", "a")
    await namespace(world, "b")
    certificate = b"second"
    async with world.running(*controllers()):
        await world.settle()
    assert held(world, ServiceAccount) == ["a/default", "b/default"]
    assert [config_map.data for config_map in world.all(ConfigMap)] == [{"ca.crt": "second"}] * 2


async def test_the_root_ca_is_published_and_repaired() -> None:
    world = World()
    async with world.running(RootCAController(lambda: b"pem")):
        await namespace(world, "a")
        await world.settle()
        (published,) = world.all(ConfigMap)
        assert (published.metadata.name, published.data) == ("kube-root-ca.crt", {"ca.crt": "pem"})
        spoilt = types.copy(published)
        spoilt.data = {"ca.crt": "mine", "more": "x"}
        await world.client.update(spoilt)
        await world.settle()
        assert world.all(ConfigMap)[0].data == {"ca.crt": "pem"}
        labelled = types.copy(world.all(ConfigMap)[0])
        labelled.metadata.labels = {"mine": "x"}
        await world.client.update(labelled)
        world.took()
        await world.settle()
        assert world.took() == []


@pytest.mark.parametrize(
    ("error", "harmless"),
    [
        (StatusError.already_exists("serviceaccounts", "", "default"), True),
        (StatusError.not_found("namespaces", "", "a"), True),
        (StatusError(403, "Forbidden", "m", {"causes": [{"reason": "NamespaceTerminating"}]}), True),
        (StatusError(403, "Forbidden", "m", {}), False),
        (StatusError.internal("x"), False),
    ],
)
def test_only_pointless_creates_are_given_up(error: StatusError, harmless: bool) -> None:
    assert created_or_pointless(error) is harmless


def role(name: str, *resources: str, into: str = "", gathers: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {
        "metadata": {"name": name, "labels": {f"into-{into}": "true"} if into else {}},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": [resource]} for resource in resources],
    }
    if gathers:
        made["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {f"into-{gathers}": "true"}}]}
    return made


def rules(world: World, name: str) -> list[str]:
    (found,) = [r for r in world.all(ClusterRole) if r.metadata.name == name]
    return [rule.resources[0] for rule in found.rules or ()]


async def test_rules_flow_through_chains_of_aggregated_roles() -> None:
    world = World()

    async def add(*args: str, **relations: str) -> None:
        await world.client.create(types.from_plain(ClusterRole, role(*args, **relations)))

    await add("admin", gathers="admin")
    await add("edit", into="admin", gathers="edit")
    async with world.running(ClusterRoleAggregationController()):
        await add("b", "pods", into="edit")
        await add("a", "services", into="edit")
        await add("c", "pods", into="edit")
        await add("stranger", "secrets", into="other")
        await world.settle()
        assert rules(world, "edit") == rules(world, "admin") == ["services", "pods"]
        await world.client.delete(ClusterRole, "a")
        await world.settle()
        assert rules(world, "admin") == ["pods"]
        unlabelled = types.copy(await world.client.get(ClusterRole, "b"))
        unlabelled.metadata.labels = None
        await world.client.update(unlabelled)
        await world.client.delete(ClusterRole, "c")
        await world.settle()
        assert rules(world, "edit") == rules(world, "admin") == []
        edited = types.copy(await world.client.get(ClusterRole, "admin"))
        edited.rules = types.from_plain(ClusterRole, role("x", "secrets")).rules
        await world.client.update(edited)
        await world.settle()
        assert rules(world, "admin") == []


CREATED = "2026-01-01T00:00:00Z"
HOUR = 3600.0
START = 1_767_225_600.0


def csr(certificate: bytes | None = None, **conditions: str) -> Any:
    told = [{"type": type, "status": "True", "lastUpdateTime": time} for type, time in conditions.items()]
    metadata = {"name": "r", "creationTimestamp": CREATED}
    made = plain("certificates.k8s.io/v1/CertificateSigningRequest", metadata=metadata, status={"conditions": told})
    made.status.certificate = certificate
    return made


@pytest.mark.parametrize(
    ("request_", "end"),
    [
        (csr(), START + 24 * HOUR),
        (csr(Approved="2026-01-01T10:00:00Z"), START + 34 * HOUR),
        (csr(Denied="2026-01-01T10:00:00Z"), START + 11 * HOUR),
        (csr(Failed="2026-01-01T10:00:00Z", Approved="2026-01-01T09:00:00Z"), START + 11 * HOUR),
    ],
)
def test_when_a_request_has_served(request_: Any, end: float) -> None:
    assert ends(request_) == end


def test_an_issued_request_goes_after_an_hour_or_with_its_certificate() -> None:
    import base64

    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(_SAMPLE) + b"-----END CERTIFICATE-----\n"
    until = read_certificate(pem_to_der(pem)).not_after
    assert ends(csr(pem, Approved="2026-01-01T00:10:00Z")) == min(until, START + HOUR + 600)
    assert ends(csr(pem, Approved="2025-12-31T23:30:00Z")) == START + HOUR / 2


CLIENT, SERVER = ("digital signature", "client auth"), ("digital signature", "server auth")
NODE = {"common_name": "system:node:n", "organizations": ("system:nodes",)}


def asked(dns: int = 0, addresses: int = 0, emails: int = 0, uris: int = 0, **subject: Any) -> Asked:
    named = {**NODE, **subject}
    return Asked(named["common_name"], named["organizations"], dns, addresses, emails, uris)


@pytest.mark.parametrize(
    ("signer", "request_", "usages", "problem"),
    [
        ("kube-apiserver-client-kubelet", asked(), CLIENT, ""),
        ("kube-apiserver-client-kubelet", asked(), (*CLIENT, "key encipherment"), ""),
        (
            "kube-apiserver-client-kubelet",
            asked(),
            ("client auth",),
            "usages did not match [client auth digital signature key encipherment]",
        ),
        (
            "kube-apiserver-client-kubelet",
            asked(organizations=("system:nodes", "system:masters")),
            CLIENT,
            "subject organization is not system:nodes",
        ),
        (
            "kube-apiserver-client-kubelet",
            asked(common_name="n"),
            CLIENT,
            "subject common name does not begin with system:node:",
        ),
        ("kube-apiserver-client-kubelet", asked(dns=1), CLIENT, "DNS subjectAltNames are not allowed"),
        ("kube-apiserver-client-kubelet", asked(addresses=1), CLIENT, "IP subjectAltNames are not allowed"),
        ("kubelet-serving", asked(dns=1), SERVER, ""),
        ("kubelet-serving", asked(addresses=1), SERVER, ""),
        ("kubelet-serving", asked(), SERVER, "DNS or IP subjectAltName is required"),
        ("kubelet-serving", asked(dns=1, emails=1), SERVER, "Email subjectAltNames are not allowed"),
        ("kubelet-serving", asked(dns=1, uris=1), SERVER, "URI subjectAltNames are not allowed"),
        (
            "kubelet-serving",
            asked(dns=1, common_name="n"),
            SERVER,
            "subject common name does not begin with system:node:",
        ),
        (
            "kubelet-serving",
            asked(dns=1),
            CLIENT,
            "usages did not match [digital signature key encipherment server auth]",
        ),
        ("kube-apiserver-client", asked(common_name="joe", organizations=()), ("client auth",), ""),
        (
            "kube-apiserver-client",
            asked(common_name="joe"),
            ("digital signature",),
            "missing required usage for client certificate: client auth",
        ),
        (
            "kube-apiserver-client",
            asked(common_name="joe"),
            ("client auth", "cert sign"),
            "invalid usage for client certificate: cert sign",
        ),
        ("legacy-unknown", asked(common_name="x", organizations=()), ("any",), ""),
    ],
)
def test_what_each_signer_takes(signer: str, request_: Asked, usages: tuple[str, ...], problem: str) -> None:
    assert SIGNERS[f"kubernetes.io/{signer}"](request_, usages) == problem
