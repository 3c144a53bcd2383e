"""NoExecute taints of devices: pods leave whose claims hold a tainted device that they do not tolerate (any longer).

A taint comes from the driver, in its ResourceSlice, or from an administrator's DeviceTaintRule, whose
status tells how the eviction goes. Keys are pods, and rules (without a namespace).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from kybern.api import types
from kybern.api.resource.taints import rule_selects, taints_of, tolerance_ends
from kybern.api.time import format_time, parse_time
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern.reconcile.pods import is_finished
from kybern_controllers_cluster.pod_disruption import end_pod

IN_PROGRESS = "EvictionInProgress"
PERIOD = 10.0
"""A rule's status is written no more often: the eviction of thousands of pods does not become as many writes."""


class _Term(NamedTuple):
    """Until when a pod may stay because of one taint, and the rule that it comes from."""

    end: float
    rule: str


class DeviceTaintEvictionController(Controller):
    """Deletes pods, and says in rules how many."""

    name = "device-taint-eviction"
    event_source = "device-taint-eviction"
    workers = 8

    def setup(self, context: Context) -> None:
        from kybern.api.core import Pod
        from kybern.api.resource import DeviceTaintRule, ResourceClaim, ResourceSlice

        self.context, self.client, self.clock = context, context.client, context.clock
        self._doomed: set[str] = set()
        self._evicted: dict[str, int] = {}
        self.pods = context.watch(Pod, on=_has_devices)
        self.claims = context.watch(ResourceClaim, _users)
        self.claims.add_index("pod", lambda claim: (c.uid for c in claim.status.reservedFor or ()))
        self.slices = context.watch(ResourceSlice, lambda _: self._all_users(), on=_taints_differ)
        self.slices.add_index("pool", lambda s: (f"{s.spec.driver}/{s.spec.pool.name}",))
        self.rules = context.watch(DeviceTaintRule, self._rule_and_users)

    def _rule_and_users(self, rule: Any) -> Iterator[Key]:
        yield Key("", rule.metadata.name)
        yield from self._all_users()

    def _all_users(self) -> Iterator[Key]:
        for claim in self.claims.list():
            yield from _users(claim)

    async def reconcile(self, key: Key) -> Result | None:
        if not key.namespace:
            rule: Any = self.rules.get(key.name)
            return await self._tell(rule) if rule is not None else None
        pod: Any = self.pods.get(key.name, key.namespace)
        if pod is None or pod.metadata.deletionTimestamp or is_finished(pod) or not pod.spec.nodeName:
            return None
        terms = list(self._terms(pod, self.rules.list()))
        end = min((term.end for term in terms), default=None)
        if end is None:
            self._spare(pod)
            return None
        self._doomed.add(pod.metadata.uid)
        left = end - self.clock.now()
        if left > 0:
            return Result(left)
        await self._evict(pod, {term.rule for term in terms if term.rule})
        return None

    def _spare(self, pod: Any) -> None:
        """The taint went away, or is tolerated now."""
        if pod.metadata.uid in self._doomed:
            self._doomed.discard(pod.metadata.uid)
            self.context.events.event(pod, "Normal", "DeviceTaintManagerEviction", "Cancelling deletion")

    async def _evict(self, pod: Any, rules: Iterable[str]) -> None:
        self.context.events.event(pod, "Normal", "DeviceTaintManagerEviction", "Marking for deletion")
        why = "DeletionByDeviceTaintManager", "Device Taint manager: deleting due to NoExecute taint"
        await end_pod(self.client, self.clock, pod, *why)
        self._doomed.discard(pod.metadata.uid)
        for name in rules:
            self._evicted[name] = self._evicted.get(name, 0) + 1
            self.context.enqueue(Key("", name), PERIOD)

    def _terms(self, pod: Any, rules: Iterable[Any]) -> Iterator[_Term]:
        """Every taint with NoExecute that the pod does not bear for ever."""
        for claim in self.claims.by_index("pod", pod.metadata.uid):
            for result in _results(claim):
                tolerations = result.tolerations or ()
                for taint in self._taints_by_driver(result):
                    end = tolerance_ends(taint, tolerations) if taint.effect == "NoExecute" else None
                    if end is not None:
                        yield _Term(end, "")
                for rule in rules:
                    if rule.spec.taint.effect == "NoExecute" and _selects(rule, result):
                        end = tolerance_ends(rule.spec.taint, tolerations)
                        if end is not None:
                            yield _Term(end, rule.metadata.name)

    def _taints_by_driver(self, result: Any) -> Iterator[Any]:
        slices = self.slices.by_index("pool", f"{result.driver}/{result.pool}")
        newest = max((s.spec.pool.generation or 0 for s in slices), default=0)
        for part in slices:
            for device in part.spec.devices or () if (part.spec.pool.generation or 0) == newest else ():
                if device.name == result.device:
                    yield from taints_of(result.driver, result.pool, device, ())

    async def _tell(self, rule: Any) -> Result | None:
        """Write the rule's condition, at once for a new or changed rule, else every now and then."""
        from kybern.api.meta import Condition

        known = next((c for c in rule.status.conditions or () if c.type == IN_PROGRESS), None)
        now = self.clock.now()
        if known is not None and known.observedGeneration == rule.metadata.generation:
            wait = parse_time(known.lastTransitionTime) + PERIOD - now
            if wait > 0:
                return Result(wait)
        status, reason, message = self._progress(rule)
        generation = rule.metadata.generation
        if known is not None and (known.status, known.reason, known.message or "", known.observedGeneration) == (
            status, reason, message, generation
        ):  # fmt: skip
            return None
        changed = types.copy(rule)
        condition = Condition(
            type=IN_PROGRESS,
            status=status,
            reason=reason,
            message=message,
            observedGeneration=generation,
            lastTransitionTime=format_time(now),
        )
        others = [c for c in rule.status.conditions or () if c.type != IN_PROGRESS]
        changed.status.conditions = [*others, condition]
        await self.client.update_status(changed)
        return Result(PERIOD) if status == "True" else None

    def _progress(self, rule: Any) -> tuple[str, str, str]:
        """Status, reason and message of the condition."""
        effect, evicted = rule.spec.taint.effect, self._evicted.get(rule.metadata.name, 0)
        done = f"{_number(evicted, 'pod')} evicted since starting the controller." if evicted else ""
        if effect == "None":
            told = " ".join((self._what_if(rule), done)).strip()
            return "False", "NoEffect", told
        if effect != "NoExecute":
            return "False", "OtherEffect", f"Eviction only happens for the NoExecute effect. {done}".strip()
        pods = self._pending(rule)
        if not pods:
            return "False", "Completed" if evicted else "NotStarted", done
        verb = "needs" if len(pods) == 1 else "need"
        text = f"{_number(len(pods), 'pod')} {verb} to be evicted in {_spaces(pods)}. {done}"
        return "True", "PodsPendingEviction", text.strip()

    def _what_if(self, rule: Any) -> str:
        """What the rule would do with the effect NoExecute."""
        trial = types.copy(rule)
        trial.spec.taint.effect = "NoExecute"
        pods = self._pending(trial)
        published = sum(
            rule_selects(rule, part.spec.driver, part.spec.pool.name, device.name)
            for part in self.slices.list()
            for device in part.spec.devices or ()
        )
        allocated = sum(_selects(rule, result) for claim in self.claims.list() for result in _results(claim))
        return (
            f"{_number(published, 'published device')} selected. {_number(allocated, 'allocated device')} selected. "
            f"{_number(len(pods), 'pod')} would be evicted in {_spaces(pods)} if the effect was NoExecute. "
            "This information will not be updated again. Recreate the DeviceTaintRule to trigger an update."
        )

    def _pending(self, rule: Any) -> list[Any]:
        """Pods that have to go because of the rule."""
        found = {}
        for claim in self.claims.list():
            if any(_selects(rule, result) for result in _results(claim)):
                for key in _users(claim):
                    pod: Any = self.pods.get(key.name, key.namespace)
                    gone = pod is None or pod.metadata.deletionTimestamp or is_finished(pod)
                    if not gone and any(term.rule for term in self._terms(pod, [rule])):
                        found[pod.metadata.uid] = pod
        return list(found.values())


