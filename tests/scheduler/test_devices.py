"""Devices: what selectors say of them, and which a claim gets on a node."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from kybern.api import types
from kybern.api.resource import DeviceClass, DeviceTaintRule, ResourceClaim, ResourceSlice
from kybern.scheduler.nodeinfo import NodeInfo
from kybern_scheduler_policies.device_allocation import NoDevices, choose
from kybern_scheduler_policies.device_pools import Pools, Usage
from kybern_scheduler_policies.device_results import allocation_of
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
    try:
        made = allocation(wanted, *slices, used=Usage(taken or ()), classes=classes, at=at)
    except NoDevices:
        return []
    return [f"{r.request}={r.device}" for r in made.devices.results or ()]


def allocation(
    wanted: Any, *slices: Any, used: Usage | None = None, classes: Any = None, at: Any = None, rules: Any = ()
) -> Any:
    known = {"gpu": classes or gpu_class()}
    chosen = choose(wanted, known, Pools(slices, rules).offer(at or info()), used or Usage())
    ids = count(1)
    return allocation_of(wanted, known, chosen, lambda: f"share-{next(ids)}")


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
    made = allocation(wanted, THREE, classes=gpu_class(config=[opaque]))
    assert [c.source for c in made.devices.config] == ["FromClass", "FromClaim"]
    [term] = made.nodeSelector.nodeSelectorTerms
    assert (term.matchFields[0].key, term.matchFields[0].values) == ("metadata.name", ["n"])
    everywhere = slice_of(device("a"), allNodes=True)
    made = allocation(claim(request()), everywhere)
    assert made.nodeSelector is None


def partition(name: str, memory: str) -> dict[str, Any]:
    return {"name": name, "consumesCounters": [{"counterSet": "gpu-0", "counters": {"memory": {"value": memory}}}]}


def counters(memory: str = "80Gi") -> Any:
    shared = [{"name": "gpu-0", "counters": {"memory": {"value": memory}}}]
    return slice_of(count=2, nodeName="n", devices=None, sharedCounters=shared)


def partitions(*found: dict[str, Any]) -> Any:
    made = slice_of(*found, count=2)
    made.metadata.name = "devices"
    return made


PARTITIONS = partitions(partition("whole", "80Gi"), partition("half-0", "40Gi"), partition("half-1", "40Gi"))


@pytest.mark.parametrize(
    ("taken", "number", "expected"),
    [
        ([], 1, ["r=whole"]),
        ([], 2, ["r=half-0", "r=half-1"]),
        ([], 3, []),
        (["half-0"], 1, ["r=half-1"]),
        (["whole"], 1, []),
    ],
)
def test_partitions_share_the_counters_of_their_device(taken: list[str], number: int, expected: list[str]) -> None:
    used = {(DRIVER, "n", name) for name in taken}
    assert given(claim(request(count=number)), counters(), PARTITIONS, taken=used) == expected


def test_all_of_a_pool_cannot_be_had_when_its_counters_do_not_suffice() -> None:
    everything = request(allocationMode="All", count=None)
    assert given(claim(everything), counters(), PARTITIONS) == []
    halves = partitions(partition("half-0", "40Gi"), partition("half-1", "40Gi"))
    assert given(claim(everything), counters(), halves) == ["r=half-0", "r=half-1"]


def shared(value: str = "10Gi", name: str = "nic", **policy: Any) -> Any:
    capacity = {"bandwidth": {"value": value} | ({"requestPolicy": policy} if policy else {})}
    return slice_of({"name": name, "allowMultipleAllocations": True, "capacity": capacity})


def wants(amount: str | None, **more: Any) -> dict[str, Any]:
    return request(**({"capacity": {"requests": {"bandwidth": amount}}} if amount else {}), **more)


STEPS = {"default": "1Gi", "validRange": {"min": "1Gi", "step": "2Gi", "max": "7Gi"}}


@pytest.mark.parametrize(
    ("policy", "amount", "consumed"),
    [
        ({}, "3Gi", "3Gi"),
        ({}, None, "10Gi"),
        ({}, "11Gi", None),
        ({"default": "2Gi", "validValues": ["2Gi", "4Gi"]}, None, "2Gi"),
        ({"default": "2Gi", "validValues": ["2Gi", "4Gi"]}, "3Gi", "4Gi"),
        ({"default": "2Gi", "validValues": ["2Gi", "4Gi"]}, "5Gi", None),
        (STEPS, "100Mi", "1Gi"),
        (STEPS, "4Gi", "5Gi"),
        (STEPS, "8Gi", None),
    ],
)
def test_how_much_of_a_shared_device_a_request_takes(policy: Any, amount: str | None, consumed: str | None) -> None:
    try:
        [result] = allocation(claim(wants(amount)), shared(**policy)).devices.results
    except NoDevices:
        assert consumed is None
    else:
        assert (result.consumedCapacity, result.shareID) == ({"bandwidth": consumed}, "share-1")


def test_shares_of_a_device_are_never_more_than_the_device() -> None:
    used, nic = Usage(), shared()
    for expected in ("4Gi", "4Gi", None):
        try:
            made = allocation(claim(wants("4Gi")), nic, used=used)
        except NoDevices:
            assert expected is None
        else:
            used.add(made)
            assert made.devices.results[0].consumedCapacity == {"bandwidth": expected}
    assert given(claim(wants("5Gi", count=2)), nic) == ["r=nic", "r=nic"]
    assert given(claim(wants("6Gi", count=2)), nic) == []


def test_a_capacity_request_is_a_condition_on_devices_that_are_had_whole() -> None:
    small, large = device("small"), device("large") | {"capacity": {"memory": {"value": "16Gi"}}}
    wanted = request(capacity={"requests": {f"{DRIVER}/memory": "10Gi"}})
    assert given(claim(wanted), slice_of(small, large)) == ["r=large"]
    assert given(claim(request(capacity={"requests": {"cores": "1"}})), slice_of(small, large)) == []


def test_a_selector_may_ask_whether_a_device_is_shared() -> None:
    assert given(claim(request("r", "device.allowMultipleAllocations")), shared()) == ["r=nic"]
    assert given(claim(request("r", "device.allowMultipleAllocations")), THREE) == []


def test_all_devices_cannot_be_had_while_a_pool_is_rewritten() -> None:
    other = slice_of(device("half"), pool="m", count=2)
    assert given(claim(request(allocationMode="All", count=None)), slice_of(device("a")), other) == []
    assert given(claim(request()), slice_of(device("a")), other) == ["r=a"]


def test_a_taint_rule_counts_like_a_taint_of_the_driver() -> None:
    def rule(**selector: str) -> Any:
        taint = {"key": "sick", "effect": "NoSchedule"}
        return types.from_plain(DeviceTaintRule, {"spec": {"deviceSelector": selector, "taint": taint}})

    def first(*rules: Any) -> str:
        return str(allocation(claim(request()), THREE, rules=rules).devices.results[0].device)

    assert first(rule(device="a")) == "b"
    assert first(rule(driver=DRIVER, pool="n", device="a"), rule(device="b")) == "c"
    assert first(rule(pool="other")) == "a"
    with pytest.raises(NoDevices):
        first(rule())


def test_the_allocation_repeats_tolerations_and_binding_conditions() -> None:
    made = device("a") | {"bindingConditions": ["Attached"], "bindingFailureConditions": ["Broken"]}
    tolerations = [{"key": "sick", "operator": "Exists", "effect": "NoExecute"}]
    everywhere = slice_of(made | {"bindsToNode": True}, allNodes=True)
    found = allocation(claim(request(tolerations=tolerations)), everywhere)
    [result] = found.devices.results
    assert result.tolerations[0].key == "sick"
    assert (result.bindingConditions, result.bindingFailureConditions) == (["Attached"], ["Broken"])
    assert found.nodeSelector.nodeSelectorTerms[0].matchFields[0].values == ["n"]


def test_forty_devices_with_a_constraint_are_searched_in_one_order_only() -> None:
    odd = [device(f"d{i:02}", model="x" if i % 2 else "y") for i in range(40)]
    assert len(given(claim(request(count=20), **IN_A_MODEL), slice_of(*odd))) == 20
    assert given(claim(request(count=21), **IN_A_MODEL), slice_of(*odd)) == []


@pytest.mark.parametrize(
    ("taint", "tolerations", "out"),
    [
        ({"key": "sick", "effect": "NoExecute"}, [], True),
        ({"key": "sick", "effect": "NoExecute"}, [{"key": "sick", "operator": "Exists"}], False),
        ({"key": "sick", "effect": "NoSchedule"}, [], False),
        ({"key": "sick", "effect": "None"}, [], False),
    ],
)
def test_which_taints_drive_out_those_who_have_the_device(taint: Any, tolerations: Any, out: bool) -> None:
    made = allocation(claim(request(tolerations=tolerations)), slice_of(device("a"), device("b")))
    assert Pools([slice_of(device("a") | {"taints": [taint]}, device("b"))]).drives_out(made) is out
    assert Pools([slice_of(device("a"), device("b") | {"taints": [taint]})]).drives_out(made) is False
