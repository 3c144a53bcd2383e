"""One autoscaler's decision: these pods and measures, this size, these conditions and events."""

from __future__ import annotations

from typing import Any

import pytest

from kybern_controllers_workloads.hpa_behavior import History
from kybern_controllers_workloads.hpa_decision import Decision, Reading, Target, decide, needs_metrics
from tests.controllers.hpa_world import NOW, pods, reading, spec, utilization

FULL = 100
"""A pod's request, and its use at 100%."""


def ask(states: str, *values: int | None, of: Any = None, current: int | None = None, **how: Any) -> Decision:
    request = how.pop("request", "100m")
    found = pods(states, request, **how)
    target = Target(len(states) if current is None else current, len(states), "app=web", found)
    return decide(of or spec(), target, [reading(*values)] * len((of or spec()).metrics), History(), NOW)


def conditions(decision: Decision) -> dict[str, tuple[str, str]]:
    return {type_: (status, reason) for type_, status, reason, _ in decision.conditions}


@pytest.mark.parametrize(
    ("states", "values", "desired"),
    [
        ("rr", (50, 50), 2),  # on target
        ("rr", (54, 54), 2),  # within tolerance
        ("rr", (46, 46), 2),
        ("rr", (55, 55), 2),  # exactly a tenth more
        ("rr", (56, 56), 3),
        ("rrr", (60, 60, 60), 4),
        ("rr", (100, 100), 4),
        ("rr", (400, 400), 4),  # no faster than this without behavior
        ("rrrr", (10, 10, 10, 10), 4),  # shrinks only after the window: the first recommendation is what there was
        ("rrr", (100, 100, None), 4),  # the missing one counts as idle
        ("rrr", (60, 60, None), 3),  # ... which turns it round, so nothing is done
        ("rrn", (100, 100, 100), 6),  # not ready, but once it was: its use counts as measured
        ("rrp", (100, 100, None), 4),  # pending: idle
        ("rrs", (100, 100, 100), 4),  # starting: idle
        ("rrf", (100, 100, 900), 4),  # failed and deleted pods are nothing
        ("rrd", (100, 100, 900), 4),
    ],
)
def test_utilization(states: str, values: tuple[int | None, ...], desired: int) -> None:
    assert ask(states, *values).desired == desired


def shrinking(states: str, *values: int | None, **how: Any) -> int:
    quick = spec(behavior={"scaleDown": {"stabilizationWindowSeconds": 0}})
    return ask(states, *values, of=quick, **how).desired


@pytest.mark.parametrize(
    ("states", "values", "desired"),
    [
        ("rrrr", (10, 10, 10, 10), 1),
        ("rrrr", (25, 25, 25, 25), 2),
        ("rrrr", (10, 10, 10, None), 3),  # the missing one counts as full
        ("rrr", (10, 10, None), 3),
        ("rrp", (20, 20, None), 1),  # pending pods are no reason against shrinking
        ("rrrrr", (60, 60, None, None, None), 5),  # those missing would turn growing into shrinking: nothing is done
    ],
)
def test_shrinking(states: str, values: tuple[int | None, ...], desired: int) -> None:
    assert shrinking(states, *values) == desired


def test_more_pods_than_replicas_never_turn_shrinking_into_growing() -> None:
    assert shrinking("rrrr", 20, 20, 20, None, current=3) == 3


def test_the_size_is_brought_into_its_bounds_first() -> None:
    for current, least, most, desired, reason in (
        (12, 1, 10, 10, "Current number of replicas above Spec.MaxReplicas"),
        (1, 3, 10, 3, "Current number of replicas below Spec.MinReplicas"),
    ):
        decision = decide(spec(least=least, most=most), Target(current, current, "app=web"), [], History(), NOW)
        assert (decision.desired, decision.reason, decision.rescale) == (desired, reason, True)
        assert not needs_metrics(spec(least=least, most=most), Target(current))


QUEUE = {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "10"}}}


