"""Who may see a namespace's objects may see their metrics: a role that joins `view`, `edit` and `admin`."""

from __future__ import annotations

from kybern.api.errors import StatusError
from kybern.api.meta import ObjectMeta
from kybern.api.rbac import ClusterRole, PolicyRule
from kybern.client.interface import Client

__all__ = ["ensure_reader"]

_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"


async def ensure_reader(client: Client) -> None:
    """Create the role that metrics servers bring along; one that is there stays as it is."""
    labels = {_AGGREGATE + role: "true" for role in ("view", "edit", "admin")}
    rule = PolicyRule(apiGroups=["metrics.k8s.io"], resources=["pods", "nodes"], verbs=["get", "list", "watch"])
    try:
        await client.create(
            ClusterRole(metadata=ObjectMeta(name="system:aggregated-metrics-reader", labels=labels), rules=[rule])
        )
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise
