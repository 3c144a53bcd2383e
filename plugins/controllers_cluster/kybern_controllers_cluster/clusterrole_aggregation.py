"""Aggregated cluster roles: `admin`, `edit`, `view` and others hold the rules of the roles their selectors find."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kybern.api import selectors, types
from kybern.reconcile.interface import Context, Controller, Key, Result

__all__ = ["ClusterRoleAggregationController", "aggregated_rules"]


class ClusterRoleAggregationController(Controller):
    """Fills in the rules of cluster roles that have an aggregationRule."""

    name = "clusterrole-aggregation"

    def setup(self, context: Context) -> None:
        from kybern.api.rbac import ClusterRole

        self.client = context.client
        self.roles = context.informer(ClusterRole)
        context.watch(ClusterRole, self._affected)

    def _affected(self, role: Any) -> Iterable[Key]:
        """The role itself, and every role that gathers its rules."""
        if role.aggregationRule is not None:
            yield Key("", role.metadata.name)
        for other in self.roles.list():
            if other.aggregationRule is not None and _selects(other, role):
                yield Key("", other.metadata.name or "")

    async def reconcile(self, key: Key) -> Result | None:
        role = self.roles.get(key.name)
        if role is None or role.aggregationRule is None:
            return None
        rules = aggregated_rules(role, self.roles.list())
        if rules == (role.rules or []):
            return None
        changed = types.copy(role)
        changed.rules = rules
        await self.client.update(changed)
        return None


def aggregated_rules(role: Any, roles: Iterable[Any]) -> list[Any]:
    """The rules of all selected roles, by role name, each once."""
    rules: list[Any] = []
    for other in sorted(roles, key=lambda r: r.metadata.name):
        if other.metadata.name != role.metadata.name and _selects(role, other):
            rules.extend(rule for rule in other.rules or () if rule not in rules)
    return rules


def _selects(role: Any, other: Any) -> bool:
    gathered = role.aggregationRule.clusterRoleSelectors or ()
    return any(selectors.from_label_selector(selector).matches(other.metadata.labels) for selector in gathered)
