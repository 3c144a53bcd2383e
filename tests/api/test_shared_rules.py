"""Addresses, ports, selectors, resource names, taints: rules that many kinds call."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.core import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration
from kybern.api.field import Errors, Path
from kybern.api.meta import LabelSelector, LabelSelectorRequirement
from kybern.api.validation import ip, ports, resources, selectors, tolerations
from tests.api.judge import texts

P = Path("here")


def found(rule: Any, *arguments: Any, **options: Any) -> list[str]:
    errors = Errors()
    rule(errors, P, *arguments, **options)
    return [text.removeprefix("here: ") for text in texts(errors)]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("10.0.0.1", []),
        ("2001:db8::1", []),
        ("010.0.0.1", ["must not have leading 0s"]),
        ("::ffff:1.2.3.4", ["must not be an IPv4-mapped IPv6 address"]),
        ("fe80::1%eth0", [ip.ADDRESS_TEXT]),
        ("300.0.0.1", [ip.ADDRESS_TEXT]),
        ("", [ip.ADDRESS_TEXT]),
    ],
)
def test_addresses_are_strict(text: str, faults: list[str]) -> None:
    assert ip.address_faults(text) == faults


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("10.0.0.0/8", []),
        ("2001:db8::/64", []),
        ("10.0.0.1/8", ["must not have bits set beyond the prefix length"]),
        ("10.0.0.0/08", ["must not have leading 0s in IP or prefix length"]),
        ("::ffff:10.0.0.0/104", ["must not have an IPv4-mapped IPv6 address"]),
        ("10.0.0.0", [ip.NETWORK_TEXT]),
        ("10.0.0.0/33", [ip.NETWORK_TEXT]),
        ("x/8", [ip.NETWORK_TEXT]),
    ],
)
def test_blocks_are_strict(text: str, faults: list[str]) -> None:
    assert ip.network_faults(text) == faults


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("0.0.0.0", "unspecified"),
        ("127.0.0.1", "loopback"),
        ("169.254.1.1", "link-local range"),
        ("224.0.0.1", "link-local multicast"),
    ],
)
def test_endpoints_may_not_reach_special_addresses(address: str, words: str) -> None:
    [complaint] = found(ip.validate_endpoint_address, address)
    assert words in complaint


def test_unusual_spellings_of_addresses_draw_warnings() -> None:
    assert ip.address_warnings(P, "10.0.0.1") == []
    [warning] = ip.address_warnings(P, "2001:DB8::1")
    assert 'should be in RFC 5952 canonical format ("2001:db8::1")' in warning


def test_port_names_are_iana_service_names() -> None:
    assert ports.port_name("http-alt") == []
    assert ports.port_name("-A") == [
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        "must contain at least one letter (a-z)",
        "must not begin or end with a hyphen",
    ]
    assert ports.port_name("a--b") == ["must not contain consecutive hyphens"]
    assert found(ports.validate_port_or_name, 0) == ["Invalid value: 0: must be between 1 and 65535, inclusive"]


@pytest.mark.parametrize(
    ("operator", "values", "complaints"),
    [
        ("In", ["a"], []),
        ("In", [], [".values: Required value: must be specified when `operator` is 'In' or 'NotIn'"]),
        ("Exists", None, []),
        (
            "Exists",
            ["a"],
            [".values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"],
        ),
        ("Near", [], ['.operator: Invalid value: "Near": not a valid selector operator']),
    ],
)
def test_label_selectors(operator: str, values: list[str] | None, complaints: list[str]) -> None:
    requirement = LabelSelectorRequirement(key="k", operator=operator, values=values)
    complained = found(selectors.validate_label_selector, LabelSelector(matchExpressions=[requirement]))
    assert complained == [f"here.matchExpressions[0]{c}" for c in complaints]


def test_node_selectors_compare_with_one_number() -> None:
    def of(operator: str, values: list[str]) -> list[str]:
        requirement = NodeSelectorRequirement(key="cpus", operator=operator, values=values)
        selector = NodeSelector(nodeSelectorTerms=[NodeSelectorTerm(matchExpressions=[requirement])])
        return found(selectors.validate_node_selector, selector)

    assert of("Gt", ["4"]) == []
    [complaint] = of("Gt", ["4", "5"])
    assert complaint.endswith("must be specified single value when `operator` is 'Lt' or 'Gt'")


def test_node_fields_are_only_the_name() -> None:
    def of(key: str, values: list[str]) -> list[str]:
        requirement = NodeSelectorRequirement(key=key, operator="In", values=values)
        return found(selectors.validate_node_selector_term, NodeSelectorTerm(matchFields=[requirement]))

    assert of("metadata.name", ["n"]) == []
    assert of("metadata.uid", ["n"]) == [
        'here.matchFields[0].key: Invalid value: "metadata.uid": not a valid field selector key'
    ]
    assert "must be only one value" in of("metadata.name", ["n", "m"])[0]


def test_resource_names() -> None:
    assert resources.is_extended("example.com/gpu")
    assert not resources.is_extended("kubernetes.io/x")
    assert not resources.is_extended("cpu")
    assert found(resources.validate_resource_name, "cpus") == [
        'Invalid value: "cpus": must be a standard resource type or fully qualified'
    ]
    assert found(resources.validate_container_resource_name, "hugepages-2Mi") == []
    assert found(resources.validate_container_resource_name, "pods") == [
        'Invalid value: "pods": must be a standard resource for containers'
    ]
    assert found(resources.validate_quota_resource_name, "count/pods") == []


def test_amounts_are_not_negative_and_pieces_are_whole() -> None:
    assert found(resources.validate_quantity, "cpu", "100m") == []
    assert found(resources.validate_quantity, "pods", "1500m") == ['Invalid value: "1500m": must be an integer']
    assert found(resources.validate_quantity, "cpu", "-1") == [
        'Invalid value: "-1": must be greater than or equal to 0'
    ]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"operator": "Exists"}, ""),
        ({"key": "a", "value": "b"}, ""),
        ({}, f'.operator: Invalid value: "": {tolerations.ALL_KEYS}'),
        (
            {"key": "a", "tolerationSeconds": 3, "effect": "NoSchedule"},
            ".effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set",
        ),
        ({"key": "a", "operator": "Like"}, '.operator: Unsupported value: "Like": supported values: "Equal", "Exists"'),
        (
            {"key": "a", "effect": "Never"},
            '.effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
        ),
    ],
)
def test_tolerations(fields: dict[str, Any], complaint: str) -> None:
    assert found(tolerations.validate_tolerations, [Toleration(**fields)]) == (
        [f"here[0]{complaint}"] if complaint else []
    )


def test_a_taint_is_given_once() -> None:
    taint = Taint(key="a", effect="NoSchedule")
    assert found(tolerations.validate_taints, [taint, Taint(key="a", effect="NoExecute")]) == []
    [complaint] = found(tolerations.validate_taints, [taint, Taint(key="a", value="b", effect="NoSchedule")])
    assert complaint.startswith("here[1]: Duplicate value")
