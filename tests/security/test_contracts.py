"""The built-in security drivers keep the contracts of their seams."""

from __future__ import annotations

import asyncio
from typing import Any

from kybern.apiserver.admission import Admission, AdmissionRequest
from kybern.apiserver.authentication import Authenticator, Credentials
from kybern.apiserver.authorization import Authorizer
from kybern.apiserver.user import User
from kybern.clock import VirtualClock
from kybern.cluster import issue
from kybern.cluster.certificate import pem_to_der
from kybern.testing.admission import AdmissionContract
from kybern.testing.authentication import AuthenticatorContract
from kybern.testing.authorization import AuthorizerContract
from kybern_admission_builtin import Options, chain
from kybern_auth_builtin.anonymous import AnonymousAuthenticator
from kybern_auth_builtin.certificate import CertificateAuthenticator
from kybern_auth_builtin.masters import MastersAuthorizer
from kybern_auth_builtin.node import NodeAuthorizer
from kybern_auth_builtin.rbac import RBACAuthorizer
from kybern_auth_builtin.token_file import TokenFileAuthenticator
from tests.security import admitting, test_admission, test_admission_chain, test_admission_pods, test_admission_storage
from tests.security.test_authenticators import TOKEN, bootstrap
from tests.security.test_escalation import Cluster, binding, role, rule
from tests.security.test_node_authorizer import pod as node_pod
from tests.security.test_rbac import default_grants
from tests.security.test_tokens import Tokens
from tests.security.world import JANE, World, plain, request

_KEY = issue.new_key()
_CLIENT = issue.Authority(
    issue.self_signed(_KEY, "ca", 1_767_225_600.0, 86400.0), issue.key_pem(_KEY)
).client(issue.new_key().public_key(), "jane", ["devs"], 1_767_225_600.0, 3600.0)  # fmt: skip
_TOKENS = Tokens()
_TOKEN = asyncio.run(_TOKENS.token())


class TestCertificate(AuthenticatorContract):
    def make(self) -> Authenticator:
        return CertificateAuthenticator(VirtualClock())

    def good(self) -> Credentials:
        return Credentials(certificate=pem_to_der(_CLIENT))


class TestTokenFile(AuthenticatorContract):
    def make(self) -> Authenticator:
        return TokenFileAuthenticator({"secret": User("jane", ("devs",))}, ("api",))

    def good(self) -> Credentials:
        return Credentials(bearer="secret")


class TestServiceAccount(AuthenticatorContract):
    def make(self) -> Authenticator:
        return _TOKENS.authenticator

    def good(self) -> Credentials:
        return Credentials(bearer=_TOKEN)


class TestBootstrapToken(AuthenticatorContract):
    def make(self) -> Authenticator:
        return bootstrap()[1]

    def good(self) -> Credentials:
        return TOKEN


class TestAnonymous(AuthenticatorContract):
    def make(self) -> Authenticator:
        return AnonymousAuthenticator(("/healthz",))

    def good(self) -> Credentials:
        return Credentials(path="/healthz")


class TestMasters(AuthorizerContract):
    def make(self) -> Authorizer:
        return MastersAuthorizer()


class TestNode(AuthorizerContract):
    def make(self) -> Authorizer:
        world: Any = World()
        world.add(node_pod("p", node="n"))
        return NodeAuthorizer(world)


class TestRBAC(AuthorizerContract):
    def make(self) -> Authorizer:
        return RBACAuthorizer(default_grants())


class TestEscalationCheck(AdmissionContract):
    def make(self) -> Admission:
        cluster = Cluster(rule("get", resources="pods"))
        cluster.add(role(rule("*", "*", "*"), name="strong"))
        return cluster.check

    def requests(self) -> list[AdmissionRequest]:
        return [
            request("CREATE", role(rule("get", resources="pods"))),
            request("CREATE", role(rule("*", resources="pods"))),
            request("UPDATE", role(rule("*", resources="pods")), old=role()),
            request("CREATE", binding("b", "ClusterRole strong")),
            request("CREATE", binding("b", "ClusterRole gone")),
        ]


