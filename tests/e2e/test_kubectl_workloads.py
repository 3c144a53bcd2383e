"""kubectl rollout, scale, autoscale, set, expose, run: driving workloads, and what heals by itself."""

from __future__ import annotations

import pytest

RUNNING = ("get", "pods", "--field-selector=status.phase=Running", "-o", "jsonpath={.items[*].status.phase}")


@pytest.fixture
def web(kubectl):
    kubectl("create", "deployment", "web", "--image=nginx:1", "--replicas=2")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    return kubectl


def image(kubectl) -> str:
    return kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")


def test_rollout_history_undo_and_restart(web):
    web("set", "image", "deployment/web", "nginx=nginx:2")
    web("annotate", "deployment/web", "kubernetes.io/change-cause=second")
    web("rollout", "status", "deployment/web", "--timeout=30s")
    history = web("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line.strip()] == ["1", "2"]
    assert "nginx:1" in web("rollout", "history", "deployment/web", "--revision=1")
    assert "rolled back" in web("rollout", "undo", "deployment/web")
    web("rollout", "status", "deployment/web", "--timeout=30s")
    assert image(web) == "nginx:1"
    before = web("get", "pods", "-o", "name")
    web("rollout", "restart", "deployment/web")
    web("rollout", "status", "deployment/web", "--timeout=30s")
    web.eventually("get", "pods", "-o", "jsonpath={.items[*].status.phase}", becomes="Running Running")
    assert not set(before.split()) & set(web("get", "pods", "-o", "name").split())


def test_pause_holds_a_rollout_and_resume_lets_it_go(web):
    web("rollout", "pause", "deployment/web")
    web("set", "image", "deployment/web", "nginx=nginx:2")
    assert "can't restart paused deployment" in web.fails("rollout", "restart", "deployment/web")
    assert web("get", "replicasets", "--no-headers").count("\n") == 1
    web("rollout", "resume", "deployment/web")
    web("rollout", "status", "deployment/web", "--timeout=30s")
    assert web("get", "replicasets", "--no-headers").count("\n") == 2


def test_a_bad_image_shows_and_undo_recovers(web):
    web("set", "image", "deployment/web", "nginx=nginx:does-not-exist")
    reason = ("get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}")
    web.eventually(*reason, becomes="ImagePullBackOff")
    assert "ImagePullBackOff" in web("get", "pods")
    assert len(web(*RUNNING).split()) == 2
    web("rollout", "undo", "deployment/web")
    web("rollout", "status", "deployment/web", "--timeout=30s")
    web.eventually("get", "pods", "-o", "jsonpath={.items[*].status.phase}", becomes="Running Running")


def test_scale(web):
    web("scale", "deployment/web", "--replicas=5")
    web("rollout", "status", "deployment/web", "--timeout=30s")
    web.eventually(*RUNNING, becomes=" ".join(["Running"] * 5))
    assert "Expected replicas to be 3" in web.fails(
        "scale", "deployment/web", "--current-replicas=3", "--replicas=1"
    ).replace("expected", "Expected")
    web("scale", "deployment/web", "--replicas=0")
    web.eventually("get", "pods", "-o", "name", becomes="")


def test_autoscale_makes_an_autoscaler(web):
    web("autoscale", "deployment", "web", "--min=1", "--max=3", "--cpu=50%")
    shown = web("get", "hpa", "web", "--no-headers").split()
    assert shown[:2] == ["web", "Deployment/web"]
    assert {"1", "3"} <= set(shown)


def test_set_changes_the_template(web):
    web("set", "env", "deployment/web", "COLOR=green")
    web("set", "resources", "deployment/web", "--limits=cpu=200m,memory=64Mi")
    web("set", "serviceaccount", "deployment/web", "default")
    web("rollout", "status", "deployment/web", "--timeout=30s")
    container = web.json("get", "deployment", "web")["spec"]["template"]["spec"]["containers"][0]
    assert container["env"] == [{"name": "COLOR", "value": "green"}]
    assert container["resources"]["limits"] == {"cpu": "200m", "memory": "64Mi"}


def test_expose_makes_a_service_with_endpoints(web):
    web("expose", "deployment", "web", "--port=80", "--target-port=8080")
    web.eventually(
        "get", "endpointslices", "-o", "jsonpath={.items[*].endpoints[*].conditions.ready}", becomes="true true"
    )
    assert len(web.json("get", "endpoints", "web")["subsets"][0]["addresses"]) == 2
    assert web("get", "service", "web", "--no-headers").split()[1] == "ClusterIP"


def test_run_and_its_restart_policies(kubectl):
    kubectl("run", "once", "--image=busybox", "--restart=Never", "--", "sh", "-c", "exit 3")
    kubectl("wait", "pod/once", "--for=jsonpath={.status.phase}=Failed", "--timeout=30s")
    state = kubectl.json("get", "pod", "once")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"]) == (3, "Error")
    kubectl("run", "again", "--image=busybox", "--", "sh", "-c", "exit 1")
    reason = ("get", "pod", "again", "-o", "jsonpath={.status.containerStatuses[0].state.waiting.reason}")
    kubectl.eventually(*reason, becomes="CrashLoopBackOff")
    assert "CrashLoopBackOff" in kubectl("get", "pod", "again")
    assert kubectl("run", "shown", "--image=nginx", "--dry-run=client", "-o", "name") == "pod/shown\n"


def test_a_deleted_pod_is_replaced(web):
    victim = web("get", "pods", "-o", "name").split()[0]
    web("delete", victim, "--grace-period=0", "--force")
    web.eventually(*RUNNING, becomes="Running Running")
    assert victim not in web("get", "pods", "-o", "name").split()


def test_waiting_for_conditions(web):
    assert (
        web("wait", "deployment/web", "--for=condition=Available", "--timeout=10s")
        == "deployment.apps/web condition met\n"
    )
    assert "timed out" in web.fails("wait", "deployment/web", "--for=condition=Nonsense", "--timeout=1s")
