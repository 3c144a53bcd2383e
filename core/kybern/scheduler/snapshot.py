"""The scheduler's picture of the cluster: every node, every pod that has or will have a node.

Informers feed it; the scheduling cycle reads it. A pod is *assumed* on its node from the moment the
cycle has decided until the API server's word arrives, so that the next pod does not count on the
same room. Everything derived (columns, counts) is kept up to date change by change.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from kybern.scheduler.columns import LabelColumn, NodeColumns
from kybern.scheduler.counts import PodCounts, TermGroups
from kybern.scheduler.nodeinfo import NodeInfo, Taint
from kybern.scheduler.podinfo import TERM_SORTS, AffinityTerm, PodInfo

if TYPE_CHECKING:
    from kybern.api.selectors import Selector

__all__ = ["Candidates", "Snapshot"]

NUMPY_FROM = 32
"""Nodes from which on numpy is worth its import (16 MB)."""

_UNKNOWN = object()

HARD_EFFECTS = ("NoSchedule", "NoExecute")


class Snapshot:
    """Nodes by row and by name, pods by uid. Changed only between cycles."""

    def __init__(self, numpy_from: int = NUMPY_FROM) -> None:
        self.nodes: list[NodeInfo] = []
        self.by_name: dict[str, NodeInfo] = {}
        self.pods: dict[str, tuple[PodInfo, str]] = {}
        """Every pod with a node, by uid: (pod, node name). The node may be unknown as yet."""
        self.assumed: set[str] = set()
        """Uids of pods that the API server has not confirmed."""
        self.numpy: Any = None
        """The numpy module, once it was needed."""
        self.taint_sets: list[tuple[Taint, ...]] = [()]
        self.terms = {sort: TermGroups() for sort in TERM_SORTS}
        """Inter-pod affinity terms of pods that have a node, by sort (a field of `Terms`)."""
        self.image_nodes: dict[str, int] = {}
        """How many nodes have an image, by each of its names."""
        self.hard_taints = 0
        """Nodes with a taint that keeps pods away; likewise soft."""
        self.soft_taints = 0
        self.cordoned = 0
        self._numpy_from = numpy_from
        self._taint_ids: dict[tuple[Taint, ...], int] = {(): 0}
        self._columns: NodeColumns | None = None
        self._labels: dict[str, LabelColumn] = {}
        self._counts = PodCounts()
        self._homeless: dict[str, dict[str, PodInfo]] = {}
        self._order: list[int] | None = None
        self._order_array: Any = _UNKNOWN

    def add_or_update_node(self, node: Any) -> None:
        """A Node was added or changed."""
        info = self.by_name.get(node.metadata.name)
        if info is None:
            self._add_node(node)
            return
        self._tally(info, -1)
        relabelled = (node.metadata.labels or {}) != info.labels
        info.set_node(node)
        self._tally(info, 1)
        if relabelled:
            self._reorder()
            for column in self._labels.values():
                column.update(info)
        if self._columns is not None:
            self._columns.update(info)

    def _add_node(self, node: Any) -> None:
        info = NodeInfo(node, len(self.nodes))
        self.nodes.append(info)
        self.by_name[info.name] = info
        self._reorder()
        self._tally(info, 1)
        self._counts.add_node()
        for column in self._labels.values():
            column.add(info)
        if self._columns is not None:
            self._columns.add(info)
        for pod in self._homeless.pop(info.name, {}).values():
            self._pod_on_node(info, pod, 1)

    def prepare(self) -> None:
        """Called before each cycle: a cluster that has become large gets columns, once there is a pod to schedule."""
        if self.numpy is None and len(self.nodes) >= self._numpy_from:
            # its linear algebra, which nobody here asks for, would start a thread per core
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            import numpy

            self.numpy = numpy
            self._forget_derived()

    def remove_node(self, name: str) -> None:
        """A Node was deleted; its pods are remembered until they are deleted as well."""
        info = self.by_name.pop(name, None)
        if info is None:
            return
        self._tally(info, -1)
        for pod in info.pods.values():
            self._terms_changed(pod, -1)
        if info.pods:
            self._homeless[name] = info.pods
        last = self.nodes.pop()
        if last is not info:
            self.nodes[info.row] = last
            last.row = info.row
        self._forget_derived()

    def _forget_derived(self) -> None:
        self._columns = None
        self._labels.clear()
        self._counts.clear()
        self._reorder()

    def _tally(self, info: NodeInfo, sign: int) -> None:
        effects = {t.effect for t in info.taints}
        self.hard_taints += sign * any(e in effects for e in HARD_EFFECTS)
        self.soft_taints += sign * ("PreferNoSchedule" in effects)
        self.cordoned += sign * info.unschedulable
        for image in info.images:
            nodes = self.image_nodes.get(image, 0) + sign
            if nodes:
                self.image_nodes[image] = nodes
            else:
                del self.image_nodes[image]
        if sign > 0:
            self._number_taints(info)

    def _number_taints(self, info: NodeInfo) -> None:
        if len(self.taint_sets) > 2 * len(self.nodes) + 16:
            self._renumber_taints()
        info.taint_set = self._taint_ids.setdefault(info.taints, len(self._taint_ids))
        if info.taint_set == len(self.taint_sets):
            self.taint_sets.append(info.taints)

    def _renumber_taints(self) -> None:
        """Forget sets of taints that no node has any more."""
        self.taint_sets, self._taint_ids, self._columns = [()], {(): 0}, None
        for info in self.nodes:
            self._number_taints(info)

    def add_pod(self, pod: PodInfo, node: str, *, assumed: bool = False) -> None:
        """A pod has a node, or will have (assumed). Replaces what was known of it."""
        if pod.uid in self.pods:
            self.remove_pod(pod.uid)
        self.pods[pod.uid] = (pod, node)
        if assumed:
            self.assumed.add(pod.uid)
        info = self.by_name.get(node)
        if info is None:
            self._homeless.setdefault(node, {})[pod.uid] = pod
        else:
            self._pod_on_node(info, pod, 1)

    def remove_pod(self, uid: str) -> None:
        """A pod is gone, or no longer assumed."""
        pod, node = self.pods.pop(uid, (None, ""))
        if pod is None:
            return
        self.assumed.discard(uid)
        info = self.by_name.get(node)
        if info is not None:
            self._pod_on_node(info, pod, -1)
            return
        left = self._homeless.get(node, {})
        left.pop(uid, None)
        if not left:
            self._homeless.pop(node, None)

    def confirm_pod(self, pod: PodInfo, node: str) -> None:
        """The API server says where the pod is. An assumption that was right only has its object replaced."""
        known, where = self.pods.get(pod.uid, (None, ""))
        if known is not None and where == node and _counts_alike(known, pod):
            self.assumed.discard(pod.uid)
            known.pod = pod.pod
            known.labels = pod.labels
            return
        self.add_pod(pod, node)

    def _pod_on_node(self, info: NodeInfo, pod: PodInfo, sign: int) -> None:
        if sign > 0:
            info.add_pod(pod)
        else:
            info.remove_pod(pod)
        if self._columns is not None:
            self._columns.update_pods(info)
        self._counts.pod_changed(pod, info.row, sign)
        self._terms_changed(pod, sign)

    def _terms_changed(self, pod: PodInfo, sign: int) -> None:
        terms = pod.terms
        if terms is None:
            return
        for sort, groups in self.terms.items():
            groups.changed(getattr(terms, sort), sign)

    def count_term(self, sort: str, term: AffinityTerm) -> Any:
        """By row, how many pods have this very term among their own."""

        def has_it(pod: PodInfo) -> bool:
            return pod.terms is not None and any(t.key == term.key for t in getattr(pod.terms, sort))

        return self.count_pods((sort, term.key), has_it)

    @property
    def columns(self) -> NodeColumns:
        """The numpy columns; only when `numpy` is set."""
        if self._columns is None:
            self._columns = NodeColumns(self.nodes, self.numpy)
        return self._columns

    def label(self, key: str) -> LabelColumn:
        """The nodes' values for a label key."""
        column = self._labels.get(key)
        if column is None:
            column = self._labels[key] = LabelColumn(key, self.nodes, self.numpy)
        return column

    def count_pods(self, key: Hashable, matches: Callable[[PodInfo], bool], *, terminating: bool = True) -> Any:
        """By row, how many pods `matches(pod)` is true of. `key` names the question: equal keys, equal answers."""
        return self._counts.ask(key, matches, self, terminating=terminating)

    def count_matching(
        self, wanted: Sequence[tuple[frozenset[str] | None, Selector]], *, terminating: bool = True
    ) -> Any:
        """By row, how many pods match every (namespaces or None for all, label selector)."""

        def matches(pod: PodInfo) -> bool:
            return all((n is None or pod.namespace in n) and s.matches(pod.labels) for n, s in wanted)

        return self.count_pods(tuple(wanted), matches, terminating=terminating)

    @property
    def order(self) -> list[int]:
        """Rows in the order in which nodes are looked at: round-robin over zones, so that a sample has of each."""
        if self._order is None:
            self._order = _by_zones(self.nodes)
        return self._order

    @property
    def order_array(self) -> Any:
        """`order` as an array; None when it is simply 0, 1, 2, ..."""
        if self._order_array is _UNKNOWN:
            plain = all(row == i for i, row in enumerate(self.order))
            self._order_array = None if plain else self.numpy.array(self.order)
        return self._order_array

    def _reorder(self) -> None:
        self._order = None
        self._order_array = _UNKNOWN


