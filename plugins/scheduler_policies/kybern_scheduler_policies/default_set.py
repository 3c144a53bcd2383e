"""The policies in upstream's default order: cheap and decisive filters first."""

from __future__ import annotations

from kybern.scheduler.policy import Policy
from kybern_scheduler_policies.default_binder import DefaultBinder
from kybern_scheduler_policies.default_preemption import DefaultPreemption
from kybern_scheduler_policies.dynamic_resources import DynamicResources
from kybern_scheduler_policies.image_locality import ImageLocality
from kybern_scheduler_policies.inter_pod_affinity import InterPodAffinity
from kybern_scheduler_policies.node_affinity import NodeAffinity
from kybern_scheduler_policies.node_name import NodeName
from kybern_scheduler_policies.node_ports import NodePorts
from kybern_scheduler_policies.node_resources_balanced_allocation import NodeResourcesBalancedAllocation
from kybern_scheduler_policies.node_resources_fit import NodeResourcesFit
from kybern_scheduler_policies.node_unschedulable import NodeUnschedulable
from kybern_scheduler_policies.node_volume_limits import NodeVolumeLimits
from kybern_scheduler_policies.pod_topology_spread import PodTopologySpread
from kybern_scheduler_policies.priority_sort import PrioritySort
from kybern_scheduler_policies.scheduling_gates import SchedulingGates
from kybern_scheduler_policies.taint_toleration import TaintToleration
from kybern_scheduler_policies.volume_binding import VolumeBinding
from kybern_scheduler_policies.volume_restrictions import VolumeRestrictions
from kybern_scheduler_policies.volume_zone import VolumeZone

POLICIES: list[type[Policy]] = [
    SchedulingGates,
    PrioritySort,
    NodeUnschedulable,
    NodeName,
    TaintToleration,
    NodeAffinity,
    NodePorts,
    NodeResourcesFit,
    VolumeRestrictions,
    NodeVolumeLimits,
    VolumeBinding,
    VolumeZone,
    PodTopologySpread,
    InterPodAffinity,
    DynamicResources,
    DefaultPreemption,
    NodeResourcesBalancedAllocation,
    ImageLocality,
    DefaultBinder,
]
