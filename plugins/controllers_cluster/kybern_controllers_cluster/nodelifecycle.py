"""Node health: a node whose kubelet falls silent is marked Unknown, tainted, and, at a measured pace, emptied.

A kubelet's sign of life is its Lease or its status. Conditions become taints: NoSchedule at once,
NoExecute (which makes `tainteviction` move pods away) one node at a time per zone, and not at all when every
node is silent, because then it is rather the network between us and them that is broken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.time import format_time
from kybern.clock import Timer
from kybern.reconcile.bursts import all_at_once
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern.reconcile.pods import is_finished, pod_condition

GRACE = 50.0
"""Seconds of silence after which a node's state is unknown."""
STARTUP_GRACE = 60.0
"""The same for a node that has never reported."""
LEASES = "kube-node-lease"
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
CONDITION_TAINTS = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
OURS = {NOT_READY, UNREACHABLE, UNSCHEDULABLE, *CONDITION_TAINTS.values()}
EXCLUDED = "node.kubernetes.io/exclude-disruption"
"""A label of nodes that do not count when a zone is judged."""
ELDER_LABELS = {"kubernetes.io/os": "beta.kubernetes.io/os", "kubernetes.io/arch": "beta.kubernetes.io/arch"}
"""Names by which old clients know these labels."""
REPORTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
EVICTION_INTERVAL = 10.0
SLOW_INTERVAL = 100.0
LARGE_ZONE = 50
UNHEALTHY_SHARE = 0.55


def node_condition(node: Any, type: str) -> Any | None:
    """The node's condition of a type, or None."""
    return next((c for c in node.status.conditions or () if c.type == type), None)


def readiness(node: Any) -> str:
    """True, False or Unknown."""
    condition = node_condition(node, "Ready")
    return condition.status if condition is not None else "Unknown"


def zone_of(node: Any) -> str:
    """Region and zone, or ""."""
    labels = node.metadata.labels or {}
    region, zone = labels.get("topology.kubernetes.io/region", ""), labels.get("topology.kubernetes.io/zone", "")
    return f"{region}:{zone}" if region or zone else ""


def elder_labels(node: Any) -> dict[str, str]:
    """The labels under their elder names that the node lacks."""
    labels = node.metadata.labels or {}
    wanted = {elder: labels[name] for name, elder in ELDER_LABELS.items() if name in labels}
    return {elder: value for elder, value in wanted.items() if labels.get(elder) != value}


def schedule_taints(node: Any) -> set[str]:
    """The keys of the NoSchedule taints that the node's conditions call for."""
    ready = node_condition(node, "Ready")
    keys = {UNSCHEDULABLE} if node.spec.unschedulable else set()
    if ready is not None and ready.status != "True":
        keys.add(NOT_READY if ready.status == "False" else UNREACHABLE)
    for type_, key in CONDITION_TAINTS.items():
        condition = node_condition(node, type_)
        if condition is not None and condition.status == "True":
            keys.add(key)
    return keys


def silent_conditions(node: Any, make: type[Any], now: str) -> list[Any]:
    """The node's conditions after its kubelet fell silent."""
    conditions = {c.type: c for c in node.status.conditions or ()}
    for type_ in REPORTED:
        known = conditions.get(type_)
        if known is None:
            conditions[type_] = make(
                type=type_,
                status="Unknown",
                reason="NodeStatusNeverUpdated",
                message="Kubelet never posted node status.",
                lastHeartbeatTime=node.metadata.creationTimestamp,
                lastTransitionTime=now,
            )
        elif known.status != "Unknown":
            known = types.copy(known)
            known.status, known.reason = "Unknown", "NodeStatusUnknown"
            known.message, known.lastTransitionTime = "Kubelet stopped posting node status.", now
            conditions[type_] = known
    return list(conditions.values())


def pace(zones: dict[str, Counter[str]], zone: str) -> float | None:
    """Seconds between two nodes of a zone that are given up; None: none is. `zones`: nodes by readiness."""
    if all(_is_disrupted(counts) for counts in zones.values()):
        return None
    counts = zones[zone]
    total, bad = counts.total(), counts.total() - counts["True"]
    if _is_disrupted(counts) or bad <= 2 or bad / total < UNHEALTHY_SHARE:
        return EVICTION_INTERVAL
    return SLOW_INTERVAL if total > LARGE_ZONE else None


def _is_disrupted(counts: Counter[str]) -> bool:
    return not counts["True"]


@attrs.define
class _Sign:
    """The last sign of life, on our own clock: the node's may be wrong."""

    time: float
    heartbeat: str = ""
    renewed: str = ""


