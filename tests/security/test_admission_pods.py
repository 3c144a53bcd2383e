"""Admission: tolerations, taints, priorities and runtime classes."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.node import RuntimeClass as RuntimeClassKind
from kybern.api.scheduling import PriorityClass
from kybern_admission_builtin.default_toleration_seconds import DefaultTolerationSeconds
from kybern_admission_builtin.priority import Priority
from kybern_admission_builtin.runtime_class import RuntimeClass
from kybern_admission_builtin.taint_nodes_by_condition import TaintNodesByCondition
from tests.security.admitting import created, pod, refused
from tests.security.world import World, admit, plain, request

pytestmark = pytest.mark.anyio


async def test_tolerations_of_a_bad_node_are_added() -> None:
    made = await created(DefaultTolerationSeconds(), pod())
    assert [types.to_plain(t) for t in made.spec.tolerations] == [
        {"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for what in ("not-ready", "unreachable")
    ]


@pytest.mark.parametrize(
    ("toleration", "added"),
    [
        ({"operator": "Exists"}, []),
        ({"operator": "Exists", "effect": "NoExecute"}, []),
        ({"operator": "Exists", "effect": "NoSchedule"}, ["not-ready", "unreachable"]),
        ({"key": "node.kubernetes.io/not-ready", "operator": "Exists"}, ["unreachable"]),
        ({"key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": 0}, ["not-ready"]),
        ({"key": "other", "operator": "Exists"}, ["not-ready", "unreachable"]),
    ],
)
async def test_own_tolerations_count(toleration: dict[str, Any], added: list[str]) -> None:
    made = await created(DefaultTolerationSeconds(), pod(tolerations=[toleration]))
    assert [t.key.removeprefix("node.kubernetes.io/") for t in made.spec.tolerations[1:]] == added


async def test_a_new_node_is_tainted_once() -> None:
    node = await created(TaintNodesByCondition(), plain("v1/Node", metadata={"name": "n"}))
    assert [types.to_plain(t) for t in node.spec.taints] == [
        {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    ]


def priorities(*classes: dict[str, Any]) -> Priority:
    world = World()
    for data in classes:
        name = data.pop("name")
        world.add(plain("scheduling.k8s.io/v1/PriorityClass", metadata={"name": name}, **data))
    return Priority(world.lookup(PriorityClass))


def computed(made: Any) -> tuple[Any, ...]:
    return made.spec.priorityClassName, made.spec.priority, made.spec.preemptionPolicy


async def test_a_pod_without_class_has_priority_zero() -> None:
    assert computed(await created(priorities(), pod())) == (None, 0, "PreemptLowerPriority")


async def test_the_class_gives_priority_and_policy() -> None:
    plugin = priorities({"name": "x", "value": 7, "preemptionPolicy": "Never"}, {"name": "d", "value": 3})
    assert computed(await created(plugin, pod(priorityClassName="x"))) == ("x", 7, "Never")


async def test_the_default_class_is_named_in_the_pod_and_the_lowest_counts() -> None:
    plugin = priorities(
        {"name": "b", "value": 9, "globalDefault": True}, {"name": "c", "value": 5, "globalDefault": True}
    )
    assert computed(await created(plugin, pod())) == ("c", 5, "PreemptLowerPriority")


async def test_priority_is_not_the_users_to_say() -> None:
    plugin = priorities({"name": "x", "value": 7})
    assert await refused(plugin, request("CREATE", pod(priorityClassName="y"))) == (
        'pods "p" is forbidden: no PriorityClass with name y was found'
    )
    assert await refused(plugin, request("CREATE", pod(priorityClassName="x", priority=8))) == (
        'pods "p" is forbidden: the integer value of priority (8) must not be provided in pod spec; '
        "priority admission controller computed 7 from the given PriorityClass name"
    )
    assert await refused(plugin, request("CREATE", pod(preemptionPolicy="Never"))) == (
        'pods "p" is forbidden: the string value of PreemptionPolicy (Never) must not be provided in pod spec; '
        "priority admission controller computed PreemptLowerPriority from the given PriorityClass name"
    )
    assert computed(await created(plugin, pod(priorityClassName="x", priority=7)))[1] == 7


async def test_an_update_that_leaves_the_priority_out_keeps_it() -> None:
    old = pod(priority=5, preemptionPolicy="Never")
    assert computed(await admit(priorities(), request("UPDATE", pod(), old=old))) == (None, 5, "Never")


async def test_there_is_one_default_priority_class() -> None:
    plugin = priorities({"name": "d", "value": 1, "globalDefault": True})

    def wanted(name: str, default: bool = True) -> Any:
        metadata = {"name": name}
        return plain("scheduling.k8s.io/v1/PriorityClass", metadata=metadata, value=2, globalDefault=default)

    assert await refused(plugin, request("CREATE", wanted("e"))) == (
        'priorityclasses.scheduling.k8s.io "e" is forbidden: '
        "PriorityClass d is already marked as default. Only one default can exist"
    )
    await refused(plugin, request("UPDATE", wanted("e"), old=wanted("e", default=False)))
    await admit(plugin, request("UPDATE", wanted("d"), old=wanted("d")))
    await admit(plugin, request("CREATE", wanted("e", default=False)))


def runtimes() -> RuntimeClass:
    world = World()
    world.add(
        plain(
            "node.k8s.io/v1/RuntimeClass",
            metadata={"name": "vm"},
            handler="h",
            overhead={"podFixed": {"cpu": "250m"}},
            scheduling={"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]},
        )
    )
    return RuntimeClass(world.lookup(RuntimeClassKind))


async def test_a_runtime_class_brings_overhead_and_scheduling() -> None:
    spec = (await created(runtimes(), pod(runtimeClassName="vm", nodeSelector={"x": "y"}))).spec
    assert (spec.overhead, spec.nodeSelector) == ({"cpu": "250m"}, {"x": "y", "vm": "yes"})
    assert [t.key for t in spec.tolerations] == ["vm"]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"runtimeClassName": "none"}, 'pod rejected: RuntimeClass "none" not found'),
        (
            {"runtimeClassName": "vm", "overhead": {"cpu": "1"}},
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            {"overhead": {"cpu": "1"}},
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
        (
            {"runtimeClassName": "vm", "nodeSelector": {"vm": "no"}},
            "conflict: vm has been set with value no, runtimeClass requires yes",
        ),
    ],
)
async def test_what_contradicts_the_runtime_class_is_refused(fields: dict[str, Any], why: str) -> None:
    assert await refused(runtimes(), request("CREATE", pod(**fields))) == f'pods "p" is forbidden: {why}'
