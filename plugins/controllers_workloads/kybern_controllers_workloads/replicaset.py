"""ReplicaSet: the pods of one version of a Deployment, or of a set somebody wrote by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kybern.reconcile.interface import Context
from kybern.reconcile.owners import controller_of
from kybern.reconcile.pods import owner_index
from kybern_controllers_workloads.replicas import ReplicasController


class ReplicaSetController(ReplicasController):
    """Creates and deletes pods until `spec.replicas` of them are there."""

    name = "replicaset"
    counts_terminating = True

    def setup(self, context: Context) -> None:
        from kybern.api.apps import ReplicaSet, ReplicaSetCondition

        self.kind, self.condition = ReplicaSet, ReplicaSetCondition
        super().setup(context)
        self.owners.add_index("owner", owner_index)

    def neighbours(self, owner: Any) -> Iterable[Any]:
        """The pods of all ReplicaSets of the same Deployment: an old one shrinks where the new one stands."""
        reference = controller_of(owner)
        siblings = [owner] if reference is None else self.owners.by_index("owner", reference.uid)
        return [pod for sibling in siblings for pod in self.pods.by_index("owner", sibling.metadata.uid)]