class NodeLifecycleController(Controller):
    """Watches over nodes; keys are their names."""

    name = "nodelifecycle"
    event_source = "node-controller"
    workers = 8

    def setup(self, context: Context) -> None:
        from kybern.api.coordination import Lease
        from kybern.api.core import Node, Pod

        self.context = context
        self.client, self.clock, self.events = context.client, context.clock, context.events
        self._signs: dict[str, _Sign] = {}
        self._deadlines: dict[str, Timer] = {}
        self._readiness: dict[str, tuple[str, str]] = {}
        self._zones: dict[str, Counter[str]] = {}
        self._next_eviction: dict[str, float] = {}
        self.leases = context.informer(Lease)
        self.leases.on_change(self._lease_changed)
        self.nodes = context.informer(Node)
        self.nodes.on_change(self._node_changed)
        self.pods = context.informer(Pod)
        self.pods.add_index("node", lambda pod: (pod.spec.nodeName,) if pod.spec.nodeName else ())
        self.pods.on_change(self._pod_changed)

    def _lease_changed(self, old: Any, new: Any) -> None:
        """Most leases are renewals: they cost a dictionary write. The node's own timer looks at the result."""
        if new is None or new.metadata.namespace != LEASES:
            return
        sign = self._signs.get(new.metadata.name)
        if sign is not None and new.spec.renewTime != sign.renewed:
            sign.renewed, sign.time = new.spec.renewTime or "", self.clock.monotonic()

    def _pod_changed(self, old: Any, new: Any) -> None:
        """A pod that comes to a node which is not ready must not count as ready."""
        if new is None or not new.spec.nodeName or (old is not None and old.spec.nodeName):
            return
        node: Any = self.nodes.get(new.spec.nodeName)
        if node is not None and readiness(node) != "True":
            self.context.enqueue(Key("", new.spec.nodeName))

    def _node_changed(self, old: Any, new: Any) -> None:
        node = new if new is not None else old
        name = node.metadata.name
        self._count(node, gone=new is None or EXCLUDED in (node.metadata.labels or {}))
        if new is None:
            self._tell(node, "RemovingNode", f"Removing Node {name} from Controller")
            self._signs.pop(name, None)
            if name in self._deadlines:
                self._deadlines.pop(name).cancel()
            return
        heartbeat = self._heartbeat(new)
        sign = self._signs.get(name)
        if sign is None:
            lease: Any = self.leases.get(name, LEASES)
            renewed = lease.spec.renewTime or "" if lease is not None else ""
            self._signs[name] = _Sign(self.clock.monotonic(), heartbeat, renewed)
            self._tell(new, "RegisteredNode", f"Registered Node {name} in Controller")
        elif heartbeat != sign.heartbeat:
            sign.heartbeat, sign.time = heartbeat, self.clock.monotonic()
        if old is None or _relevant(old) != _relevant(new):
            self.context.enqueue(Key("", name))

    def _tell(self, node: Any, reason: str, text: str) -> None:
        self.events.event(node, "Normal", reason, f"Node {node.metadata.name} event: {text}")

    def _heartbeat(self, node: Any) -> str:
        condition = node_condition(node, "Ready")
        return condition.lastHeartbeatTime or "" if condition is not None else ""

    def _count(self, node: Any, gone: bool) -> None:
        """Keep the numbers of ready and other nodes by zone; a zone that changes its mood is looked at again."""
        before = _mood(self._zones)
        known = self._readiness.pop(node.metadata.name, None)
        if known is not None:
            self._zones[known[0]][known[1]] -= 1
            if not self._zones[known[0]].total():
                del self._zones[known[0]]
        if not gone:
            zone, state = zone_of(node), readiness(node)
            self._readiness[node.metadata.name] = (zone, state)
            self._zones.setdefault(zone, Counter())[state] += 1
        if _mood(self._zones) != before:
            for name, (_, state) in self._readiness.items():
                if state != "True":
                    self.context.enqueue(Key("", name))

    async def reconcile(self, key: Key) -> Result | None:
        node: Any = self.nodes.get(key.name)
        if node is None:
            return None
        left = self._time_left(node)
        if left <= 0 and _may_be_silenced(node):
            node = await self._mark_silent(node)
        state = readiness(node)
        if state == "Unknown":
            # A kubelet that says itself that it is not ready says it of its pods too.
            await self._mark_pods_not_ready(node)
        wait = await self._taint(node, state)
        if left > 0:
            self._expect_sign(key, left)
        return Result(wait) if wait is not None else None

    def _time_left(self, node: Any) -> float:
        name, now = node.metadata.name, self.clock.monotonic()
        grace = GRACE if node_condition(node, "Ready") is not None else STARTUP_GRACE
        last = now if self.clock.beats(f"{LEASES}/{name}") else self._signs[name].time
        return last + grace - now

    def _expect_sign(self, key: Key, left: float) -> None:
        """Look again when the node should have renewed its Lease."""
        if key.name in self._deadlines:
            self._deadlines[key.name].cancel()
        again = self.clock.call_later(left, self.context.enqueue, key, unless=f"{LEASES}/{key.name}")
        self._deadlines[key.name] = again

    async def _mark_silent(self, node: Any) -> Any:
        from kybern.api.core import NodeCondition

        changed = types.copy(node)
        was_ready = readiness(node) == "True"
        changed.status.conditions = silent_conditions(node, NodeCondition, format_time(self.clock.now()))
        changed = await self.client.update_status(changed)
        if was_ready:
            text = f"Node {node.metadata.name} status is now: NodeNotReady"
            self.events.event(node, "Normal", "NodeNotReady", text)
        return changed

    async def _mark_pods_not_ready(self, node: Any) -> None:
        """Its pods may run, but nobody can tell: no traffic for them."""
        pods = [pod for pod in self.pods.by_index("node", node.metadata.name) if _counts_as_ready(pod)]
        errors = await all_at_once(pods, self._mark_pod_not_ready)
        if errors:
            raise errors[0]

    async def _mark_pod_not_ready(self, pod: Any) -> None:
        changed = types.copy(pod)
        condition = pod_condition(changed, "Ready")
        assert condition is not None
        condition.status, condition.lastTransitionTime = "False", format_time(self.clock.now())
        try:
            await self.client.update_status(changed)
        except StatusError as error:
            if error.code != 404:
                raise
            return
        self.events.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    async def _taint(self, node: Any, state: str) -> float | None:
        """Write the taints that the conditions call for; seconds until a NoExecute taint that must wait is due."""
        execute, wait = self._execute_taint(node, state)
        taints = new_taints(node, schedule_taints(node), execute, format_time(self.clock.now()))
        labels = elder_labels(node)
        if taints is not None or labels:
            changed = types.copy(node)
            if taints is not None:
                changed.spec.taints = taints or None
            if labels:
                changed.metadata.labels = {**node.metadata.labels, **labels}
            await self.client.update(changed)
        return wait

    def _execute_taint(self, node: Any, state: str) -> tuple[str | None, float | None]:
        """(key of the NoExecute taint the node should have now, seconds until it may get one)."""
        if state == "True":
            return None, None
        key = NOT_READY if state == "False" else UNREACHABLE
        zone = zone_of(node)
        interval = pace(self._zones, zone) if zone in self._zones else EVICTION_INTERVAL
        if all(_is_disrupted(counts) for counts in self._zones.values()):
            return None, None
        if any(t.effect == "NoExecute" and t.key in (NOT_READY, UNREACHABLE) for t in node.spec.taints or ()):
            return key, None
        if interval is None:
            return None, None
        now = self.clock.monotonic()
        due = self._next_eviction.get(zone, now)
        if due > now:
            return None, due - now
        self._next_eviction[zone] = now + interval
        return key, None


