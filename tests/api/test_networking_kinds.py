"""NetworkPolicy, Ingress, IngressClass, IPAddress, ServiceCIDR, EndpointSlice, Endpoints."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import registry
from kybern.api.kind import Kind
from tests.api.judge import ABSENT, NOW, changed, complaints, created, shown, stored, update

GROUPS = {"EndpointSlice": "discovery.k8s.io", "Endpoints": ""}


def kind(name: str) -> Kind:
    found = registry.builtin().kind(GROUPS.get(name, "networking.k8s.io"), "v1", name)
    assert found is not None
    return found


def plain(name: str, object_name: str = "x", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": kind(name).api_version, "kind": name, "metadata": {"name": object_name}, **fields}


POLICY = plain(
    "NetworkPolicy",
    spec={"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 80, "endPort": 90}]}]},
)
PEER, PORT = "spec.ingress.0.from.0", "spec.ingress.0.ports.0"


@pytest.mark.parametrize(("egress", "types"), [(None, ["Ingress"]), ([{}], ["Ingress", "Egress"])])
def test_a_policy_is_about_the_rules_it_has(egress: Any, types: list[str]) -> None:
    spec = {"podSelector": {}} | ({"egress": egress} if egress else {})
    assert created(kind("NetworkPolicy"), plain("NetworkPolicy", spec=spec)).spec.policyTypes == types


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({PEER: {}}, "spec.ingress[0].from[0]: Required value: must specify a peer"),
        (
            {f"{PEER}.podSelector": {}},
            "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer",
        ),
        (
            {f"{PEER}.ipBlock.except": ["10.0.0.0/8"]},
            'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`',
        ),
        (
            {f"{PORT}.endPort": 79},
            "spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`",
        ),
        (
            {f"{PORT}.port": "http"},
            "spec.ingress[0].ports[0].endPort: Invalid value: 90: may not be specified when `port` is non-numeric",
        ),
        (
            {f"{PORT}.port": ABSENT},
            "spec.ingress[0].ports[0].endPort: Invalid value: 90: may not be specified when `port` is not specified",
        ),
        (
            {"spec.policyTypes": ["Sideways"]},
            'spec.policyTypes[0]: Unsupported value: "Sideways": supported values: "Ingress", "Egress"',
        ),
    ],
)
def test_policy_rules(change: dict[str, Any], complaint: str) -> None:
    assert complaints(kind("NetworkPolicy"), POLICY) == []
    assert complaint in complaints(kind("NetworkPolicy"), changed(POLICY, change))


BACKEND = {"service": {"name": "s", "port": {"number": 80}}}
INGRESS = plain(
    "Ingress",
    spec={
        "rules": [
            {"host": "a.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": BACKEND}]}}
        ]
    },
)
ROUTE = "spec.rules.0.http.paths.0"
AT = "spec.rules[0].http.paths[0]"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"spec.rules": []}, "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"),
        (
            {"spec.rules.0.host": "1.2.3.4"},
            'spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
        ),
        ({f"{ROUTE}.pathType": ABSENT}, f"{AT}.pathType: Required value: pathType must be specified"),
        ({f"{ROUTE}.path": "a"}, f'{AT}.path: Invalid value: "a": must be an absolute path'),
        ({f"{ROUTE}.path": "/a//b"}, f"{AT}.path: Invalid value: \"/a//b\": must not contain '//'"),
        ({f"{ROUTE}.path": "/a/.."}, f"{AT}.path: Invalid value: \"/a/..\": cannot end with '/..'"),
        (
            {f"{ROUTE}.backend.resource": {"kind": "K", "name": "n"}},
            f'{AT}.backend: Invalid value: "": cannot set both resource and service backends',
        ),
        (
            {f"{ROUTE}.backend.service.port.name": "http"},
            f'{AT}.backend: Invalid value: "": cannot set both port name & port number',
        ),
        (
            {"metadata.annotations": {"kubernetes.io/ingress.class": "a"}, "spec.ingressClassName": "b"},
            'annotations.kubernetes.io/ingress.class: Invalid value: "a": must match `ingressClassName` when both are '
            "specified",
        ),
    ],
)
def test_ingress_rules(change: dict[str, Any], complaint: str) -> None:
    assert complaints(kind("Ingress"), INGRESS) == []
    assert complaint in complaints(kind("Ingress"), changed(INGRESS, change))


def test_a_path_of_the_implementations_own_kind_may_be_empty() -> None:
    own = {f"{ROUTE}.pathType": "ImplementationSpecific", f"{ROUTE}.path": ABSENT}
    assert complaints(kind("Ingress"), changed(INGRESS, own)) == []


def test_an_ingress_in_a_table_shows_three_hosts() -> None:
    hosts = [{"host": f"{c}.example.com"} for c in "abcde"]
    row = kind("Ingress").row
    assert row is not None
    ingress = created(kind("Ingress"), changed(INGRESS, {"spec.rules": hosts, "spec.tls": [{}]}))
    shown_hosts = "a.example.com,b.example.com,c.example.com + 2 more..."
    assert row(ingress, NOW) == ["x", "<none>", shown_hosts, "", "80, 443", "0s"]


CLASS = plain("IngressClass", spec={"controller": "x.io/c", "parameters": {"kind": "K", "name": "n"}})


def test_class_parameters_are_cluster_wide_unless_told() -> None:
    assert created(kind("IngressClass"), CLASS).spec.parameters.scope == "Cluster"
    scoped = changed(CLASS, {"spec.parameters.scope": "Namespace"})
    assert complaints(kind("IngressClass"), scoped) == [
        "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"
    ]
    assert complaints(kind("IngressClass"), changed(CLASS, {"spec.parameters.namespace": "n"})) == [
        "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"
    ]


def test_a_class_keeps_its_controller() -> None:
    _, errors = update(kind("IngressClass"), stored(kind("IngressClass"), CLASS), {"spec.controller": "x.io/d"})
    assert errors == ['spec.controller: Invalid value: "x.io/d": field is immutable']


def test_an_ip_address_is_named_by_its_normal_spelling() -> None:
    name_errors = kind("IPAddress").name_errors
    assert name_errors is not None
    assert name_errors("2001:db8::1", False) == []
    assert name_errors("2001:DB8::1", False) == ['must be in canonical form ("2001:db8::1")']
    assert name_errors("x", False) == ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]


def test_service_ranges_are_one_per_family_and_only_added_to() -> None:
    one = plain("ServiceCIDR", spec={"cidrs": ["10.0.0.0/24"]})
    assert complaints(kind("ServiceCIDR"), one) == []
    same = changed(one, {"spec.cidrs.1": "10.1.0.0/24"})
    assert "may specify no more than one IP for each IP family" in complaints(kind("ServiceCIDR"), same)[0]
    old = stored(kind("ServiceCIDR"), one)
    assert update(kind("ServiceCIDR"), old, {"spec.cidrs": ["10.0.0.0/24", "2001:db8::/64"]})[1] == []
    assert update(kind("ServiceCIDR"), old, {"spec.cidrs": ["10.1.0.0/24"]})[1] == [
        'spec.cidrs[0]: Invalid value: "10.1.0.0/24": field is immutable'
    ]


SLICE = plain("EndpointSlice", addressType="IPv4", endpoints=[{"addresses": ["10.0.0.1"]}], ports=[{"port": 80}])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"addressType": ABSENT}, "addressType: Required value"),
        ({"endpoints.0.addresses": []}, "endpoints[0].addresses: Required value: must contain at least 1 address"),
        (
            {"endpoints.0.addresses": ["2001:db8::1"]},
            'endpoints[0].addresses[0]: Invalid value: "2001:db8::1": must be an IPv4 address',
        ),
        (
            {"endpoints.0.addresses": ["127.0.0.1"]},
            'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, '
            "::1/128)",
        ),
        ({"ports.1": {"port": 81}}, 'ports[1].name: Duplicate value: ""'),
        (
            {"endpoints.0.hints": {"forZones": [{"name": "z"}, {"name": "z"}]}},
            'endpoints[0].hints.forZones[1].name: Duplicate value: "z"',
        ),
    ],
)
def test_slice_rules(change: dict[str, Any], complaint: str) -> None:
    assert complaints(kind("EndpointSlice"), SLICE) == []
    assert complaint in complaints(kind("EndpointSlice"), changed(SLICE, change))


def test_a_slices_generation_counts_content_and_labels() -> None:
    slices = kind("EndpointSlice")
    assert slices.spec_changed is not None
    old = stored(slices, SLICE)
    for change, counts in (
        ({"metadata.annotations": {"a": "b"}}, False),
        ({"metadata.labels": {"a": "b"}}, True),
        ({"endpoints": []}, True),
    ):
        assert slices.spec_changed(update(slices, old, change)[0], old) is counts


def test_endpoints_in_both_forms_look_alike() -> None:
    subsets = [{"addresses": [{"ip": f"10.0.0.{i}"} for i in range(1, 6)], "ports": [{"port": 80}]}]
    endpoints = created(kind("Endpoints"), plain("Endpoints", subsets=subsets))
    assert shown(endpoints)["subsets"][0]["ports"] == [{"port": 80, "protocol": "TCP"}]
    old_row, new_row = kind("Endpoints").row, kind("EndpointSlice").row
    assert old_row is not None and new_row is not None
    assert old_row(endpoints, NOW) == ["x", "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more...", "0s"]
    many = changed(SLICE, {"endpoints.0.addresses": [f"10.0.0.{i}" for i in range(1, 6)]})
    cells = new_row(created(kind("EndpointSlice"), many), NOW)
    assert cells == ["x", "IPv4", "80", "10.0.0.1,10.0.0.2,10.0.0.3 + 2 more...", "0s"]
