"""HorizontalPodAutoscaler: measures, decides, and writes the scale of its target, every 15 seconds.

The deciding is in hpa_decision.py; here is what is read before it and written after it. Without
autoscalers nothing runs, nothing is asked, and the deciding modules are not even imported.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kybern.api import selectors, types
from kybern.api.errors import StatusError
from kybern.api.time import format_time
from kybern.reconcile.interface import Context, Controller, Informer, Key, Result
from kybern.reconcile.selected import selected

if TYPE_CHECKING:
    from kybern_controllers_workloads.hpa_behavior import History
    from kybern_controllers_workloads.hpa_decision import Condition, Decision, Reading, Target
    from kybern_controllers_workloads.hpa_scale import Scales

__all__ = ["HorizontalPodAutoscalerController"]

log = logging.getLogger(__name__)

PERIOD = 15.0
ABLE = "AbleToScale"
TRIES = 5
"""Writes of a scale that somebody else changes at the same time."""


class HorizontalPodAutoscalerController(Controller):
    """Keeps replicas in step with load."""

    name = "horizontal-pod-autoscaler"
    event_source = "horizontal-pod-autoscaler"

    def setup(self, context: Context) -> None:
        from kybern.api.autoscaling import HorizontalPodAutoscaler
        from kybern.api.core import Pod

        self.kind = HorizontalPodAutoscaler
        self.context = context
        self._scales: Scales | None = None
        self.autoscalers: Informer[Any] = context.watch(HorizontalPodAutoscaler, on=_spec_changed)
        self.pods: Informer[Any] = context.informer(Pod)
        self.histories: dict[tuple[Key, str], History] = {}
        self.selectors: dict[Key, selectors.Selector] = {}

    async def reconcile(self, key: Key) -> Result | None:
        autoscaler = self.autoscalers.get(key.name, key.namespace)
        if autoscaler is None or autoscaler.metadata.deletionTimestamp:
            self._forget(key)
            return None
        try:
            await self._reconcile(key, autoscaler)
        except StatusError as error:
            # Measured again in a while anyway: backing off would only make scaling slower than promised.
            level = logging.DEBUG if error.reason in ("NotFound", "Conflict") else logging.WARNING
            log.log(level, "horizontal-pod-autoscaler %s/%s: %s", *key, error)
        return Result(requeue_after=PERIOD)

    @property
    def scales(self) -> Scales:
        """Made when it is first needed."""
        if self._scales is None:
            from kybern_controllers_workloads.hpa_scale import Scales

            self._scales = Scales(self.context.client)
        return self._scales

    def _forget(self, key: Key) -> None:
        self.selectors.pop(key, None)
        for known in [known for known in self.histories if known[0] == key]:
            del self.histories[known]

    def _history(self, key: Key, autoscaler: Any) -> History:
        """What is remembered of this very object: one that was made again begins anew."""
        from kybern_controllers_workloads.hpa_behavior import History

        mine = (key, autoscaler.metadata.uid)
        if mine not in self.histories:
            self._forget(key)
            self.histories[mine] = History()
        return self.histories[mine]

    async def _reconcile(self, key: Key, autoscaler: Any) -> None:
        from kybern_controllers_workloads.hpa_decision import decide, needs_metrics

        history, now = self._history(key, autoscaler), self.context.clock.now()
        reference = autoscaler.spec.scaleTargetRef
        try:
            scale = await self.scales.get(reference, key.namespace)
        except StatusError as error:
            self.context.events.event(autoscaler, "Warning", "FailedGetScale", str(error))
            text = f"the HPA controller was unable to get the target's current scale: {error}"
            await self._report(autoscaler, [(ABLE, "False", "FailedGetScale", text)])
            return
        target = self._target(key, scale, autoscaler.status)
        readings, others = [], []
        if needs_metrics(autoscaler.spec, target):
            others = self._others(key, target)
            readings = await self._read(autoscaler, key.namespace, target, others)
        decision = decide(autoscaler.spec, target, readings, history, now, others)
        for event in decision.events:
            self.context.events.event(autoscaler, *event)
        if target.zeroed and target.replicas:  # somebody else has woken it
            decision.conditions.append(decision.zeroed())
        if decision.zeroing:
            # Told before it is done: had we no time to tell it afterwards, nothing would ever wake it again.
            autoscaler = await self._report(autoscaler, [decision.zeroed()])
        if decision.rescale and not await self._rescale(key, autoscaler, scale, decision):
            decision.rescale, decision.desired = False, autoscaler.status.desiredReplicas
        elif decision.rescale:
            history.scaled(now, decision.current, decision.desired, autoscaler.spec.behavior)
        await self._report(autoscaler, decision.conditions, decision)

    def _target(self, key: Key, scale: Any, status: Any) -> Target:
        from kybern_controllers_workloads.hpa_decision import ZEROED, Target

        zeroed = any(c.type == ZEROED and c.status == "True" for c in status.conditions or ())
        text, problem = scale.status.selector or "", ""
        try:
            selector = selectors.parse_labels(text)
        except ValueError as error:
            selector, problem = selectors.NOTHING, str(error)
        self.selectors[key] = selector
        pods = selected(self.pods, key.namespace, selector) if text else ()
        return Target(scale.spec.replicas or 0, scale.status.replicas or 0, text, pods, zeroed, problem)

    def _others(self, key: Key, target: Target) -> list[str]:
        """All autoscalers whose selector finds a pod of ours, ours included; empty when there is only ours."""
        # Replicas have the same labels, so a few sets stand for all pods.
        labels = {tuple(sorted((pod.metadata.labels or {}).items())): pod.metadata.labels for pod in target.pods}
        found = []
        for other, selector in sorted(self.selectors.items(), key=lambda item: item[0]):
            if other == key or other.namespace != key.namespace or selector.empty:
                continue
            if any(map(selector.matches, labels.values())):
                found.append(f"{other.namespace}/{other.name}")
        return [f"{key.namespace}/{key.name}", *found] if found else []

    async def _read(self, autoscaler: Any, namespace: str, target: Target, others: list[str]) -> list[Reading]:
        from kybern_controllers_workloads.hpa_decision import Reading
        from kybern_controllers_workloads.hpa_metrics import read_metric

        metrics = autoscaler.spec.metrics or []
        if not target.selector or target.unreadable or others:
            return [Reading() for _ in metrics]
        return [
            await read_metric(self.context.client, self.scales, metric, namespace, target.selector)
            for metric in metrics
        ]

    async def _rescale(self, key: Key, autoscaler: Any, scale: Any, decision: Decision) -> bool:
        size = f"New size: {decision.desired}; reason: {decision.reason}"
        try:
            await self._write(autoscaler.spec.scaleTargetRef, key.namespace, scale, decision.desired)
        except StatusError as error:
            self.context.events.event(autoscaler, "Warning", "FailedRescale", f"{size}; error: {error}")
            text = f"the HPA controller was unable to update the target scale: {error}"
            decision.conditions.append((ABLE, "False", "FailedUpdateScale", text))
            return False
        self.context.events.event(autoscaler, "Normal", "SuccessfulRescale", size)
        text = f"the HPA controller was able to update the target scale to {decision.desired}"
        decision.conditions += [(ABLE, "True", "SucceededRescale", text), decision.zeroed()]
        return True

    async def _write(self, reference: Any, namespace: str, scale: Any, replicas: int) -> None:
        """Set the replicas; what was measured still counts when somebody else has written the target meanwhile."""
        for left in reversed(range(TRIES)):
            scale.spec.replicas = replicas
            try:
                await self.scales.put(reference, namespace, scale)
                return
            except StatusError as error:
                if error.code != 409 or not left:
                    raise
            scale = await self.scales.get(reference, namespace)

    async def _report(self, autoscaler: Any, conditions: list[Condition], decision: Decision | None = None) -> Any:
        """Write the status, if it differs; the autoscaler as it is then."""
        changed = types.copy(autoscaler)
        status, now = changed.status, format_time(self.context.clock.now())
        status.conditions = _merged(status.conditions or (), conditions, now)
        if decision is not None:
            status.currentReplicas = decision.current or None
            status.desiredReplicas = status.desiredReplicas if decision.failed else decision.desired
            status.currentMetrics = decision.metrics or None
            if decision.rescale:
                status.lastScaleTime = now
        if status == autoscaler.status:
            return autoscaler
        try:
            return await self.context.client.update_status(changed)
        except StatusError as error:
            self.context.events.event(autoscaler, "Warning", "FailedUpdateStatus", str(error))
            raise


def _spec_changed(old: Any, new: Any) -> bool:
    return old is None or new is None or old.spec != new.spec or old.metadata.uid != new.metadata.uid


def _merged(before: Any, found: list[Condition], now: str) -> list[Any]:
    """The conditions with what was found; the last word on a type counts, and a time changes with the status only."""
    from kybern.api.autoscaling import HorizontalPodAutoscalerCondition as Status

    known = {condition.type: condition for condition in before}
    for type_, status, reason, message in {condition[0]: condition for condition in found}.values():
        old = known.get(type_)
        since = old.lastTransitionTime if old is not None and old.status == status else now
        known[type_] = Status(type=type_, status=status, reason=reason, message=message, lastTransitionTime=since)
    return list(known.values())
