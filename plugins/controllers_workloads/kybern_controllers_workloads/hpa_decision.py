"""What to do about one HorizontalPodAutoscaler: its spec, what is there and what was measured, in; a Decision, out.

Pure: the controller has read everything before, and does afterwards what the Decision says.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import attrs

from kybern.api import quantity
from kybern.api.autoscaling import (
    ContainerResourceMetricStatus,
    ExternalMetricStatus,
    MetricStatus,
    MetricValueStatus,
    ObjectMetricStatus,
    PodsMetricStatus,
    ResourceMetricStatus,
)
from kybern.reconcile.owners import selector_text
from kybern_controllers_workloads.hpa_behavior import History, normalized
from kybern_controllers_workloads.hpa_replicas import (
    MetricError,
    Sample,
    Tolerances,
    average_replicas,
    ratio_replicas,
    total_per_pod_replicas,
    utilization_replicas,
)

__all__ = ["ZEROED", "Decision", "Reading", "Target", "decide", "needs_metrics"]

ABLE, ACTIVE, LIMITED, ZEROED = "AbleToScale", "ScalingActive", "ScalingLimited", "ScaledToZero"
BELOW = "Current number of replicas below Spec.MinReplicas"
Condition = tuple[str, str, str, str]
"""Type, status, reason, message."""


@attrs.frozen
class Target:
    """The scale subresource of what is scaled, and the pods its selector finds."""

    replicas: int
    existing: int = 0
    """`status.replicas`."""
    selector: str = ""
    pods: Sequence[Any] = ()
    zeroed: bool = False
    """Whether the condition ScaledToZero says that its zero replicas are the autoscaler's own doing (KEP-2021)."""
    unreadable: str = ""
    """What is wrong with the selector."""


@attrs.frozen
class Reading:
    """What was measured for one metric of the spec."""

    samples: dict[str, Sample] = attrs.field(factory=dict)
    """By pod."""
    total: int = 0
    """Of an object, or of external series together; in thousandths."""
    error: str = ""
    """Why nothing was measured."""


@attrs.define
class Decision:
    """What to do and to report."""

    current: int
    desired: int
    reason: str = ""
    """Why the size changes."""
    rescale: bool = False
    conditions: list[Condition] = attrs.field(factory=list)
    events: list[tuple[str, str, str]] = attrs.field(factory=list)
    """Type, reason, message."""
    metrics: list[Any] = attrs.field(factory=list)
    """`status.currentMetrics`."""
    failed: bool = False
    """The metrics say nothing: `status.desiredReplicas` stays as it is."""
    zeroing: bool = False
    """It goes to zero replicas, to come back when a metric says so."""

    def zeroed(self) -> Condition:
        """What ScaledToZero says once this is done."""
        if self.zeroing:
            return ZEROED, "True", "ScaledToZero", "the HPA controller scaled the workload to zero"
        return ZEROED, "False", "NotScaledToZero", "the HPA controller did not scale the workload to zero"


@attrs.frozen
class _Proposal:
    """What one metric asks for."""

    replicas: int
    name: str
    status: Any


class _Unusable(Exception):
    """A metric that proposes nothing."""

    def __init__(self, reason: str, error: str, told: str) -> None:
        super().__init__(told)
        self.reason = reason
        self.error = error
        """What its condition and its event say."""


def needs_metrics(spec: Any, target: Target) -> bool:
    """Whether the decision depends on what is measured."""
    if target.replicas == 0:
        return not _disabled(spec, target)
    return bool(_least(spec) <= target.replicas <= spec.maxReplicas)


def _disabled(spec: Any, target: Target) -> bool:
    """Zero replicas that somebody else asked for, or that no metric could bring back, are left alone."""
    return target.replicas == 0 and not (target.zeroed and (_least(spec) != 0 or _outlives_pods(spec)))


def _outlives_pods(spec: Any) -> bool:
    """Whether a metric can be had without pods."""
    return any(metric.type in ("Object", "External") for metric in spec.metrics or ())


def _least(spec: Any) -> int:
    return 1 if spec.minReplicas is None else int(spec.minReplicas)


