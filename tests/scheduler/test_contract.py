"""Every built-in policy keeps the contract of its seam."""

from __future__ import annotations

from typing import Any

from kybern.scheduler.policy import Policy
from kybern.testing.policy import PolicyContract
from kybern_scheduler_policies.default_set import POLICIES


def _suite(name: str, chosen: type[Policy], plain: dict[str, Any]) -> type[PolicyContract]:
    return type(name, (PolicyContract,), {"policy": chosen, "args": plain, "__module__": __name__})


for _policy in POLICIES:
    globals()[f"Test{_policy.name}"] = _suite(f"Test{_policy.name}", _policy, {})

_by_name = {p.name: p for p in POLICIES}
_SHAPE = {"shape": [{"utilization": 0, "score": 0}, {"utilization": 60, "score": 9}, {"utilization": 100, "score": 3}]}
_RESOURCES = [{"name": "cpu", "weight": 3}, {"name": "memory"}, {"name": "example.com/gpu", "weight": 5}]
_ADDED = {
    "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}]
    }
}

TestMostAllocated = _suite(
    "TestMostAllocated",
    _by_name["NodeResourcesFit"],
    {"scoringStrategy": {"type": "MostAllocated", "resources": _RESOURCES}},
)
TestRequestedToCapacityRatio = _suite(
    "TestRequestedToCapacityRatio",
    _by_name["NodeResourcesFit"],
    {
        "scoringStrategy": {
            "type": "RequestedToCapacityRatio",
            "resources": _RESOURCES,
            "requestedToCapacityRatio": _SHAPE,
        }
    },
)
TestBalancedWithThreeResources = _suite(
    "TestBalancedWithThreeResources", _by_name["NodeResourcesBalancedAllocation"], {"resources": _RESOURCES}
)
TestAddedAffinity = _suite("TestAddedAffinity", _by_name["NodeAffinity"], {"addedAffinity": _ADDED})
