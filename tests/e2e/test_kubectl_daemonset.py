"""kubectl and DaemonSets: rollout in its verbs, surge, and nodes that are labelled, tainted and drained."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Kubectl

IMAGES = ("get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}")
NODES = ("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}")
READY = ("get", "daemonset", "agent", "-o", "jsonpath={.status.desiredNumberScheduled} {.status.numberReady}")


def manifest(**spec: Any) -> str:
    """A DaemonSet `agent` whose pods end at once."""
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "agent"},
            "spec": {
                "selector": {"matchLabels": {"app": "agent"}},
                "template": {
                    "metadata": {"labels": {"app": "agent"}},
                    "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "nginx:1"}]},
                },
                **spec,
            },
        }
    )


def rolled_out(kubectl: Kubectl) -> None:
    kubectl("rollout", "status", "daemonset/agent", "--timeout=30s")


@pytest.fixture
def agent(kubectl: Kubectl) -> Kubectl:
    kubectl("create", "-f", "-", stdin=manifest())
    rolled_out(kubectl)
    return kubectl


def test_every_node_has_one_as_get_shows(agent: Kubectl) -> None:
    assert sorted(agent(*NODES).split()) == ["node-1", "node-2", "node-3"]
    assert agent("get", "daemonset", "agent", "--no-headers").split()[:6] == ["agent", "3", "3", "3", "3", "3"]
    assert agent("describe", "daemonset", "agent").count("Created pod: agent-") == 3


def test_rollout_history_undo_and_restart(agent: Kubectl) -> None:
    agent("set", "image", "daemonset/agent", "c=nginx:2")
    rolled_out(agent)
    assert agent(*IMAGES).split() == ["nginx:2"] * 3
    assert "nginx:1" in agent("rollout", "history", "daemonset/agent", "--revision=1")
    assert "rolled back" in agent("rollout", "undo", "daemonset/agent")
    rolled_out(agent)
    assert agent(*IMAGES).split() == ["nginx:1"] * 3
    history = agent("rollout", "history", "daemonset/agent").splitlines()[2:]
    assert [line.split()[0] for line in history if line.strip()] == ["2", "3"]
    assert "unable to find specified revision 9" in agent.fails("rollout", "undo", "ds/agent", "--to-revision=9")
    before = set(agent("get", "pods", "-o", "name").split())
    agent("rollout", "restart", "daemonset/agent")
    rolled_out(agent)
    assert not before & set(agent("get", "pods", "-o", "name").split())
    assert "pausing is not supported" in agent.fails("rollout", "pause", "daemonset/agent")


def test_a_bad_image_stops_at_the_first_node_and_undo_recovers(agent: Kubectl) -> None:
    agent("set", "image", "daemonset/agent", "c=nginx:does-not-exist")
    reasons = ("get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}")
    agent.eventually(*reasons, becomes="ImagePullBackOff")
    assert agent(*IMAGES).split().count("nginx:1") == 2
    agent("rollout", "undo", "daemonset/agent")
    rolled_out(agent)
    assert agent(*IMAGES).split() == ["nginx:1"] * 3


def test_surge_starts_the_new_pod_beside_the_old_one(agent: Kubectl) -> None:
    both = '{"spec":{"updateStrategy":{"rollingUpdate":{"maxSurge":1}}}}'
    assert "may not be set when maxUnavailable is non-zero" in agent.fails("patch", "ds", "agent", "-p", both)
    surge = '{"spec":{"updateStrategy":{"rollingUpdate":{"maxSurge":1,"maxUnavailable":0}}}}'
    agent("patch", "daemonset", "agent", "-p", surge)
    agent("set", "image", "daemonset/agent", "c=nginx:does-not-exist")
    reasons = ("get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}")
    agent.eventually(*reasons, becomes="ImagePullBackOff")
    assert sorted(agent(*IMAGES).split()) == ["nginx:1"] * 3 + ["nginx:does-not-exist"]
    agent("set", "image", "daemonset/agent", "c=nginx:2")
    rolled_out(agent)
    agent.eventually(*IMAGES, becomes="nginx:2 nginx:2 nginx:2")


def test_on_delete_leaves_the_update_to_who_deletes(agent: Kubectl) -> None:
    strategy = '{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null}}}'
    agent("patch", "daemonset", "agent", "--type=merge", "-p", strategy)
    agent("set", "image", "daemonset/agent", "c=nginx:2")
    assert "only available for RollingUpdate" in agent.fails("rollout", "status", "daemonset/agent")
    agent("delete", agent("get", "pods", "-o", "name").split()[0])
    agent.eventually(*READY, becomes="3 3")
    assert sorted(agent(*IMAGES).split()) == ["nginx:1", "nginx:1", "nginx:2"]


def test_labels_on_nodes_bring_and_take_its_pods(kubectl: Kubectl) -> None:
    label = f"disk-{kubectl.namespace}"
    template = json.loads(manifest())["spec"]["template"]
    template["spec"]["nodeSelector"] = {label: "ssd"}
    kubectl("create", "-f", "-", stdin=manifest(template=template))
    kubectl.eventually(*READY, becomes="0 0")
    kubectl("label", "node", "node-2", f"{label}=ssd")
    kubectl.eventually(*READY, becomes="1 1")
    assert kubectl(*NODES).split() == ["node-2"]
    kubectl("label", "node", "node-2", f"{label}-")
    kubectl.eventually("get", "pods", "-o", "name", becomes="")


def test_nodes_drained_tainted_and_gone(machine: Any) -> None:
    machine.kybern("up", "--port", "0", "--nodes", "2")
    kubectl = machine.kubectl()
    kubectl("create", "-f", "-", stdin=manifest())
    rolled_out(kubectl)
    said = kubectl.fails("drain", "node-1", "--timeout=5s")
    assert "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)" in said
    kubectl("drain", "node-1", "--ignore-daemonsets", "--timeout=20s")
    assert sorted(kubectl(*NODES).split()) == ["node-1", "node-2"]
    kubectl("taint", "node", "node-2", "out=now:NoExecute")
    kubectl.eventually(*NODES, becomes="node-1")
    kubectl.eventually(*READY, becomes="1 1")
    kubectl("taint", "node", "node-2", "out-")
    kubectl.eventually(*READY, becomes="2 2")