def decide(
    spec: Any, target: Target, readings: Sequence[Reading], history: History, now: float, others: Sequence[str] = ()
) -> Decision:
    """`readings`: one per metric of the spec. `others`: autoscalers that select the same pods."""
    decision = Decision(target.replicas, target.replicas)
    history.begin(now, target.replicas)
    able = (ABLE, "True", "SucceededGetScale", "the HPA controller was able to get the target's current scale")
    decision.conditions.append(able)
    least, current = _least(spec), target.replicas
    if _disabled(spec, target):
        text = "scaling is disabled since the replica count of the target is zero"
        decision.conditions.append((ACTIVE, "False", "ScalingDisabled", text))
        return decision
    if current > spec.maxReplicas:
        return _resized(decision, spec.maxReplicas, "Current number of replicas above Spec.MaxReplicas")
    if 0 < current < least:
        return _resized(decision, least, BELOW)
    if problem := _selector_problem(target, others):
        return _given_up(decision, *problem)
    proposal = _proposed(decision, spec, target, readings, now)
    if proposal is None:
        return decision
    wanted, reason = proposal.replicas, ""
    if wanted != current:
        reason = f"{proposal.name} above target" if wanted > current else "All metrics below target"
    limit = normalized(wanted, current, least, spec.maxReplicas, spec.behavior, history, now)
    decision.conditions += [(ABLE, "True", *limit.able), (LIMITED, str(limit.limited), *limit.why)]
    replicas = limit.replicas
    if current == 0:  # the minimum may have been raised since it went to zero
        replicas, reason = max(replicas, least), reason or BELOW
    decision.zeroing = current > 0 and replicas == 0 and _outlives_pods(spec)
    return _resized(decision, replicas, reason if replicas != current else "")


def _resized(decision: Decision, replicas: int, reason: str) -> Decision:
    decision.desired, decision.reason = replicas, reason
    decision.rescale = replicas != decision.current
    return decision


def _selector_problem(target: Target, others: Sequence[str]) -> tuple[str, str, str, str] | None:
    """(event's reason, condition's reason, condition's message, error) when it is not clear whose pods are meant."""
    if not target.selector:
        text = "the HPA target's scale is missing a selector"
        return "SelectorRequired", "InvalidSelector", text, "selector is required"
    if target.unreadable:
        text = f"couldn't convert selector into a corresponding internal selector object: {target.unreadable}"
        return "InvalidSelector", "InvalidSelector", text, text
    if others:
        text = f"pods by selector {target.selector} are controlled by multiple HPAs: [{' '.join(others)}]"
        return "AmbiguousSelector", "AmbiguousSelector", text, text
    return None


def _given_up(decision: Decision, event: str, reason: str, message: str, error: str) -> Decision:
    decision.conditions.append((ACTIVE, "False", reason, message))
    decision.events += [("Warning", event, error), ("Warning", "FailedComputeMetricsReplicas", error)]
    decision.failed = True
    return decision


def _proposed(
    decision: Decision, spec: Any, target: Target, readings: Sequence[Reading], now: float
) -> _Proposal | None:
    """The largest proposal. None, with everything said, when too little was measured to act on."""
    best: _Proposal | None = None
    failures: list[_Unusable] = []
    metrics = spec.metrics or []
    for metric, reading in zip(metrics, readings, strict=True):
        try:
            proposal = _propose(metric, reading, target, _tolerances(spec.behavior), now)
        except _Unusable as failure:
            failures.append(failure)
            decision.events.append(("Warning", failure.reason, failure.error))
            decision.metrics.append(MetricStatus(type=""))
            continue
        decision.metrics.append(proposal.status)
        if best is None or best.replicas == 0 or proposal.replicas > best.replicas:
            best = proposal
    if best is None or (failures and best.replicas < target.replicas):
        # A metric that is not known might have asked for more: never shrink without it.
        first = failures[0]
        text = f"the HPA was unable to compute the replica count: {first.error}"
        decision.conditions.append((ACTIVE, "False", first.reason, text))
        error = f"invalid metrics ({len(failures)} invalid out of {len(metrics)}), first error is: {first}"
        decision.events.append(("Warning", "FailedComputeMetricsReplicas", error))
        decision.failed = True
        return None
    text = f"the HPA was able to successfully calculate a replica count from {best.name}"
    decision.conditions.append((ACTIVE, "True", "ValidMetricFound", text))
    return best


def _tolerances(behavior: Any | None) -> Tolerances:
    usual = Tolerances()
    if behavior is None:
        return usual
    down, up = (getattr(rules, "tolerance", None) for rules in (behavior.scaleDown, behavior.scaleUp))
    return Tolerances(
        usual.down if down is None else float(quantity.parse(down)),
        usual.up if up is None else float(quantity.parse(up)),
    )


def _propose(metric: Any, reading: Reading, target: Target, tolerances: Tolerances, now: float) -> _Proposal:
    match metric.type:
        case "Resource":
            return _resource(metric, metric.resource, "", reading, target, tolerances, now)
        case "ContainerResource":
            source = metric.containerResource
            return _resource(metric, source, source.container, reading, target, tolerances, now)
        case "Pods":
            return _pods(metric, reading, target, tolerances, now)
        case "Object":
            return _object(metric, reading, target, tolerances)
        case "External":
            return _external(metric, reading, target, tolerances)
    text = f'unknown metric source type "{metric.type}"'
    raise _Unusable("InvalidMetricSourceType", text, text)


