"""Each controller is killed at every step of a story, between each of its writes and the next, and started again.

However often and wherever it dies, kubectl shows in the end what it shows when nothing goes wrong. The story is
told at once in several namespaces, each with a process of its own: one is never killed, one after every write,
one after every third, with more of its work in each life; and in one there are two processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup

from kybern.api.batch import Job
from kybern.api.core import Pod
from kybern.cluster.cluster import Cluster
from tests.disturbed.conftest import Bench
from tests.disturbed.mortal import Controllers, Process
from tests.disturbed.stories import STORIES
from tests.disturbed.telling import manifests, shown

pytestmark = pytest.mark.anyio

LIVES: dict[str, list[list[int]]] = {
    "calm": [[]],
    "always": [[1] * 60],
    "every-third": [[2] + [3] * 20],
    "twice": [[], []],
}
"""Namespace -> for each process in it, after how many writes each of its lives ends; one more goes on."""

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"


@pytest.mark.parametrize("name", STORIES)
async def test_killed_at_every_step_it_comes_to_the_same_end(bench: Bench, name: str) -> None:
    story = STORIES[name]
    names = story.controllers.split()
    spaces = {f"{name}-{how}": lives for how, lives in LIVES.items()}
    seen = Seen(bench.cluster, spaces)
    async with bench.others(names), anyio.create_task_group() as tasks:
        processes = start(bench, tasks, bench.controllers(names), spaces)
        ends = await tell(bench, name, list(spaces))
        tasks.cancel_scope.cancel()
    wanted = ends.pop(f"{name}-calm")
    different = {space: end for space, end in ends.items() if end != wanted}
    assert not different, f"{sorted(different)}: {explain(*different.popitem(), wanted)}"
    assert all(len(jobs) == 1 for jobs in seen.started.values()), "a time was started twice"
    for space, number in seen.most.items():
        assert number <= story.most or space.endswith("-twice"), f"{space}: {number} pods at once"
    always = processes[f"{name}-always"]
    assert 0 < always.deaths == always.writes < 60, "its story has more steps than it has lives"


def start(bench: Bench, tasks: TaskGroup, make: Controllers, spaces: Mapping[str, Sequence[Sequence[int]]]) -> Any:
    """The processes of all namespaces; returns the first of each."""
    first: dict[str, Process] = {}
    for space, each in spaces.items():
        for lives in each:
            process = Process(bench.cluster.client, bench.cluster.clock, make, space)
            tasks.start_soon(process.run, lives)
            first.setdefault(space, process)
    return first


async def tell(bench: Bench, name: str, spaces: Sequence[str]) -> dict[str, list[str]]:
    """Tell a story in these namespaces, all at once; namespace -> what kubectl shows in the end."""
    story, kubectl = STORIES[name], bench.kubectl
    for step in ("apiVersion: v1\nkind: Namespace\nmetadata: {name: NS}", *story.steps):
        if isinstance(step, str):
            await kubectl("apply", "-f", "-", stdin=manifests(step, name, spaces))
        else:
            await kubectl(*step, "--all-namespaces", "-l", f"story={name}", "--timeout=20s")
    await kubectl.advance(story.rest)
    seen = await kubectl.json("get", story.shows, "--all-namespaces")
    return shown(seen["items"], spaces)


class Seen:
    """What there was in these namespaces at any moment from now on."""

    def __init__(self, cluster: Cluster, spaces: Iterable[str]) -> None:
        self._live: dict[str, set[str]] = {space: set() for space in spaces}
        self.most = dict.fromkeys(self._live, 0)
        """Namespace -> live pods, when there were the most."""
        self.started: dict[tuple[str, str], set[str]] = {}
        """Namespace and scheduled time -> the Jobs (uids) that were started for it."""
        cluster.informers.informer(Pod).on_change(self._pod)
        cluster.informers.informer(Job).on_change(self._job)

    def _pod(self, old: Any, new: Any) -> None:
        pod = new if new is not None else old
        space = pod.metadata.namespace
        if space not in self._live:
            return
        ended = new is None or pod.metadata.deletionTimestamp or pod.status.phase in ("Succeeded", "Failed")
        (self._live[space].discard if ended else self._live[space].add)(pod.metadata.name)
        self.most[space] = max(self.most[space], len(self._live[space]))

    def _job(self, old: Any, new: Any) -> None:
        metadata = (new if new is not None else old).metadata
        time = (metadata.annotations or {}).get(SCHEDULED)
        if time and metadata.namespace in self._live:
            self.started.setdefault((metadata.namespace, time), set()).add(metadata.uid)


def explain(space: str, end: list[str], wanted: list[str]) -> str:
    """What is there and should not be, and the reverse."""
    more = "\n".join(text for text in end if text not in wanted)
    less = "\n".join(text for text in wanted if text not in end)
    return f"in {space} there is\n{more}\nand not\n{less}"
