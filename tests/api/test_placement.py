"""Taints, tolerations and the nodes that a pod selects, as kubelet and controllers ask."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.core import Node, PodSpec, Taint, Toleration
from kybern.api.placement import accepts_node, is_decimal, tolerates, untolerated

TAINT = Taint(key="sla", value="950", effect="NoSchedule")


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "sla", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "sla", "value": "950"}, True),
        ({"key": "sla", "value": "95"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "sla", "operator": "Gt", "value": "900"}, True),
        ({"key": "sla", "operator": "Gt", "value": "950"}, False),
        ({"key": "sla", "operator": "Lt", "value": "1000"}, True),
        ({"key": "sla", "operator": "Lt", "value": "-1"}, False),
        ({"key": "sla", "operator": "Gt", "value": "0900"}, False),
        ({"key": "sla", "operator": "Gt", "value": "many"}, False),
        ({"key": "sla", "operator": "Near", "value": "950"}, False),
    ],
)
def test_what_a_toleration_covers(toleration: dict[str, Any], expected: bool) -> None:
    assert tolerates(Toleration(**toleration), TAINT) is expected


def test_a_taint_that_is_no_number_is_not_compared() -> None:
    above = Toleration(key="sla", operator="Gt", value="1")
    assert untolerated([Taint(key="sla", value="high", effect="NoSchedule"), TAINT], [above])[0].value == "high"


@pytest.mark.parametrize(
    ("text", "expected"), [("0", True), ("-5", True), ("+5", False), ("-0", False), ("9" * 19, False)]
)
def test_numbers_are_canonical_and_of_64_bits(text: str, expected: bool) -> None:
    assert is_decimal(text) is expected


def node(**labels: str) -> Any:
    return types.from_plain(Node, {"metadata": {"name": "a", "labels": labels}})


def required(**term: Any) -> Any:
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    return types.from_plain(PodSpec, {"containers": [], "affinity": affinity})


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("In", ["4"], True), ("NotIn", ["4"], False), ("Exists", None, True), ("DoesNotExist", None, False),
        ("Gt", ["3"], True), ("Gt", ["4"], False), ("Lt", ["5"], True), ("Lt", ["x"], False),
    ],
)  # fmt: skip
def test_the_nodes_that_an_affinity_wants(operator: str, values: Any, expected: bool) -> None:
    expression = {"key": "cores", "operator": operator, **({"values": values} if values else {})}
    assert accepts_node(required(matchExpressions=[expression]), node(cores="4")) is expected


def test_a_label_that_only_python_reads_as_a_number_is_none() -> None:
    more = {"key": "cores", "operator": "Gt", "values": ["3"]}
    assert accepts_node(required(matchExpressions=[more]), node(cores="004"))
    assert not accepts_node(required(matchExpressions=[more]), node(cores="1_0"))


def test_a_node_is_wanted_by_name_and_by_no_empty_term() -> None:
    named = {"key": "metadata.name", "operator": "In", "values": ["a"]}
    assert accepts_node(required(matchFields=[named]), node())
    assert not accepts_node(required(), node())


def test_a_node_selector_is_met_in_full() -> None:
    spec = types.from_plain(PodSpec, {"containers": [], "nodeSelector": {"disk": "ssd", "zone": "z"}})
    assert not accepts_node(spec, node(disk="ssd"))
    assert accepts_node(spec, node(disk="ssd", zone="z", more="m"))