def _builtin(name: str, **options: Any) -> Admission:
    start: Any = test_admission_chain.Started()
    world = start.client
    world.add(plain("v1/Namespace", metadata={"name": "a"}, status={"phase": "Active"}))
    for account in ("default", "other"):
        world.add(plain("v1/ServiceAccount", metadata={"name": account, "namespace": "a"}))
    world.add(plain("scheduling.k8s.io/v1/PriorityClass", metadata={"name": "high"}, value=5))
    world.add(test_admission_storage.storage_class("standard"))
    return next(p for p in chain.build(start, Options(**options)) if p.name == name)


def _pods() -> list[AdmissionRequest]:
    return [
        request("CREATE", admitting.pod()),
        request("CREATE", admitting.pod(serviceAccountName="other", priorityClassName="high", priority=5)),
        request("CREATE", admitting.pod(serviceAccountName="ghost", priorityClassName="ghost", runtimeClassName="x")),
        request("CREATE", test_admission.mirror()),
        request("CREATE", admitting.pod(tolerations=[{"operator": "Exists"}]), user=JANE),
    ]


class TestServiceAccountAdmission(AdmissionContract):
    def make(self) -> Admission:
        return _builtin("ServiceAccount")

    def requests(self) -> list[AdmissionRequest]:
        return _pods()


class TestPriority(AdmissionContract):
    def make(self) -> Admission:
        return _builtin("Priority")

    def requests(self) -> list[AdmissionRequest]:
        return [*_pods(), request("UPDATE", admitting.pod(), old=admitting.pod(priority=3))]


class TestDefaultTolerationSeconds(AdmissionContract):
    def make(self) -> Admission:
        return _builtin("DefaultTolerationSeconds", not_ready_toleration_seconds=5)

    def requests(self) -> list[AdmissionRequest]:
        return _pods()


class TestNamespaceLifecycle(AdmissionContract):
    def make(self) -> Admission:
        return _builtin("NamespaceLifecycle")

    def requests(self) -> list[AdmissionRequest]:
        default = plain("v1/Namespace", metadata={"name": "default"})
        elsewhere = plain("v1/ConfigMap", metadata={"name": "c", "namespace": "elsewhere"})
        return [*_pods(), request("CREATE", elsewhere), request("DELETE", None, old=default)]


class TestNodeRestriction(AdmissionContract):
    def make(self) -> Admission:
        return _builtin("NodeRestriction")

    def requests(self) -> list[AdmissionRequest]:
        node = User("system:node:n", ("system:nodes",))
        own = plain("v1/Node", metadata={"name": "n", "labels": {"kubernetes.io/x": "y"}})
        asked = [*_pods(), request("CREATE", own), request("UPDATE", own, old=plain("v1/Node", metadata={"name": "n"}))]
        for one in asked[1:]:
            one.user = node
        return asked


class TestTaintNodesByCondition(AdmissionContract):
    def make(self) -> Admission:
        return _builtin("TaintNodesByCondition")

    def requests(self) -> list[AdmissionRequest]:
        return [request("CREATE", plain("v1/Node", metadata={"name": "n"}))]


class TestRuntimeClass(AdmissionContract):
    def make(self) -> Admission:
        return test_admission_pods.runtimes()

    def requests(self) -> list[AdmissionRequest]:
        return [*_pods(), request("CREATE", admitting.pod(runtimeClassName="vm"))]


class TestStorage(AdmissionContract):
    name = "DefaultStorageClass"

    def make(self) -> Admission:
        return _builtin(self.name)

    def requests(self) -> list[AdmissionRequest]:
        return [
            request("CREATE", test_admission_storage.claim()),
            request("CREATE", test_admission_storage.claim(storageClassName="x")),
        ]


class TestStorageProtection(TestStorage):
    name = "StorageObjectInUseProtection"


class TestClaimResize(TestStorage):
    name = "PersistentVolumeClaimResize"

    def requests(self) -> list[AdmissionRequest]:
        old = test_admission_storage.claim(storageClassName="standard")
        return [
            request("UPDATE", test_admission_storage.claim(size, storageClassName="standard"), old=old)
            for size in ("1Gi", "9Gi")
        ]
