"""kubectl cordon, drain, taint, and what happens to pods when nodes go."""

from __future__ import annotations


def nodes_of(kubectl) -> set[str]:
    return set(kubectl("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}").split())


def test_cordon_and_uncordon(machine):
    machine.kybern("up", "--port", "0", "--nodes", "2")
    kubectl = machine.kubectl()
    kubectl("cordon", "node-1")
    assert "Ready,SchedulingDisabled" in kubectl("get", "node", "node-1")
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=3")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    assert nodes_of(kubectl) == {"node-2"}
    kubectl("uncordon", "node-1")
    kubectl("drain", "node-2", "--ignore-daemonsets", "--timeout=60s")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    kubectl.eventually("get", "pods", "-o", "jsonpath={.items[*].status.phase}", becomes="Running Running Running")
    assert nodes_of(kubectl) == {"node-1"}


def test_taints_keep_pods_away_and_drive_them_out(machine):
    machine.kybern("up", "--port", "0", "--nodes", "2")
    kubectl = machine.kubectl()
    kubectl("taint", "nodes", "node-1", "dedicated=x:NoSchedule")
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=2")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    assert nodes_of(kubectl) == {"node-2"}
    kubectl("taint", "nodes", "node-1", "dedicated-")
    kubectl("taint", "nodes", "node-2", "out=now:NoExecute")
    kubectl.eventually("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}", becomes="node-1 node-1")


def test_a_pod_that_fits_nowhere_says_why(machine):
    machine.kybern("up", "--port", "0", "--nodes", "3")
    kubectl = machine.kubectl()
    kubectl("taint", "nodes", "node-1", "a=b:NoSchedule")
    big = '{"spec":{"containers":[{"name":"big","image":"nginx","resources":{"requests":{"cpu":"500"}}}]}}'
    kubectl("run", "big", "--image=nginx", f"--overrides={big}")
    kubectl("wait", "pod/big", "--for=condition=PodScheduled=false", "--timeout=20s")
    message = kubectl("get", "pod", "big", "-o", "jsonpath={.status.conditions[?(@.type=='PodScheduled')].message}")
    assert message.startswith("0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu.")
    assert "FailedScheduling" in kubectl("describe", "pod", "big")
