"""ResourceClaim, ResourceClaimTemplate, DeviceClass, ResourceSlice, DeviceTaintRule."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import registry
from kybern.api.kind import Kind
from tests.api.judge import ABSENT, NOW, changed, complaints, created, stored, update


def kind(name: str) -> Kind:
    found = registry.builtin().kind("resource.k8s.io", "v1", name)
    assert found is not None
    return found


def plain(name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": kind(name).api_version, "kind": name, "metadata": {"name": "x"}, **fields}


CLAIM = plain(
    "ResourceClaim",
    spec={
        "devices": {
            "requests": [
                {"name": "one", "exactly": {"deviceClassName": "gpu"}},
                {"name": "either", "firstAvailable": [{"name": "big", "deviceClassName": "gpu"}]},
            ],
            "constraints": [{"requests": ["one", "either/big"], "matchAttribute": "example.com/numa"}],
            "config": [{"opaque": {"driver": "gpu.example.com", "parameters": {"mode": "fast"}}}],
        }
    },
)
REQUEST, ASKED = "spec.devices.requests.0", "spec.devices.requests.0.exactly"
AT = "spec.devices.requests[0]"


def test_one_device_unless_told() -> None:
    request = created(kind("ResourceClaim"), CLAIM).spec.devices.requests
    assert (request[0].exactly.allocationMode, request[0].exactly.count) == ("ExactCount", 1)
    assert (request[1].firstAvailable[0].allocationMode, request[1].firstAvailable[0].count) == ("ExactCount", 1)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({f"{REQUEST}.name": "One"}, f'{AT}.name: Invalid value: "One": a lowercase RFC 1123 label'),
        ({f"{REQUEST}.name": "either"}, 'spec.devices.requests[1]: Duplicate value: "either"'),
        ({ASKED: ABSENT}, f"{AT}: Required value: exactly one of `exactly` or `firstAvailable` is required"),
        ({f"{ASKED}.deviceClassName": ""}, f"{AT}.exactly.deviceClassName: Required value"),
        (
            {f"{ASKED}.allocationMode": "Some"},
            f'{AT}.exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"',
        ),
        (
            {f"{ASKED}.allocationMode": "All", f"{ASKED}.count": 2},
            f"{AT}.exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'",
        ),
        ({f"{ASKED}.count": -1}, f"{AT}.exactly.count: Invalid value: -1: must be greater than zero"),
        ({f"{ASKED}.selectors": [{}]}, f"{AT}.exactly.selectors[0].cel: Required value"),
        (
            {f"{ASKED}.selectors": [{"cel": {"expression": "device.("}}]},
            f"{AT}.exactly.selectors[0].cel.expression: Invalid value",
        ),
        (
            {f"{ASKED}.tolerations": [{"operator": "Equal"}]},
            f"{AT}.exactly.tolerations[0].key: Required value: must not be empty for operator `Equal`",
        ),
        (
            {"spec.devices.constraints.0.requests.0": "two"},
            'spec.devices.constraints[0].requests[0]: Invalid value: "two": must be the name of a request',
        ),
        (
            {"spec.devices.constraints.0.matchAttribute": "numa"},
            'spec.devices.constraints[0].matchAttribute: Invalid value: "numa": must include a domain',
        ),
        (
            {"spec.devices.config.0.opaque.parameters": [1]},
            'spec.devices.config[0].opaque.parameters: Invalid value: "<value omitted>": parameters must be a valid',
        ),
        ({"spec.devices.config.0.opaque": ABSENT}, "spec.devices.config[0].opaque: Required value"),
    ],
)
def test_claim_rules(change: dict[str, Any], complaint: str) -> None:
    assert complaints(kind("ResourceClaim"), CLAIM) == []
    assert any(c.startswith(complaint) for c in complaints(kind("ResourceClaim"), changed(CLAIM, change)))


def test_a_template_holds_a_claim() -> None:
    template = plain("ResourceClaimTemplate", spec={"spec": CLAIM["spec"]})
    assert complaints(kind("ResourceClaimTemplate"), template) == []
    broken = changed(template, {f"spec.{ASKED}.deviceClassName": ""})
    found = complaints(kind("ResourceClaimTemplate"), broken)
    assert found == ["spec.spec.devices.requests[0].exactly.deviceClassName: Required value"]


ALLOCATION = {
    "devices": {"results": [{"request": "one", "driver": "gpu.example.com", "pool": "node-1", "device": "gpu-0"}]}
}
REPORT = {"driver": "gpu.example.com", "pool": "node-1", "device": "gpu-0"}
VAGUE = {"type": "Ready", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"}
CONSUMER = {"resource": "pods", "name": "p", "uid": "u"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"status.allocation": ALLOCATION, "status.reservedFor": [CONSUMER]}, ""),
        (
            {"status.reservedFor": [CONSUMER]},
            "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
        ),
        (
            {"status.allocation": changed(ALLOCATION, {"devices.results.0.request": "two"})},
            'status.allocation.devices.results[0].request: Invalid value: "two": must be the name of a request',
        ),
        (
            {"status.allocation": changed(ALLOCATION, {"devices.results.0.pool": "Node 1"})},
            'status.allocation.devices.results[0].pool: Invalid value: "Node 1": a lowercase RFC 1123 subdomain',
        ),
        ({"status.allocation": ALLOCATION, "status.devices": [REPORT]}, ""),
        (
            {"status.devices": [REPORT]},
            'status.devices[0]: Invalid value: "gpu.example.com/node-1/gpu-0": must be an allocated device',
        ),
        (
            {"status.allocation": ALLOCATION, "status.devices": [{**REPORT, "conditions": [VAGUE]}]},
            'status.devices[0].conditions[0].status: Unsupported value: "": supported values: "False", "True"',
        ),
        (
            {"status.allocation": ALLOCATION, "status.devices": [{**REPORT, "networkData": {"ips": ["10.0.0.1"]}}]},
            'status.devices[0].networkData.ips[0]: Invalid value: "10.0.0.1": must be a valid address in CIDR form',
        ),
        (
            {"status.allocation": ALLOCATION, "status.devices": [{**REPORT, "networkData": {"ips": ["10.0.0.1/24"]}}]},
            "",
        ),
    ],
)
def test_status_rules(change: dict[str, Any], complaint: str) -> None:
    old = stored(kind("ResourceClaim"), CLAIM)
    found = update(kind("ResourceClaim"), old, change, "status")[1]
    assert [c for c in found if not c.startswith(complaint)] == [] and bool(found) == bool(complaint)


def test_a_claim_stays_as_it_was_made() -> None:
    claims = kind("ResourceClaim")
    old = stored(claims, CLAIM)
    found = update(claims, old, {f"{ASKED}.count": 3})[1]
    assert [c for c in found if c.startswith("spec: Invalid value") and c.endswith("field is immutable")]
    allocated = update(claims, old, {"status.allocation": ALLOCATION}, "status")[0]
    moved = {"status.allocation.devices.results.0.device": "gpu-1"}
    found = update(claims, allocated, moved, "status")[1]
    assert [c for c in found if c.startswith("status.allocation: Invalid value")]


@pytest.mark.parametrize(
    ("status", "deleted", "shown"),
    [
        ({}, False, "pending"),
        ({"status.allocation": ALLOCATION}, False, "allocated"),
        ({"status.allocation": ALLOCATION, "status.reservedFor": [CONSUMER]}, False, "allocated,reserved"),
        ({"status.allocation": ALLOCATION}, True, "deleted,allocated"),
    ],
)
def test_the_state_of_a_claim(status: dict[str, Any], deleted: bool, shown: str) -> None:
    claims = kind("ResourceClaim")
    obj = update(claims, stored(claims, CLAIM), status, "status")[0]
    obj.metadata.deletionTimestamp = "2026-01-01T00:00:00Z" if deleted else None
    assert claims.row(obj, NOW + 60)[1:] == [shown, "60s"]


SLICE = plain(
    "ResourceSlice",
    spec={
        "driver": "gpu.example.com",
        "nodeName": "node-1",
        "pool": {"name": "node-1", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "gpu-0", "attributes": {"model": {"string": "m"}}, "capacity": {"mem": {"value": "1Gi"}}}],
    },
)
PLACE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"spec.nodeName": ABSENT}, f"spec: Required value: {PLACE}"),
        (
            {"spec.allNodes": True},
            f'spec: Invalid value: "{{`nodeName`, `allNodes`}}": {PLACE}, but multiple fields are set',
        ),
        ({"spec.allNodes": False}, "spec.allNodes: Invalid value: false: must be either unset or set to true"),
        ({"spec.driver": ""}, "spec.driver: Required value"),
        ({"spec.pool.name": ""}, "spec.pool.name: Required value"),
        (
            {"spec.pool.resourceSliceCount": 0},
            "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
        ),
        ({"spec.devices.1": {"name": "gpu-0"}}, 'spec.devices[1]: Duplicate value: "gpu-0"'),
        (
            {"spec.devices.0.attributes.model": {}},
            'spec.devices[0].attributes[model]: Invalid value: "": exactly one value must be specified',
        ),
        (
            {"spec.devices.0.attributes.model.string": "m" * 65},
            "spec.devices[0].attributes[model].string: Too long: may not be more than 64 bytes",
        ),
        (
            {"spec.devices.0.taints": [{"key": "a", "effect": "Maybe"}]},
            'spec.devices[0].taints[0].effect: Unsupported value: "Maybe": supported values: "NoExecute", "NoSchedule"',
        ),
        ({"spec.devices.0.nodeName": "node-2"}, "spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector`"),
        (
            {"spec.devices.0.attributes.model": {"version": "1.2"}},
            'spec.devices[0].attributes[model].version: Invalid value: "1.2": must be a string compatible with semver.org',
        ),
        (
            {"spec.devices.0.capacity.mem.requestPolicy": {"default": "1Gi"}},
            "spec.devices[0].capacity[mem].requestPolicy: Forbidden: allowMultipleAllocations must be true",
        ),
        (
            {"spec.devices.0.bindingConditions": ["Ready"]},
            "spec.devices[0].bindingFailureConditions: Invalid value: [",
        ),
        (
            {"spec.devices.0.consumesCounters": [{"counterSet": "", "counters": {"a": {"value": "1"}}}]},
            "spec.devices[0].consumesCounters[0].counterSet: Required value",
        ),
        (
            {"spec.devices.0.consumesCounters": [{"counterSet": "c"}]},
            "spec.devices[0].consumesCounters[0].counters: Required value",
        ),
        (
            {"spec.devices": [{"name": f"d{i}", "taints": [{"key": "a", "effect": "None"}]} for i in range(65)]},
            "spec.devices: Too many: 65: must have at most 64 items",
        ),
        (
            {"spec.sharedCounters": [{"name": "c"}]},
            'spec: Invalid value: "": only one of `sharedCounters` or `devices`',
        ),
    ],
)
def test_slice_rules(change: dict[str, Any], complaint: str) -> None:
    assert complaints(kind("ResourceSlice"), SLICE) == []
    found = complaints(kind("ResourceSlice"), changed(SLICE, change))
    assert any(c.startswith(complaint) for c in found), found


def test_a_slice_stays_with_its_node_and_pool() -> None:
    slices = kind("ResourceSlice")
    old = stored(slices, SLICE)
    found = update(slices, old, {"spec.nodeName": "node-2", "spec.pool.name": "b", "spec.pool.generation": 2})[1]
    assert [c.split(":")[0] for c in found] == ["spec.nodeName", "spec.pool.name"]
    assert slices.row(old, NOW)[1:4] == ["node-1", "gpu.example.com", "node-1"]


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"selectors": [{"cel": {"expression": 'device.driver == "gpu.example.com"'}}]}, None),
        ({"selectors": [{"cel": {"expression": ""}}]}, "spec.selectors[0].cel.expression: "),
        ({"config": [{"opaque": {"driver": "", "parameters": {}}}]}, "spec.config[0].opaque.driver: Required value"),
    ],
)
def test_class_rules(spec: dict[str, Any], complaint: str | None) -> None:
    found = complaints(kind("DeviceClass"), plain("DeviceClass", spec=spec))
    assert [c for c in found if complaint is None or not c.startswith(complaint)] == [] and bool(found) == bool(
        complaint
    )


@pytest.mark.parametrize(
    ("policy", "complaint"),
    [
        ({"validValues": ["1Gi"]}, ".default: Required value: required when validValues is defined"),
        ({"validValues": ["1Gi"], "default": "2Gi"}, '.validValues: Invalid value: "2Gi": default value is not valid'),
        ({"validValues": ["2Gi", "1Gi"], "default": "1Gi"}, '.validValues[1]: Invalid value: "1Gi": values must be'),
        ({"validValues": ["20Gi"], "default": "20Gi"}, '.validValues[0]: Invalid value: "20Gi": option is larger than'),
        ({"validValues": ["1Gi"], "validRange": {}, "default": "1Gi"}, ": Forbidden: exactly one policy can be"),
        (
            {"validRange": {"min": "2Gi"}, "default": "1Gi"},
            '.validRange.default: Invalid value: "1Gi": default is less',
        ),
        (
            {"validRange": {"min": "1Gi", "max": "11Gi"}, "default": "1Gi"},
            '.validRange.max: Invalid value: "11Gi": max',
        ),
        (
            {"validRange": {"min": "1Gi", "step": "2Gi", "max": "4Gi"}, "default": "1Gi"},
            '.validRange.step: Invalid value: "4Gi": value is not a multiple of a given step (2Gi) from (1Gi)',
        ),
        ({"validRange": {"min": "1Gi", "step": "2Gi", "max": "5Gi"}, "default": "3Gi"}, None),
        ({"validValues": ["1Gi", "4Gi"], "default": "4Gi"}, None),
        ({"default": "1Gi"}, None),
    ],
)
def test_request_policy_rules(policy: dict[str, Any], complaint: str | None) -> None:
    device = {"name": "d", "allowMultipleAllocations": True}
    device["capacity"] = {"mem": {"value": "10Gi", "requestPolicy": policy}}
    found = complaints(kind("ResourceSlice"), changed(SLICE, {"spec.devices": [device]}))
    if complaint is None:
        assert found == []
    else:
        assert any(c.startswith(f"spec.devices[0].capacity[mem].requestPolicy{complaint}") for c in found), found


TAINT_RULE = plain("DeviceTaintRule", spec={"taint": {"key": "sick", "effect": "NoExecute"}, "deviceSelector": {}})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"spec.taint.effect": "PreferNoSchedule"}, 'spec.taint.effect: Unsupported value: "PreferNoSchedule"'),
        ({"spec.taint.key": "a b"}, 'spec.taint.key: Invalid value: "a b"'),
        ({"spec.deviceSelector.driver": "a b"}, 'spec.deviceSelector.driver: Invalid value: "a b"'),
        ({"spec.deviceSelector.pool": ""}, "spec.deviceSelector.pool: Required value"),
        ({"spec.deviceSelector.device": "A"}, 'spec.deviceSelector.device: Invalid value: "A"'),
    ],
)
def test_taint_rule_rules(change: dict[str, Any], complaint: str) -> None:
    assert complaints(kind("DeviceTaintRule"), TAINT_RULE) == []
    found = complaints(kind("DeviceTaintRule"), changed(TAINT_RULE, change))
    assert any(c.startswith(complaint) for c in found), found


def test_a_taint_rule_says_since_when_its_effect_is() -> None:
    rules = kind("DeviceTaintRule")
    old = stored(rules, TAINT_RULE)
    assert old.spec.taint.timeAdded
    old.spec.taint.timeAdded = "2020-01-01T00:00:00Z"
    same = update(rules, old, {"spec.taint.value": "very"})[0]
    assert same.spec.taint.timeAdded == "2020-01-01T00:00:00Z"
    other = update(rules, old, {"spec.taint.effect": "NoSchedule"})[0]
    assert other.spec.taint.timeAdded != "2020-01-01T00:00:00Z"
