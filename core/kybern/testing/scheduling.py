"""Made-up clusters for tests of scheduling policies: many nodes, many pods, a bit of everything, by a seed.

`PolicyWorld` is also the `Handle` of the policies under test; what a policy asks of the cluster is
answered from its objects, and nothing is ever written.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from random import Random
from typing import Any

from kybern.api import types
from kybern.clock import VirtualClock
from kybern.reconcile.interface import Informer
from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.nominator import Nominator
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import CycleState, Handle, Policy, Status
from kybern.scheduler.snapshot import Snapshot

__all__ = ["PolicyWorld", "random_node", "random_pod", "random_world"]

NEVER = 10**9
ZONES = ("a", "b", "c")
APPS = ("web", "db", "cache")
DISKS = ("ssd", "hdd")


class _Objects(Informer[Any]):
    """An informer over objects that never change."""

    def __init__(self, kind: type[Any], objects: Iterable[Any]) -> None:
        self.kind = kind
        self._objects = {(o.metadata.namespace or "", o.metadata.name): o for o in objects}

    def get(self, name: str, namespace: str = "") -> Any:
        return self._objects.get((namespace, name))

    def add_index(self, name: str, values: Any) -> None:
        raise NotImplementedError("policies look objects up by name")

    def by_index(self, name: str, value: str) -> list[Any]:
        raise NotImplementedError("policies look objects up by name")

    def on_change(self, callback: Callable[[Any, Any], None]) -> None:
        for obj in self._objects.values():
            callback(None, obj)

    async def synced(self) -> None:
        return None

    def list(self, namespace: str = "", selector: Callable[[Any], bool] | None = None) -> list[Any]:
        found = (o for (where, _), o in self._objects.items() if namespace in ("", where))
        return [o for o in found if selector is None or selector(o.metadata.labels)]


class PolicyWorld(Handle):
    """A snapshot, the objects around it, and one policy that is asked alone."""

    client: Any = None
    events: Any = None

    def __init__(self, nodes: Iterable[Any], pods: Iterable[Any], others: Iterable[Any] = (), *, numpy: bool) -> None:
        """`pods` have their nodes. `numpy`: with columns, however small the cluster."""
        self.clock = VirtualClock()
        self.nominator = Nominator()
        self.random = Random(1)
        self.snapshot = Snapshot(1 if numpy else NEVER)
        self._others = list(others)
        self.filters = self
        self.policy: Policy
        for node in nodes:
            self.snapshot.add_or_update_node(node)
        self.snapshot.prepare()
        for pod in pods:
            self.snapshot.add_pod(PodInfo(pod), pod.spec.nodeName)

    def informer(self, kind: type[Any]) -> Informer[Any]:
        return _Objects(kind, (o for o in self._others if isinstance(o, kind)))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        work.close()

    def activate(self, uid: str) -> None:
        return None

    def reject_waiting(self, uid: str, policy: str, message: str) -> bool:
        return False

    def allow_waiting(self, uid: str, policy: str) -> bool:
        return False

    def filter_with_nominated(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """The policy's own objection."""
        return self.policy.filter(state, pod, info)

    def add_pod(self, state: CycleState, pod: PodInfo, other: PodInfo, info: NodeInfo) -> None:
        """As a profile does it."""
        info.add_pod(other)
        self.policy.add_pod(state, pod, other, info)

    def remove_pod(self, state: CycleState, pod: PodInfo, other: PodInfo, info: NodeInfo) -> None:
        """As a profile does it."""
        info.remove_pod(other)
        self.policy.remove_pod(state, pod, other, info)


def random_world(seed: int, *, numpy: bool, nodes: int = 24, pods: int = 48) -> PolicyWorld:
    """The same cluster for the same seed, with or without columns."""
    random = Random(seed)
    made = [random_node(random, i) for i in range(nodes)]
    placed = [random_pod(random, f"old-{i}", on=f"n{random.randrange(nodes)}") for i in range(pods)]
    return PolicyWorld(made, placed, _others(), numpy=numpy)


