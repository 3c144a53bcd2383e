"""The seam to what gives pods their network, after CNI 1.1: `PodNetwork` with ADD, DEL, CHECK, STATUS and GC.

The node agent, or a runtime that leaves networking to Kybern, calls it around a sandbox's life: ADD
once the network namespace exists, DEL before it goes, GC for what a crash left behind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from kybern.clock import Clock
from kybern.node.runtime import PortMapping

__all__ = ["Attachment", "IPConfig", "Interface", "NetworkFault", "PodNetwork", "Route", "SandboxNetwork"]


class NetworkFault(Exception):
    """A network's refusal. `code` as CNI numbers them: 4 invalid environment, 7 invalid config, 11 try again later,
    50 not available, 51 not available and existing pods may lose connectivity, 100 and above the network's own."""

    def __init__(self, code: int, message: str, details: str = "") -> None:
        super().__init__(f"{message}: {details}" if details else message)
        self.code = code
        self.message = message
        self.details = details


@attrs.frozen
class SandboxNetwork:
    """The network namespace to attach, and whose it is."""

    sandbox_id: str
    """CNI_CONTAINERID: identifies the attachment together with `interface`."""
    netns: str
    """CNI_NETNS: path of the namespace; may be "" or gone on DEL."""
    pod_name: str
    pod_namespace: str
    pod_uid: str
    interface: str = "eth0"
    """CNI_IFNAME."""
    port_mappings: Sequence[PortMapping] = ()
    bandwidth_ingress: int = 0
    """Bits per second; 0: unlimited."""
    bandwidth_egress: int = 0
    annotations: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Interface:
    """An interface that ADD made. `sandbox` is "" for one on the node's side."""

    name: str
    mac: str = ""
    mtu: int = 0
    sandbox: str = ""


@attrs.frozen
class IPConfig:
    """An address on one of the interfaces (an index into `Attachment.interfaces`)."""

    address: str
    """With prefix length: `10.244.1.7/24`."""
    gateway: str = ""
    interface: int = 0


@attrs.frozen
class Route:
    """A route inside the sandbox."""

    destination: str
    gateway: str = ""
    mtu: int = 0


@attrs.frozen
class Attachment:
    """The result of ADD; CHECK and DEL are given it back, and so it must survive being written as JSON."""

    interfaces: Sequence[Interface]
    ips: Sequence[IPConfig]
    routes: Sequence[Route] = ()


class PodNetwork(ABC):
    """Attaches the pods of one node to the cluster's network.

    All methods may be called concurrently for different sandboxes; for one sandbox and interface
    calls are serial. Nothing may be kept only in memory: after a restart of the agent DEL, CHECK
    and GC must work for what an earlier process added.
    """

    def __init__(self, node_name: str, clock: Clock, options: Any, state_dir: Path) -> None:
        """`options`: the plugin's config section. `state_dir`: a directory for this node's network state; it exists.
        Must not do I/O."""
        self.node_name = node_name
        self.clock = clock
        self.options = options
        self.state_dir = state_dir

    async def start(self, pod_cidrs: Sequence[str]) -> None:
        """Prepare the node (bridge, masquerading) for pods of these ranges. Called again when the ranges change;
        idempotent. The default has nothing to prepare."""
        return

    async def close(self) -> None:
        """Let go of resources of this process. Attached pods stay connected."""
        return

    @abstractmethod
    async def add(self, sandbox: SandboxNetwork) -> Attachment:
        """ADD: make the interface in the sandbox's namespace, with at least one address, routes and port mappings.

        When it raises, it has undone what it did. Adding the same sandbox and interface twice
        without DEL between is an error.
        """

    @abstractmethod
    async def delete(self, sandbox: SandboxNetwork, attachment: Attachment | None) -> None:
        """DEL: undo ADD and give the addresses back.

        Idempotent, and succeeds with what is already gone: the namespace, the interface, the
        attachment (None when ADD's result was lost).
        """

    @abstractmethod
    async def check(self, sandbox: SandboxNetwork, attachment: Attachment) -> None:
        """CHECK: raise NetworkFault when something that ADD made is missing or different; changes nothing."""

    @abstractmethod
    async def status(self) -> None:
        """STATUS: raise NetworkFault 50 or 51 when ADD would fail now. A node whose network is not available is not
        Ready (`NetworkPluginNotReady`)."""

    @abstractmethod
    async def gc(self, valid: Sequence[tuple[str, str]]) -> None:
        """GC: undo every attachment whose (sandbox id, interface) is not in `valid`, with DEL's semantics; goes on
        after a failure and raises the first one at the end."""

    async def pods_moved(self, nodes: Mapping[str, Sequence[str]]) -> None:
        """The pod ranges of all nodes, by node address: for networks that route between nodes. Called on every change
        with the whole; idempotent."""
        return
