"""How policies grade nodes: numbers worked out by hand from the published formulas."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import CycleState, normalized
from kybern.scheduler.snapshot import Candidates
from tests.scheduler.world import Cluster, node, pod

GIB = 1024**3


def scores(policy: str, subject: Any, *objects: Any, args: Any = None) -> dict[str, int] | None:
    """Normalized scores by node name; None when the policy leaves the pod out."""
    config = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "profiles": [{"pluginConfig": [{"name": policy, "args": args or {}}]}],
    }
    scheduler = Cluster(*objects).scheduler(config)
    scheduler._watching.start()
    found = scheduler.profiles["default-scheduler"].policies[policy]
    snapshot, state, info = scheduler.snapshot, CycleState(), PodInfo(subject)
    infos = Candidates(snapshot.nodes, list(range(len(snapshot.nodes))))
    if found.pre_score(state, info, infos) is not None:
        return None
    graded = found.normalize(state, info, infos, [found.score(state, info, i) for i in infos])
    return {i.name: s for i, s in zip(infos, graded, strict=True)}


FIT = "NodeResourcesFit"


def nodes() -> list[Any]:
    return [
        node("empty", cpu="4", memory="8Gi"),
        node("half", cpu="4", memory="8Gi"),
        node("full", cpu="4", memory="8Gi"),
        pod("h", on="half", cpu="2", memory="4Gi"),
        pod("f", on="full", cpu="4", memory="8Gi"),
    ]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        # cpu (4000-1000)*100/4000 = 75, memory (8-2)*100/8 = 75; half: 25 and 25; full: 0
        ({}, {"empty": 75, "half": 25, "full": 0}),
        ({"type": "MostAllocated"}, {"empty": 25, "half": 75, "full": 100}),
        (
            {
                "type": "RequestedToCapacityRatio",
                "requestedToCapacityRatio": {
                    "shape": [{"utilization": 0, "score": 10}, {"utilization": 100, "score": 0}]
                },
            },
            {"empty": 75, "half": 25, "full": 0},
        ),
        (
            {
                "type": "RequestedToCapacityRatio",
                "requestedToCapacityRatio": {
                    "shape": [{"utilization": 50, "score": 0}, {"utilization": 75, "score": 8}]
                },
            },
            {"empty": 0, "half": 80, "full": 80},
        ),
    ],
)
def test_fit_strategies(strategy: dict[str, Any], expected: dict[str, int]) -> None:
    args = {"scoringStrategy": strategy}
    assert scores(FIT, pod("p", cpu="1", memory="2Gi"), *nodes(), args=args) == expected


def test_weights_of_resources_count() -> None:
    args = {
        "scoringStrategy": {"type": "LeastAllocated", "resources": [{"name": "cpu", "weight": 3}, {"name": "memory"}]}
    }
    # cpu 75, memory (8-6)*100/8 = 25: (3*75 + 25) / 4
    assert scores(FIT, pod("p", cpu="1", memory="6Gi"), node("n", cpu="4", memory="8Gi"), args=args) == {"n": 62}


def test_extended_resources_count_only_for_pods_that_ask_for_them() -> None:
    args = {"scoringStrategy": {"type": "MostAllocated", "resources": [{"name": "example.com/gpu", "weight": 1}]}}
    there = node("n", allocatable={"example.com/gpu": "4"})
    assert scores(FIT, pod("p", cpu="1"), there, args=args) == {"n": 0}
    assert scores(FIT, pod("p", requests={"example.com/gpu": "1"}), there, args=args) == {"n": 25}


def test_pods_without_requests_are_spread_as_if_they_asked_for_a_little() -> None:
    # 100m of 4 cores: 97; 200Mi of 8Gi: 97
    assert scores(FIT, pod("p"), node("n", cpu="4", memory="8Gi")) == {"n": 97}


def test_balance_prefers_the_node_that_evens_out() -> None:
    there = [
        node("even", cpu="10", memory="10Gi"),
        node("lopsided", cpu="10", memory="10Gi"),
        pod("old", on="lopsided", cpu="8"),
    ]
    # even: 80/80 of 0/0 stays even: 100 before and after = 75.
    # lopsided: cpu 80 % against 0 %: 60 before; cpu 80 % and memory 80 %: 100 after: 50 + (50 + 100 - 60) / 2
    assert scores("NodeResourcesBalancedAllocation", pod("p", cpu="0", memory="8Gi"), *there) == {
        "even": 50 + (50 + 60 - 100) // 2,
        "lopsided": 95,
    }
    assert scores("NodeResourcesBalancedAllocation", pod("p", cpu="1", memory="1Gi"), there[0]) == {"even": 75}


def test_balance_leaves_out_pods_without_requests() -> None:
    assert scores("NodeResourcesBalancedAllocation", pod("p"), node("n")) is None


def test_soft_taints_count_against_a_node() -> None:
    soft = [("a", "", "PreferNoSchedule"), ("b", "", "PreferNoSchedule")]
    there = [node("none"), node("one", taints=soft[:1]), node("two", taints=soft)]
    assert scores("TaintToleration", pod("p"), *there) == {"none": 100, "one": 50, "two": 0}
    tolerant = pod("p", tolerations=[{"key": "a", "operator": "Exists", "effect": "PreferNoSchedule"}])
    assert scores("TaintToleration", tolerant, *there) == {"none": 100, "one": 100, "two": 0}
    unrelated = pod("p", tolerations=[{"key": "a", "operator": "Exists", "effect": "NoSchedule"}])
    assert scores("TaintToleration", unrelated, *there) == {"none": 100, "one": 50, "two": 0}


def test_preferred_node_affinity_adds_up_weights() -> None:
    def wish(weight: int, key: str) -> dict[str, Any]:
        return {"weight": weight, "preference": {"matchExpressions": [{"key": key, "operator": "Exists"}]}}

    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish(10, "a"), wish(30, "b")]}}
    there = [node("ab", labels={"a": "", "b": ""}), node("b", labels={"b": ""}), node("none")]
    assert scores("NodeAffinity", pod("p", affinity=affinity), *there) == {"ab": 100, "b": 75, "none": 0}
    assert scores("NodeAffinity", pod("p"), *there) is None


def image(name: str, megabytes: int) -> dict[str, Any]:
    return {"names": [name], "sizeBytes": megabytes * 1024**2}


def test_images_count_by_size_and_by_how_many_nodes_have_them() -> None:
    there = [
        node("has", images=[image("app:latest", 500)]),
        node("also", images=[image("app:latest", 500)]),
        node("not"),
    ]
    # 500 MB on two nodes of three: (333.3 - 23) / (1000 - 23)
    assert scores("ImageLocality", pod("p"), *there) == {"has": 31, "also": 31, "not": 0}
    assert scores("ImageLocality", pod("p"), node("not")) is None


SOFT = {"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "web"}}}


def test_soft_spreading_prefers_the_emptier_domain() -> None:
    there = [
        node("a", labels={"zone": "a"}),
        node("b", labels={"zone": "b"}),
        node("bare"),
        *(pod(f"w{i}", on="a", labels={"app": "web"}) for i in range(4)),
        pod("w9", on="b", labels={"app": "web"}),
    ]
    subject = pod("p", topologySpreadConstraints=[SOFT | {"topologyKey": "zone"}])
    # two zones weigh ln(4): 4 -> 5.55 -> 6, 1 -> 1.39 -> 1; best is 100 * (6 + 1 - 1) / 6
    assert scores("PodTopologySpread", subject, *there) == {"a": 16, "b": 100, "bare": 0}


def test_pods_of_a_service_are_spread_by_default() -> None:
    from kybern.api import types
    from kybern.api.core import Service

    plain = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"selector": {"app": "web"}}}
    there = [node("a"), node("b"), pod("old", on="a", labels={"app": "web"}), types.from_plain(Service, plain)]
    found = scores("PodTopologySpread", pod("p", labels={"app": "web"}), *there)
    # no zones; two nodes weigh ln(4), skew 3 adds 2: 3.39 -> 3 and 2; 100 * (3 + 2 - 2) / 3
    assert found == {"a": 66, "b": 100}
    assert scores("PodTopologySpread", pod("p", labels={"app": "other"}), *there) is None
    args = {"defaultingType": "List"}
    assert scores("PodTopologySpread", pod("p", labels={"app": "web"}), *there, args=args) is None


def test_pods_of_a_replica_set_are_spread_by_default() -> None:
    from kybern.api import types
    from kybern.api.apps import ReplicaSet

    plain = {"metadata": {"name": "rs", "namespace": "default"}, "spec": {"selector": {"matchLabels": {"app": "web"}}}}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs"}
    there = [node("a"), node("b"), pod("old", on="a", labels={"app": "web"}), types.from_plain(ReplicaSet, plain)]
    assert scores("PodTopologySpread", pod("p", labels={"app": "web"}, owner=owner), *there) == {"a": 66, "b": 100}


def preferring(weight: int, *, against: bool = False) -> dict[str, Any]:
    wanted = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "db"}}}
    sort = "podAntiAffinity" if against else "podAffinity"
    return {
        "affinity": {
            sort: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": weight, "podAffinityTerm": wanted}]}
        }
    }


def test_preferred_pod_affinity_in_both_directions() -> None:
    there = [
        node("a"),
        node("b"),
        node("c"),
        pod("db", on="a", labels={"app": "db"}),
        pod("fan", on="b", **preferring(5)),
    ]
    assert scores("InterPodAffinity", pod("p", **preferring(10)), *there) == {"a": 100, "b": 0, "c": 0}
    assert scores("InterPodAffinity", pod("p", **preferring(10, against=True)), *there) == {"a": 0, "b": 100, "c": 100}
    # the fan on b wants to be near databases: 5 against the incoming database's own wish of 10 for a
    assert scores("InterPodAffinity", pod("p", labels={"app": "db"}, **preferring(10)), *there) == {
        "a": 100,
        "b": 50,
        "c": 0,
    }
    only_own = {"ignorePreferredTermsOfExistingPods": True}
    assert scores("InterPodAffinity", pod("p", labels={"app": "db"}), *there, args=only_own) is None
    assert scores("InterPodAffinity", pod("p"), *there) is None


def test_required_affinity_of_running_pods_draws_a_little() -> None:
    required = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}
    fan = pod("fan", on="a", affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [required]}})
    subject = pod("p", labels={"app": "web"})
    assert scores("InterPodAffinity", subject, node("a"), node("b"), fan) == {"a": 100, "b": 0}
    none = {"hardPodAffinityWeight": 0}
    assert scores("InterPodAffinity", subject, node("a"), node("b"), fan, args=none) is None


@pytest.mark.parametrize(
    ("raw", "reverse", "expected"),
    [
        ([1, 2, 4], False, [25, 50, 100]),
        ([1, 2, 4], True, [75, 50, 0]),
        ([0, 0], False, [0, 0]),
        ([0, 0], True, [100, 100]),
    ],
)
def test_scores_are_stretched(raw: list[int], reverse: bool, expected: list[int]) -> None:
    import numpy

    assert normalized(raw, reverse=reverse) == expected
    assert normalized(numpy.array(raw), reverse=reverse).tolist() == expected
