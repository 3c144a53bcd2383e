"""Whether a node takes a pod that was bound to it: the kubelet's own check after the scheduler's.

Pure. A refused pod fails at once with a reason such as `OutOfcpu` or `NodeAffinity`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from kybern.api import quantity
from kybern.api.placement import accepts_node, untolerated

__all__ = ["Refusal", "Used", "admit", "admit_resize", "granted_requests", "host_ports", "pod_requests"]


_CRITICAL = 2_000_000_000
"""Priority from which on a pod is critical for its node or cluster."""


class Refusal(NamedTuple):
    """Why not."""

    reason: str
    message: str


def pod_requests(pod: Any, granted: Mapping[str, Mapping[str, str]] | None = None) -> dict[str, Fraction]:
    """What a pod asks for: its own resources, else the containers', with init containers and overhead.

    `granted`: requests of containers that count instead of the spec's (a resize is not in force).
    """
    granted = granted or {}
    spec = pod.spec
    total: dict[str, Fraction] = {}
    for container in spec.containers:
        _add(total, _requests(container, granted))
    beside: dict[str, Fraction] = {}
    peak: dict[str, Fraction] = {}
    for container in spec.initContainers or ():
        if container.restartPolicy == "Always":
            _add(beside, _requests(container, granted))
            _add(total, _requests(container, granted))
            now = dict(beside)
        else:
            now = dict(beside)
            _add(now, _requests(container, granted))
        for name, amount in now.items():
            peak[name] = max(peak.get(name, Fraction(0)), amount)
    for name, amount in peak.items():
        total[name] = max(total.get(name, Fraction(0)), amount)
    if spec.resources is not None:
        total.update({name: quantity.parse(amount) for name, amount in (spec.resources.requests or {}).items()})
    _add(total, {name: quantity.parse(amount) for name, amount in (spec.overhead or {}).items()})
    return total


def _requests(container: Any, granted: Mapping[str, Mapping[str, str]]) -> dict[str, Fraction]:
    resources = container.resources
    if resources is None or not resources.requests:
        return {}
    return {name: quantity.parse(amount) for name, amount in granted.get(container.name, resources.requests).items()}


def granted_requests(pod: Any) -> dict[str, Mapping[str, str]]:
    """What the status says the containers were granted."""
    statuses = [*(pod.status.containerStatuses or ()), *(pod.status.initContainerStatuses or ())]
    return {s.name: s.allocatedResources for s in statuses if s.allocatedResources}


def _add(total: dict[str, Fraction], more: Mapping[str, Fraction]) -> None:
    for name, amount in more.items():
        total[name] = total[name] + amount if name in total else amount


def host_ports(pod: Any) -> set[tuple[str, str, int]]:
    """(address, protocol, port) of the node that a pod takes."""
    containers = [*pod.spec.containers, *(c for c in pod.spec.initContainers or () if c.restartPolicy == "Always")]
    return {
        (port.hostIP or "0.0.0.0", port.protocol or "TCP", port.hostPort)
        for container in containers
        for port in container.ports or ()
        if port.hostPort
    }


class Used:
    """What the pods of a node take together."""

    __slots__ = ("_pods", "ports", "resources")

    def __init__(self) -> None:
        self.resources: dict[str, Fraction] = {}
        self.ports: set[tuple[str, str, int]] = set()
        self._pods: dict[str, tuple[dict[str, Fraction], set[tuple[str, str, int]]]] = {}

    def __len__(self) -> int:
        return len(self._pods)

    def add(self, pod: Any, granted: Mapping[str, Mapping[str, str]] | None = None) -> None:
        """Count a pod, once."""
        if pod.metadata.uid in self._pods:
            return
        requests, ports = pod_requests(pod, granted), host_ports(pod)
        self._pods[pod.metadata.uid] = requests, ports
        _add(self.resources, requests)
        self.ports |= ports

    def replace(self, pod: Any) -> None:
        """Count a pod by its present spec."""
        self.remove(pod.metadata.uid)
        self.add(pod)

    def without(self, uid: str) -> dict[str, Fraction]:
        """What all others take."""
        own = self._pods.get(uid, ({}, set()))[0]
        return {name: amount - own.get(name, Fraction(0)) for name, amount in self.resources.items()}

    def remove(self, uid: str) -> None:
        """Count a pod no longer."""
        requests, ports = self._pods.pop(uid, ({}, set()))
        _add(self.resources, {name: -amount for name, amount in requests.items()})
        self.ports -= ports


def admit(
    pod: Any, node: Any, used: Used, *, operating_system: str = "linux", pressure: Collection[str] = ()
) -> Refusal | None:
    """None when the pod may run beside those that run on the node (a Node Struct) already."""
    if pressure and not _bears_pressure(pod, pressure):
        return Refusal("Evicted", f"The node had condition: [{' '.join(sorted(pressure))}]. ")
    if pod.spec.os is not None and pod.spec.os.name != operating_system:
        return Refusal("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    if refusal := _admit_resources(pod, node.status.allocatable or {}, used):
        return refusal
    if not accepts_node(pod.spec, node):
        return Refusal(
            "NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
        )
    if used.ports and _clash(host_ports(pod), used.ports):
        return Refusal(
            "NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
        )
    if any(taint.effect == "NoExecute" for taint in untolerated(node.spec.taints, pod.spec.tolerations)):
        return Refusal("TaintToleration", "Predicate TaintToleration failed: node(s) had untolerated taint(s)")
    return None


def admit_resize(pod: Any, node: Any, used: Used) -> Refusal | None:
    """None when a pod that runs here may have what its spec asks for now."""
    allocatable, others = node.status.allocatable or {}, used.without(pod.metadata.uid)
    for name, amount in pod_requests(pod).items():
        has, unit = quantity.parse(allocatable.get(name, "0")), 1000 if name == "cpu" else 1
        if amount > has:
            numbers = f"requested: {int(amount * unit)}, capacity: {int(has * unit)}"
            return Refusal("Infeasible", f"Node didn't have enough capacity: {name}, {numbers}")
        taken = others.get(name, Fraction(0))
        if amount > has - taken:
            numbers = f"requested: {int(amount * unit)}, used: {int(taken * unit)}, capacity: {int(has * unit)}"
            return Refusal("Deferred", f"Node didn't have enough resource: {name}, {numbers}")
    return None


def _bears_pressure(pod: Any, pressure: Collection[str]) -> bool:
    """Whether a node under pressure takes the pod all the same."""
    if (pod.spec.priority or 0) >= _CRITICAL:
        return True
    if set(pressure) != {"MemoryPressure"}:
        return False
    if pod.status.qosClass != "BestEffort":
        return True
    return any(
        t.operator == "Exists" and t.key in (None, "node.kubernetes.io/memory-pressure")
        for t in pod.spec.tolerations or ()
    )


def _admit_resources(pod: Any, allocatable: Mapping[str, str], used: Used) -> Refusal | None:
    slots = quantity.value(allocatable.get("pods", "0"))
    if len(used) + 1 > slots:
        return Refusal(
            "OutOfpods", f"Node didn't have enough resource: pods, requested: 1, used: {len(used)}, capacity: {slots}"
        )
    for name, amount in pod_requests(pod).items():
        has = quantity.parse(allocatable.get(name, "0"))
        taken = used.resources.get(name, Fraction(0))
        if "/" in name and not has:
            # Devices of a ResourceClaim may stand in for a resource that the node does not have; the scheduler knows.
            continue
        if amount and amount > has - taken:
            unit = 1000 if name == "cpu" else 1
            numbers = f"requested: {int(amount * unit)}, used: {int(taken * unit)}, capacity: {int(has * unit)}"
            return Refusal(f"OutOf{name}", f"Node didn't have enough resource: {name}, {numbers}")
    return None


def _clash(wanted: set[tuple[str, str, int]], taken: set[tuple[str, str, int]]) -> bool:
    for address, protocol, port in wanted:
        for other, other_protocol, other_port in taken:
            anywhere = "0.0.0.0" in (address, other)
            if port == other_port and protocol == other_protocol and (anywhere or address == other):
                return True
    return False