@pytest.mark.parametrize(
    ("of", "zeroed"),
    [(spec(), False), (spec(QUEUE, least=0), False), (spec(QUEUE), False), (spec(least=0), True)],
    ids=["by hand", "by hand, though zero is allowed", "by hand, with a queue", "no metric could wake it"],
)
def test_zero_replicas_that_are_not_its_own_doing_are_left_alone(of: Any, zeroed: bool) -> None:
    target = Target(0, 0, "app=web", zeroed=zeroed)
    decision = decide(of, target, [], History(), NOW)
    assert not decision.rescale and not needs_metrics(of, target)
    assert conditions(decision)["ScalingActive"] == ("False", "ScalingDisabled")
    assert decision.conditions[-1][3] == "scaling is disabled since the replica count of the target is zero"


def test_zero_replicas_of_its_own_doing_come_back_on_an_external_metric() -> None:
    of, target = spec(QUEUE, least=0), Target(0, 0, "app=web", zeroed=True)
    assert needs_metrics(of, target)
    for total, desired in ((0, 0), (5_000, 1), (25_000, 3)):
        decision = decide(of, target, [Reading(total=total)], History(), NOW)
        assert (decision.desired, decision.rescale) == (desired, desired > 0)
        assert decision.zeroed()[1:3] == ("False", "NotScaledToZero")


@pytest.mark.parametrize("behavior", [{}, {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 0}}}])
def test_a_raised_minimum_wakes_what_was_scaled_to_zero(behavior: dict[str, Any]) -> None:
    decision = decide(
        spec(QUEUE, least=2, **behavior), Target(0, 0, "app=web", zeroed=True), [Reading(total=0)], History(), NOW
    )
    assert (decision.desired, decision.reason) == (2, "Current number of replicas below Spec.MinReplicas")


def test_it_scales_to_zero_only_with_a_metric_that_outlives_the_pods() -> None:
    now = {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}
    target = Target(2, 2, "app=web", pods("rr"))
    idle = decide(spec(QUEUE, least=0, **now), target, [Reading(total=0)], History(), NOW)
    assert (idle.desired, idle.reason, idle.zeroing) == (0, "All metrics below target", True)
    text = "the HPA controller scaled the workload to zero"
    assert idle.zeroed() == ("ScaledToZero", "True", "ScaledToZero", text)
    busy = decide(spec(QUEUE, least=1, **now), target, [Reading(total=0)], History(), NOW)
    assert (busy.desired, busy.zeroing) == (1, False)
    text = "the HPA controller did not scale the workload to zero"
    assert busy.zeroed() == ("ScaledToZero", "False", "NotScaledToZero", text)


def test_what_it_says_when_it_grows() -> None:
    decision = ask("rr", 100, 100)
    assert decision.reason == "cpu resource utilization (percentage of request) above target"
    assert conditions(decision) == {
        "AbleToScale": ("True", "ReadyForNewScale"),
        "ScalingActive": ("True", "ValidMetricFound"),
        "ScalingLimited": ("False", "DesiredWithinRange"),
    }
    current = decision.metrics[0].resource.current
    assert (current.averageUtilization, current.averageValue) == (100, "100m")
    assert decision.events == []


@pytest.mark.parametrize(
    ("current", "values", "most", "limited"),
    [
        (8, 100, 10, ("True", "TooManyReplicas")),
        (2, 900, 10, ("True", "ScaleUpLimit")),
        (2, 100, 10, ("False", "DesiredWithinRange")),
    ],
)
def test_what_limits_it(current: int, values: int, most: int, limited: tuple[str, str]) -> None:
    decision = ask("r" * current, *[values] * current, of=spec(most=most))
    assert conditions(decision)["ScalingLimited"] == limited


@pytest.mark.parametrize(
    ("use", "behavior", "reason"),
    [
        (10, {}, "ScaleDownStabilized"),
        (10, {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}, "ScaleDownStabilized"),
        (90, {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 60}}}, "ScaleUpStabilized"),
        (90, {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 0}}}, "ReadyForNewScale"),
    ],
)
def test_a_window_that_holds_it_is_told(use: int, behavior: dict[str, Any], reason: str) -> None:
    decision = ask("rrrr", *[use] * 4, of=spec(**behavior))
    assert conditions(decision)["AbleToScale"] == ("True", reason)
    assert decision.rescale == (reason == "ReadyForNewScale")


def test_too_few_replicas_is_told() -> None:
    of = spec(least=2, behavior={"scaleDown": {"stabilizationWindowSeconds": 0}})
    decision = ask("rrrr", 1, 1, 1, 1, of=of)
    assert decision.desired == 2 and conditions(decision)["ScalingLimited"] == ("True", "TooFewReplicas")


