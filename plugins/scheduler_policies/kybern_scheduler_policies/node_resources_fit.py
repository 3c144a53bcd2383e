"""NodeResourcesFit: a node must have what the pod requests, and the better ones are those that suit the strategy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import Action, CycleState, Handle, Hint, Policy, Resource, Status
from kybern.scheduler.requests import amounts
from kybern.scheduler.snapshot import Snapshot
from kybern_scheduler_policies.extended_resources import DeviceClasses
from kybern_scheduler_policies.resource_scoring import concerning, only_fields, read_resources, used, used_all
from kybern_scheduler_policies.resource_strategies import read_strategy

if TYPE_CHECKING:
    from kybern.scheduler.policy import Ints, Mask

_FIRST = {"cpu": 0, "memory": 1, "ephemeral-storage": 2}


class NodeResourcesFit(Policy):
    """Filters by requests and the number of pods; scores by how full the node would be."""

    name = "NodeResourcesFit"
    default = True

    def __init__(self, args: Mapping[str, Any], handle: Handle) -> None:
        """NodeResourcesFitArgs: ignoredResources, ignoredResourceGroups, scoringStrategy."""
        super().__init__(args, handle)
        only_fields(args, {"ignoredResources", "ignoredResourceGroups", "scoringStrategy"}, "NodeResourcesFitArgs")
        self._ignored = frozenset(args.get("ignoredResources") or ())
        self._ignored_groups = frozenset(args.get("ignoredResourceGroups") or ())
        strategy = args.get("scoringStrategy") or {}
        self._strategy = read_strategy(strategy)
        self._resources = read_resources(strategy.get("resources"), "scoringStrategy.resources")
        self._classes = DeviceClasses(handle)

    def hints(self) -> Iterable[Hint]:
        """Room that becomes free, or a node on which the pod can fit at all."""
        return (
            Hint(Resource.ASSIGNED_POD, Action.DELETE | Action.UPDATE_POD_SCALE_DOWN),
            Hint(Resource.TARGET_POD, Action.UPDATE_POD_SCALE_DOWN),
            Hint(Resource.NODE, Action.ADD | Action.UPDATE_NODE_ALLOCATABLE, self._could_fit),
            Hint(Resource.DEVICE_CLASS, Action.ADD | Action.UPDATE, self._could_serve),
        )

    def _could_fit(self, pod: PodInfo, old: Any, new: Any) -> bool:
        allocatable = amounts(new.status.allocatable)
        return all(
            allocatable.get(name, 0) >= amount or (by_devices and not allocatable.get(name))
            for name, amount, by_devices in self._wanted(pod)
        )

    def _could_serve(self, pod: PodInfo, old: Any, new: Any) -> bool:
        return any(by_devices for _, _, by_devices in self._wanted(pod))

    def _wanted(self, pod: PodInfo) -> list[tuple[str, int, bool]]:
        """(resource, amount, whether nodes without the resource may serve it by devices)."""
        wanted = [
            (name, n, self._classes.behind(name) is not None)
            for name, n in pod.requests.items()
            if n and not self._is_ignored(name)
        ]
        wanted.sort(key=lambda item: (_FIRST.get(item[0], 3), item[0]))
        return wanted

    def _is_ignored(self, resource: str) -> bool:
        if "/" not in resource:
            return False
        return resource in self._ignored or resource.split("/", 1)[0] in self._ignored_groups

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> None:
        """What the pod wants, CPU first. What devices stand in for is left to DynamicResources on nodes that have none
        of it themselves."""
        state.data[self.name] = self._wanted(pod)

    def filter(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """Object with every resource that is short. One that the whole node has too little of is beyond help."""
        reasons: list[str] = []
        hopeless = False
        if len(info.pods) + 1 > info.allocatable.get("pods", 0):
            reasons.append("Too many pods")
        for name, amount, by_devices in state.data[self.name]:
            capacity = info.allocatable.get(name, 0)
            if by_devices and not capacity:
                continue
            if amount > capacity - info.requested.get(name, 0):
                reasons.append(f"Insufficient {name}")
                hopeless = hopeless or amount > capacity
        if not reasons:
            return None
        return self.unresolvable(*reasons) if hopeless else self.unschedulable(*reasons)

    def filter_all(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        """The nodes with room."""
        columns = snapshot.columns
        passed: Mask = columns.free("pods") > 0
        for name, amount, by_devices in state.data[self.name]:
            enough = columns.free(name) >= amount
            passed &= enough | (columns.allocatable(name) == 0) if by_devices else enough
        return passed

    def alike(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Ints | None:
        """Which resources are short, and of which even the whole node has too little: two bits each."""
        numpy, columns = snapshot.numpy, snapshot.columns
        numbers: Ints = (columns.free("pods") <= 0).astype(numpy.int64)
        for name, amount, _ in state.data[self.name]:
            numbers = numbers * 4 + (columns.free(name) < amount) * 2 + (columns.allocatable(name) < amount)
        return numbers

    def score(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> int:
        """The strategy's weighted mean over the resources that the node has."""
        total = weights = 0
        for name, weight in concerning(self._resources, pod):
            capacity = info.allocatable.get(name, 0)
            if not capacity:
                continue
            score = self._strategy.one(used(info, pod, name, assume_defaults=True), capacity)
            if score or self._strategy.counts_zero():
                total += score * weight
                weights += weight
        return self._strategy.mean(total, weights)

    def score_all(self, state: CycleState, pod: PodInfo, snapshot: Snapshot, rows: Ints) -> Ints:
        """The same for many."""
        numpy, strategy = snapshot.numpy, self._strategy
        total: Any = 0
        weights: Any = 0
        for name, weight in concerning(self._resources, pod):
            capacity = snapshot.columns.allocatable(name)[rows]
            scores = strategy.many(used_all(snapshot, rows, pod, name, assume_defaults=True), capacity, numpy)
            counts: Any = 1
            if not capacity.all() or not strategy.counts_zero():
                counts = (capacity > 0) & ((scores > 0) | strategy.counts_zero())
            total = total + scores * (weight * counts)
            weights = weights + weight * counts
        if isinstance(weights, int) and weights and strategy.counts_zero():
            means: Ints = total // weights
            return means
        zeros: Ints = numpy.zeros(len(rows), dtype=numpy.int64)
        return strategy.mean_many(zeros + total, zeros + weights, numpy)
