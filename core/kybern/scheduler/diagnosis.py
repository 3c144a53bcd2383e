"""Why a pod has no node, in the words that `kubectl describe pod` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import attrs

from kybern.scheduler.policy import Code, Status

__all__ = ["NO_NODES", "NO_NODES_POLICY", "Diagnosis", "FitError", "fit_message"]

NO_NODES = "no nodes available to schedule pods"

NO_NODES_POLICY = "*no nodes*"
"""Stands for a policy where a pod was rejected because the cluster is empty; it waits for a node."""

_UNKNOWN = Status(Code.UNRESOLVABLE)


@attrs.define
class Diagnosis:
    """The objections of one failed search."""

    nodes: int
    """How many nodes there are."""
    statuses: dict[str, Status] = attrs.field(factory=dict)
    """The first objection on each node."""
    absent: Status = _UNKNOWN
    """The objection of all nodes that `statuses` does not name."""
    rejected_by: set[str] = attrs.field(factory=set)
    """Policies that objected anywhere, or narrowed the search."""
    before_filter: str = ""
    """Message of a policy that rejected the pod on all nodes at once."""
    after_filter: str = ""
    """Message of the attempt to make room."""

    def message(self) -> str:
        """The whole sentence."""
        return fit_message(self.nodes, self.statuses, self.absent, self.before_filter, self.after_filter)


class FitError(Exception):
    """No node can take the pod."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(diagnosis.message())
        self.diagnosis = diagnosis


def fit_message(
    nodes: int, statuses: Mapping[str, Status], absent: Status, before_filter: str = "", after_filter: str = ""
) -> str:
    """`0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: ...`"""
    text = f"0/{nodes} nodes are available:"
    if before_filter:
        text += f" {before_filter}."
    else:
        counted = _counted(statuses.values(), absent, nodes - len(statuses))
        if counted:
            text += f" {', '.join(counted)}."
    return f"{text} {after_filter}" if after_filter else text


def _counted(statuses: Iterable[Status], absent: Status, absent_nodes: int) -> list[str]:
    reasons: Counter[str] = Counter()
    for reasons_of_one, times in Counter(s.reasons for s in statuses).items():
        for reason in reasons_of_one:
            reasons[reason] += times
    if absent_nodes > 0:
        for reason in absent.reasons:
            reasons[reason] += absent_nodes
    return sorted(f"{times} {reason}" for reason, times in reasons.items())
