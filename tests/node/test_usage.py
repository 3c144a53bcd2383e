"""What fake containers use, by annotation and by rule, over time and over a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kybern.node.config import numbered_nodes
from kybern.node.runtime import RuntimeFault
from kybern_runtime_fake.options import Options, Rule
from tests.node.world import World, container, pod, world

pytestmark = pytest.mark.anyio


async def used(w: World) -> dict[str, dict[str, tuple[int, int]]]:
    """Pod -> container -> (thousandths of a core, bytes)."""
    return {p.name: dict(p.containers) for node in await w.agent.usage() for p in node.pods}


async def cpu(w: World, name: str = "p") -> int:
    return sum(milli for milli, _ in (await used(w))[name].values())


async def test_a_container_that_says_nothing_uses_next_to_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod())
        assert await used(w) == {"p": {"c": (1, 8 << 20)}}


async def test_use_follows_the_annotation_over_time(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod(annotations={"cpu": "ramp(100m, 800m, 10min)", "memory": "64Mi"}))
        seen = [await cpu(w)]
        for _ in range(3):
            await w.pass_time(300)
            seen.append(await cpu(w))
        assert seen == [100, 450, 800, 800]
        assert (await used(w))["p"]["c"][1] == 64 << 20


async def test_each_container_may_have_its_own(tmp_path: Path) -> None:
    notes = {"cpu": "10m", "fake.kybern.dev/web.cpu": "wave(100m, 200m, 1min)"}
    async with world(tmp_path) as w:
        await w.run(pod("p", container("web"), container("side"), annotations=notes))
        await w.pass_time(30)
        assert {name: milli for name, (milli, _) in (await used(w))["p"].items()} == {"web": 200, "side": 10}


async def test_rules_say_it_for_all_that_match(tmp_path: Path) -> None:
    options = Options(rules=[Rule(image="nginx*", cpu="250m"), Rule(pod="idle*", cpu="5m")])
    async with world(tmp_path, options=options) as w:
        await w.run(pod("busy"))
        await w.run(pod("idle-1"))
        assert (await cpu(w, "busy"), await cpu(w, "idle-1")) == (250, 5)


async def test_a_load_is_shared_by_all_replicas_on_all_nodes(tmp_path: Path) -> None:
    w = World(tmp_path)
    await w.start(*numbered_nodes(2))
    try:
        for i, labels in enumerate(
            [{"app": "web", "pod-template-hash": "a"}, {"app": "web"}, {"app": "web"}, {"app": "x"}]
        ):
            made = pod(f"p{i}", node=f"node-{i % 2 + 1}", annotations={"cpu": "900m / peers"})
            made.metadata.labels = labels
            await w.run(made)
        await w.pass_time(60)
        assert [await cpu(w, f"p{i}") for i in range(4)] == [300, 300, 300, 900]
        await w.client.delete(type(made), "p0", "default", grace_period=0)
        await w.pass_time(60)
        assert [await cpu(w, f"p{i}") for i in range(1, 3)] == [450, 450]
    finally:
        await w.stop()


async def test_a_changed_annotation_counts_at_once_and_a_removed_one_no_more(tmp_path: Path) -> None:
    def annotate(value: str | None) -> Any:
        def change(stored: Any) -> None:
            stored.metadata.annotations = {"fake.kybern.dev/cpu": value} if value else None

        return change

    async with world(tmp_path) as w:
        made = await w.run(pod(annotations={"cpu": "100m"}))
        for value, expected in (("700m", 700), ("nonsense", 1), ("30m * 2", 60), (None, 1)):
            w.client.change(made, annotate(value))
            await w.settle()
            assert await cpu(w) == expected


async def test_use_goes_on_after_a_restart_of_the_agent(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod(annotations={"cpu": "ramp(0, 1, 100s)"}))
        await w.pass_time(50)
        await w.stop()
        await w.pass_time(25)
        await w.start()
        assert await cpu(w) == 750


async def test_a_text_without_meaning_is_told_where_it_was_written(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod(annotations={"cpu": "lots"}))
        said = w.events.said("p", "FailedCreatePodSandBox") + w.events.said("p", "Failed")
        assert any("annotation fake.kybern.dev/cpu: 'lots' is not known" in text for text in said)
    with pytest.raises(ValueError, match=r"rules\[0\]\.memory: 5xi: no such unit"):
        Options(rules=[Rule(memory="5xi")])


async def test_ended_containers_and_silent_nodes_use_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("done", container(command=["sleep", "5"], image="busybox"), restartPolicy="Never"))
        await w.run(pod("p"))
        await w.pass_time(10)
        assert set(await used(w)) == {"p"}

        async def broken() -> None:
            raise RuntimeFault("Unavailable", "gone")

        w.runtime().pod_usage = broken
        assert await w.agent.usage() == []
        await w.agent.stop_node("n1")
        assert await w.agent.usage() == []


async def test_a_leak_ends_in_an_eviction(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod(annotations={"memory": "1Gi * t"}))
        await w.pass_time(900)
        assert w.client.pod("p").status.reason == "Evicted"


async def test_single_pods_can_be_asked_for(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("a", annotations={"cpu": "100m"}))
        made = await w.run(pod("b", annotations={"cpu": "200m"}))
        elsewhere = pod("c", node="n9")
        elsewhere.metadata.uid = "uid-c"
        found = await w.agent.usage([made, elsewhere])
        assert [(u.node, [p.name for p in u.pods], u.cpu_milli) for u in found] == [("n1", ["b"], 200)]
