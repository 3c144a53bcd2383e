"""An agent that starts again finds everything in its runtime and goes on where the last one stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from kybern.api.core import HTTPGetAction, Pod, Probe
from tests.node.world import World, condition, container, pod, state_of, world

pytestmark = pytest.mark.anyio


async def again(w: World, pause: float = 0.0) -> None:
    """End the agent's process; start another after a while."""
    await w.stop()
    await w.clock.advance(pause)  # type: ignore[attr-defined]
    await w.start()


async def test_running_pods_are_left_alone(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        before = await w.run(pod("p"))
        writes = len(w.client.history["p"])
        await again(w)
        after = w.client.pod("p")
        assert len(w.client.history["p"]) == writes
        assert after.status.containerStatuses[0].containerID == before.status.containerStatuses[0].containerID
        assert w.events.said("p", "Created") == ["Container created"]


async def test_a_container_that_ended_meanwhile_is_restarted_with_its_history(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", annotations={"exits": "3,-", "exit-after": "30"}))
        await again(w, pause=100)
        status = w.client.pod("p").status.containerStatuses[0]
        assert (status.restartCount, status.lastState.terminated.exitCode) == (1, 3)
        assert status.lastState.terminated.finishedAt == "2026-01-01T00:00:30Z"


async def test_a_pod_deleted_meanwhile_is_stopped(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p"))
        await w.stop()
        await w.client.delete(Pod, "p", "default")
        await w.start()
        assert w.client.pod("p") is None
        assert await w.runtime().list_pod_sandboxes() == ()


async def test_an_orphan_is_removed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p"))
        await w.stop()
        await w.client.delete(Pod, "p", "default", grace_period=0)
        await w.start()
        assert await w.runtime().list_pod_sandboxes() == ()


async def test_in_the_middle_of_init(tmp_path: Path) -> None:
    first, second = (container(n, "busybox:1", command=["sleep", "10"]) for n in ("a", "b"))
    async with world(tmp_path) as w:
        await w.run(pod("p", initContainers=[first, second]))
        await w.pass_time(15)
        await again(w, pause=2)
        p = w.client.pod("p")
        assert (state_of(p, "a"), state_of(p, "b")) == (("terminated", "Completed"), ("running", ""))
        await w.pass_time(10)
        p = w.client.pod("p")
        assert p.status.phase == "Running"
        assert [s.restartCount for s in p.status.initContainerStatuses] == [0, 0]


async def test_in_the_middle_of_graceful_termination(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", annotations={"stop-delay": "1000"}, terminationGracePeriodSeconds=40))
        await w.client.delete(Pod, "p", "default")
        await w.pass_time(10)
        await again(w, pause=10)
        assert state_of(w.client.pod("p")) == ("running", "")
        await w.pass_time(25)
        assert w.client.pod("p") is None


async def test_in_the_middle_of_a_pull(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", annotations={"pull-delay": "20"}))
        await w.pass_time(5)
        await again(w)
        await w.pass_time(21)
        assert w.client.pod("p").status.phase == "Running"


async def test_ready_pods_stay_ready(tmp_path: Path) -> None:
    probe = Probe(httpGet=HTTPGetAction(port=80), periodSeconds=10, failureThreshold=3)
    async with world(tmp_path) as w:
        await w.run(pod("p", container(readinessProbe=probe, startupProbe=probe)))
        await w.pass_time(30)
        assert condition(w.client.pod("p"), "Ready").status == "True"
        writes = len(w.client.history["p"])
        await again(w)
        await w.pass_time(30)
        assert len(w.client.history["p"]) == writes


async def test_what_runs_is_counted_before_anything_new_is_taken(tmp_path: Path) -> None:
    from kybern.api.core import ResourceRequirements

    big = container(resources=ResourceRequirements(requests={"cpu": "20"}))
    async with world(tmp_path) as w:
        await w.run(pod("z", big))
        await w.stop()
        w.client.add(pod("a", big))
        await w.start()
        assert (w.client.pod("z").status.phase, w.client.pod("a").status.reason) == ("Running", "OutOfcpu")


async def test_a_lost_sandbox_is_made_anew_and_its_pod_restarted(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        before = await w.run(pod("p"))
        await w.runtime().lose_sandbox("default", "p")
        await w.settle()
        p = w.client.pod("p")
        assert p.status.phase == "Running"
        assert p.status.containerStatuses[0].restartCount == 1
        assert p.status.podIP != before.status.podIP
        assert w.events.said("p", "SandboxChanged") == ["Pod sandbox changed, it will be killed and re-created."]


async def test_a_runtime_that_forgot_everything_starts_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p"))
        await w.stop()
        w.lose_state()
        await w.start()
        status = w.client.pod("p").status.containerStatuses[0]
        assert (w.client.pod("p").status.phase, status.restartCount) == ("Running", 1)


async def test_a_finished_pod_stays_finished(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", container(image="busybox", command=["echo"]), restartPolicy="Never"))
        writes = len(w.client.history["p"])
        w.lose_state()
        await again(w)
        assert w.client.pod("p").status.phase == "Succeeded"
        assert len(w.client.history["p"]) == writes
        assert await w.runtime().list_containers() == ()


async def test_a_stopped_node_falls_silent_and_comes_back(tmp_path: Path) -> None:
    from kybern.api.coordination import Lease

    async with world(tmp_path) as w:
        await w.run(pod("p"))
        await w.agent.stop_node("n1")
        silent = w.client.objects[Lease, "kube-node-lease", "n1"].spec.renewTime
        late = await w.run(pod("q"))
        await w.pass_time(120)
        assert w.client.objects[Lease, "kube-node-lease", "n1"].spec.renewTime == silent
        assert late.status.phase == "Pending"
        await w.agent.start_node("n1")
        await w.settle()
        assert w.client.objects[Lease, "kube-node-lease", "n1"].spec.renewTime > silent
        assert w.client.pod("q").status.phase == "Running"
        assert w.client.pod("p").status.containerStatuses[0].restartCount == 0


async def test_half_a_line_at_the_end_of_the_state_file_is_passed_over(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p"))
        await w.stop()
        w.state_file.write_bytes(w.state_file.read_bytes() + b'{"type":"contai')
        await w.start()
        await w.run(pod("q"))
        await again(w)
        assert [w.client.pod(n).status.containerStatuses[0].restartCount for n in ("p", "q")] == [0, 0]
