"""What a node is configured to be. `kybern.toml`'s `[[nodes.node]]` and `--nodes N` become these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

__all__ = ["KUBELET_VERSION", "AgentConfig", "NodeConfig", "numbered_nodes"]

KUBELET_VERSION = "v1.37.0+kybern"


@attrs.frozen
class NodeConfig:
    """One node. Empty capacities come from the runtime driver's `machine()`."""

    name: str
    runtime: str = "fake"
    """Name of the runtime driver."""
    internal_ip: str = ""
    """The node's address, also its pods' hostIP."""
    hostname: str = ""
    pod_cidr: str = ""
    """Range of pod addresses where no controller assigns one."""
    labels: Mapping[str, str] = attrs.field(factory=dict)
    taints: Sequence[Mapping[str, str]] = ()
    """As in the API: key, value, effect."""
    annotations: Mapping[str, str] = attrs.field(factory=dict)
    capacity: Mapping[str, str] = attrs.field(factory=dict)
    """Quantities by resource name; others than the usual four are extended resources."""
    reserved: Mapping[str, str] = attrs.field(factory=dict)
    """Quantities kept from pods: allocatable is capacity without them."""
    max_pods: int = 0
    kubelet_port: int = 10250
    cluster_dns: Sequence[str] = ()
    cluster_domain: str = "cluster.local"
    unschedulable: bool = False


@attrs.frozen
class AgentConfig:
    """What holds for all nodes of an agent; the defaults are the kubelet's."""

    lease_duration: float = 40.0
    lease_interval: float = 10.0
    status_report_interval: float = 300.0
    """How often a status that has not changed is written all the same."""
    pod_cidr_timeout: float = 10.0
    """How long pods wait for the node to get a pod range before they start without."""
    restart_backoff: float = 10.0
    restart_backoff_max: float = 300.0
    image_backoff: float = 10.0
    image_backoff_max: float = 300.0
    retry_interval: float = 10.0
    """After a failed sync."""
    housekeeping_interval: float = 60.0
    relist_interval: float = 1.0
    """How often a runtime without events is listed."""
    shared_caches: bool = True
    """ConfigMaps and Secrets come from the process's informers; False where the agent may not list them all."""
    event_qps: float = 50.0
    event_burst: int = 100
    status_writers: int = 32
    runtime_options: Mapping[str, Any] = attrs.field(factory=dict)
    """Options of each runtime driver, by its name."""


def numbered_nodes(count: int, prefix: str = "node-", **fields: Any) -> list[NodeConfig]:
    """Nodes `node-1` ... with addresses 172.18.0.2 and up, for clusters of fake nodes."""
    return [
        NodeConfig(
            name=f"{prefix}{i}", internal_ip=f"172.{18 + (i + 1 >> 16)}.{(i + 1 >> 8) & 255}.{(i + 1) & 255}", **fields
        )
        for i in range(1, count + 1)
    ]
