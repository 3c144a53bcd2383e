"""Service: what is filled in, what is refused, and what happens to addresses and ports from one version to the next."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.core.service import KIND
from kybern.api.errors import StatusError
from tests.api.judge import ABSENT, NOW, changed, complaints, created, shown, stored, update

SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "a"}, "ports": [{"port": 80}], "clusterIP": "10.96.0.7"},
}
BALANCED = changed(SERVICE, {"spec.type": "LoadBalancer", "spec.ports.0.nodePort": 30080})
NAMED: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "db"},
    "spec": {"type": "ExternalName", "externalName": "db.example.com"},
}


def test_what_a_short_service_means() -> None:
    spec = shown(created(KIND, SERVICE))["spec"]
    assert spec == {
        "clusterIP": "10.96.0.7",
        "clusterIPs": ["10.96.0.7"],
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "selector": {"app": "a"},
        "sessionAffinity": "None",
        "type": "ClusterIP",
    }


def test_affinity_lasts_three_hours_unless_told() -> None:
    spec = created(KIND, changed(SERVICE, {"spec.sessionAffinity": "ClientIP"})).spec
    assert spec.sessionAffinityConfig.clientIP.timeoutSeconds == 10800


def test_a_headless_service_without_selector_is_of_both_families() -> None:
    spec = created(KIND, changed(SERVICE, {"spec.clusterIP": "None", "spec.selector": ABSENT})).spec
    assert (spec.ipFamilyPolicy, spec.ipFamilies) == ("RequireDualStack", ["IPv4", "IPv6"])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"spec.ports": ABSENT}, "spec.ports: Required value"),
        ({"spec.ports.1": {"port": 81}}, "spec.ports[0].name: Required value"),
        ({"spec.ports.0.port": 0}, "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        (
            {"spec.ports.0.protocol": "ICMP"},
            'spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
        ),
        (
            {"spec.ports.0.nodePort": 30080},
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            {"spec.externalTrafficPolicy": "Local"},
            'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
        ),
        (
            {"spec.healthCheckNodePort": 30081},
            "spec.healthCheckNodePort: Invalid value: 30081: may only be set when `type` is 'LoadBalancer' and "
            "`externalTrafficPolicy` is 'Local'",
        ),
        (
            {"spec.loadBalancerClass": "x.io/y"},
            "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
        ),
        (
            {"spec.allocateLoadBalancerNodePorts": False},
            "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'",
        ),
        (
            {"spec.trafficDistribution": "Random"},
            'spec.trafficDistribution: Unsupported value: "Random": supported values: "PreferClose", "PreferSameNode", '
            '"PreferSameZone"',
        ),
        (
            {"spec.externalIPs": ["127.0.0.1"]},
            'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
        ),
    ],
)
def test_a_cluster_service_may_not_say(change: dict[str, Any], complaint: str) -> None:
    assert complaint in complaints(KIND, changed(SERVICE, change))


def test_a_port_stands_once() -> None:
    twice = changed(SERVICE, {"spec.ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]})
    assert complaints(KIND, twice) == [
        'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,'
        '"NodePort":0}'
    ]
    assert complaints(KIND, changed(twice, {"spec.ports.1.protocol": "UDP"})) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"spec.clusterIP": "10.96.0.300"}, "must be a valid IP address"),
        ({"spec.ipFamilyPolicy": "RequireDualStack"}, "this cluster is not configured for dual-stack services"),
        ({"spec.clusterIP": "fd00::1"}, "IPv6 is not configured on this cluster"),
        ({"spec.ipFamilies": ["IPv6"]}, "expected an IPv6 value as indicated by `ipFamilies[0]`"),
        ({"spec.ipFamilies": ["IPv4", "IPv6"]}, "when multiple IP families are specified"),
    ],
)
def test_addresses_that_do_not_fit_the_cluster_end_the_request(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(StatusError, match="is invalid") as refused:
        created(KIND, changed(SERVICE, change))
    assert complaint in refused.value.message


def test_an_external_name_has_a_name_and_nothing_else() -> None:
    assert complaints(KIND, NAMED) == []
    assert complaints(KIND, changed(NAMED, {"spec.externalName": ABSENT})) == ["spec.externalName: Required value"]
    assert "spec.clusterIPs: Forbidden: may not be set for ExternalName services" in complaints(
        KIND, changed(NAMED, {"spec.clusterIP": "10.96.0.7"})
    )


def test_a_put_without_addresses_and_ports_keeps_them() -> None:
    new, errors = update(KIND, stored(KIND, BALANCED), {"spec.clusterIP": ABSENT, "spec.clusterIPs": ABSENT})
    assert errors == []
    assert new.spec.clusterIPs == ["10.96.0.7"]
    new, errors = update(KIND, stored(KIND, BALANCED), {"spec.ports.0.nodePort": ABSENT})
    assert (errors, new.spec.ports[0].nodePort) == ([], 30080)


def test_the_first_address_stays() -> None:
    _, errors = update(KIND, stored(KIND, SERVICE), {"spec.clusterIP": "10.96.0.8", "spec.clusterIPs": ["10.96.0.8"]})
    assert errors == ['spec.clusterIPs[0]: Invalid value: ["10.96.0.8"]: may not change once set']


def test_becoming_an_external_name_lets_go_of_the_address() -> None:
    new, errors = update(KIND, stored(KIND, SERVICE), {"spec.type": "ExternalName", "spec.externalName": "a.b"})
    assert (errors, new.spec.clusterIP, new.spec.ipFamilies) == ([], None, None)


def test_becoming_a_cluster_service_lets_go_of_node_ports() -> None:
    new, errors = update(KIND, stored(KIND, BALANCED), {"spec.type": "ClusterIP"})
    assert errors == []
    assert new.spec.ports[0].nodePort is None
    assert new.spec.allocateLoadBalancerNodePorts is None
    assert new.spec.externalTrafficPolicy is None


def test_status_and_spec_are_kept_apart() -> None:
    old = stored(KIND, BALANCED)
    point = {"status.loadBalancer.ingress": [{"ip": "1.2.3.4", "ipMode": "VIP"}]}
    new, _ = update(KIND, old, point)
    assert new.status.loadBalancer.ingress is None
    new, errors = update(KIND, old, {**point, "spec.sessionAffinity": "ClientIP"}, "status")
    assert (errors, new.spec.sessionAffinity) == ([], "None")
    assert new.status.loadBalancer.ingress[0].ip == "1.2.3.4"


def test_an_ingress_point_with_an_address_is_virtual_unless_its_reporter_says_otherwise() -> None:
    balancer = stored(KIND, {**SERVICE, "spec": {**SERVICE["spec"], "type": "LoadBalancer"}})
    new, errors = update(KIND, balancer, {"status.loadBalancer.ingress": [{"ip": "1.2.3.4"}]}, "status")
    assert (errors, new.status.loadBalancer.ingress[0].ipMode) == ([], "VIP")


def test_only_a_load_balancer_has_ingress_points() -> None:
    _, errors = update(KIND, stored(KIND, SERVICE), {"status.loadBalancer.ingress": [{"ip": "1.2.3.4"}]}, "status")
    assert errors == ['status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is "LoadBalancer"']


def test_external_addresses_draw_a_warning() -> None:
    assert KIND.warn is not None
    service = created(KIND, changed(SERVICE, {"spec.externalIPs": ["1.2.3.4"]}))
    assert KIND.warn(service, None) == [
        "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    ]


@pytest.mark.parametrize(
    ("plain", "cells"),
    [
        (SERVICE, ["web", "ClusterIP", "10.96.0.7", "<none>", "80/TCP", "0s", "app=a"]),
        (BALANCED, ["web", "LoadBalancer", "10.96.0.7", "<pending>", "80:30080/TCP", "0s", "app=a"]),
        (NAMED, ["db", "ExternalName", "<none>", "db.example.com", "<none>", "0s", "<none>"]),
    ],
)
def test_how_services_look_in_a_table(plain: dict[str, Any], cells: list[str]) -> None:
    assert KIND.row is not None
    assert KIND.row(created(KIND, plain), NOW) == cells
