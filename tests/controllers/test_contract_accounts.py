"""The controllers of accounts, tokens, roles and certificates meet the controllers' contract."""

from __future__ import annotations

import asyncio
import base64
from datetime import datetime
from functools import cache
from typing import Any

from kybern.api import types
from kybern.api.certificates import CertificateSigningRequest, CertificateSigningRequestCondition
from kybern.api.core import ConfigMap, Namespace, Secret, ServiceAccount
from kybern.api.rbac import ClusterRole
from kybern.api.time import format_time
from kybern.reconcile.interface import Controller
from kybern.testing.controller import ControllerContract
from kybern.testing.world import World
from kybern_auth_builtin.access_reviews import access_reviews
from kybern_auth_builtin.secret_tokens import ACCOUNT, TYPE, SecretTokenController
from kybern_auth_builtin.token_keys import TokenKeys
from kybern_controllers_cluster.bootstrap_tokens import BootstrapSigner, TokenCleaner
from kybern_controllers_cluster.clusterrole_aggregation import ClusterRoleAggregationController
from kybern_controllers_cluster.csr_approving import CSRApprovingController
from kybern_controllers_cluster.csr_cleaner import CSRCleanerController
from kybern_controllers_cluster.csr_signing import CSRSigningController
from kybern_controllers_cluster.rootca import RootCAController
from kybern_controllers_cluster.serviceaccount import ServiceAccountController
from tests.controllers import test_bootstrap_tokens
from tests.security.test_tokens import PEM

KUBELET = "kubernetes.io/kube-apiserver-client-kubelet"


class OfNamespaces(ControllerContract):
    async def populate(self, world: World) -> None:
        for name in ("a", "b"):
            await world.apply(Namespace, {"metadata": {"name": name}})


class TestServiceAccount(OfNamespaces):
    def make(self) -> Controller:
        return ServiceAccountController()

    def check(self, world: World) -> None:
        made = sorted(f"{s.metadata.namespace}/{s.metadata.name}" for s in world.all(ServiceAccount))
        assert made == ["a/default", "b/default"]


class TestRootCA(OfNamespaces):
    def make(self) -> Controller:
        return RootCAController(lambda: b"certificate")

    def check(self, world: World) -> None:
        assert [m.data for m in world.all(ConfigMap)] == [{"ca.crt": "certificate"}] * 2


