"""Init containers run in order, sidecars start before and stop after the main containers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.node.world import condition, container, pod, state_of, world

pytestmark = pytest.mark.anyio


def sleeper(name: str, seconds: int, **fields: object) -> object:
    return container(name, "busybox:1", command=["sleep", str(seconds)], **fields)


async def test_init_containers_run_one_after_the_other(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        p = await w.run(pod("p", initContainers=[sleeper("a", 5), sleeper("b", 5)]))
        assert (p.status.phase, state_of(p, "a"), state_of(p, "b"), state_of(p)) == (
            "Pending", ("running", ""), ("waiting", "PodInitializing"), ("waiting", "PodInitializing"),
        )  # fmt: skip
        assert condition(p, "Initialized").message == "containers with incomplete status: [a b]"
        await w.pass_time(6)
        p = w.client.pod("p")
        assert (state_of(p, "a"), state_of(p, "b")) == (("terminated", "Completed"), ("running", ""))
        assert condition(p, "Initialized").message == "containers with incomplete status: [b]"
        await w.pass_time(6)
        p = w.client.pod("p")
        assert (p.status.phase, state_of(p)) == ("Running", ("running", ""))
        assert condition(p, "Initialized").status == "True"


@pytest.mark.parametrize(("policy", "phase"), [("Never", "Failed"), ("Always", "Pending"), ("OnFailure", "Pending")])
async def test_a_failing_init_container_blocks_or_fails_the_pod(tmp_path: Path, policy: str, phase: str) -> None:
    async with world(tmp_path) as w:
        p = await w.run(
            pod("p", initContainers=[container("a")], annotations={"a.exit-code": "1"}, restartPolicy=policy)
        )
        assert p.status.phase == phase
        assert state_of(p) == ("waiting", "PodInitializing")
        if phase == "Pending":
            assert state_of(p, "a") == ("waiting", "CrashLoopBackOff")


async def test_a_failed_init_container_that_succeeds_later_lets_the_pod_run(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", initContainers=[container("a")], annotations={"a.exits": "1,1,0"}))
        await w.pass_time(15)
        p = w.client.pod("p")
        assert (p.status.phase, p.status.initContainerStatuses[0].restartCount) == ("Running", 2)


async def test_a_sidecar_starts_first_restarts_on_its_own_and_ends_last(tmp_path: Path) -> None:
    side = container("s", restartPolicy="Always")
    job = sleeper("c", 20)
    async with world(tmp_path) as w:
        p = await w.run(pod("p", job, initContainers=[side, sleeper("a", 5)], restartPolicy="Never"))
        assert (state_of(p, "s"), state_of(p, "a")) == (("running", ""), ("running", ""))
        await w.pass_time(6)
        p = w.client.pod("p")
        assert (p.status.phase, p.status.initContainerStatuses[0].ready) == ("Running", True)
        w.runtime().crash("default", "p", "s", 1)
        await w.settle()
        p = w.client.pod("p")
        assert (p.status.initContainerStatuses[0].restartCount, state_of(p, "s")) == (1, ("running", ""))
        await w.pass_time(25)
        p = w.client.pod("p")
        assert (p.status.phase, state_of(p, "s")) == ("Succeeded", ("terminated", "Completed"))


async def test_the_next_init_container_waits_for_a_sidecars_startup_probe(tmp_path: Path) -> None:
    from kybern.api.core import HTTPGetAction, Probe

    side = container(
        "s",
        restartPolicy="Always",
        startupProbe=Probe(httpGet=HTTPGetAction(port=80), periodSeconds=1, failureThreshold=60),
    )
    async with world(tmp_path) as w:
        await w.run(pod("p", initContainers=[side], annotations={"s.startup": "failure@0,success@10"}))
        await w.pass_time(8)
        p = w.client.pod("p")
        assert (p.status.phase, state_of(p, "s"), state_of(p)) == (
            "Pending",
            ("running", ""),
            ("waiting", "PodInitializing"),
        )
        await w.pass_time(4)
        assert w.client.pod("p").status.phase == "Running"


async def test_main_containers_end_before_sidecars_and_sidecars_in_reverse(tmp_path: Path) -> None:
    sides = [container("s1", restartPolicy="Always"), container("s2", restartPolicy="Always")]
    async with world(tmp_path) as w:
        p = await w.run(pod("p", initContainers=sides, annotations={"stop-delay": "3"}))
        await w.client.delete(type(p), "p", "default")
        await w.pass_time(60)
        assert w.client.pod("p") is None
        last = w.client.history["p"][-1].status
        ends = {s.name: s.state.terminated.finishedAt for s in [*last.initContainerStatuses, *last.containerStatuses]}
        assert ends["c"] < ends["s2"] < ends["s1"]


async def test_an_ephemeral_container_is_started_once_and_not_restarted(tmp_path: Path) -> None:
    from kybern.api.core import EphemeralContainer

    debug = EphemeralContainer(name="debug", image="busybox:1", command=["sleep", "3"])
    async with world(tmp_path) as w:
        p = await w.run(pod("p"))

        def add(stored: object) -> None:
            stored.spec.ephemeralContainers = [debug]  # type: ignore[attr-defined]
            stored.metadata.generation += 1  # type: ignore[attr-defined]

        w.client.change(p, add)
        await w.settle()
        assert w.client.pod("p").status.ephemeralContainerStatuses[0].state.running is not None
        await w.pass_time(120)
        p = w.client.pod("p")
        ended = p.status.ephemeralContainerStatuses[0]
        assert (ended.state.terminated.exitCode, ended.restartCount, p.status.phase) == (0, 0, "Running")
