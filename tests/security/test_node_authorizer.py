"""The node authorizer: a node sees what its pods need."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.apiserver.authorization import Attributes, Decision
from kybern.apiserver.user import User
from kybern_auth_builtin.node import NodeAuthorizer
from tests.security.world import JANE, World, plain

N1, N2 = (User(f"system:node:n{i}", ("system:nodes", "system:authenticated")) for i in (1, 2))


def pod(name: str, node: str = "n1", volumes: list[dict[str, Any]] | None = None, **spec: Any) -> Any:
    metadata = {"name": name, "namespace": "a", "annotations": spec.pop("annotations", {})}
    spec = {"nodeName": node, "containers": [], "volumes": volumes or [], **spec}
    return plain("v1/Pod", metadata=metadata, spec=spec)


@pytest.fixture
def world() -> World:
    world = World()
    env = [
        {"name": "x", "valueFrom": {"secretKeyRef": {"name": "env-secret", "key": "k"}}},
        {"name": "y", "valueFrom": {"configMapKeyRef": {"name": "env-config", "key": "k"}}},
    ]
    env_from = [{"secretRef": {"name": "from-secret"}}, {"configMapRef": {"name": "from-config"}}]
    projected = [{"secret": {"name": "projected-secret"}}, {"configMap": {"name": "projected-config"}}]
    world.add(
        pod(
            "p",
            serviceAccountName="bot",
            imagePullSecrets=[{"name": "pull-secret"}],
            containers=[{"name": "c", "env": env}],
            initContainers=[{"name": "i", "envFrom": env_from}],
            volumes=[
                {"name": "1", "secret": {"secretName": "volume-secret"}},
                {"name": "2", "configMap": {"name": "volume-config"}},
                {"name": "3", "projected": {"sources": projected}},
                {"name": "4", "persistentVolumeClaim": {"claimName": "claim"}},
                {"name": "5", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
                {"name": "6", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "csi-secret"}}},
                {"name": "7", "iscsi": {"targetPortal": "t", "iqn": "i", "secretRef": {"name": "iscsi-secret"}}},
            ],
        )
    )
    world.add(pod("other", node="n2", volumes=[{"name": "1", "secret": {"secretName": "other-secret"}}]))
    world.add(pod("waiting", node="", volumes=[{"name": "1", "secret": {"secretName": "waiting-secret"}}]))
    mirror = {"kubernetes.io/config.mirror": "x"}
    world.add(pod("static", annotations=mirror, volumes=[{"name": "1", "secret": {"secretName": "mirror-secret"}}]))
    csi = {"driver": "d", "volumeHandle": "h", "nodeStageSecretRef": {"name": "stage", "namespace": "csi"}}
    claim = {"kind": "PersistentVolumeClaim", "namespace": "a", "name": "claim"}
    world.add(plain("v1/PersistentVolume", metadata={"name": "pv"}, spec={"claimRef": claim, "csi": csi}))
    world.add(plain("v1/PersistentVolume", metadata={"name": "free"}, spec={"csi": csi}))
    attachment = {"nodeName": "n1", "attacher": "d", "source": {}}
    world.add(plain("storage.k8s.io/v1/VolumeAttachment", metadata={"name": "va"}, spec=attachment))
    return world


def asked(
    verb: str, what: str, name: str = "", *, user: User = N1, namespace: str = "", fields: str = ""
) -> Attributes:
    group, _, resource = what.rpartition(" ")
    resource, _, subresource = resource.partition("/")
    return Attributes(
        user, verb, group=group, resource=resource, subresource=subresource,
        namespace=namespace, name=name, field_selector=fields,
    )  # fmt: skip


def may(world: World, question: Attributes) -> bool:
    decision, _ = NodeAuthorizer(world).authorize(question)  # type: ignore[arg-type]  # the part of Informers it uses
    assert decision is not Decision.DENY
    return decision is Decision.ALLOW


def why(world: World, question: Attributes) -> str:
    return NodeAuthorizer(world).authorize(question)[1]  # type: ignore[arg-type]  # the part of Informers it uses


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        *(
            ("secrets", f"{name}-secret")
            for name in ("env", "from", "projected", "pull", "volume", "csi", "iscsi")
        ),
        *(("configmaps", f"{name}-config") for name in ("env", "from", "projected", "volume")),
        ("persistentvolumeclaims", "claim"),
        ("persistentvolumeclaims", "p-5"),
        ("pods", "p"),
        ("serviceaccounts", "bot"),
    ],
)  # fmt: skip
def test_a_node_gets_what_its_pods_refer_to_and_other_nodes_do_not(world: World, resource: str, name: str) -> None:
    assert may(world, asked("get", resource, name, namespace="a"))
    assert not may(world, asked("get", resource, name, namespace="a", user=N2))
    assert not may(world, asked("get", resource, name, namespace="b"))
    assert not may(world, asked("delete" if resource != "pods" else "update", resource, name, namespace="a"))


@pytest.mark.parametrize("name", ["other-secret", "waiting-secret", "mirror-secret", "unused"])
def test_a_node_does_not_get_other_secrets(world: World, name: str) -> None:
    assert why(world, asked("get", "secrets", name, namespace="a")) == (
        "no relationship found between node 'n1' and this object"
    )


def test_a_node_gets_the_volume_of_its_claim_with_its_secret(world: World) -> None:
    assert may(world, asked("get", "persistentvolumes", "pv"))
    assert may(world, asked("get", "secrets", "stage", namespace="csi"))
    assert not may(world, asked("get", "persistentvolumes", "free"))
    assert not may(world, asked("get", "secrets", "stage", namespace="csi", user=N2))
    assert may(world, asked("get", "storage.k8s.io volumeattachments", "va"))
    assert not may(world, asked("get", "storage.k8s.io volumeattachments", "va", user=N2))


def test_rights_end_with_the_pod(world: World) -> None:
    authorizer = NodeAuthorizer(world)  # type: ignore[arg-type]  # the part of Informers that it uses
    question = asked("get", "secrets", "volume-secret", namespace="a")
    assert authorizer.authorize(question)[0] is Decision.ALLOW
    world.remove(world.informer(type(pod("p"))).get("p", "a"))
    assert authorizer.authorize(question)[0] is Decision.NO_OPINION


BY_NODE = "can only list/watch pods with spec.nodeName field selector"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (asked("list", "secrets", namespace="a"), "No Object name found"),
        (asked("watch", "secrets", "volume-secret", namespace="a"), None),
        (asked("get", "secrets", "x"), "can only read namespaced object of this type"),
        (asked("create", "secrets", "x", namespace="a"), "can only read resources of this type"),
        (asked("list", "persistentvolumes"), "can only get individual resources of this type"),
        (asked("update", "persistentvolumeclaims/status", "claim", namespace="a"), None),
        (asked("get", "persistentvolumeclaims/status", "claim", namespace="a"), "can only get/update/patch this type"),
        (asked("create", "serviceaccounts/token", "bot", namespace="a"), None),
        (
            asked("create", "serviceaccounts/token", "admin", namespace="a"),
            "no relationship found between node 'n1' and this object",
        ),
        (asked("update", "serviceaccounts", "bot", namespace="a"),
         "can only create tokens for individual service accounts"),
        (asked("update", "coordination.k8s.io leases", "n1", namespace="kube-node-lease"), None),
        (asked("create", "coordination.k8s.io leases", namespace="kube-node-lease"), None),
        (
            asked("update", "coordination.k8s.io leases", "n2", namespace="kube-node-lease"),
            "can only access node lease with the same name as the requesting node",
        ),
        (
            asked("update", "coordination.k8s.io leases", "n1", namespace="a"),
            'can only access leases in the "kube-node-lease" system namespace',
        ),
        (
            asked("list", "coordination.k8s.io leases", namespace="kube-node-lease"),
            "can only get, create, update, patch, or delete a node lease",
        ),
        (asked("get", "storage.k8s.io csinodes", "n1"), None),
        (
            asked("get", "storage.k8s.io csinodes", "n2"),
            "can only access CSINode with the same name as the requesting node",
        ),
        (asked("get", "nodes", "n1"), None),
        (asked("get", "nodes", "n2"), "node 'n1' cannot read 'n2', only its own Node object"),
        (asked("list", "nodes"), "node 'n1' cannot read all nodes, only its own Node object"),
        (asked("watch", "nodes", fields="metadata.name=n1"), None),
        (asked("patch", "nodes/status", "n1"), None),
        (asked("delete", "nodes", "n1"), ""),
        (asked("get", "nodes/proxy", "n1"), ""),
        (asked("list", "pods", fields="spec.nodeName=n1"), None),
        (asked("list", "pods", fields="spec.nodeName=n2"), BY_NODE),
        (asked("list", "pods", fields="spec.nodeName!=n1"), BY_NODE),
        (asked("watch", "pods"), BY_NODE),
        (asked("patch", "pods/status", "p", namespace="a"), None),
        (asked("create", "pods/eviction", "p", namespace="a"), None),
        (asked("get", "pods/log", "p", namespace="a"), ""),
        (asked("deletecollection", "pods", namespace="a"), ""),
        (asked("list", "services"), None),
        (asked("create", "events", namespace="a"), None),
        (asked("create", "authentication.k8s.io tokenreviews"), None),
        (asked("list", "apps deployments"), ""),
        (
            asked("list", "resource.k8s.io resourceslices"),
            "can only list/watch/deletecollection resourceslices with nodeName field selector",
        ),
        (asked("list", "resource.k8s.io resourceslices", fields="spec.nodeName=n1"), None),
    ],
)  # fmt: skip
def test_what_else_a_node_may(world: World, question: Attributes, answer: str | None) -> None:
    assert may(world, question) is (answer is None)
    assert why(world, question) == (answer or "")


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        (JANE, ""),
        (User("system:node:n1", ("system:authenticated",)), ""),
        (User("n1", ("system:nodes",)), ""),
        (User("system:node:", ("system:nodes",)), 'unknown node for user "system:node:"'),
    ],
)
def test_only_nodes_are_nodes(world: World, user: User, reason: str) -> None:
    question = asked("list", "services", user=user)
    assert (may(world, question), why(world, question)) == (False, reason)


def test_paths_are_not_the_node_authorizers_business(world: World) -> None:
    assert not may(world, Attributes(N1, "get", resource_request=False, path="/metrics"))