def test_the_largest_of_several_metrics_counts() -> None:
    rate = {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "10"}}
    of = spec(utilization(), {"type": "Pods", "pods": rate})
    target = Target(2, 2, "app=web", pods("rr"))
    decision = decide(of, target, [reading(50, 50), reading(15_000, 15_000)], History(), NOW)
    assert (decision.desired, decision.reason) == (3, "pods metric rps above target")
    assert decision.metrics[1].pods.current.averageValue == "15"
    decision = decide(of, target, [reading(100, 100), reading(15_000, 15_000)], History(), NOW)
    assert (decision.desired, decision.reason) == (4, "cpu resource utilization (percentage of request) above target")


def test_with_one_metric_unknown_it_grows_but_never_shrinks() -> None:
    of = spec(utilization(), utilization(50, "memory"), behavior={"scaleDown": {"stabilizationWindowSeconds": 0}})
    target = Target(2, 2, "app=web", pods("rr"))
    broken = Reading(error="unable to get metrics for resource memory: gone")
    grown = decide(of, target, [reading(100, 100), broken], History(), NOW)
    assert grown.desired == 4 and not grown.failed
    assert [event[1] for event in grown.events] == ["FailedGetResourceMetric"]
    kept = decide(of, target, [reading(1, 1), broken], History(), NOW)
    assert kept.desired == 2 and kept.failed
    assert kept.events[-1] == (
        "Warning", "FailedComputeMetricsReplicas",
        "invalid metrics (1 invalid out of 2), first error is: failed to get memory resource metric value: "
        "failed to get memory utilization: unable to get metrics for resource memory: gone",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (ask("", current=1), "no pods returned by selector while calculating replica count"),
        (ask("ss", 10, 10, request=None), "did not receive metrics for targeted pods (pods might be unready)"),
        (ask("rr", 10, 10, request=None), "missing request for cpu in container c of Pod p0"),
        (ask("r", 10, request=None, whole={"memory": "1Gi"}), "missing pod-level request for cpu in Pod p0"),
    ],
    ids=["no pods", "none ready", "no requests", "no request of the pod"],
)
def test_what_cannot_be_computed_is_told(decision: Decision, message: str) -> None:
    told = f"failed to get cpu utilization: {message}"
    assert decision.events[0] == ("Warning", "FailedGetResourceMetric", told)
    active = f"the HPA was unable to compute the replica count: {told}"
    assert decision.conditions[-1] == ("ScalingActive", "False", "FailedGetResourceMetric", active)
    assert decision.failed and not decision.rescale


def test_a_pod_that_requests_as_a_whole_is_measured_by_that() -> None:
    assert (
        ask("rr", 100, 100, whole={"cpu": "400m"}, of=spec(least=1)).metrics[0].resource.current.averageUtilization
        == 25
    )


def test_a_container_that_no_pod_has_is_told() -> None:
    metric = container_metric()
    metric["containerResource"]["container"] = "ghost"
    decision = decide(spec(metric), Target(2, 2, "app=web", pods("rr")), [reading(1, 1)], History(), NOW)
    assert decision.events[0][2] == "failed to get cpu utilization: container ghost not found in Pod p0"


def test_memory_is_shown_as_metrics_servers_show_it() -> None:
    target = {"type": "AverageValue", "averageValue": "64Mi"}
    of = spec({"type": "Resource", "resource": {"name": "memory", "target": target}})
    decision = ask("rr", 60 * 2**20 * 1000, 60 * 2**20 * 1000, of=of)
    assert decision.metrics[0].resource.current.averageValue == "60Mi"


def test_a_target_whose_pods_are_unclear_is_not_scaled() -> None:
    none = decide(spec(), Target(2, 2, "", ()), [Reading()], History(), NOW)
    assert none.events[0][1:] == ("SelectorRequired", "selector is required")
    assert conditions(none)["ScalingActive"] == ("False", "InvalidSelector")
    odd = decide(spec(), Target(2, 2, "a in", unreadable="no values"), [Reading()], History(), NOW)
    text = "couldn't convert selector into a corresponding internal selector object: no values"
    assert odd.events[0] == ("Warning", "InvalidSelector", text)
    assert odd.conditions[-1] == ("ScalingActive", "False", "InvalidSelector", text)
    both = ["default/a", "default/b"]
    shared = decide(spec(), Target(2, 2, "app=web", pods("rr")), [Reading()], History(), NOW, both)
    assert conditions(shared)["ScalingActive"] == ("False", "AmbiguousSelector")
    text = "pods by selector app=web are controlled by multiple HPAs: [default/a default/b]"
    assert shared.events[0] == ("Warning", "AmbiguousSelector", text)


