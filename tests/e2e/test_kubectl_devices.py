"""Devices for pods (dynamic resource allocation) as a user meets them."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.conftest import Kubectl

API = "resource.k8s.io/v1"


def manifest(api: str, kind: str, name: str, spec: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec})


def pod(name: str) -> str:
    containers = [{"name": "c", "image": "i", "resources": {"claims": [{"name": "gpu"}]}}]
    claims = [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]
    return manifest("v1", "Pod", name, {"containers": containers, "resourceClaims": claims})


def test_pods_take_turns_with_the_only_device(kubectl: Kubectl) -> None:
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    large = 'device.capacity["gpu.example.com"].memory.compareTo(quantity("10Gi")) >= 0'
    selectors = [{"cel": {"expression": 'device.driver == "gpu.example.com"'}}]
    device = {"name": "gpu-0", "capacity": {"memory": {"value": "16Gi"}}}
    small = {"name": "gpu-1", "capacity": {"memory": {"value": "8Gi"}}}
    pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
    offered = {"driver": "gpu.example.com", "nodeName": node, "pool": pool, "devices": [small, device]}
    wanted = {"deviceClassName": "gpu", "selectors": [{"cel": {"expression": large}}]}
    template = {"spec": {"devices": {"requests": [{"name": "r", "exactly": wanted}]}}}
    try:
        kubectl("apply", "-f", "-", stdin=manifest(API, "DeviceClass", "gpu", {"selectors": selectors}))
        kubectl("apply", "-f", "-", stdin=manifest(API, "ResourceSlice", "gpus", offered))
        kubectl("apply", "-f", "-", stdin=manifest(API, "ResourceClaimTemplate", "one-gpu", template))
        kubectl("apply", "-f", "-", stdin=pod("first"))
        kubectl("wait", "pod/first", "--for=condition=Ready", "--timeout=30s")
        assert kubectl("get", "pod", "first", "-o", "jsonpath={.spec.nodeName}") == node
        [claim] = kubectl("get", "resourceclaims", "--no-headers").splitlines()
        assert claim.split()[0].startswith("first-gpu-")
        assert claim.split()[1] == "allocated,reserved"
        result = "jsonpath={.items[0].status.allocation.devices.results[0].device}"
        assert kubectl("get", "resourceclaims", "-o", result) == "gpu-0"

        kubectl("apply", "-f", "-", stdin=pod("second"))
        reason = 'jsonpath={.status.conditions[?(@.type=="PodScheduled")].reason}'
        kubectl.eventually("get", "pod", "second", "-o", reason, becomes="Unschedulable")
        assert "cannot allocate all claims" in kubectl("describe", "pod", "second")
        kubectl("delete", "pod", "first", "--grace-period=1")
        kubectl("wait", "pod/second", "--for=condition=Ready", "--timeout=30s")
    finally:
        kubectl("delete", "deviceclass/gpu", "resourceslice/gpus", "--ignore-not-found")
