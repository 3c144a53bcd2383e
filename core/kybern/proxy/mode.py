"""The seam to what forwards Service traffic: a `ProxyMode` turns changes of services into the node's rules.

`kybern.proxy` follows Services and EndpointSlices and keeps the whole picture; once per sync it
hands a mode only what changed. The cost of a sync is proportional to the change; the whole comes
again only with `reset`, after a start or when the mode asks for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import attrs

from kybern.clock import Clock

__all__ = ["Changes", "Endpoint", "PortName", "ProxyFault", "ProxyMode", "ServicePort"]


class ProxyFault(Exception):
    """Rules could not be written. `retry_all`: what the kernel holds is unknown now, so `reset` must come next."""

    def __init__(self, message: str, *, retry_all: bool = False) -> None:
        super().__init__(message)
        self.retry_all = retry_all


class PortName(NamedTuple):
    """What rules are keyed by: one port of one Service."""

    namespace: str
    name: str
    port: str
    """The port's name; "" for an unnamed one."""
    protocol: str = "TCP"


@attrs.frozen
class ServicePort:
    """One port of a Service and every address it is reached at."""

    name: PortName
    cluster_ips: Sequence[str]
    """Of this node's IP families."""
    port: int
    node_port: int = 0
    external_ips: Sequence[str] = ()
    load_balancer_ips: Sequence[str] = ()
    source_ranges: Sequence[str] = ()
    """CIDRs that may use the load balancer's addresses; empty: everyone."""
    session_affinity_seconds: int = 0
    """0: no affinity; otherwise by client IP, for so long."""
    external_local: bool = False
    """externalTrafficPolicy Local: outside traffic only to this node's endpoints, source address kept."""
    internal_local: bool = False
    """internalTrafficPolicy Local."""
    health_check_node_port: int = 0


@attrs.frozen
class Endpoint:
    """An address behind a service port, already chosen for this node (topology hints, terminating fallback)."""

    ip: str
    port: int
    local: bool
    """It runs on this node."""
    ready: bool = True
    serving: bool = True
    terminating: bool = False


@attrs.frozen
class Changes:
    """What a sync shall bring about. A port in `services` or `endpoints` is given whole; one in neither stays."""

    services: Mapping[PortName, ServicePort]
    """Added or changed ports."""
    removed: Sequence[PortName]
    """Ports that are no more; their endpoints go with them."""
    endpoints: Mapping[PortName, Sequence[Endpoint]]
    """All endpoints of the ports whose endpoints changed; empty: connections are refused."""
    stale_udp: Sequence[tuple[PortName, str]] = ()
    """Endpoint addresses that are gone and whose UDP connection tracking entries must be flushed."""


class ProxyMode(ABC):
    """Keeps one node's rules. Calls are serial; none may block the event loop.

    The mode owns its tables and chains, names them so that it recognises them after a restart, and
    leaves everybody else's rules alone. Between two calls the rules are complete: a sync that fails
    leaves the old rules in force, not half of the new ones.
    """

    def __init__(self, node_name: str, clock: Clock, options: Any, state_dir: Path) -> None:
        """`options`: the plugin's config section. `state_dir` exists. Must not do I/O."""
        self.node_name = node_name
        self.clock = clock
        self.options = options
        self.state_dir = state_dir

    @abstractmethod
    async def start(self, node_ips: Sequence[str], pod_cidrs: Sequence[str]) -> None:
        """Prepare the kernel (tables, chains, sysctls). `pod_cidrs`: the cluster's, to tell outside traffic from
        inside; `node_ips`: where node ports answer. Raises ProxyFault when this machine cannot."""

    @abstractmethod
    async def reset(self, everything: Changes) -> None:
        """Make the rules exactly these, whatever was there: after a start, and after a ProxyFault with `retry_all`.
        `removed` is empty."""

    @abstractmethod
    async def sync(self, changes: Changes) -> None:
        """Apply changes on top of what the last call left. Returns when new connections follow the new rules."""

    @abstractmethod
    async def cleanup(self) -> None:
        """Remove every rule of this mode, also those of an earlier process; idempotent, and needs no `start`."""

    async def close(self) -> None:
        """Let go of sockets and processes; the rules stay in force."""
        return