def _results(claim: Any) -> Iterable[Any]:
    allocation = claim.status.allocation
    return (allocation.devices.results if allocation is not None else None) or ()


def _selects(rule: Any, result: Any) -> bool:
    return rule_selects(rule, result.driver, result.pool, result.device)


def _users(claim: Any) -> Iterator[Key]:
    """The pods that the claim is reserved for."""
    for consumer in claim.status.reservedFor or ():
        if consumer.resource == "pods" and not consumer.apiGroup:
            yield Key(claim.metadata.namespace, consumer.name)


def _has_devices(old: Any, new: Any) -> bool:
    """A pod with claims that came to its node."""
    if new is None or not new.spec.nodeName:
        return False
    came = old is None or not old.spec.nodeName
    return came and bool(new.spec.resourceClaims or new.status.extendedResourceClaimStatus is not None)


def _taints_differ(old: Any, new: Any) -> bool:
    before = [d.taints for d in old.spec.devices or ()] if old is not None else []
    after = [d.taints for d in new.spec.devices or ()] if new is not None else []
    return before != after and any((*before, *after))


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _spaces(pods: Iterable[Any]) -> str:
    """In how many namespaces they are."""
    count = len({pod.metadata.namespace for pod in pods})
    return "1 namespace" if count == 1 else f"{count} different namespaces"
