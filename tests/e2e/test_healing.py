"""Things are broken on purpose, and heal: a container, a pod, a node."""

from __future__ import annotations


def test_a_container_a_pod_and_a_node_heal(machine):
    machine.kybern("up", "--port", "0", "--nodes", "2", "--clock", "virtual")
    kubectl = machine.kubectl()
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=2")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    pod = kubectl("get", "pods", "-o", "jsonpath={.items[0].metadata.name}")
    machine.kybern("break", "kill", pod)
    kubectl.eventually("get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].restartCount}", becomes="1")
    kubectl("wait", f"pod/{pod}", "--for=condition=Ready", "--timeout=30s")
    last = kubectl("get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}")
    assert last == "137"
    kubectl("delete", "pod", pod, "--grace-period=0", "--force")
    kubectl("wait", "deployment/web", "--for=jsonpath={.status.readyReplicas}=2", "--timeout=30s")
    machine.kybern("break", "stop", "node-1")
    machine.kybern("clock", "advance", "7m")
    unreachable = "{.status.conditions[?(@.type=='Ready')].status}"
    kubectl.eventually("get", "node", "node-1", "-o", f"jsonpath={unreachable}", becomes="Unknown")
    kubectl("wait", "deployment/web", "--for=jsonpath={.status.readyReplicas}=2", "--timeout=30s")
    alive = "--field-selector=spec.nodeName=node-2"
    kubectl.eventually("get", "pods", alive, "-o", "jsonpath={.items[*].status.phase}", becomes="Running Running")
    machine.kybern("break", "start", "node-1")
    kubectl("wait", "node/node-1", "--for=condition=Ready", "--timeout=30s")


def test_what_is_not_there_cannot_be_broken(machine):
    machine.kybern("up", "--port", "0")
    assert "no pod default/nope" in machine.kybern("break", "kill", "nope", check=False).stderr
    assert "no node 'node-9' here; there are: node-1" in machine.kybern("break", "stop", "node-9", check=False).stderr
    assert "is running already" in machine.kybern("break", "start", "node-1", check=False).stderr
