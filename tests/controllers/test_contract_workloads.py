"""Every built-in controller of this folder's plugins meets the contract that any controller must meet."""

from __future__ import annotations

from typing import Any

from kybern.api import types
from kybern.api.apps import DaemonSet, Deployment, ReplicaSet, StatefulSet
from kybern.api.core import ConfigMap, Namespace, Node, PersistentVolumeClaim, Pod, ReplicationController, Service
from kybern.api.policy import PodDisruptionBudget
from kybern.api.time import format_time
from kybern.reconcile.interface import Controller
from kybern.testing.controller import ControllerContract
from kybern.testing.world import World
from kybern_controllers_cluster.disruption import DisruptionController, StaleDisruptionController
from kybern_controllers_cluster.endpoints import EndpointsController
from kybern_controllers_cluster.endpointslice import EndpointSliceController
from kybern_controllers_cluster.garbagecollector import GarbageCollector
from kybern_controllers_cluster.namespace import NamespaceController
from kybern_controllers_cluster.nodeipam import NodeIPAMController
from kybern_controllers_cluster.nodelifecycle import NodeLifecycleController
from kybern_controllers_cluster.podgc import PodGCController
from kybern_controllers_cluster.storage_protection import ClaimProtectionController
from kybern_controllers_cluster.tainteviction import TaintEvictionController
from kybern_controllers_workloads.daemonset import DaemonSetController
from kybern_controllers_workloads.deployment import DeploymentController
from kybern_controllers_workloads.replicaset import ReplicaSetController
from kybern_controllers_workloads.replicationcontroller import ReplicationControllerController
from kybern_controllers_workloads.statefulset import StatefulSetController
from tests.controllers.objects import CONTAINERS, SELECTOR, TEMPLATE, least
from tests.controllers.rollouts import deployment


class Workload(ControllerContract):
    """A controller whose pods a kubelet runs."""

    async def act(self, world: World) -> None:
        await world.run_pods()


class TestReplicaSet(Workload):
    def make(self) -> Controller:
        return ReplicaSetController()

    async def populate(self, world: World) -> None:
        spec = {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE}
        await world.apply(ReplicaSet, {"metadata": {"name": "web"}, "spec": spec})
        await world.apply(Pod, least(Pod, "free", labels={"app": "web"}))
        few = {"matchLabels": {"app": "few"}}
        template = {"metadata": {"labels": {"app": "few"}}, "spec": TEMPLATE["spec"]}
        await world.apply(ReplicaSet, least(ReplicaSet, "few", {"replicas": 1, "selector": few, "template": template}))
        for name in ("x", "y", "z"):
            await world.apply(Pod, least(Pod, name, labels={"app": "few"}))
            await world.settle(1)

    def check(self, world: World) -> None:
        assert sorted(pod.metadata.labels["app"] for pod in world.all(Pod)) == ["few", "web", "web", "web"]


class TestReplicationController(Workload):
    def make(self) -> Controller:
        return ReplicationControllerController()

    async def populate(self, world: World) -> None:
        spec = {"replicas": 2, "selector": {"app": "web"}, "template": TEMPLATE}
        await world.apply(ReplicationController, {"metadata": {"name": "web"}, "spec": spec})


class TestDeployment(Workload):
    def make(self) -> Controller:
        return DeploymentController()

    def others(self) -> list[Controller]:
        return [ReplicaSetController()]

    async def populate(self, world: World) -> None:
        await world.apply(Deployment, deployment(3))


class TestStatefulSet(Workload):
    def make(self) -> Controller:
        return StatefulSetController()

    async def populate(self, world: World) -> None:
        claim = least(PersistentVolumeClaim, "data")
        spec = {
            "replicas": 3,
            "selector": SELECTOR,
            "template": TEMPLATE,
            "serviceName": "web",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "volumeClaimTemplates": [claim],
        }
        await world.apply(StatefulSet, {"metadata": {"name": "web"}, "spec": spec})


class TestDaemonSet(Workload):
    def make(self) -> Controller:
        return DaemonSetController()

    async def populate(self, world: World) -> None:
        await make_nodes(world, "a", "b", "c")
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
        spec = {"selector": SELECTOR, "template": TEMPLATE, "updateStrategy": strategy}
        await world.apply(DaemonSet, {"metadata": {"name": "web"}, "spec": spec})


async def make_nodes(world: World, *names: str, **spec: Any) -> None:
    for name in names:
        await world.apply(Node, {"metadata": {"name": name}, "spec": spec})


async def make_pod(world: World, name: str, node: str = "", **spec: Any) -> None:
    metadata = {"name": name, "labels": {"app": "web"}}
    await world.apply(Pod, {"metadata": metadata, "spec": {"containers": CONTAINERS, "nodeName": node or None} | spec})


