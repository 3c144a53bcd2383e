"""The cluster's own controllers: namespaces, garbage, nodes, endpoints, accounts, certificates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

from kybern.hookspecs import hookimpl

if TYPE_CHECKING:
    from kybern.cluster.start import Start
    from kybern.reconcile.interface import Controller


@attrs.define
class Options:
    """`[plugins.controllers_cluster]` in kybern.toml."""

    node_mask: int = 24
    """Size of a node's block of `network.pod_cidr`: /24 in a /16 makes 256 nodes."""
    node_mask_v6: int = 64
    terminated_pods: int = 12_500
    """So many finished pods are kept."""


@hookimpl
def kybern_controllers(start: Start) -> Iterable[Controller]:
    from kybern_controllers_cluster.attachdetach import AttachDetachController
    from kybern_controllers_cluster.bootstrap_tokens import BootstrapSigner, TokenCleaner, public_kubeconfig
    from kybern_controllers_cluster.clusterrole_aggregation import ClusterRoleAggregationController
    from kybern_controllers_cluster.csr_approving import CSRApprovingController
    from kybern_controllers_cluster.csr_cleaner import CSRCleanerController
    from kybern_controllers_cluster.csr_signing import CSRSigningController
    from kybern_controllers_cluster.devicetainteviction import DeviceTaintEvictionController
    from kybern_controllers_cluster.disruption import DisruptionController, StaleDisruptionController
    from kybern_controllers_cluster.endpoints import EndpointsController
    from kybern_controllers_cluster.endpointslice import EndpointSliceController
    from kybern_controllers_cluster.endpointslicemirroring import EndpointSliceMirroringController
    from kybern_controllers_cluster.ephemeral_volume import EphemeralVolumeController
    from kybern_controllers_cluster.garbagecollector import GarbageCollector
    from kybern_controllers_cluster.namespace import NamespaceController
    from kybern_controllers_cluster.nodeipam import NodeIPAMController
    from kybern_controllers_cluster.nodelifecycle import NodeLifecycleController
    from kybern_controllers_cluster.nodettl import NodeTTLController
    from kybern_controllers_cluster.persistentvolume_binder import PersistentVolumeBinder
    from kybern_controllers_cluster.podgc import PodGCController
    from kybern_controllers_cluster.resourceclaim import ResourceClaimController
    from kybern_controllers_cluster.resourcequota import ResourceQuotaController
    from kybern_controllers_cluster.rootca import RootCAController
    from kybern_controllers_cluster.serviceaccount import ServiceAccountController
    from kybern_controllers_cluster.storage_protection import (
        AttributesClassProtectionController,
        ClaimProtectionController,
        VolumeProtectionController,
    )
    from kybern_controllers_cluster.tainteviction import TaintEvictionController
    from kybern_controllers_cluster.volume_expand import VolumeExpandController

    options = start.options("controllers_cluster") or Options()
    ranges = tuple(part.strip() for part in start.config.network.pod_cidr.split(","))
    return [
        NamespaceController(),
        GarbageCollector(),
        NodeIPAMController(ranges, options.node_mask, options.node_mask_v6),
        NodeLifecycleController(),
        TaintEvictionController(),
        EndpointSliceController(),
        EndpointSliceMirroringController(),
        EndpointsController(),
        PodGCController(options.terminated_pods),
        DisruptionController(),
        StaleDisruptionController(),
        ClaimProtectionController(),
        VolumeProtectionController(),
        AttributesClassProtectionController(),
        VolumeExpandController(),
        ResourceQuotaController(),
        PersistentVolumeBinder(),
        EphemeralVolumeController(),
        ResourceClaimController(),
        DeviceTaintEvictionController(),
        AttachDetachController(),
        NodeTTLController(),
        TokenCleaner(),
        BootstrapSigner(lambda: public_kubeconfig(start.server_url, start.pki.ca_certificate)),
        ServiceAccountController(),
        RootCAController(lambda: start.pki.ca_certificate),
        ClusterRoleAggregationController(),
        CSRApprovingController(),
        CSRSigningController(start.pki),
        CSRCleanerController(),
    ]