def container_metric() -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": 50}
    return {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c", "target": target}}


def object_metric(**target: str) -> dict[str, Any]:
    about = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "main"}
    return {"type": "Object", "object": {"metric": {"name": "rps"}, "describedObject": about, "target": target}}


def external_metric(labels: dict[str, str] | None = None, **target: str) -> dict[str, Any]:
    metric: dict[str, Any] = {"name": "queue"}
    if labels:
        metric["selector"] = {"matchLabels": labels}
    return {"type": "External", "external": {"metric": metric, "target": target}}


@pytest.mark.parametrize(
    ("metric", "of", "desired", "reason"),
    [
        (container_metric(), reading(100, 100), 4, "cpu container resource utilization (percentage of request)"),
        ({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "50m"}}},
         reading(75, 75), 3, "cpu resource"),
        (object_metric(type="Value", value="100"), Reading(total=200_000), 4, "Ingress metric rps"),
        (object_metric(type="AverageValue", averageValue="50"), Reading(total=200_000), 4, "external metric rps(nil)"),
        (external_metric(type="Value", value="10"), Reading(total=15_000), 3, "external metric queue(nil)"),
        (external_metric({"q": "a"}, type="AverageValue", averageValue="10"), Reading(total=31_000), 4,
         "external metric queue(&LabelSelector{MatchLabels:map[string]string{q: a,},"
         "MatchExpressions:[]LabelSelectorRequirement{},})"),
    ],
    ids=["container", "average", "object value", "object average", "external value", "external average"],
)  # fmt: skip
def test_every_source(metric: dict[str, Any], of: Reading, desired: int, reason: str) -> None:
    decision = decide(spec(metric), Target(2, 2, "app=web", pods("rr")), [of], History(), NOW)
    assert (decision.desired, decision.reason) == (desired, f"{reason} above target")
    assert decision.metrics[0].type == metric["type"]


@pytest.mark.parametrize(
    ("metric", "reason", "told"),
    [
        (container_metric(), "FailedGetContainerResourceMetric",
         "failed to get cpu container metric value: failed to get cpu utilization: gone"),
        (object_metric(type="Value", value="1"), "FailedGetObjectMetric",
         "failed to get object metric value: gone"),
        (external_metric(type="Value", value="1"), "FailedGetExternalMetric",
         "failed to get queue external metric value: failed to get external metric queue: gone"),
        ({"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "1"}}},
         "FailedGetPodsMetric", "failed to get pods metric value: unable to get metric rps: gone"),
    ],
    ids=["container", "object", "external", "pods"],
)  # fmt: skip
def test_every_source_can_fail(metric: dict[str, Any], reason: str, told: str) -> None:
    decision = decide(spec(metric), Target(2, 2, "app=web", pods("rr")), [Reading(error="gone")], History(), NOW)
    assert conditions(decision)["ScalingActive"] == ("False", reason)
    assert decision.events[-1][2] == f"invalid metrics (1 invalid out of 1), first error is: {told}"


def test_each_direction_has_its_tolerance() -> None:
    behavior = {
        "scaleUp": {"tolerance": "0.5"},
        "scaleDown": {"tolerance": "10m", "stabilizationWindowSeconds": 0},
    }
    of = spec(behavior=behavior)
    assert ask("rrrr", 74, 74, 74, 74, of=of).desired == 4
    assert ask("rrrr", 80, 80, 80, 80, of=of).desired == 7
    assert ask("rrrrrrrrrr", *[44] * 10, of=of).desired == 9


def test_a_pod_that_was_measured_before_it_was_ready_is_starting() -> None:
    found = pods("rr", started=NOW - 100)
    found[1].status.conditions[0].lastTransitionTime = "2026-01-01T00:59:50Z"
    decision = decide(spec(), Target(2, 2, "app=web", found), [reading(50, 900)], History(), NOW)
    assert decision.metrics[0].resource.current.averageUtilization == 50
