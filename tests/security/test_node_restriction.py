"""NodeRestriction: what a kubelet may write."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import core, types
from kybern.api.errors import StatusError
from kybern.apiserver.user import User
from kybern_admission_builtin.node_labels import forbidden_labels
from kybern_admission_builtin.node_restriction import NodeRestriction
from tests.security.world import JANE, World, admit, plain, request

pytestmark = pytest.mark.anyio

NODE = User("system:node:n1", ("system:nodes", "system:authenticated"))
MIRROR = {"kubernetes.io/config.mirror": "x"}


def pod(name: str = "p", node: str = "n1", **fields: Any) -> Any:
    metadata = {"name": name, "namespace": "a", **fields.pop("metadata", {})}
    return plain("v1/Pod", metadata=metadata, spec={"nodeName": node, "containers": [], **fields})


class Cluster(World):
    def __init__(self) -> None:
        super().__init__()
        self.node = self.add(plain("v1/Node", metadata={"name": "n1"}))
        self.mine, self.foreign = self.add(pod()), self.add(pod("q", node="n2"))
        self.plugin = NodeRestriction(self.lookup(core.Pod), self.lookup(core.Node))

    async def write(self, operation: str, obj: Any, *, user: User = NODE, **more: Any) -> None:
        await admit(self.plugin, request(operation, obj, user=user, **more))

    async def refused(self, operation: str, obj: Any, **more: Any) -> str:
        with pytest.raises(StatusError) as caught:
            await self.write(operation, obj, **more)
        assert caught.value.code == 403
        return caught.value.message.partition(" is forbidden: ")[2]

    def mirror(self, owner: dict[str, Any] | None = None, **fields: Any) -> Any:
        reference = {
            "apiVersion": "v1", "kind": "Node", "name": "n1", "uid": self.node.metadata.uid, "controller": True,
        }  # fmt: skip
        owners = [{**reference, **(owner or {})}]
        return pod("static", metadata={"annotations": MIRROR, "ownerReferences": owners}, **fields)


async def test_others_are_not_restricted() -> None:
    cluster = Cluster()
    await cluster.write("CREATE", pod("new"), user=JANE)
    await cluster.write("UPDATE", plain("v1/Node", metadata={"name": "n2"}), old=cluster.node, user=JANE)


async def test_a_node_that_does_not_say_which_is_refused() -> None:
    assert await Cluster().refused("CREATE", pod("new"), user=User("system:node:", ("system:nodes",))) == (
        'could not determine node from user "system:node:"'
    )


async def test_a_node_creates_mirror_pods_of_its_own_only() -> None:
    cluster = Cluster()
    await cluster.write("CREATE", cluster.mirror())
    assert await cluster.refused("CREATE", pod("new")) == (
        'pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods'
    )


@pytest.mark.parametrize(
    ("owner", "fields", "why"),
    [
        ({}, {"node": "n2"}, 'node "n1" can only create pods with spec.nodeName set to itself'),
        ({"name": "n2"}, {}, 'node "n1" can only create pods with an owner reference set to itself'),
        ({"kind": "Pod"}, {}, 'node "n1" can only create pods with an owner reference set to itself'),
        ({"controller": None}, {}, 'node "n1" can only create pods with a controller owner reference set to itself'),
        ({"blockOwnerDeletion": True}, {}, 'node "n1" must not set blockOwnerDeletion on an owner reference'),
        ({"uid": "x"}, {}, "node n1 UID mismatch: expected x got uid-1"),
        ({}, {"serviceAccountName": "s"}, 'node "n1" can not create pods that reference a service account'),
        (
            {},
            {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]},
            'node "n1" can not create pods that reference secrets',
        ),
        (
            {},
            {"volumes": [{"name": "v", "configMap": {"name": "s"}}]},
            'node "n1" can not create pods that reference configmaps',
        ),
        (
            {},
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "s"}}]},
            'node "n1" can not create pods that reference persistentvolumeclaims',
        ),
    ],
)
async def test_a_mirror_pod_belongs_to_its_node_and_refers_to_nothing(
    owner: dict[str, Any], fields: dict[str, Any], why: str
) -> None:
    cluster = Cluster()
    assert await cluster.refused("CREATE", cluster.mirror(owner, **fields)) == why


async def test_a_mirror_pod_has_one_owner() -> None:
    cluster = Cluster()
    two = cluster.mirror()
    two.metadata.ownerReferences *= 2
    assert "a single owner reference" in await cluster.refused("CREATE", two)
    two.metadata.ownerReferences = None
    assert "with an owner reference set to itself" in await cluster.refused("CREATE", two)


async def test_a_node_deletes_and_evicts_its_own_pods_only() -> None:
    cluster = Cluster()
    await cluster.write("DELETE", None, old=cluster.mine)
    assert await cluster.refused("DELETE", None, old=cluster.foreign) == (
        'node "n1" can only delete pods with spec.nodeName set to itself'
    )
    eviction = plain("policy/v1/Eviction", metadata={"name": "p", "namespace": "a"})
    await cluster.write("CREATE", eviction, about=cluster.mine, subresource="eviction")
    assert await cluster.refused("CREATE", eviction, about=cluster.foreign, subresource="eviction") == (
        "node n1 can only evict pods with spec.nodeName set to itself"
    )


async def test_a_node_reports_the_status_of_its_own_pods_only() -> None:
    cluster = Cluster()
    await cluster.write("UPDATE", types.copy(cluster.mine), old=cluster.mine, subresource="status")
    assert await cluster.refused("UPDATE", cluster.foreign, old=cluster.foreign, subresource="status") == (
        'node "n1" can only update pod status for pods with spec.nodeName set to itself'
    )
    labelled = types.copy(cluster.mine)
    labelled.metadata.labels = {"a": "b"}
    assert await cluster.refused("UPDATE", labelled, old=cluster.mine, subresource="status") == (
        'node "n1" cannot update labels through pod status'
    )


@pytest.mark.parametrize(
    ("operation", "subresource", "why"),
    [
        ("UPDATE", "", 'unexpected operation "UPDATE", node "n1" can only create and delete mirror pods'),
        ("UPDATE", "resize", "unexpected pod subresource \"resize\", only 'status' and 'eviction' are allowed"),
        ("CREATE", "binding", "unexpected pod subresource \"binding\", only 'status' and 'eviction' are allowed"),
    ],
)
async def test_a_node_does_nothing_else_to_pods(operation: str, subresource: str, why: str) -> None:
    cluster = Cluster()
    assert await cluster.refused(operation, cluster.mine, old=cluster.mine, subresource=subresource) == why


def node(name: str = "n1", labels: dict[str, str] | None = None, **spec: Any) -> Any:
    return plain("v1/Node", metadata={"name": name, "labels": labels or {}}, spec=spec)


async def test_a_node_writes_itself_only() -> None:
    cluster = Cluster()
    await cluster.write("CREATE", node(labels={"kubernetes.io/hostname": "n1", "mine": "x"}))
    await cluster.write("UPDATE", node(), old=node(), subresource="status")
    assert await cluster.refused("CREATE", node("n2")) == 'node "n1" is not allowed to modify node "n2"'
    assert await cluster.refused("DELETE", None, old=node("n2")) == 'node "n1" is not allowed to modify node "n2"'


async def test_a_node_does_not_touch_its_taints_and_reserved_labels() -> None:
    cluster = Cluster()
    tainted = node(taints=[{"key": "k", "effect": "NoSchedule"}])
    assert await cluster.refused("UPDATE", node(), old=tainted) == 'node "n1" is not allowed to modify taints'
    reserved = {"node-restriction.kubernetes.io/x": "y", "kubernetes.io/secret-zone": "z", "a": "b"}
    assert await cluster.refused("CREATE", node(labels=reserved)) == (
        'node "n1" is not allowed to set the following labels: '
        "kubernetes.io/secret-zone, node-restriction.kubernetes.io/x"
    )
    assert await cluster.refused("UPDATE", node(), old=node(labels={"node-restriction.kubernetes.io/x": "y"})) == (
        "is not allowed to modify labels: node-restriction.kubernetes.io/x"
    )
    source = {"configMap": {"name": "c", "namespace": "n", "kubeletConfigKey": "k"}}
    assert "non-nil configSource" in await cluster.refused("CREATE", node(configSource=source))


@pytest.mark.parametrize(
    ("label", "allowed"),
    [
        ("anything", True), ("example.com/x", True), ("kubernetes.io/hostname", True),
        ("topology.kubernetes.io/zone", True), ("node.kubernetes.io/any", True), ("x.kubelet.kubernetes.io/a", True),
        ("kubernetes.io/x", False), ("x.k8s.io/y", False), ("topology.kubernetes.io/rack", False),
        ("a.node-restriction.kubernetes.io/x", False), ("notkubernetes.io/x", True),
    ],
)  # fmt: skip
def test_labels_a_node_may_set(label: str, allowed: bool) -> None:
    assert forbidden_labels({label: "v"}, None) == ([] if allowed else [label])
    assert forbidden_labels({label: "v"}, {label: "v"}) == []
    assert forbidden_labels(None, {label: "v"}) == ([] if allowed else [label])


def token(**reference: str) -> Any:
    spec = {"boundObjectRef": reference} if reference else {}
    return plain("authentication.k8s.io/v1/TokenRequest", metadata={"name": "s", "namespace": "a"}, spec=spec)


async def test_a_node_gets_tokens_for_its_pods_only() -> None:
    cluster = Cluster()
    account = plain("v1/ServiceAccount", metadata={"name": "s", "namespace": "a"})

    async def ask(**reference: str) -> None:
        await cluster.write("CREATE", token(**reference), about=account, subresource="token")

    async def why(**reference: str) -> str:
        return await cluster.refused("CREATE", token(**reference), about=account, subresource="token")

    good = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": cluster.mine.metadata.uid}
    await ask(**good)
    assert await why() == "node requested token not bound to a pod"
    assert await why(**{**good, "kind": "Secret"}) == "node requested token not bound to a pod"
    assert await why(**{**good, "uid": ""}) == "node requested token with a pod binding without a uid"
    assert "does not match the UID in record" in await why(**{**good, "uid": "other"})
    foreign = {**good, "name": "q", "uid": cluster.foreign.metadata.uid}
    assert await why(**foreign) == "node requested token bound to a pod scheduled on a different node"
    with pytest.raises(StatusError, match='pods "gone" not found'):
        await ask(**{**good, "name": "gone"})


async def test_a_node_has_one_lease_and_one_csi_node() -> None:
    cluster = Cluster()

    def lease(name: str, namespace: str = "kube-node-lease") -> Any:
        return plain("coordination.k8s.io/v1/Lease", metadata={"name": name, "namespace": namespace})

    await cluster.write("CREATE", lease("n1"))
    await cluster.write("UPDATE", lease("n1"), old=lease("n1"))
    same = "with the same name as the requesting node"
    assert await cluster.refused("CREATE", lease("n2")) == f"can only access node lease {same}"
    assert await cluster.refused("UPDATE", lease("n2"), old=lease("n2")) == f"can only access node lease {same}"
    assert await cluster.refused("CREATE", lease("n1", "a")) == (
        'can only access leases in the "kube-node-lease" system namespace'
    )
    csi = plain("storage.k8s.io/v1/CSINode", metadata={"name": "n2"})
    assert await cluster.refused("CREATE", csi) == f"can only access CSINode {same}"


async def test_a_node_reports_a_claims_capacity_and_nothing_else() -> None:
    cluster = Cluster()

    def claim(labels: dict[str, str] | None = None, **status: Any) -> Any:
        metadata = {"name": "c", "namespace": "a", "labels": labels or {}}
        return plain("v1/PersistentVolumeClaim", metadata=metadata, status=status)

    grown = claim(capacity={"storage": "2Gi"}, conditions=[{"type": "Resizing", "status": "True"}])
    await cluster.write("UPDATE", grown, old=claim(), subresource="status")
    for other in (claim(phase="Bound"), claim({"a": "b"})):
        message = await cluster.refused("UPDATE", other, old=claim(), subresource="status")
        assert message.startswith('node "n1" is not allowed to update fields other than status.capacity')
    assert await cluster.refused("UPDATE", claim(), old=claim()) == "may only update PVC status"