def _others() -> list[Any]:
    from kybern.api.core import Namespace, PersistentVolume, PersistentVolumeClaim, Service
    from kybern.api.storage import CSINode, StorageClass

    namespaces: list[dict[str, Any]] = [
        {"metadata": {"name": "default", "labels": {"team": "red"}}},
        {"metadata": {"name": "other", "labels": {"team": "blue"}}},
    ]
    service = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"selector": {"app": "web"}}}
    volumes = [
        {
            "metadata": {"name": f"pv-{zone}", "labels": {"topology.kubernetes.io/zone": zone}},
            "spec": {
                "csi": {"driver": "disk.example.com", "volumeHandle": f"vol-{zone}"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [_zone_term(zone)]}},
            },
        }
        for zone in ZONES
    ]
    claims = [
        {
            "metadata": {"name": f"claim-{zone}", "namespace": "default"},
            "spec": {
                "volumeName": f"pv-{zone}",
                "accessModes": ["ReadWriteOncePod" if zone == "a" else "ReadWriteOnce"],
            },
            "status": {"phase": "Bound"},
        }
        for zone in ZONES
    ]
    claims.append({"metadata": {"name": "late", "namespace": "default"}, "spec": {"storageClassName": "late"}})
    late = {
        "metadata": {"name": "late"},
        "provisioner": "disk.example.com",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowedTopologies": [
            {"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "values": ["a", "b"]}]},
        ],
    }
    driver = {"name": "disk.example.com", "nodeID": "n0", "allocatable": {"count": 1}}
    limits = {"metadata": {"name": "n0"}, "spec": {"drivers": [driver]}}
    plain: list[tuple[type[Any], Iterable[dict[str, Any]]]] = [
        (Namespace, namespaces),
        (Service, [service]),
        (PersistentVolume, volumes),
        (PersistentVolumeClaim, claims),
        (StorageClass, [late]),
        (CSINode, [limits]),
    ]
    return [types.from_plain(kind, obj) for kind, objects in plain for obj in objects]


def _zone_term(zone: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}]}


def random_node(random: Random, i: int) -> Any:
    """A Node with labels, taints and images by chance."""
    from kybern.api.core import Node

    labels = {"kubernetes.io/hostname": f"n{i}", "disk": random.choice(DISKS), "number": str(random.randrange(9))}
    if random.random() < 0.9:
        labels["topology.kubernetes.io/zone"] = random.choice(ZONES)
    taints = [{"key": "soft", "value": "yes", "effect": "PreferNoSchedule"}] if random.random() < 0.3 else []
    if random.random() < 0.2:
        taints.append({"key": "dedicated", "value": "db", "effect": random.choice(["NoSchedule", "NoExecute"])})
    images = [
        {"names": [f"{app}:latest"], "sizeBytes": random.randrange(2**20, 2**31)}
        for app in APPS
        if random.random() < 0.4
    ]
    allocatable = {
        "cpu": f"{random.randrange(0, 9)}",
        "memory": f"{random.randrange(1, 17)}Gi",
        "pods": f"{random.randrange(2, 9)}",
    }
    if random.random() < 0.3:
        allocatable["example.com/gpu"] = "2"
    return types.from_plain(
        Node,
        {
            "metadata": {"name": f"n{i}", "labels": labels},
            "spec": {"taints": taints, "unschedulable": random.random() < 0.1},
            "status": {"allocatable": allocatable, "images": images},
        },
    )


