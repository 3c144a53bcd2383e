"""Puts the built-in admission plugins together, with what each needs to see of the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kybern.apiserver.admission import Admission
from kybern.reconcile.lookup import Lookup
from kybern_admission_builtin.default_toleration_seconds import DefaultTolerationSeconds
from kybern_admission_builtin.namespace_lifecycle import NamespaceLifecycle
from kybern_admission_builtin.priority import Priority
from kybern_admission_builtin.service_account import ServiceAccount
from kybern_admission_builtin.taint_nodes_by_condition import TaintNodesByCondition

if TYPE_CHECKING:
    from kybern.cluster.start import Start
    from kybern_admission_builtin import Options

__all__ = ["build"]

OFF_BY_DEFAULT = frozenset({"OwnerReferencesPermissionEnforcement"})


def build(start: Start, options: Options) -> list[Admission]:
    """Every plugin that is on; ValueError for a name that none has."""
    plugins = _all(start, options)
    names = {plugin.name for plugin in plugins}
    if unknown := sorted({*options.enable, *options.disable} - names):
        known = ", ".join(sorted(names))
        raise ValueError(f"plugins.admission_builtin: no admission plugin is named {unknown[0]!r}; there are {known}")
    on = (names - OFF_BY_DEFAULT | set(options.enable)) - set(options.disable)
    return [plugin for plugin in plugins if plugin.name in on]


def _all(start: Start, options: Options) -> list[Admission]:
    from kybern.api.core import Namespace
    from kybern.api.core import ServiceAccount as Account
    from kybern.api.scheduling import PriorityClass

    def lookup(kind: type[Any]) -> Lookup[Any]:
        return Lookup(start.client, start.informers.informer(kind), kind)

    return [
        NamespaceLifecycle(lookup(Namespace), start.clock),
        ServiceAccount(lookup(Account), start.clock),
        TaintNodesByCondition(),
        Priority(lookup(PriorityClass)),
        DefaultTolerationSeconds(options.not_ready_toleration_seconds, options.unreachable_toleration_seconds),
    ]