def _resource(
    metric: Any, source: Any, container: str, reading: Reading, target: Target, tolerances: Tolerances, now: float
) -> _Proposal:
    name, wanted = source.name, source.target
    what = f"{name} container resource" if container else f"{name} resource"
    percent = None
    averaged = wanted.averageValue is not None
    try:
        _check(reading)
        if averaged:
            replicas, average = average_replicas(
                target.replicas,
                quantity.milli(wanted.averageValue),
                name,
                target.pods,
                reading.samples,
                tolerances,
                now,
            )
        else:
            replicas, percent, average = utilization_replicas(
                target.replicas,
                wanted.averageUtilization,
                name,
                container,
                target.pods,
                reading.samples,
                tolerances,
                now,
            )
    except MetricError as error:
        reason = "FailedGetContainerResourceMetric" if container else "FailedGetResourceMetric"
        inner = f"failed to get {name} {'usage' if averaged else 'utilization'}: {error}"
        kind = "container" if container else "resource"
        raise _Unusable(reason, inner, f"failed to get {name} {kind} metric value: {inner}") from None
    # As metrics servers show them: memory in KiB and MiB, anything else decimal.
    shown_as = "BinarySI" if name == "memory" else "DecimalSI"
    current = MetricValueStatus(averageUtilization=percent, averageValue=_text(average, shown_as))
    if container:
        found = ContainerResourceMetricStatus(name=name, container=container, current=current)
        status = MetricStatus(type=metric.type, containerResource=found)
    else:
        status = MetricStatus(type=metric.type, resource=ResourceMetricStatus(name=name, current=current))
    return _Proposal(replicas, what if averaged else f"{what} utilization (percentage of request)", status)


def _pods(metric: Any, reading: Reading, target: Target, tolerances: Tolerances, now: float) -> _Proposal:
    source = metric.pods
    wanted = quantity.milli(source.target.averageValue)
    try:
        _check(reading, f"unable to get metric {source.metric.name}: ")
        replicas, average = average_replicas(target.replicas, wanted, "", target.pods, reading.samples, tolerances, now)
    except MetricError as error:
        raise _Unusable("FailedGetPodsMetric", str(error), f"failed to get pods metric value: {error}") from None
    found = PodsMetricStatus(metric=source.metric, current=MetricValueStatus(averageValue=_text(average)))
    return _Proposal(replicas, f"pods metric {source.metric.name}", MetricStatus(type="Pods", pods=found))


def _object(metric: Any, reading: Reading, target: Target, tolerances: Tolerances) -> _Proposal:
    source, about = metric.object, metric.object.describedObject
    name = source.metric.name
    averaged = source.target.type == "AverageValue"
    try:
        _check(reading)
        replicas, current = _of_total(source.target, averaged, reading.total, target, tolerances)
    except MetricError as error:
        inner = f"failed to get {name} object metric: {error}" if averaged else str(error)
        raise _Unusable("FailedGetObjectMetric", str(error), f"failed to get object metric value: {inner}") from None
    found = ObjectMetricStatus(metric=source.metric, current=current, describedObject=about)
    of_all = f"external metric {name}({selector_text(source.metric.selector)})"
    told = of_all if averaged else f"{about.kind} metric {name}"
    return _Proposal(replicas, told, MetricStatus(type="Object", object=found))


def _external(metric: Any, reading: Reading, target: Target, tolerances: Tolerances) -> _Proposal:
    source = metric.external
    name, averaged = source.metric.name, source.target.averageValue is not None
    try:
        _check(reading)
        replicas, current = _of_total(source.target, averaged, reading.total, target, tolerances)
    except MetricError as error:
        told = (
            f"failed to get {name} external metric: {error}"
            if averaged
            else f"failed to get external metric {name}: {error}"
        )
        outer = f"failed to get {name} external metric value: {told}"
        raise _Unusable("FailedGetExternalMetric", str(error), outer) from None
    found = ExternalMetricStatus(metric=source.metric, current=current)
    told = f"external metric {name}({selector_text(source.metric.selector)})"
    return _Proposal(replicas, told, MetricStatus(type="External", external=found))


def _of_total(wanted: Any, averaged: bool, total: int, target: Target, tolerances: Tolerances) -> tuple[int, Any]:
    """(replicas, current value) for one value that is not of single pods."""
    if averaged:
        replicas, average = total_per_pod_replicas(
            target.existing, total, quantity.milli(wanted.averageValue), tolerances
        )
        return replicas, MetricValueStatus(averageValue=_text(average))
    replicas = ratio_replicas(target.replicas, total, quantity.milli(wanted.value), target.pods, tolerances)
    return replicas, MetricValueStatus(value=_text(total))


def _check(reading: Reading, before: str = "") -> None:
    if reading.error:
        raise MetricError(before + reading.error)


def _text(thousandths: int, form: str = "DecimalSI") -> str:
    return quantity.format(Fraction(thousandths, 1000), form)
