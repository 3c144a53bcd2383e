"""Startup, liveness and readiness probes over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kybern.api.core import ExecAction, HTTPGetAction, PodCondition, PodReadinessGate, Probe
from tests.node.world import condition, container, pod, state_of, world

pytestmark = pytest.mark.anyio


def http(**fields: Any) -> Any:
    return Probe(
        httpGet=HTTPGetAction(port=80), **{"periodSeconds": 5, "failureThreshold": 3, "successThreshold": 1, **fields}
    )


def ready(p: Any) -> bool:
    return bool(condition(p, "Ready").status == "True")


async def test_readiness_follows_the_probe_with_thresholds(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        c = container(readinessProbe=http(initialDelaySeconds=10))
        await w.run(pod("p", c, annotations={"readiness": "failure@0,success@22,failure@60"}))
        assert condition(w.client.pod("p"), "Ready").message == "containers with unready status: [c]"
        await w.pass_time(21)
        assert not ready(w.client.pod("p"))
        await w.pass_time(10)
        assert ready(w.client.pod("p"))
        await w.pass_time(35)
        assert ready(w.client.pod("p"))
        await w.pass_time(10)
        assert not ready(w.client.pod("p"))
        assert state_of(w.client.pod("p")) == ("running", "")
        assert "Readiness probe failed: HTTP probe failed with statuscode: 500" in w.events.said("p", "Unhealthy")


async def test_a_failed_liveness_probe_restarts_the_container(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", container(livenessProbe=http()), annotations={"liveness": "success@0,failure@12"}))
        await w.pass_time(24)
        assert w.client.pod("p").status.containerStatuses[0].restartCount == 0
        await w.pass_time(4)
        assert w.client.pod("p").status.containerStatuses[0].restartCount == 1
        assert "Container c failed liveness probe, will be restarted" in w.events.said("p", "Killing")


async def test_a_container_that_always_fails_its_liveness_backs_off_as_one_that_crashes(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        c = container(livenessProbe=http(periodSeconds=1, failureThreshold=1))
        await w.run(pod("p", c, annotations={"liveness": "failure"}))
        await w.pass_time(5)
        status = w.client.pod("p").status.containerStatuses[0]
        assert (status.restartCount, status.state.waiting.reason) == (2, "CrashLoopBackOff")
        for _ in range(60):
            await w.pass_time(1)
        assert w.client.pod("p").status.containerStatuses[0].restartCount == 4


async def test_a_pod_that_never_restarts_fails_with_its_liveness(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        c = container(livenessProbe=http(periodSeconds=1))
        await w.run(pod("p", c, annotations={"liveness": "failure", "stop-exit-code": "143"}, restartPolicy="Never"))
        await w.pass_time(5)
        assert w.client.pod("p").status.phase == "Failed"


async def test_liveness_waits_for_startup(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        c = container(startupProbe=http(failureThreshold=10), livenessProbe=http(periodSeconds=1, failureThreshold=1))
        await w.run(pod("p", c, annotations={"startup": "failure@0,success@29", "liveness": "failure@0,success@29"}))
        await w.pass_time(25)
        status = w.client.pod("p").status.containerStatuses[0]
        assert (status.started, status.restartCount, status.ready) == (False, 0, False)
        await w.pass_time(20)
        status = w.client.pod("p").status.containerStatuses[0]
        assert (status.started, status.restartCount, status.ready) == (True, 0, True)


async def test_a_failed_startup_probe_kills_the_container(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", container(startupProbe=http(failureThreshold=2)), annotations={"startup": "failure"}))
        await w.pass_time(6)
        assert w.client.pod("p").status.containerStatuses[0].restartCount == 1
        assert "Container c failed startup probe, will be restarted" in w.events.said("p", "Killing")


async def test_the_probes_own_grace_period_limits_the_kill(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        c = container(livenessProbe=http(periodSeconds=1, failureThreshold=1, terminationGracePeriodSeconds=4))
        await w.run(pod("p", c, annotations={"liveness": "failure", "stop-delay": "100"}))
        await w.pass_time(3)
        assert w.client.pod("p").status.containerStatuses[0].restartCount == 0
        await w.pass_time(2)
        status = w.client.pod("p").status.containerStatuses[0]
        assert (status.restartCount, status.lastState.terminated.exitCode) == (1, 137)


async def test_a_command_probe_sees_the_files_a_script_makes(tmp_path: Path) -> None:
    script = "touch /tmp/healthy; sleep 30; rm -f /tmp/healthy; sleep 600"
    probe = Probe(exec=ExecAction(command=["cat", "/tmp/healthy"]), initialDelaySeconds=5, periodSeconds=5)
    async with world(tmp_path) as w:
        await w.run(pod("p", container("c", "busybox:1", args=["/bin/sh", "-c", script], livenessProbe=probe)))
        await w.pass_time(39)
        assert w.client.pod("p").status.containerStatuses[0].restartCount == 0
        await w.pass_time(10)
        assert w.client.pod("p").status.containerStatuses[0].restartCount == 1


async def test_readiness_gates_hold_a_pod_back_and_survive_status_writes(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        p = await w.run(pod("p", readinessGates=[PodReadinessGate(conditionType="example.com/lb")]))
        assert condition(p, "ContainersReady").status == "True"
        assert condition(p, "Ready").reason == "ReadinessGatesNotReady"
        w.client.change(p, lambda o: o.status.conditions.append(PodCondition(type="example.com/lb", status="True")))
        await w.settle()
        p = w.client.pod("p")
        assert ready(p)
        assert condition(p, "example.com/lb").status == "True"


async def test_post_start_failure_kills_and_pre_stop_delays_the_end(tmp_path: Path) -> None:
    from kybern.api.core import Lifecycle, LifecycleHandler

    hook = LifecycleHandler(exec=ExecAction(command=["sleep", "4"]))
    async with world(tmp_path) as w:
        c = container(lifecycle=Lifecycle(postStart=hook))
        await w.run(pod("p", c, annotations={"post-start-error": "boom"}))
        await w.pass_time(5)
        p = w.client.pod("p")
        assert state_of(p)[1] == "PostStartHookError"
        assert "PostStartHook failed: boom" in w.events.said("p", "FailedPostStartHook")

        await w.run(pod("q", container(lifecycle=Lifecycle(preStop=hook))))
        await w.client.delete(type(p), "q", "default")
        await w.pass_time(3)
        assert state_of(w.client.pod("q")) == ("running", "")
        await w.pass_time(2)
        assert w.client.pod("q") is None
