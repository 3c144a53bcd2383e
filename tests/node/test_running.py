"""A pod comes to run: registration, first status, addresses, one write."""

from __future__ import annotations

from pathlib import Path

import pytest

from kybern.api.coordination import Lease
from tests.node.world import Node, condition, container, pod, state_of, world

pytestmark = pytest.mark.anyio


async def test_a_node_registers_itself_with_lease_and_conditions(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        node = w.client.objects[Node, "", "n1"]
        lease = w.client.objects[Lease, "kube-node-lease", "n1"]
        ready = {c.type: c.status for c in node.status.conditions}
        assert ready == {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True"}
        assert node.status.nodeInfo.kubeletVersion == "v1.37.0+kybern"
        assert node.status.capacity["pods"] == "110"
        assert (lease.spec.holderIdentity, lease.spec.leaseDurationSeconds) == ("n1", 40)


async def test_a_bound_pod_runs_and_its_status_is_written_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        p = await w.run(pod("web", container("c", "nginx:1")))
        assert p.status.phase == "Running"
        assert state_of(p) == ("running", "")
        assert condition(p, "Ready").status == "True"
        assert p.status.podIP.startswith("10.244.1.")
        assert p.status.hostIP == "172.18.0.2"
        assert [w_ for w_ in w.client.writes if w_[1] == "Pod"] == [("create", "Pod", "web"), ("status", "Pod", "web")]
        assert w.events.reasons("web") == ["Pulling", "Pulled", "Created", "Started"]