class TestClusterRoleAggregation(ControllerContract):
    def make(self) -> Controller:
        return ClusterRoleAggregationController()

    async def populate(self, world: World) -> None:
        for name, into, of in (("admin", "", "admin"), ("edit", "admin", "edit"), ("pods", "edit", "")):
            made: dict[str, Any] = {"metadata": {"name": name, "labels": {f"into-{into}": "true"} if into else {}}}
            if of:
                made["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {f"into-{of}": "true"}}]}
            else:
                made["rules"] = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
            await world.apply(ClusterRole, made)

    def check(self, world: World) -> None:
        assert [r.rules[0].resources for r in world.all(ClusterRole)] == [["pods"]] * 3


class TestBootstrapSigner(ControllerContract):
    def make(self) -> Controller:
        return BootstrapSigner()

    async def populate(self, world: World) -> None:
        await world.apply(ConfigMap, test_bootstrap_tokens.cluster_info())
        for identifier in ("abcdef", "ghijkl"):
            await world.apply(Secret, test_bootstrap_tokens.token(identifier))

    def check(self, world: World) -> None:
        assert test_bootstrap_tokens.signatures(world) == {"jws-kubeconfig-abcdef", "jws-kubeconfig-ghijkl"}


class TestTokenCleaner(ControllerContract):
    def make(self) -> Controller:
        return TokenCleaner()

    async def populate(self, world: World) -> None:
        for identifier, end in (("aaaaaa", "2001"), ("bbbbbb", "2001"), ("cccccc", "2031")):
            await world.apply(Secret, test_bootstrap_tokens.token(identifier, expiration=f"{end}-01-01T00:00:00Z"))

    def check(self, world: World) -> None:
        assert [s.metadata.name for s in world.all(Secret)] == ["bootstrap-token-cccccc"]


class InThreads(ControllerContract):
    """Part of its work is done in threads, which take real time."""

    async def act(self, world: World) -> None:
        for _ in range(400):
            await world.settle(1)
            if self.done(world):
                break
            await asyncio.sleep(0.001)
        await world.settle(1)

    def done(self, world: World) -> bool:
        raise NotImplementedError

    def check(self, world: World) -> None:
        assert self.done(world)


class TestSecretToken(InThreads):
    ignore = ("token",)

    def make(self) -> Controller:
        return SecretTokenController(TokenKeys(PEM), lambda: b"certificate")

    async def populate(self, world: World) -> None:
        await world.apply(ServiceAccount, {"metadata": {"name": "bot"}})
        for name, account in (("s", "bot"), ("t", "nobody")):
            await world.apply(Secret, {"metadata": {"name": name, "annotations": {ACCOUNT: account}}, "type": TYPE})

    def done(self, world: World) -> bool:
        return [bool((s.data or {}).get("token")) for s in world.all(Secret)] == [True]


@cache
def request_and_certificate() -> tuple[bytes, bytes]:
    """What a node asks for, and something that has the form of an answer."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    names = (NameOID.ORGANIZATION_NAME, "system:nodes"), (NameOID.COMMON_NAME, "system:node:n")
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in names])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    until = made.serial_number(1).not_valid_before(datetime(2026, 1, 1)).not_valid_after(datetime(2036, 1, 1))
    form = serialization.Encoding.PEM
    return request.public_bytes(form), until.sign(key, hashes.SHA256()).public_bytes(form)


class OfCertificates(InThreads):
    def world(self) -> World:
        return World(reviews=access_reviews())

    async def populate(self, world: World) -> None:
        for name in ("a", "b"):
            await self.ask(world, name)

    async def ask(self, world: World, name: str, condition: str = "") -> None:
        request = base64.b64encode(request_and_certificate()[0]).decode()
        usages = ["digital signature", "client auth"]
        spec = {"request": request, "signerName": KUBELET, "usages": usages}
        made = types.copy(await world.apply(CertificateSigningRequest, {"metadata": {"name": name}, "spec": spec}))
        if condition:
            now = format_time(world.clock.now())
            told = CertificateSigningRequestCondition(type=condition, status="True", reason="r", lastUpdateTime=now)
            made.status.conditions = [told]
            await world.client.update(made, subresource="approval")


class TestCSRApproving(OfCertificates):
    def make(self) -> Controller:
        return CSRApprovingController()

    def done(self, world: World) -> bool:
        return all(r.status.conditions for r in world.all(CertificateSigningRequest))


class TestCSRSigning(OfCertificates):
    def make(self) -> Controller:
        class Authority:
            def sign(self, request: bytes, usages: Any, lifetime: float) -> bytes:
                return request_and_certificate()[1]

        authority: Any = Authority()
        return CSRSigningController(authority)

    async def populate(self, world: World) -> None:
        for name in ("a", "b"):
            await self.ask(world, name, "Approved")

    def done(self, world: World) -> bool:
        return all(r.status.certificate for r in world.all(CertificateSigningRequest))


class TestCSRCleaner(OfCertificates):
    def make(self) -> Controller:
        return CSRCleanerController()

    async def populate(self, world: World) -> None:
        for name, condition in (("a", "Denied"), ("b", "Denied"), ("c", "Approved")):
            await self.ask(world, name, condition)

    async def act(self, world: World) -> None:
        await world.settle(3700)

    def done(self, world: World) -> bool:
        return [r.metadata.name for r in world.all(CertificateSigningRequest)] == ["c"]
