"""The nodes that settings ask for."""

from __future__ import annotations

import pytest

from kybern.cluster.nodes import configured
from kybern.config import Config, ConfigError, NetworkConfig, NodeGroup, NodesConfig


def test_nodes_are_numbered_and_groups_have_what_they_say():
    group = NodeGroup(
        name="gpu", count=2, cpu="64", labels={"accelerator": "yes"}, taints=["accelerator=yes:NoSchedule"]
    )
    nodes = configured(Config(nodes=NodesConfig(count=1, memory="8Gi", group=[group])))
    assert [node.name for node in nodes] == ["node-1", "gpu-0", "gpu-1"]
    assert nodes[1].capacity == {"cpu": "64", "memory": "8Gi"}
    assert nodes[1].labels == {"accelerator": "yes"}
    assert nodes[1].taints == [{"key": "accelerator", "value": "yes", "effect": "NoSchedule"}]
    assert len({node.internal_ip for node in nodes}) == 3


def test_every_node_gives_its_pods_the_cluster_domain():
    config = Config(network=NetworkConfig(cluster_domain="corp.example"))
    assert {node.cluster_domain for node in configured(config)} == {"corp.example"}


def test_more_nodes_than_the_pod_range_has_room_for_are_refused():
    config = Config(nodes=NodesConfig(count=300), network=NetworkConfig(pod_cidr="10.244.0.0/16"))
    with pytest.raises(ConfigError, match=r"network\.pod_cidr: 10\.244\.0\.0/16 has 256 ranges of /24 and 300 nodes"):
        configured(config)
