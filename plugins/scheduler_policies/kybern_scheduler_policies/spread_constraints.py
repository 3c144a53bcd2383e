"""Topology spread constraints: a pod's own, or the default ones for pods of a Service or workload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import Handle
from kybern.scheduler.selection import RequiredNodes
from kybern.scheduler.snapshot import Snapshot
from kybern.scheduler.taints import first_untolerated
from kybern_scheduler_policies.resource_scoring import only_fields

if TYPE_CHECKING:
    from kybern.api.selectors import Selector

SYSTEM_DEFAULTS = (("kubernetes.io/hostname", 3), ("topology.kubernetes.io/zone", 5))
OWNERS = ("ReplicaSet", "ReplicationController", "StatefulSet")


@attrs.frozen
class Constraint:
    """One constraint, its selector parsed."""

    topology_key: str
    max_skew: int
    selector: Selector
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False

    def count(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        """By row, the pods that count. An empty selector counts none; nor do pods being deleted."""
        if self.selector.none or not self.selector.requirements:
            return snapshot.count_pods("none", lambda _: False)
        return snapshot.count_matching([(frozenset((pod.namespace,)), self.selector)], terminating=False)


class Eligibility:
    """On which nodes pods count towards the constraints of a pod."""

    def __init__(self, pod: PodInfo, constraints: Iterable[Constraint], require_all: bool) -> None:
        """`require_all`: only nodes that have the labels of all constraints."""
        self._tolerations = pod.pod.spec.tolerations
        self._required = RequiredNodes.of(pod.pod)
        self._keys = [c.topology_key for c in constraints] if require_all else []

    def matches(self, constraint: Constraint, info: NodeInfo) -> bool:
        """Whether this node counts."""
        if any(key not in info.labels for key in self._keys):
            return False
        if constraint.honor_affinity and self._required is not None and not self._required.matches(info):
            return False
        return not constraint.honor_taints or first_untolerated(self._tolerations, info.taints) is None

    def rows(self, constraint: Constraint, snapshot: Snapshot) -> Any:
        """By row, whether the node counts; None when all with the constraint's label do."""
        others = [key for key in self._keys if key != constraint.topology_key]
        affinity = self._required if constraint.honor_affinity else None
        taints = constraint.honor_taints and bool(snapshot.hard_taints)
        if not others and affinity is None and not taints:
            return None
        if snapshot.numpy is None:
            return [self.matches(constraint, info) for info in snapshot.nodes]
        found = snapshot.numpy.ones(len(snapshot.nodes), dtype=bool)
        for key in others:
            found &= snapshot.label(key).ids >= 0
        if affinity is not None:
            found &= affinity.mask(snapshot)
        if taints:
            good = [first_untolerated(self._tolerations, taints) is None for taints in snapshot.taint_sets]
            found &= snapshot.numpy.array(good)[snapshot.columns.taint_set]
        return found


