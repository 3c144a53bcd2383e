"""What must hold in any cluster: nothing is over-committed, the whole cycle agrees with and without columns."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from kybern.clock import settle
from kybern.scheduler.cycle import nodes_to_find
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import CycleState
from kybern.scheduler.snapshot import Snapshot
from kybern.testing.scheduling import random_node, random_pod
from tests.scheduler.world import Cluster, Running, node, pod

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("numpy_from", [1, 10**9])
@pytest.mark.parametrize("seed", range(3))
async def test_no_node_is_ever_over_committed(seed: int, numpy_from: int) -> None:
    random = Random(seed)
    cluster = Cluster(*(random_node(random, i) for i in range(20)))
    cluster.silent = seed == 1
    async with Running(cluster.scheduler(numpy_from=numpy_from)) as scheduler:
        for i in range(120):
            subject = random_pod(random, f"p{i}")
            subject.spec.volumes = None
            cluster.put(subject)
            if random.random() < 0.2 and cluster.bindings:
                gone = cluster.pod(random.choice(cluster.bindings)[0]) or cluster.pod(
                    random.choice(cluster.bindings)[0], "other"
                )
                if gone is not None:
                    cluster.drop(gone)
            await cluster.clock.advance(random.random() * 3)
            for info in scheduler.snapshot.nodes:
                assert len(info.pods) <= info.allocatable["pods"]
                for name, amount in info.requested.items():
                    assert 0 <= amount <= info.allocatable.get(name, 0) or amount == 0
        assert len(cluster.bindings) > 20


@pytest.mark.parametrize("seed", range(5))
async def test_the_same_nodes_are_feasible_with_and_without_columns(seed: int) -> None:
    random = Random(seed)
    nodes = [random_node(random, i) for i in range(30)]
    running = [random_pod(random, f"old{i}", on=f"n{random.randrange(30)}") for i in range(40)]
    schedulers = []
    for numpy_from in (1, 10**9):
        scheduler = Cluster(*nodes, *running).scheduler(numpy_from=numpy_from)
        scheduler._watching.start()
        schedulers.append(scheduler)
    for i in range(25):
        subject = PodInfo(random_pod(random, f"p{i}"))
        assert _feasible(schedulers[0], subject) == _feasible(schedulers[1], subject)


def _feasible(scheduler: Any, subject: PodInfo) -> Any:
    from kybern.scheduler.diagnosis import FitError

    profile = scheduler.profiles["default-scheduler"]
    scheduler._cycle._start = 0
    scheduler.snapshot.prepare()
    try:
        rows = scheduler._cycle._feasible(profile, CycleState(), subject, scheduler.snapshot)
    except FitError as error:
        return str(error)
    return sorted(int(row) for row in rows)


@pytest.mark.parametrize("numpy_from", [1, 10**9])
@pytest.mark.parametrize("seed", range(3))
def test_a_snapshot_kept_up_to_date_equals_one_made_anew(seed: int, numpy_from: int) -> None:
    random = Random(seed)
    kept = Snapshot(numpy_from)
    nodes: dict[str, Any] = {}
    pods: dict[str, tuple[PodInfo, str]] = {}
    for step in range(150):
        _change(random, kept, nodes, pods, step)
        _ask(kept)
    fresh = Snapshot(numpy_from)
    for name in kept.by_name:
        fresh.add_or_update_node(nodes[name])
    for info, where in pods.values():
        fresh.add_pod(info, where)
    assert _picture(kept) == _picture(fresh)


def _change(random: Random, snapshot: Snapshot, nodes: dict[str, Any], pods: dict[str, Any], step: int) -> None:
    name = f"n{random.randrange(8)}"
    choice = random.random()
    if choice < 0.3:
        nodes[name] = random_node(random, int(name[1:]))
        snapshot.add_or_update_node(nodes[name])
    elif choice < 0.4 and name in nodes:
        snapshot.remove_node(name)
        nodes.pop(name)
    elif choice < 0.8 or not pods:
        info = PodInfo(random_pod(random, f"p{step}", on=name))
        snapshot.add_pod(info, name, assumed=random.random() < 0.5)
        pods[info.uid] = (info, name)
    else:
        uid = random.choice(sorted(pods))
        snapshot.remove_pod(uid)
        pods.pop(uid)


def _matches(info: PodInfo) -> bool:
    return info.labels.get("app") == "web"


def _ask(snapshot: Snapshot) -> dict[str, Any]:
    """Everything derived that is kept up to date."""
    snapshot.prepare()
    answers: dict[str, Any] = {"web": _list(snapshot.count_pods("web", _matches))}
    for key in ("disk", "topology.kubernetes.io/zone"):
        column = snapshot.label(key)
        by_number = {i: value for value, i in column.values.items()}
        answers[key] = [by_number.get(i) for i in _list(column.ids)]
    if snapshot.numpy is not None and snapshot.nodes:
        columns = snapshot.columns
        answers["cpu"] = _list(columns.requested("cpu"))
        answers["gpu"] = _list(columns.allocatable("example.com/gpu"))
        answers["pods"] = _list(columns.free("pods"))
        answers["memory"] = _list(columns.free("memory"))
        answers["taints"] = [snapshot.taint_sets[i] for i in _list(columns.taint_set)]
        answers["cordoned"] = _list(columns.unschedulable)
    return answers


def _list(values: Any) -> list[int]:
    return [int(v) for v in values]


def _picture(snapshot: Snapshot) -> Any:
    """All the numbers by node name, whatever the rows are."""
    rows = {info.row: info.name for info in snapshot.nodes}
    derived = {what: dict(zip(rows.values(), found, strict=True)) for what, found in _ask(snapshot).items()}
    sums = {
        i.name: ({k: v for k, v in i.requested.items() if v}, i.nonzero_cpu, sorted(i.pods), sorted(i.ports), i.taints)
        for i in snapshot.nodes
    }
    terms = {sort: sorted(str(t.key) for t in groups) for sort, groups in snapshot.terms.items()}
    totals = (snapshot.hard_taints, snapshot.soft_taints, snapshot.cordoned, snapshot.image_nodes)
    assert [info.row for info in snapshot.nodes] == list(range(len(snapshot.nodes)))
    assert sorted(snapshot.order) == list(range(len(snapshot.nodes)))
    return derived, sums, terms, totals


@pytest.mark.parametrize(
    ("nodes", "percentage", "enough"),
    [
        (10, 0, 10),
        (99, 5, 99),
        (100, 0, 100),
        (1000, 0, 420),
        (5000, 0, 500),
        (6250, 0, 312),
        (1000, 50, 500),
        (1000, 1, 100),
    ],
)
def test_how_many_nodes_are_enough(nodes: int, percentage: int, enough: int) -> None:
    assert nodes_to_find(nodes, percentage) == enough


async def test_large_clusters_are_looked_at_in_turns() -> None:
    cluster = Cluster(*(node(f"n{i}", pods="1") for i in range(300)))
    async with Running(cluster.scheduler({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "percentageOfNodesToScore": 34,
    })) as scheduler:  # fmt: skip
        starts = []
        for i in range(3):
            cluster.put(pod(f"p{i}"))
            await settle()
            starts.append(scheduler._cycle._start)
    assert starts[0] == 102
    assert starts[0] < starts[1]


def test_zones_take_turns_in_the_order_of_the_search() -> None:
    snapshot = Snapshot()
    for name, zone in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("c1", "c"), ("c2", "c")):
        snapshot.add_or_update_node(node(name, labels={"topology.kubernetes.io/zone": zone}))
    assert [snapshot.nodes[row].name for row in snapshot.order] == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_sets_of_taints_that_no_node_has_any_more_are_forgotten() -> None:
    snapshot = Snapshot(1)
    for i in range(200):
        snapshot.add_or_update_node(node("n", taints=[("round", str(i), "NoSchedule")]))
        snapshot.add_or_update_node(node("m", taints=[("other", "", "NoSchedule")]))
        snapshot.prepare()
        assert [snapshot.taint_sets[i] for i in _list(snapshot.columns.taint_set)] == [n.taints for n in snapshot.nodes]
    assert len(snapshot.taint_sets) < 30


def test_numpy_is_imported_only_for_the_first_pod_of_a_large_cluster() -> None:
    import subprocess
    import sys

    script = (
        "import sys\n"
        "from kybern.scheduler.snapshot import Snapshot\n"
        "from kybern_scheduler_policies.default_set import POLICIES\n"
        "from tests.scheduler.world import Cluster, node\n"
        "scheduler = Cluster(*(node(f'n{i}') for i in range(50))).scheduler()\n"
        "scheduler._watching.start()\n"
        "assert len(scheduler.snapshot.nodes) == 50\n"
        "assert 'numpy' not in sys.modules\n"
        "scheduler.snapshot.prepare()\n"
        "assert 'numpy' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
