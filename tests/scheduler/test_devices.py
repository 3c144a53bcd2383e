"""Devices: what selectors say of them, and which a claim gets on a node."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.resource import DeviceClass, ResourceClaim, ResourceSlice
from kybern.scheduler.nodeinfo import NodeInfo
from kybern_scheduler_policies.device_allocation import NoDevices, allocate, candidates
from kybern_scheduler_policies.device_selectors import SelectorError, facts_of, selects
from tests.scheduler.world import node

DRIVER = "gpu.example.com"


def device(name: str, **attributes: Any) -> dict[str, Any]:
    kinds: dict[type, str] = {bool: "bool", int: "int", str: "string"}
    told = {key: {kinds[type(value)]: value} for key, value in attributes.items()}
    return {"name": name, "attributes": told, "capacity": {"memory": {"value": "8Gi"}}}


def slice_of(*devices: dict[str, Any], pool: str = "n", generation: int = 1, count: int = 1, **spec: Any) -> Any:
    where = spec or {"nodeName": "n"}
    told = {"name": pool, "generation": generation, "resourceSliceCount": count}
    plain = {"metadata": {"name": f"{pool}-{generation}"}, "spec": {"driver": DRIVER, "pool": told, "devices": devices}}
    plain["spec"] |= where
    return types.from_plain(ResourceSlice, plain)


def gpu_class(*expressions: str, **spec: Any) -> Any:
    selectors = [{"cel": {"expression": e}} for e in expressions or (f'device.driver == "{DRIVER}"',)]
    return types.from_plain(DeviceClass, {"metadata": {"name": "gpu"}, "spec": {"selectors": selectors} | spec})


def request(name: str = "r", *expressions: str, **exactly: Any) -> dict[str, Any]:
    selectors = [{"cel": {"expression": e}} for e in expressions]
    wanted = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1, "selectors": selectors}
    return {"name": name, "exactly": wanted | exactly}


def claim(*requests: dict[str, Any], name: str = "c", **devices: Any) -> Any:
    spec = {"devices": {"requests": list(requests)} | devices}
    return types.from_plain(ResourceClaim, {"metadata": {"name": name, "namespace": "default"}, "spec": spec})


def info(name: str = "n", **labels: str) -> NodeInfo:
    return NodeInfo(node(name, labels=labels), 0)


def given(wanted: Any, *slices: Any, taken: set[Any] | None = None, classes: Any = None, at: Any = None) -> list[str]:
    """`request=device` of the allocation; empty when there is none."""
    there = candidates(slices, at or info())
    try:
        made = allocate(wanted, {"gpu": classes or gpu_class()}, there, taken or set())
    except NoDevices:
        return []
    return [f"{r.request}={r.device}" for r in made.devices.results or ()]


SELECTORS: list[tuple[str, bool]] = [
    ('device.driver == "gpu.example.com"', True),
    ('device.attributes["gpu.example.com"].model == "a100"', True),
    ('device.attributes["gpu.example.com"].cores > 200', False),
    ('device.capacity["gpu.example.com"].memory.compareTo(quantity("8192Mi")) == 0', True),
    ('device.capacity["gpu.example.com"].memory.isGreaterThan(quantity("10Gi"))', False),
    ('device.attributes["gpu.example.com"].firmware.compareTo(semver("1.10.0")) < 0', True),
    ('device.attributes["gpu.example.com"].firmware.isGreaterThan(semver("1.9.0-rc.1"))', True),
    ('"x" in device.attributes["other.example.com"]', False),
    ('has(device.attributes["other.example.com"].x) || device.attributes["topology"].zone.startsWith("a")', True),
]


@pytest.mark.parametrize(("expression", "expected"), SELECTORS)
def test_selectors(expression: str, expected: bool) -> None:
    plain = device("d", model="a100", cores=108)
    plain["attributes"] |= {"firmware": {"version": "1.9.0"}, "topology/zone": {"string": "a1"}}
    found = slice_of(plain).spec.devices[0]
    assert selects(expression, facts_of(DRIVER, found)) is expected


@pytest.mark.parametrize("expression", ['device.attributes["gpu.example.com"].nope == 1', "device.driver", "1 +"])
def test_selectors_that_fail_say_so(expression: str) -> None:
    with pytest.raises(SelectorError):
        selects(expression, facts_of(DRIVER, slice_of(device("d")).spec.devices[0]))


THREE = slice_of(device("a", model="x"), device("b", model="y"), device("c", model="y"))
IN_A_MODEL = {"constraints": [{"matchAttribute": f"{DRIVER}/model"}]}
APART = {"constraints": [{"distinctAttribute": f"{DRIVER}/model"}]}
ONLY_Y = f'device.attributes["{DRIVER}"].model == "y"'


@pytest.mark.parametrize(
    ("wanted", "taken", "expected"),
    [
        (claim(request()), [], ["r=a"]),
        (claim(request()), ["a"], ["r=b"]),
        (claim(request(count=2)), [], ["r=a", "r=b"]),
        (claim(request(count=4)), [], []),
        (claim(request("r", ONLY_Y)), [], ["r=b"]),
        (claim(request("one"), request("two", ONLY_Y)), [], ["one=a", "two=b"]),
        (claim(request("r", ONLY_Y, allocationMode="All", count=None)), [], ["r=b", "r=c"]),
        (claim(request("r", ONLY_Y, allocationMode="All", count=None)), ["c"], []),
        (claim(request("one"), request("two"), **IN_A_MODEL), [], ["one=b", "two=c"]),
        (claim(request("one"), request("two"), **APART), [], ["one=a", "two=b"]),
        (claim(request(count=2), **IN_A_MODEL), ["b"], []),
        (claim(request(adminAccess=True)), ["a", "b", "c"], ["r=a"]),
        (claim(request("any"), request("y", ONLY_Y, count=2)), [], ["any=a", "y=b", "y=c"]),
    ],
)
def test_which_devices_a_claim_gets(wanted: Any, taken: list[str], expected: list[str]) -> None:
    assert given(wanted, THREE, taken={(DRIVER, "n", name) for name in taken}) == expected


def test_the_first_alternative_that_can_be_had() -> None:
    big = {"name": "big", "deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 9}
    small = {"name": "small", "deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}
    assert given(claim({"name": "r", "firstAvailable": [big, small]}), THREE) == ["r/small=a"]


def test_only_what_the_node_can_reach_in_the_newest_complete_generation() -> None:
    wanted = claim(request(allocationMode="All", count=None))
    assert given(wanted, slice_of(device("a"), nodeName="other")) == []
    assert given(wanted, slice_of(device("old")), slice_of(device("new"), generation=2)) == ["r=new"]
    assert given(wanted, slice_of(device("half"), count=2)) == []
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
    shared = slice_of(device("s"), nodeSelector={"nodeSelectorTerms": terms})
    assert given(wanted, shared, at=info(zone="a")) == ["r=s"]
    assert given(wanted, shared, at=info(zone="b")) == []


def test_tainted_devices_must_be_tolerated() -> None:
    bad = device("bad") | {"taints": [{"key": "broken", "effect": "NoSchedule"}]}
    assert given(claim(request()), slice_of(bad)) == []
    tolerations = [{"key": "broken", "operator": "Exists"}]
    assert given(claim(request(tolerations=tolerations)), slice_of(bad)) == ["r=bad"]


def test_what_the_allocation_says() -> None:
    opaque = {"opaque": {"driver": DRIVER, "parameters": {"mode": "fast"}}}
    wanted = claim(request(), config=[opaque])
    made = allocate(wanted, {"gpu": gpu_class(config=[opaque])}, candidates([THREE], info()), set())
    assert [c.source for c in made.devices.config] == ["FromClass", "FromClaim"]
    [term] = made.nodeSelector.nodeSelectorTerms
    assert (term.matchFields[0].key, term.matchFields[0].values) == ("metadata.name", ["n"])
    everywhere = slice_of(device("a"), allNodes=True)
    made = allocate(claim(request()), {"gpu": gpu_class()}, candidates([everywhere], info()), set())
    assert made.nodeSelector is None