def new_taints(node: Any, schedule: Iterable[str], execute: str | None, now: str) -> list[Any] | None:
    """The node's taints with ours as they should be; None when they are so already."""
    from kybern.api.core import Taint

    wanted = {(key, "NoSchedule") for key in schedule}
    if execute is not None:
        wanted.add((execute, "NoExecute"))
    old = node.spec.taints or []
    kept = [t for t in old if not _is_ours(t) or (t.key, t.effect) in wanted]
    missing = sorted(wanted - {(t.key, t.effect) for t in kept})
    if not missing and len(kept) == len(old):
        return None
    return [*kept, *(Taint(key=key, effect=effect, timeAdded=now) for key, effect in missing)]


def _is_ours(taint: Any) -> bool:
    if taint.effect == "NoExecute":
        return taint.key in (NOT_READY, UNREACHABLE)
    return taint.effect == "NoSchedule" and taint.key in OURS


def _relevant(node: Any) -> tuple[Any, ...]:
    conditions: Sequence[Any] = node.status.conditions or ()
    states = [(c.type, c.status) for c in conditions]
    return node.spec.unschedulable, node.spec.taints, zone_of(node), elder_labels(node), states


def _may_be_silenced(node: Any) -> bool:
    return any((c := node_condition(node, type_)) is None or c.status != "Unknown" for type_ in REPORTED)


def _counts_as_ready(pod: Any) -> bool:
    condition = pod_condition(pod, "Ready")
    return condition is not None and condition.status == "True" and not is_finished(pod)


def _mood(zones: dict[str, Counter[str]]) -> tuple[Any, ...]:
    return tuple(pace(zones, zone) for zone in zones)
