"""The nodes that the settings ask for, and the agent that hosts them in this process."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import attrs

from kybern.cluster import stores
from kybern.config import Config, ConfigError, NodeGroup, NodesConfig

if TYPE_CHECKING:
    from kybern.cluster.cluster import Cluster
    from kybern.cluster.start import Start
    from kybern.node.agent import NodeAgent
    from kybern.node.config import NodeConfig

__all__ = ["configured", "make_agent"]


def configured(config: Config) -> list[NodeConfig]:
    """Every node of `nodes.count` and the groups; ConfigError when `network.pod_cidr` has no room for them."""
    from kybern.node.config import numbered_nodes

    nodes = config.nodes
    capacity = {"cpu": nodes.cpu, "memory": nodes.memory}
    made = list(numbered_nodes(nodes.count, runtime=nodes.runtime, capacity=capacity, max_pods=nodes.pods))
    for number, group in enumerate(nodes.group):
        made += [_grouped(nodes, group, number, i) for i in range(group.count)]
    _check_room(config.network.pod_cidr, len(made))
    return [attrs.evolve(node, cluster_domain=config.network.cluster_domain) for node in made]


def _grouped(nodes: NodesConfig, group: NodeGroup, number: int, i: int) -> NodeConfig:
    from kybern.node.config import NodeConfig

    return NodeConfig(
        name=f"{group.name}-{i}",
        runtime=group.runtime or nodes.runtime,
        internal_ip=f"172.19.{number % 256}.{i % 250 + 2}",
        labels=group.labels,
        taints=[_taint(text) for text in group.taints],
        capacity={"cpu": group.cpu or nodes.cpu, "memory": group.memory or nodes.memory},
        max_pods=group.pods or nodes.pods,
    )


def _taint(text: str) -> dict[str, str]:
    """`key=value:Effect` or `key:Effect`, whose form has been checked."""
    key, _, effect = text.rpartition(":")
    name, _, value = key.partition("=")
    return {"key": name, "value": value, "effect": effect} if value else {"key": name, "effect": effect}


def _check_room(cidr: str, nodes: int) -> None:
    """Every node needs a /24 of the pod range; without one its pods would wait."""
    there = 2 ** (24 - ipaddress.ip_network(cidr).prefixlen)
    if nodes > there:
        raise ConfigError(
            f"network.pod_cidr: {cidr} has {there:g} ranges of /24 and {nodes} nodes need one each; "
            "use a wider one, such as 10.128.0.0/9"
        )


def make_agent(cluster: Cluster, start: Start, nodes: list[NodeConfig]) -> NodeAgent:
    """The agent of these nodes, with the runtime that each of them names; ConfigError when no plugin offers one."""
    from kybern.node.agent import NodeAgent
    from kybern.node.config import AgentConfig

    offers = cluster.plugins.offers("kybern_runtime", start=start)
    cluster.state.nodes.mkdir(exist_ok=True)
    used = {node.runtime: stores.select(offers, node.runtime, "nodes.runtime") for node in nodes}
    options = {name: cluster.options(offer.plugin) for name, offer in used.items()}
    return NodeAgent(
        cluster.client.as_component("kubelet"),
        start.informers,
        start.clock,
        start.events,
        nodes=nodes,
        drivers={name: offer.driver for name, offer in used.items()},
        state_dir=cluster.state.nodes,
        config=AgentConfig(runtime_options=options),
    )
