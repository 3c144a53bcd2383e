"""The CSINode beside each Node."""

from __future__ import annotations

from pathlib import Path

import pytest

from kybern.api import types
from kybern.api.storage import CSINode
from kybern.node.csi_node import register_csi_node
from tests.node.world import Node, world

pytestmark = pytest.mark.anyio


async def test_a_node_has_a_csi_node_that_goes_with_it(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        node, found = w.client.objects[Node, "", "n1"], w.client.objects[CSINode, "", "n1"]
        [owner] = found.metadata.ownerReferences
        assert (owner.kind, owner.name, owner.uid, owner.controller) == ("Node", "n1", node.metadata.uid, None)
        assert [(d.name, d.nodeID) for d in found.spec.drivers] == [("fake.kybern.dev", "n1")]


async def test_what_drivers_wrote_stays_when_the_node_comes_back(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        found = types.copy(w.client.objects[CSINode, "", "n1"])
        found.spec.drivers[0].allocatable = types.from_plain(
            CSINode, {"spec": {"drivers": [{"name": "x", "nodeID": "x", "allocatable": {"count": 3}}]}}
        ).spec.drivers[0].allocatable  # fmt: skip
        await w.client.update(found)
        node = w.client.objects[Node, "", "n1"]
        await register_csi_node(w.client, node, ("fake.kybern.dev", "csi.example.com"))
        drivers = w.client.objects[CSINode, "", "n1"].spec.drivers
        assert [(d.name, d.allocatable and d.allocatable.count) for d in drivers] == [
            ("fake.kybern.dev", 3),
            ("csi.example.com", None),
        ]