async def make_service(world: World) -> None:
    spec = {"selector": {"app": "web"}, "clusterIP": "10.96.0.9", "ports": [{"port": 80, "protocol": "TCP"}]}
    await world.apply(Service, {"metadata": {"name": "web"}, "spec": spec})
    for number in range(3):
        await make_pod(world, f"p{number}")
        pod = await world.client.get(Pod, f"p{number}", "default")
        await world.set_status(pod, lambda p, n=number: setattr(p.status, "podIP", f"10.0.0.{n}"))


class TestEndpointSlice(ControllerContract):
    def make(self) -> Controller:
        return EndpointSliceController()

    async def populate(self, world: World) -> None:
        await make_service(world)


class TestEndpoints(ControllerContract):
    def make(self) -> Controller:
        return EndpointsController()

    async def populate(self, world: World) -> None:
        await make_service(world)


class TestGarbageCollector(ControllerContract):
    def make(self) -> Controller:
        return GarbageCollector()

    async def populate(self, world: World) -> None:
        owner = await world.apply(ConfigMap, {"metadata": {"name": "owner"}})
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}
        for name in ("a", "b", "c"):
            await world.apply(ConfigMap, {"metadata": {"name": name, "ownerReferences": [reference]}})
        await world.client.delete(ConfigMap, "owner", "default", propagation="Foreground")


class TestNamespace(ControllerContract):
    def make(self) -> Controller:
        return NamespaceController()

    async def populate(self, world: World) -> None:
        metadata = {"name": "shop", "finalizers": ["test/hold"]}
        plain = {"metadata": metadata, "spec": {"finalizers": ["kubernetes"]}}
        await world.client.create(types.from_plain(Namespace, plain))
        for name in ("a", "b"):
            await world.apply(ConfigMap, {"metadata": {"name": name, "namespace": "shop"}})
        await world.client.delete(Namespace, "shop")


class TestNodeIPAM(ControllerContract):
    ignore = ("podCIDR", "podCIDRs")
    """First come, first served."""

    def make(self) -> Controller:
        return NodeIPAMController()

    async def populate(self, world: World) -> None:
        await make_nodes(world, "a", "b", "c")

    def check(self, world: World) -> None:
        assert len({node.spec.podCIDR for node in world.all(Node)} - {None}) == 3


class TestNodeLifecycle(ControllerContract):
    def make(self) -> Controller:
        return NodeLifecycleController()

    async def populate(self, world: World) -> None:
        await make_nodes(world, "a", "b", unschedulable=True)

    async def act(self, world: World) -> None:
        await world.settle(300)


class TestTaintEviction(ControllerContract):
    def make(self) -> Controller:
        return TaintEvictionController()

    async def populate(self, world: World) -> None:
        await make_nodes(world, "a", taints=[{"key": "k", "effect": "NoExecute"}])
        for name in ("p", "q"):
            await make_pod(world, name, "a")


class TestPodGC(ControllerContract):
    def make(self) -> Controller:
        return PodGCController()

    async def populate(self, world: World) -> None:
        for name in ("p", "q"):
            await make_pod(world, name, "gone")


class TestDisruption(ControllerContract):
    def make(self) -> Controller:
        return DisruptionController()

    async def populate(self, world: World) -> None:
        await make_pod(world, "p")
        await world.apply(
            PodDisruptionBudget, {"metadata": {"name": "web"}, "spec": {"selector": SELECTOR, "minAvailable": 1}}
        )


class TestStaleDisruption(ControllerContract):
    """A pod that was marked and then spared."""

    def make(self) -> Controller:
        return StaleDisruptionController()

    async def populate(self, world: World) -> None:
        mark = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": format_time(world.clock.now())}
        for name in ("p", "q"):
            await world.apply(Pod, least(Pod, name) | {"status": {"conditions": [mark]}})

    async def act(self, world: World) -> None:
        await world.settle(200)

    def check(self, world: World) -> None:
        assert [pod.status.conditions[0].status for pod in world.all(Pod)] == ["False", "False"]


class TestClaimProtection(ControllerContract):
    def make(self) -> Controller:
        return ClaimProtectionController()

    async def populate(self, world: World) -> None:
        await world.apply(PersistentVolumeClaim, least(PersistentVolumeClaim, "used"))
        going = least(PersistentVolumeClaim, "going", finalizers=["kubernetes.io/pvc-protection"])
        await world.apply(PersistentVolumeClaim, going)
        await world.client.delete(PersistentVolumeClaim, "going", "default")