class Constraints:
    """The constraints of any pod, as the profile has it."""

    def __init__(self, args: Mapping[str, Any], handle: Handle) -> None:
        only_fields(args, {"defaultConstraints", "defaultingType"}, "PodTopologySpreadArgs")
        kind = args.get("defaultingType") or "System"
        defaults = args.get("defaultConstraints") or ()
        if kind not in ("System", "List"):
            raise ValueError(f"defaultingType: {kind!r} is not supported; must be System or List")
        if kind == "System" and defaults:
            raise ValueError("defaultConstraints: may not be given when defaultingType is System")
        self._system = kind == "System"
        self._defaults = list(SYSTEM_CONSTRAINTS) if self._system else [_checked(d, i) for i, d in enumerate(defaults)]
        self._services: dict[str, dict[str, Mapping[str, str]]] = {}
        self._owners: dict[str, Any] = {}
        if self._defaults:
            self._listen(handle)

    def _listen(self, handle: Handle) -> None:
        from kybern.api.apps import ReplicaSet, StatefulSet
        from kybern.api.core import ReplicationController, Service

        handle.informer(Service).on_change(self._service_changed)
        kinds = (ReplicaSet, ReplicationController, StatefulSet)
        self._owners = {name: handle.informer(kind) for name, kind in zip(OWNERS, kinds, strict=True)}

    def _service_changed(self, old: Any, new: Any) -> None:
        meta = (new if new is not None else old).metadata
        services = self._services.setdefault(meta.namespace, {})
        services.pop(meta.name, None)
        if new is not None and new.spec.selector:
            services[meta.name] = new.spec.selector

    def of(self, pod: PodInfo, action: str) -> list[Constraint]:
        """The pod's constraints with this `whenUnsatisfiable`."""
        own = pod.pod.spec.topologySpreadConstraints
        if own:
            return [_constraint(c, pod) for c in own if c.whenUnsatisfiable == action]
        wanted = [d for d in self._defaults if d["whenUnsatisfiable"] == action]
        if not wanted:
            return []
        selector = self._default_selector(pod)
        if selector is None:
            return []
        return [Constraint(d["topologyKey"], d["maxSkew"], selector) for d in wanted]

    def are_system_defaults(self, pod: PodInfo) -> bool:
        """Whether the constraints are nobody's wish, so that nodes without the labels are as good as others."""
        return self._system and not pod.pod.spec.topologySpreadConstraints

    def _default_selector(self, pod: PodInfo) -> Selector | None:
        """Pods like this one: of the same services and the same workload."""
        from kybern.api import selectors

        wanted: dict[str, str] = {}
        for selector in self._services.get(pod.namespace, {}).values():
            if all(pod.labels.get(k) == v for k, v in selector.items()):
                wanted |= selector
        requirements = tuple(selectors.Requirement(k, "in", (v,)) for k, v in sorted(wanted.items()))
        requirements += self._owner_requirements(pod)
        return selectors.Selector(requirements) if requirements else None

    def _owner_requirements(self, pod: PodInfo) -> tuple[Any, ...]:
        from kybern.api import selectors

        owner = next((o for o in pod.pod.metadata.ownerReferences or () if o.controller), None)
        informer = self._owners.get(owner.kind) if owner is not None else None
        found = informer.get(owner.name, pod.namespace) if informer is not None and owner is not None else None
        if found is None or not found.spec.selector:
            return ()
        if isinstance(found.spec.selector, dict):
            return tuple(selectors.Requirement(k, "in", (v,)) for k, v in sorted(found.spec.selector.items()))
        return selectors.from_label_selector(found.spec.selector).requirements


SYSTEM_CONSTRAINTS: tuple[dict[str, Any], ...] = tuple(
    {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "ScheduleAnyway"} for key, skew in SYSTEM_DEFAULTS
)


def _checked(plain: Any, i: int) -> dict[str, Any]:
    path = f"defaultConstraints[{i}]"
    if not isinstance(plain, dict) or plain.keys() - {"topologyKey", "maxSkew", "whenUnsatisfiable"}:
        raise ValueError(f"{path}: must have topologyKey, maxSkew and whenUnsatisfiable, and nothing else")
    if not plain.get("topologyKey"):
        raise ValueError(f"{path}.topologyKey: can not be empty")
    if not isinstance(plain.get("maxSkew"), int) or plain["maxSkew"] < 1:
        raise ValueError(f"{path}.maxSkew: {plain.get('maxSkew')!r} must be greater than zero")
    if plain.get("whenUnsatisfiable") not in ("DoNotSchedule", "ScheduleAnyway"):
        raise ValueError(f"{path}.whenUnsatisfiable: must be DoNotSchedule or ScheduleAnyway")
    return plain


def _constraint(c: Any, pod: PodInfo) -> Constraint:
    from kybern.api import selectors

    selector = selectors.from_label_selector(c.labelSelector)
    if not selector.none and c.matchLabelKeys:
        more = (selectors.Requirement(k, "in", (pod.labels[k],)) for k in c.matchLabelKeys if k in pod.labels)
        selector = selectors.Selector(selector.requirements + tuple(r for r in more if r not in selector.requirements))
    return Constraint(
        c.topologyKey,
        c.maxSkew,
        selector,
        c.minDomains or 1,
        c.nodeAffinityPolicy != "Ignore",
        c.nodeTaintsPolicy == "Honor",
    )
