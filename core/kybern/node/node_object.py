"""The Node object a node reports: pure functions of its configuration and what the runtime says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from kybern.api import quantity
from kybern.api.time import format_time
from kybern.node.config import KUBELET_VERSION, NodeConfig
from kybern.node.runtime import Image, MachineInfo, RuntimeStatus, Version

__all__ = ["Observation", "allocatable", "capacity", "new_node", "node_labels", "node_status", "transitions"]

_MAX_IMAGES = 50


def node_labels(config: NodeConfig, machine: MachineInfo) -> dict[str, str]:
    """Well-known labels and the configured ones."""
    os, arch = machine.operating_system, machine.architecture
    return {
        "beta.kubernetes.io/arch": arch,
        "beta.kubernetes.io/os": os,
        "kubernetes.io/arch": arch,
        "kubernetes.io/hostname": config.hostname or config.name,
        "kubernetes.io/os": os,
        **config.labels,
    }


def capacity(config: NodeConfig, machine: MachineInfo) -> dict[str, str]:
    """What the node has; the configuration overrides the machine."""
    has = {
        "cpu": quantity.canonical(f"{machine.cpu_milli}m"),
        "ephemeral-storage": f"{machine.ephemeral_storage_bytes // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": f"{machine.memory_bytes // 1024}Ki",
        "pods": str(config.max_pods or machine.pods or 110),
    }
    has.update((name, quantity.canonical(amount)) for name, amount in config.capacity.items())
    return dict(sorted(has.items()))


def allocatable(config: NodeConfig, has: dict[str, str]) -> dict[str, str]:
    """What pods may have of it."""
    left = dict(has)
    for name, reserved in config.reserved.items():
        if name in left:
            amount = max(quantity.parse(left[name]) - quantity.parse(reserved), quantity.parse("0"))
            binary = name in ("memory", "ephemeral-storage")
            left[name] = quantity.format(amount, "BinarySI" if binary else "DecimalSI")
    return left


def new_node(config: NodeConfig, machine: MachineInfo) -> Any:
    """The Node to register, without status."""
    from kybern.api.core import Node, NodeSpec, Taint
    from kybern.api.meta import ObjectMeta

    return Node(
        metadata=ObjectMeta(
            name=config.name,
            labels=node_labels(config, machine),
            annotations={"volumes.kubernetes.io/controller-managed-attach-detach": "true", **config.annotations},
        ),
        spec=NodeSpec(
            taints=[Taint(**taint) for taint in config.taints] or None,
            unschedulable=config.unschedulable or None,
            podCIDR=config.pod_cidr or None,
            podCIDRs=[config.pod_cidr] if config.pod_cidr else None,
        ),
    )


@attrs.frozen
class Observation:
    """What a node's status depends on beside its configuration: as long as two are equal, nothing is new."""

    health: RuntimeStatus
    images: Sequence[Image] = ()
    pressure: frozenset[str] = frozenset()
    shutting_down: bool = False


def node_status(
    config: NodeConfig, machine: MachineInfo, version: Version, seen: Observation, old: Any, now: float
) -> Any:
    """The NodeStatus; `old` is the last one, whose transition times and foreign conditions stay."""
    from kybern.api import core

    has = capacity(config, machine)
    status = core.NodeStatus(
        capacity=has,
        allocatable=allocatable(config, has),
        addresses=_addresses(config),
        conditions=_conditions(seen, old, now),
        daemonEndpoints=core.NodeDaemonEndpoints(kubeletEndpoint=core.DaemonEndpoint(Port=config.kubelet_port)),
        images=_images(seen.images),
        nodeInfo=_node_info(machine, version, config.name),
    )
    if old is not None:
        status.volumesAttached, status.volumesInUse = old.volumesAttached, old.volumesInUse
    return status


