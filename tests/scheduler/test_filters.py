"""What each filter objects to, as tables: a pod, a node, the reasons."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import Code, CycleState
from tests.scheduler.world import Cluster, node, pod

TAINT = ("dedicated", "db", "NoSchedule")
NOT_READY = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}


def objection(subject: Any, *objects: Any, on: str = "n", config: Any = None) -> tuple[str, ...]:
    """The reasons why a pod may not go to node `on`, with these objects around."""
    status = status_of(subject, *objects, on=on, config=config)
    return () if status is None else status.reasons


def status_of(subject: Any, *objects: Any, on: str = "n", config: Any = None) -> Any:
    scheduler = Cluster(*objects).scheduler(config)
    scheduler._watching.start()
    profile = scheduler.profiles["default-scheduler"]
    state, info = CycleState(), PodInfo(subject)
    names, _, status = profile.pre_filter(state, info, scheduler.snapshot)
    if status is not None:
        return status
    assert names is None or on in names
    return profile.filter(state, info, scheduler.snapshot.by_name[on])


def tolerations(*items: dict[str, Any]) -> dict[str, Any]:
    return {"tolerations": list(items)}


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({}, False),
        (tolerations({"key": "dedicated", "value": "db", "effect": "NoSchedule"}), True),
        (tolerations({"key": "dedicated", "operator": "Equal", "value": "db"}), True),
        (tolerations({"key": "dedicated", "value": "web"}), False),
        (tolerations({"key": "dedicated", "operator": "Exists"}), True),
        (tolerations({"operator": "Exists"}), True),
        (tolerations({"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}), False),
        (tolerations(NOT_READY), False),
    ],
)
def test_taints_keep_away_pods_that_do_not_tolerate_them(spec: dict[str, Any], fits: bool) -> None:
    expected = () if fits else ("node(s) had untolerated taint(s)",)
    assert objection(pod("p", **spec), node("n", taints=[TAINT])) == expected


def test_soft_taints_do_not_keep_pods_away() -> None:
    assert objection(pod("p"), node("n", taints=[("a", "b", "PreferNoSchedule")])) == ()


def test_a_cordoned_node_takes_only_pods_that_tolerate_it() -> None:
    cordoned = node("n", unschedulable=True)
    assert objection(pod("p"), cordoned) == ("node(s) were unschedulable",)
    tolerant = pod("p", **tolerations({"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}))
    assert objection(tolerant, cordoned) == ()


def required(*terms: dict[str, Any]) -> dict[str, Any]:
    selector = {"nodeSelectorTerms": list(terms)}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": selector}}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


def term(*expressions: dict[str, Any]) -> dict[str, Any]:
    return {"matchExpressions": list(expressions)}


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, True),
        ({"nodeSelector": {"disk": "hdd"}}, False),
        ({"nodeSelector": {"disk": "ssd", "gpu": "yes"}}, False),
        (required(term(expression("disk", "In", "hdd", "ssd"))), True),
        (required(term(expression("disk", "NotIn", "ssd"))), False),
        (required(term(expression("gpu", "NotIn", "yes"))), True),
        (required(term(expression("disk", "Exists"))), True),
        (required(term(expression("gpu", "Exists"))), False),
        (required(term(expression("gpu", "DoesNotExist"))), True),
        (required(term(expression("cores", "Gt", "7"))), True),
        (required(term(expression("cores", "Gt", "8"))), False),
        (required(term(expression("cores", "Lt", "9"))), True),
        (required(term(expression("disk", "Lt", "9"))), False),
        (required(term(expression("gpu", "Exists")), term(expression("disk", "Exists"))), True),
        (required(term(expression("disk", "Exists"), expression("gpu", "Exists"))), False),
        (required({}), False),
        ({"nodeSelector": {"disk": "hdd"}} | required(term(expression("disk", "Exists"))), False),
    ],
)
def test_node_selector_and_required_affinity(spec: dict[str, Any], fits: bool) -> None:
    there = node("n", labels={"disk": "ssd", "cores": "8"})
    expected = () if fits else ("node(s) didn't match Pod's node affinity/selector",)
    assert objection(pod("p", **spec), there) == expected


def test_a_pod_that_names_its_node_by_affinity_is_looked_at_only_there() -> None:
    by_name = {"matchFields": [expression("metadata.name", "In", "n1")]}
    scheduler = Cluster(node("n1"), node("n2")).scheduler()
    scheduler._watching.start()
    profile = scheduler.profiles["default-scheduler"]
    names, narrowed, status = profile.pre_filter(
        CycleState(), PodInfo(pod("p", **required(by_name))), scheduler.snapshot
    )
    assert (names, narrowed, status) == ({"n1"}, ["NodeAffinity"], None)


def test_added_affinity_applies_to_every_pod_of_the_profile() -> None:
    added = required(term(expression("disk", "In", "hdd")))["affinity"]["nodeAffinity"]
    config = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "profiles": [{"pluginConfig": [{"name": "NodeAffinity", "args": {"addedAffinity": added}}]}],
    }
    reasons = objection(pod("p"), node("n", labels={"disk": "ssd"}), config=config)
    assert reasons == ("node(s) didn't match scheduler-enforced node affinity",)


def test_a_pod_that_names_its_node_goes_nowhere_else() -> None:
    assert objection(pod("p", on="other"), node("n")) == ("node(s) didn't match the requested node name",)


@pytest.mark.parametrize(
    ("taken", "wanted", "fits"),
    [
        ({"hostPort": 80}, {"hostPort": 80}, False),
        ({"hostPort": 80}, {"hostPort": 81}, True),
        ({"hostPort": 80}, {"hostPort": 80, "protocol": "UDP"}, True),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80, "hostIP": "10.0.0.2"}, True),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80}, False),
        ({"hostPort": 80, "hostIP": "0.0.0.0"}, {"hostPort": 80, "hostIP": "10.0.0.2"}, False),
        ({"containerPort": 80}, {"hostPort": 80}, True),
    ],
)
def test_host_ports_do_not_clash(taken: dict[str, Any], wanted: dict[str, Any], fits: bool) -> None:
    expected = () if fits else ("node(s) didn't have free ports for the requested pod ports",)
    assert objection(pod("p", ports=[wanted]), node("n"), pod("old", on="n", ports=[taken])) == expected


@pytest.mark.parametrize(
    ("wanted", "reasons", "code"),
    [
        ({"cpu": "2"}, (), None),
        ({"cpu": "2001m"}, ("Insufficient cpu",), Code.UNSCHEDULABLE),
        ({"cpu": "5"}, ("Insufficient cpu",), Code.UNRESOLVABLE),
        ({"cpu": "3", "memory": "3Gi"}, ("Insufficient cpu", "Insufficient memory"), Code.UNSCHEDULABLE),
        ({"cpu": "3", "memory": "5Gi"}, ("Insufficient cpu", "Insufficient memory"), Code.UNRESOLVABLE),
        ({"ephemeral-storage": "1"}, ("Insufficient ephemeral-storage",), Code.UNRESOLVABLE),
        ({"example.com/gpu": "1"}, ("Insufficient example.com/gpu",), Code.UNRESOLVABLE),
        ({"example.com/gpu": "0"}, (), None),
    ],
)
def test_requests_must_fit(wanted: dict[str, str], reasons: tuple[str, ...], code: Code | None) -> None:
    there = (node("n", cpu="4", memory="4Gi"), pod("old", on="n", cpu="2", memory="2Gi"))
    status = status_of(pod("p", requests=wanted), *there)
    assert (() if status is None else status.reasons) == reasons
    assert (None if status is None else status.code) is code


def test_a_node_takes_only_so_many_pods() -> None:
    assert objection(pod("p"), node("n", pods="1"), pod("old", on="n")) == ("Too many pods",)


def spread(key: str = "zone", skew: int = 1, **more: Any) -> dict[str, Any]:
    constraint = {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "DoNotSchedule"}
    constraint["labelSelector"] = {"matchLabels": {"app": "web"}}
    return {"topologySpreadConstraints": [constraint | more], "labels": {"app": "web"}}


def zones() -> list[Any]:
    """Two pods in zone a, one in zone b, none in zone c; `bare` has no zone."""
    nodes = [node(f"n{z}", labels={"zone": z}) for z in "abc"]
    pods = [pod(f"old-{i}", on=n, labels={"app": "web"}) for i, n in enumerate(["na", "na", "nb"])]
    return [*nodes, node("bare"), *pods]


SPREAD = "node(s) didn't match pod topology spread constraints"


@pytest.mark.parametrize(
    ("constraint", "fitting"),
    [
        (spread(skew=1), "c"),
        (spread(skew=2), "bc"),
        (spread(skew=3), "abc"),
        (spread(skew=2, minDomains=4), "bc"),
        (spread(skew=1, minDomains=4), "c"),
        (spread(labelSelector={"matchLabels": {"app": "other"}}), "abc"),
        (spread(labelSelector=None), "abc"),
        (spread() | {"nodeSelector": {"zone": "a"}}, "a"),
        (spread(nodeAffinityPolicy="Ignore") | {"nodeSelector": {"zone": "a"}}, ""),
    ],
)
def test_spreading_over_zones(constraint: dict[str, Any], fitting: str) -> None:
    objects = zones()
    found = [z for z in "abc" if objection(pod("p", **constraint), *objects, on=f"n{z}") == ()]
    assert found == list(fitting)


def test_a_node_without_the_topology_label_is_beyond_help() -> None:
    status = status_of(pod("p", **spread()), *zones(), on="bare")
    assert status.reasons == (SPREAD + " (missing required label)",)
    assert status.code is Code.UNRESOLVABLE


def test_pods_on_tainted_nodes_count_unless_taints_are_honoured() -> None:
    nodes = [node("na", labels={"zone": "a"}), node("nb", labels={"zone": "b"}, taints=[TAINT])]
    objects = [*nodes, pod("old", on="na", labels={"app": "web"})]
    assert objection(pod("p", **spread()), *objects, on="na") == (SPREAD,)
    assert objection(pod("p", **spread(nodeTaintsPolicy="Honor")), *objects, on="na") == ()


def test_pods_being_deleted_and_pods_elsewhere_do_not_count() -> None:
    leaving = pod("leaving", on="na", labels={"app": "web"})
    leaving.metadata.deletionTimestamp = "2026-01-01T00:00:00Z"
    foreign = pod("foreign", on="na", labels={"app": "web"}, namespace="other")
    nodes = [node("na", labels={"zone": "a"}), node("nb", labels={"zone": "b"})]
    assert objection(pod("p", **spread()), *nodes, leaving, foreign, on="na") == ()


def test_match_label_keys_count_only_pods_of_the_same_revision() -> None:
    nodes = [node("na", labels={"zone": "a"}), node("nb", labels={"zone": "b"})]
    old = pod("old", on="na", labels={"app": "web", "revision": "1"})
    new = spread(matchLabelKeys=["revision"]) | {"labels": {"app": "web", "revision": "2"}}
    same = spread(matchLabelKeys=["revision"]) | {"labels": {"app": "web", "revision": "1"}}
    assert objection(pod("p", **new), *nodes, old, on="na") == ()
    assert objection(pod("p", **same), *nodes, old, on="na") == (SPREAD,)


def near(key: str = "zone", app: str = "db", against: bool = False, **more: Any) -> dict[str, Any]:
    wanted = {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}} | more
    sort = "podAntiAffinity" if against else "podAffinity"
    return {"affinity": {sort: {"requiredDuringSchedulingIgnoredDuringExecution": [wanted]}}}


AFFINITY = ("node(s) didn't match pod affinity rules",)
ANTI = ("node(s) didn't match pod anti-affinity rules",)
EXISTING = ("node(s) didn't satisfy existing pods anti-affinity rules",)


def test_affinity_wants_a_matching_pod_in_the_domain() -> None:
    nodes = [node("n1", labels={"zone": "a"}), node("n2", labels={"zone": "a"}), node("n3", labels={"zone": "b"})]
    db = pod("db", on="n1", labels={"app": "db"})
    assert objection(pod("p", **near()), *nodes, db, on="n2") == ()
    assert objection(pod("p", **near()), *nodes, db, on="n3") == AFFINITY
    assert objection(pod("p", **near("kubernetes.io/hostname")), *nodes, db, on="n2") == AFFINITY


def test_the_first_pod_of_a_group_that_wants_itself_may_start_anywhere_with_the_label() -> None:
    nodes = [node("n1", labels={"zone": "a"}), node("bare")]
    first = pod("p", labels={"app": "db"}, **near())
    assert objection(first, *nodes, on="n1") == ()
    assert objection(first, *nodes, on="bare") == AFFINITY
    assert objection(pod("p", **near()), *nodes, on="n1") == AFFINITY


def test_anti_affinity_holds_in_both_directions() -> None:
    nodes = [node("n1", labels={"zone": "a"}), node("n2", labels={"zone": "a"}), node("n3", labels={"zone": "b"})]
    db = pod("db", on="n1", labels={"app": "db"})
    shy = pod("shy", on="n1", **near(app="web", against=True))
    assert objection(pod("p", **near(against=True)), *nodes, db, on="n2") == ANTI
    assert objection(pod("p", **near(against=True)), *nodes, db, on="n3") == ()
    assert objection(pod("p", labels={"app": "web"}), *nodes, shy, on="n2") == EXISTING
    assert objection(pod("p", labels={"app": "web"}), *nodes, shy, on="n3") == ()
    assert objection(pod("p", labels={"app": "db"}), *nodes, shy, on="n2") == ()


def test_terms_mean_the_pods_own_namespace_unless_they_say_otherwise() -> None:
    from kybern.api import types
    from kybern.api.core import Namespace

    objects = [
        types.from_plain(Namespace, {"metadata": {"name": "blue", "labels": {"team": "blue"}}}),
        node("n", labels={"zone": "a"}),
        pod("db", on="n", labels={"app": "db"}, namespace="blue"),
    ]
    assert objection(pod("p", **near()), *objects) == AFFINITY
    assert objection(pod("p", **near(namespaces=["blue"])), *objects) == ()
    assert objection(pod("p", **near(namespaceSelector={"matchLabels": {"team": "blue"}})), *objects) == ()
    assert objection(pod("p", **near(namespaceSelector={"matchLabels": {"team": "red"}})), *objects) == AFFINITY
    assert objection(pod("p", **near(namespaceSelector={})), *objects) == ()


def test_mismatch_label_keys_leave_out_pods_of_the_same_tenant() -> None:
    objects = [node("n", labels={"zone": "a"}), pod("old", on="n", labels={"app": "db", "tenant": "x"})]
    rule = near(against=True, mismatchLabelKeys=["tenant"])
    assert objection(pod("p", labels={"tenant": "x"}, **rule), *objects) == ()
    assert objection(pod("p", labels={"tenant": "y"}, **rule), *objects) == ANTI