def random_pod(random: Random, name: str, *, on: str | None = None) -> Any:
    """A Pod with wishes by chance."""
    from kybern.api.core import Pod

    app = random.choice(APPS)
    requests = {}
    if random.random() < 0.8:
        requests["cpu"] = f"{random.randrange(1, 30)}00m"
    if random.random() < 0.7:
        requests["memory"] = f"{random.randrange(1, 40)}00Mi"
    if random.random() < 0.15:
        requests["example.com/gpu"] = "1"
    ports = [{"containerPort": 80, "hostPort": 8000 + random.randrange(3)}] if random.random() < 0.2 else []
    container = {"name": "main", "image": app, "resources": {"requests": requests}, "ports": ports}
    spec: dict[str, Any] = {
        "containers": [container],
        "nodeName": on,
        "priority": random.randrange(3),
        "schedulerName": "default-scheduler",
        "affinity": _affinity(random),
        "topologySpreadConstraints": _spread(random),
        "volumes": _volumes(random),
    }
    if random.random() < 0.3:
        spec["tolerations"] = [{"key": "dedicated", "operator": "Exists"}]
    if random.random() < 0.2:
        spec["nodeSelector"] = {"disk": random.choice(DISKS)}
    namespace = random.choice(["default", "default", "other"])
    if namespace == "other":
        spec["volumes"] = []
    meta = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": {"app": app}}
    return types.from_plain(Pod, {"metadata": meta, "spec": spec})


def _volumes(random: Random) -> list[dict[str, Any]]:
    if random.random() > 0.25:
        return []
    claim = random.choice(["claim-a", "claim-b", "claim-c", "late"])
    return [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]


def _spread(random: Random) -> list[dict[str, Any]]:
    if random.random() > 0.5:
        return []
    key = random.choice(["topology.kubernetes.io/zone", "kubernetes.io/hostname", "disk"])
    constraint: dict[str, Any] = {
        "topologyKey": key,
        "maxSkew": random.randrange(1, 3),
        "whenUnsatisfiable": random.choice(["DoNotSchedule", "ScheduleAnyway"]),
        "labelSelector": {"matchLabels": {"app": random.choice(APPS)}},
        "nodeAffinityPolicy": random.choice([None, "Honor", "Ignore"]),
        "nodeTaintsPolicy": random.choice([None, "Honor", "Ignore"]),
    }
    if constraint["whenUnsatisfiable"] == "DoNotSchedule" and random.random() < 0.3:
        constraint["minDomains"] = random.randrange(1, 5)
    second = {"topologyKey": "disk", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
    return [constraint] + ([second] if random.random() < 0.3 and key != "disk" else [])


def _affinity(random: Random) -> dict[str, Any] | None:
    affinity: dict[str, Any] = {}
    if random.random() < 0.3:
        affinity["nodeAffinity"] = _node_affinity(random)
    if random.random() < 0.4:
        affinity["podAffinity"] = _pod_affinity(random)
    if random.random() < 0.4:
        affinity["podAntiAffinity"] = _pod_affinity(random)
    return affinity or None


def _node_affinity(random: Random) -> dict[str, Any]:
    operator = random.choice(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"])
    expression: dict[str, Any] = {"key": "number" if operator in ("Gt", "Lt") else "topology.kubernetes.io/zone"}
    expression["operator"] = operator
    if operator in ("In", "NotIn"):
        expression["values"] = ["a", "nowhere"]
    elif operator in ("Gt", "Lt"):
        expression["values"] = ["4"]
    term = {"matchExpressions": [expression]}
    preferred = [{"weight": random.randrange(1, 100), "preference": term}]
    if random.random() < 0.5:
        return {"preferredDuringSchedulingIgnoredDuringExecution": preferred}
    names = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1", "n2", "gone"]}]}
    terms = [term, names] if random.random() < 0.5 else [names] if random.random() < 0.3 else [term]
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}


def _pod_affinity(random: Random) -> dict[str, Any]:
    term: dict[str, Any] = {
        "topologyKey": random.choice(["topology.kubernetes.io/zone", "kubernetes.io/hostname", "missing"]),
        "labelSelector": {"matchLabels": {"app": random.choice(APPS)}},
    }
    if random.random() < 0.2:
        term["namespaceSelector"] = {"matchLabels": {"team": "blue"}}
    if random.random() < 0.5:
        weighted = {"weight": random.randrange(1, 100), "podAffinityTerm": term}
        return {"preferredDuringSchedulingIgnoredDuringExecution": [weighted]}
    return {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
