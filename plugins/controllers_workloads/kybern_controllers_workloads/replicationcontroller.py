"""ReplicationController: the ReplicaSet's elder, with a plain map as its selector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kybern.reconcile.interface import Context
from kybern_controllers_workloads.replicas import ReplicasController


class ReplicationControllerController(ReplicasController):
    """Creates and deletes pods until `spec.replicas` of them are there."""

    name = "replicationcontroller"
    event_source = "replication-controller"

    def setup(self, context: Context) -> None:
        from kybern.api.core import ReplicationController, ReplicationControllerCondition

        self.kind, self.condition = ReplicationController, ReplicationControllerCondition
        super().setup(context)

    def selector(self, owner: Any) -> Callable[[Any], bool]:
        wanted = (owner.spec.selector or {}).items()
        return lambda labels: bool(wanted) and wanted <= (labels or {}).items()
