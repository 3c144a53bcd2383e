"""Puts the built-in admission plugins together, with what each needs to see of the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kybern.apiserver.admission import Admission
from kybern.config import ConfigError
from kybern.reconcile.lookup import Lookup
from kybern_admission_builtin import certificates
from kybern_admission_builtin.access import Access
from kybern_admission_builtin.claim_resize import PersistentVolumeClaimResize
from kybern_admission_builtin.default_ingress_class import DefaultIngressClass
from kybern_admission_builtin.default_storage_class import DefaultStorageClass
from kybern_admission_builtin.default_toleration_seconds import DefaultTolerationSeconds
from kybern_admission_builtin.device_admin_access import DeviceAdminAccess
from kybern_admission_builtin.limit_ranger import LimitRanger
from kybern_admission_builtin.namespace_lifecycle import NamespaceLifecycle
from kybern_admission_builtin.node_restriction import NodeRestriction
from kybern_admission_builtin.owner_references import OwnerReferencesPermissionEnforcement
from kybern_admission_builtin.pod_security import PodSecurity
from kybern_admission_builtin.priority import Priority
from kybern_admission_builtin.resource_quota import ResourceQuota
from kybern_admission_builtin.runtime_class import RuntimeClass
from kybern_admission_builtin.service_account import ServiceAccount
from kybern_admission_builtin.storage_protection import StorageObjectInUseProtection
from kybern_admission_builtin.taint_nodes_by_condition import TaintNodesByCondition

if TYPE_CHECKING:
    from kybern.cluster.start import Start
    from kybern_admission_builtin import Options

__all__ = ["build"]

OFF_BY_DEFAULT = frozenset({OwnerReferencesPermissionEnforcement.name})


def build(start: Start, options: Options) -> list[Admission]:
    """Every plugin that is on; ConfigError for a name that none has."""
    plugins = _all(start, options)
    names = {plugin.name for plugin in plugins}
    if unknown := sorted({*options.enable, *options.disable} - names):
        known = ", ".join(sorted(names))
        setting = "enable" if unknown[0] in options.enable else "disable"
        why = f"no admission plugin is named {unknown[0]!r}; there are {known}"
        raise ConfigError(f"plugins.admission_builtin.{setting}: {why}")
    on = ((names - OFF_BY_DEFAULT) | set(options.enable)) - set(options.disable)
    return [plugin for plugin in plugins if plugin.name in on]


def _all(start: Start, options: Options) -> list[Admission]:
    from kybern.api import core, networking, node, scheduling, storage

    def lookup(kind: type[Any]) -> Lookup[Any]:
        return Lookup(start.client, start.informers.informer(kind), kind)

    access = Access(start.client)
    storage_classes = lookup(storage.StorageClass)
    return [
        NamespaceLifecycle(lookup(core.Namespace), start.clock),
        LimitRanger(start.informers.informer(core.LimitRange)),
        ServiceAccount(lookup(core.ServiceAccount), start.clock),
        NodeRestriction(lookup(core.Pod), lookup(core.Node)),
        TaintNodesByCondition(),
        PodSecurity(lookup(core.Namespace), lookup(core.Pod)),
        Priority(lookup(scheduling.PriorityClass)),
        DefaultTolerationSeconds(options.not_ready_toleration_seconds, options.unreachable_toleration_seconds),
        DefaultStorageClass(storage_classes),
        StorageObjectInUseProtection(),
        OwnerReferencesPermissionEnforcement(access, start.registry),
        PersistentVolumeClaimResize(storage_classes),
        RuntimeClass(lookup(node.RuntimeClass)),
        DeviceAdminAccess(lookup(core.Namespace)),
        certificates.CertificateApproval(access),
        certificates.CertificateSigning(access),
        certificates.CertificateSubjectRestriction(),
        DefaultIngressClass(lookup(networking.IngressClass)),
        ResourceQuota(start.client, start.informers.informer(core.ResourceQuota), start.clock),
    ]