class Candidates(Sequence[NodeInfo]):
    """The nodes that are left after the filters, looked up only when a policy really goes through them."""

    __slots__ = ("_nodes", "rows")

    def __init__(self, nodes: Sequence[NodeInfo], rows: Any) -> None:
        self._nodes = nodes
        self.rows = rows
        """Their rows: a list or an array."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: Any) -> Any:
        return self._nodes[self.rows[i]]


def _counts_alike(known: PodInfo, pod: PodInfo) -> bool:
    """Whether replacing one by the other changes no sum."""
    return (
        known.requests == pod.requests
        and known.labels == pod.labels
        and known.priority == pod.priority
        and known.terminating == pod.terminating
        and known.nonzero_cpu == pod.nonzero_cpu
        and known.nonzero_memory == pod.nonzero_memory
    )


def _by_zones(nodes: list[NodeInfo]) -> list[int]:
    zones: dict[tuple[str, str], list[int]] = {}
    for info in nodes:
        labels = info.labels
        zone = (labels.get("topology.kubernetes.io/region", ""), labels.get("topology.kubernetes.io/zone", ""))
        zones.setdefault(zone, []).append(info.row)
    if len(zones) == 1:
        return list(range(len(nodes)))
    longest = max(map(len, zones.values()), default=0)
    return [rows[i] for i in range(longest) for rows in zones.values() if i < len(rows)]
