"""Pod networks of nodes: each node gets a free block of the cluster's pod range as its `spec.podCIDR`."""

from __future__ import annotations

import ipaddress
from typing import Any

import attrs

from kybern.api.errors import StatusError
from kybern.config import ConfigError
from kybern.reconcile.interface import Context, Controller, Key


class Exhausted(Exception):
    """No block is free."""


class Blocks:
    """The blocks of a range, handed out lowest first."""

    def __init__(self, cluster: str, mask: int) -> None:
        try:
            self.network = ipaddress.ip_network(cluster)
        except ValueError as error:
            raise ConfigError(f"network.pod_cidr: {cluster!r} is not an address range: {error}") from None
        if mask < self.network.prefixlen or mask > self.network.max_prefixlen:
            raise ConfigError(f"network.pod_cidr: {cluster} has no blocks of size /{mask} for the nodes")
        self.mask = mask
        self.count: int = 2 ** (mask - self.network.prefixlen)
        self._size: int = 2 ** (self.network.max_prefixlen - mask)
        self._taken: dict[int, str] = {}
        self._next = 0

    def occupy(self, cidr: str, node: str) -> None:
        """The node has this block; one outside of our range does not matter."""
        number = self._number(cidr)
        if number is not None:
            self._taken.setdefault(number, node)

    def release(self, cidr: str, node: str) -> None:
        """The node is gone."""
        number = self._number(cidr)
        if number is not None and self._taken.get(number) == node:
            del self._taken[number]

    def take(self, node: str) -> str:
        """A free block; blocks of nodes that are gone come again only after the others, as pods may linger."""
        if len(self._taken) >= self.count:
            raise Exhausted
        while self._next in self._taken:
            self._next = (self._next + 1) % self.count
        number, self._next = self._next, (self._next + 1) % self.count
        self._taken[number] = node
        first = self.network.network_address + number * self._size
        return f"{first}/{self.mask}"

    def _number(self, cidr: str) -> int | None:
        block = ipaddress.ip_network(cidr, strict=False)
        if block.version != self.network.version or not block.subnet_of(self.network):  # type: ignore[arg-type]
            return None
        return (int(block.network_address) - int(self.network.network_address)) // self._size


@attrs.define
class NodeIPAMController(Controller):
    """Gives every node its block. `pod_cidrs`: one range, or one of each IP family."""

    pod_cidrs: tuple[str, ...] = ("10.244.0.0/16",)
    mask_v4: int = 24
    mask_v6: int = 64
    name = "nodeipam"
    event_source = "cidrAllocator"
    workers = 30

    def setup(self, context: Context) -> None:
        from kybern.api.core import Node

        self.client, self.events, self.context = context.client, context.events, context
        self.blocks = [Blocks(cidr, self.mask_v6 if ":" in cidr else self.mask_v4) for cidr in self.pod_cidrs]
        self.kind = Node
        self.nodes = context.informer(Node)
        self.nodes.on_change(self._node_changed)

    def _node_changed(self, old: Any, new: Any) -> None:
        node = new if new is not None else old
        cidrs = _cidrs(node)
        unchanged = old is not None and new is not None and cidrs == _cidrs(old)
        for blocks in () if unchanged else self.blocks:
            for cidr in cidrs:
                (blocks.occupy if new is not None else blocks.release)(cidr, node.metadata.name)
        if new is not None and not cidrs and not new.metadata.deletionTimestamp:
            self.context.enqueue(Key("", new.metadata.name))

    async def reconcile(self, key: Key) -> None:
        node: Any = self.nodes.get(key.name)
        if node is None or _cidrs(node):
            return
        taken: list[tuple[Blocks, str]] = []
        try:
            for blocks in self.blocks:
                taken.append((blocks, blocks.take(key.name)))
            cidrs = [cidr for _, cidr in taken]
            patch = {"metadata": {"uid": node.metadata.uid}, "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs}}
            await self.client.patch(self.kind, key.name, "", patch, type="strategic")
        except Exhausted:
            self._give_back(taken, key.name)
            text = f"Node {key.name} status is now: CIDRNotAvailable"
            self.events.event(node, "Normal", "CIDRNotAvailable", text)
            raise RuntimeError(f"no pod network is left for node {key.name}; widen pod_cidr") from None
        except StatusError as error:
            self._give_back(taken, key.name)
            if error.code != 404:
                raise

    def _give_back(self, taken: list[tuple[Blocks, str]], node: str) -> None:
        for blocks, cidr in taken:
            blocks.release(cidr, node)


def _cidrs(node: Any) -> list[str]:
    return list(node.spec.podCIDRs or ([node.spec.podCIDR] if node.spec.podCIDR else []))