def _addresses(config: NodeConfig) -> list[Any]:
    from kybern.api.core import NodeAddress

    found = [NodeAddress(type="InternalIP", address=config.internal_ip)] if config.internal_ip else []
    return [*found, NodeAddress(type="Hostname", address=config.hostname or config.name)]


def _images(images: Sequence[Image]) -> list[Any] | None:
    from kybern.api.core import ContainerImage

    largest = sorted(images, key=lambda image: (-image.size, image.id))[:_MAX_IMAGES]
    return [ContainerImage(names=[*i.repo_digests, *i.repo_tags], sizeBytes=i.size or None) for i in largest] or None


def _node_info(machine: MachineInfo, version: Version, name: str) -> Any:
    from kybern.api.core import NodeSystemInfo

    return NodeSystemInfo(
        architecture=machine.architecture,
        bootID=machine.boot_id,
        containerRuntimeVersion=f"{version.runtime_name}://{version.runtime_version}",
        kernelVersion=machine.kernel_version,
        kubeProxyVersion="",
        kubeletVersion=KUBELET_VERSION,
        machineID=machine.machine_id,
        operatingSystem=machine.operating_system,
        osImage=machine.os_image,
        systemUUID=machine.system_uuid,
    )


_PRESSURES = {
    "MemoryPressure": (
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    ),
    "DiskPressure": (
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    ),
    "PIDPressure": (
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
    ),
}


def _conditions(seen: Observation, old: Any, now: float) -> list[Any]:
    said: dict[str, tuple[str, str, str]] = {}
    for type_, (well, ill) in _PRESSURES.items():
        said[type_] = ("True", *ill) if type_ in seen.pressure else ("False", *well)
    said["Ready"] = _ready(seen.health, seen.shutting_down)
    before = {c.type: c for c in (old.conditions if old is not None else None) or ()}
    found = [_condition(type_, *verdict, before.get(type_), now) for type_, verdict in said.items()]
    return [c for t, c in before.items() if t not in said] + found


def _ready(health: RuntimeStatus, shutting_down: bool) -> tuple[str, str, str]:
    problems = ["node is shutting down"] if shutting_down else []
    for condition in health.conditions:
        if not condition.status:
            what = "network" if condition.type == "NetworkReady" else "runtime"
            said = f"{condition.type}=false reason:{condition.reason} message:{condition.message}"
            problems.append(f"container {what} is not ready: {said}")
    if problems:
        return "False", "KubeletNotReady", f"[{', '.join(problems)}]" if len(problems) > 1 else problems[0]
    return "True", "KubeletReady", "kubelet is posting ready status"


def _condition(type_: str, status: str, reason: str, message: str, before: Any, now: float) -> Any:
    from kybern.api.core import NodeCondition

    stamp = format_time(now)
    since = before.lastTransitionTime if before is not None and before.status == status else stamp
    return NodeCondition(
        type=type_,
        status=status,
        reason=reason,
        message=message,
        lastHeartbeatTime=stamp,
        lastTransitionTime=since or stamp,
    )


_TRANSITIONS = {
    ("Ready", "True"): "NodeReady",
    ("Ready", "False"): "NodeNotReady",
    ("MemoryPressure", "True"): "NodeHasInsufficientMemory",
    ("MemoryPressure", "False"): "NodeHasSufficientMemory",
    ("DiskPressure", "True"): "NodeHasDiskPressure",
    ("DiskPressure", "False"): "NodeHasNoDiskPressure",
    ("PIDPressure", "True"): "NodeHasInsufficientPID",
    ("PIDPressure", "False"): "NodeHasSufficientPID",
}


def transitions(old: Any, new: Any) -> list[str]:
    """Event reasons for the conditions that changed between two statuses (`old` None: all)."""
    before = {c.type: c.status for c in (old.conditions if old is not None else None) or ()}
    changed = [(c.type, c.status) for c in new.conditions or () if before.get(c.type) != c.status]
    return [_TRANSITIONS[change] for change in changed if change in _TRANSITIONS]
