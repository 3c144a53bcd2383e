"""What a Service may say: ports, addresses, affinity, traffic policies, and what may change."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.validation import ip, names, ports
from kybern.api.validation.labels import validate_labels

__all__ = [
    "ADDRESSED",
    "EXPOSED",
    "externally_accessible",
    "needs_health_check",
    "validate",
    "validate_cluster_ips",
    "validate_status",
    "validate_update",
]

ADDRESSED = ("ClusterIP", "NodePort", "LoadBalancer")
"""Types that have a cluster address."""
EXPOSED = ("NodePort", "LoadBalancer")
"""Types that have node ports."""
TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
AFFINITIES = ("ClientIP", "None")
FAMILIES = ("IPv4", "IPv6")
POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
TRAFFIC = ("Cluster", "Local")
DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
KUBELET_PORT = 10250
DAY = 86400
HEADLESS = "None"
SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
NOT_EXTERNAL_NAME = "may not be set for ExternalName services"
ONLY_BALANCED = "may only be used when `type` is 'LoadBalancer'"
SPEC = Path("spec")


def externally_accessible(spec: Any) -> bool:
    """Whether traffic from outside the cluster can reach it."""
    return spec.type in EXPOSED or (spec.type == "ClusterIP" and bool(spec.externalIPs))


def needs_health_check(spec: Any) -> bool:
    """Whether a load balancer must ask each node if it has endpoints."""
    return bool(spec.type == "LoadBalancer" and spec.externalTrafficPolicy == "Local")


def _headless(spec: Any) -> bool:
    return spec.clusterIPs is not None and spec.clusterIPs == [HEADLESS]


def validate(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    if not spec.ports and not _headless(spec) and spec.type != "ExternalName":
        errors.required(SPEC.child("ports"))
    _validate_for_type(spec, errors)
    _validate_ports(spec, errors)
    validate_labels(errors, SPEC.child("selector"), spec.selector)
    _validate_affinity(spec, errors)
    validate_cluster_ips(spec, errors)
    _validate_external_ips(spec, errors)
    if not spec.type:
        errors.required(SPEC.child("type"))
    elif spec.type not in TYPES:
        errors.not_supported(SPEC.child("type"), spec.type, TYPES)
    _validate_port_sets(spec, errors)
    _validate_load_balancer(obj, errors)
    _validate_traffic(spec, errors)


def _validate_for_type(spec: Any, errors: Errors) -> None:
    addresses = SPEC.child("clusterIPs")
    if spec.type == "LoadBalancer":
        for i, port in enumerate(spec.ports or ()):
            if port.port == KUBELET_PORT:
                text = f"may not expose port {KUBELET_PORT} externally since it is used by kubelet"
                errors.invalid(SPEC.child("ports").index(i), port.port, text)
    if spec.type in EXPOSED and _headless(spec):
        errors.invalid(addresses.index(0), HEADLESS, f"may not be set to 'None' for {spec.type} services")
    if spec.type == "ExternalName":
        _validate_external_name(spec, errors)


def _validate_external_name(spec: Any, errors: Errors) -> None:
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if getattr(spec, field):
            errors.forbidden(SPEC.child(field), NOT_EXTERNAL_NAME)
    path, name = SPEC.child("externalName"), (spec.externalName or "").removesuffix(".")
    if not name:
        errors.required(path)
    else:
        names.add_all(errors, path, name, names.dns1123_subdomain(name))


def _validate_ports(spec: Any, errors: Errors) -> None:
    seen: set[str] = set()
    for i, port in enumerate(spec.ports or ()):
        path = SPEC.child("ports").index(i)
        if port.name:
            names.add_all(errors, path.child("name"), port.name, names.dns1123_label(port.name))
            if port.name in seen:
                errors.duplicate(path.child("name"), port.name)
            seen.add(port.name)
        elif len(spec.ports) > 1:
            errors.required(path.child("name"))
        ports.validate_port_number(errors, path.child("port"), port.port)
        ports.validate_protocol(errors, path.child("protocol"), port.protocol)
        ports.validate_port_or_name(errors, path.child("targetPort"), port.targetPort)
        if port.appProtocol is not None:
            names.add_all(errors, path.child("appProtocol"), port.appProtocol, names.qualified_name(port.appProtocol))


def _validate_affinity(spec: Any, errors: Errors) -> None:
    path = SPEC.child("sessionAffinity")
    if not spec.sessionAffinity:
        errors.required(path)
    elif spec.sessionAffinity not in AFFINITIES:
        errors.not_supported(path, spec.sessionAffinity, AFFINITIES)
    path = SPEC.child("sessionAffinityConfig")
    if spec.sessionAffinity == "ClientIP":
        _validate_client_ip(spec.sessionAffinityConfig, errors, path)
    elif spec.sessionAffinity == "None" and spec.sessionAffinityConfig is not None:
        errors.forbidden(path, "must not be set when session affinity is None")


def _validate_client_ip(config: Any | None, errors: Errors, path: Path) -> None:
    why = "when session affinity type is ClientIP"
    if config is None:
        errors.required(path, why)
    elif config.clientIP is None:
        errors.required(path.child("clientIP"), why)
    elif config.clientIP.timeoutSeconds is None:
        errors.required(path.child("clientIP", "timeoutSeconds"), why)
    elif not 0 < config.clientIP.timeoutSeconds <= DAY:
        text = f"must be greater than 0 and less than {DAY}"
        errors.invalid(path.child("clientIP", "timeoutSeconds"), config.clientIP.timeoutSeconds, text)


def validate_cluster_ips(spec: Any, errors: Errors) -> None:
    """Addresses, families and their policy, each alone and against each other."""
    if spec.type == "ExternalName":
        return
    before = len(errors)
    path = SPEC.child("clusterIPs")
    addresses = list(spec.clusterIPs or ())
    if spec.clusterIP:
        if not addresses:
            errors.required(path)
        elif addresses[0] != spec.clusterIP:
            errors.invalid(path, addresses, "first value must match `clusterIP`")
    elif addresses:
        errors.invalid(path, addresses, "must be empty when `clusterIP` is not specified")
    _validate_families(spec, errors)
    if not _validate_addresses(addresses, errors, path):
        return
    if len(addresses) > 1 and len({ip.family(a) for a in addresses}) < 2:
        errors.invalid(path, addresses, "may specify no more than one IP for each IP family")
    if not _headless(spec) and len(errors) == before:
        _match_families(addresses, spec.ipFamilies or [], errors)


def _validate_families(spec: Any, errors: Errors) -> None:
    seen: set[str] = set()
    for i, family in enumerate(spec.ipFamilies or ()):
        path = SPEC.child("ipFamilies").index(i)
        if family not in FAMILIES:
            errors.not_supported(path, family, FAMILIES)
        if family in seen:
            errors.duplicate(path, family)
        seen.add(family)
    if spec.ipFamilyPolicy is not None and spec.ipFamilyPolicy not in POLICIES:
        errors.not_supported(SPEC.child("ipFamilyPolicy"), spec.ipFamilyPolicy, POLICIES)


def _validate_addresses(addresses: list[str], errors: Errors, path: Path) -> bool:
    """Whether all of them can be used for further checks."""
    good = True
    for i, address in enumerate(addresses):
        if i == 0 and address == HEADLESS:
            if len(addresses) > 1:
                good = False
                errors.invalid(path.index(i), addresses, "'None' must be the first and only value")
            continue
        faults = ip.address_faults(address)
        names.add_all(errors, path.index(i), address, faults)
        good = good and not faults
    if len(addresses) > 2:
        errors.invalid(path, addresses, "may only hold up to 2 values")
    return good


def _match_families(addresses: list[str], families: list[str], errors: Errors) -> None:
    for i, (address, family) in enumerate(zip(addresses, families, strict=False)):
        if ip.family(address) != family:
            article = "an" if family.startswith("IP") else "a"
            text = f"expected {article} {family} value as indicated by `ipFamilies[{i}]`"
            errors.invalid(SPEC.child("clusterIPs").index(i), address, text)


def _validate_external_ips(spec: Any, errors: Errors) -> None:
    for i, address in enumerate(spec.externalIPs or ()):
        path = SPEC.child("externalIPs").index(i)
        if faults := ip.address_faults(address):
            names.add_all(errors, path, address, faults)
        else:
            ip.validate_endpoint_address(errors, path, address)


def _validate_port_sets(spec: Any, errors: Errors) -> None:
    path = SPEC.child("ports")
    if spec.type == "ClusterIP":
        for i, port in enumerate(spec.ports or ()):
            if port.nodePort:
                errors.forbidden(path.index(i).child("nodePort"), "may not be used when `type` is 'ClusterIP'")
    node_ports: set[tuple[str, int]] = set()
    for i, port in enumerate(spec.ports or ()):
        if port.nodePort and (port.protocol, port.nodePort) in node_ports:
            errors.duplicate(path.index(i).child("nodePort"), port.nodePort)
        node_ports.add((port.protocol, port.nodePort))
    numbers: set[tuple[str, int]] = set()
    for i, port in enumerate(spec.ports or ()):
        if (port.protocol, port.port) in numbers:
            errors.duplicate(path.index(i), _bare_port(port))
        numbers.add((port.protocol, port.port))


def _bare_port(port: Any) -> dict[str, Any]:
    """What identifies a port, in the shape that the error message shows."""
    named = {"Name": "", "Protocol": port.protocol, "AppProtocol": None, "Port": port.port}
    return {**named, "TargetPort": 0, "NodePort": 0}


def _validate_load_balancer(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    _validate_source_ranges(obj, errors)
    path = SPEC.child("allocateLoadBalancerNodePorts")
    if spec.type != "LoadBalancer" and spec.allocateLoadBalancerNodePorts is not None:
        errors.forbidden(path, ONLY_BALANCED)
    if spec.type == "LoadBalancer" and spec.allocateLoadBalancerNodePorts is None:
        errors.required(path)
    if spec.loadBalancerClass is not None:
        _validate_class(spec, errors)


def _validate_class(spec: Any, errors: Errors) -> None:
    path = SPEC.child("loadBalancerClass")
    if spec.type != "LoadBalancer":
        errors.forbidden(path, ONLY_BALANCED)
    names.add_all(errors, path, spec.loadBalancerClass, names.qualified_name(spec.loadBalancerClass))


def _validate_source_ranges(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    if spec.loadBalancerSourceRanges:
        path = SPEC.child("LoadBalancerSourceRanges")
        if spec.type != "LoadBalancer":
            errors.forbidden(path, ONLY_BALANCED)
        for i, text in enumerate(spec.loadBalancerSourceRanges):
            ip.validate_network(errors, path.index(i), text.strip())
        return
    annotation = (obj.metadata.annotations or {}).get(SOURCE_RANGES)
    if annotation is None:
        return
    path = Path("metadata").child("annotations").key(SOURCE_RANGES)
    if spec.type != "LoadBalancer":
        errors.forbidden(path, ONLY_BALANCED)
    elif annotation.strip():
        for text in annotation.split(","):
            ip.validate_network(errors, path, text.strip())


def _validate_traffic(spec: Any, errors: Errors) -> None:
    _validate_external_traffic(spec, errors)
    _validate_health_check(spec, errors)
    path = SPEC.child("internalTrafficPolicy")
    if spec.internalTrafficPolicy is None:
        if spec.type in ADDRESSED:
            errors.required(path)
    elif spec.internalTrafficPolicy not in TRAFFIC:
        errors.not_supported(path, spec.internalTrafficPolicy, TRAFFIC)
    if spec.trafficDistribution is not None and spec.trafficDistribution not in DISTRIBUTIONS:
        errors.not_supported(SPEC.child("trafficDistribution"), spec.trafficDistribution, DISTRIBUTIONS)


def _validate_external_traffic(spec: Any, errors: Errors) -> None:
    path, policy = SPEC.child("externalTrafficPolicy"), spec.externalTrafficPolicy
    if not externally_accessible(spec):
        if policy:
            errors.invalid(path, policy, "may only be set for externally-accessible services")
    elif not policy:
        errors.required(path)
    elif policy not in TRAFFIC:
        errors.not_supported(path, policy, TRAFFIC)


def _validate_health_check(spec: Any, errors: Errors) -> None:
    path, number = SPEC.child("healthCheckNodePort"), spec.healthCheckNodePort or 0
    if needs_health_check(spec):
        if not number:
            errors.required(path)
        else:
            ports.validate_port_number(errors, path, number)
    elif number:
        text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.invalid(path, number, text)


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    """The first address stays; a load balancer class stays while the type does; families only grow at the end."""
    if "ExternalName" not in (new.spec.type, old.spec.type):
        _validate_primary_address(new.spec, old.spec, errors)
        _validate_primary_family(new.spec, old.spec, errors)
    both = new.spec.type == old.spec.type == "LoadBalancer"
    if both and new.spec.loadBalancerClass != old.spec.loadBalancerClass:
        errors.invalid(SPEC.child("loadBalancerClass"), new.spec.loadBalancerClass, "may not change once set")


def _validate_primary_address(spec: Any, stored: Any, errors: Errors) -> None:
    path, addresses, before = SPEC.child("clusterIPs"), spec.clusterIPs or [], stored.clusterIPs or []
    if not before:
        return
    if not addresses:
        errors.invalid(path.index(0), addresses, "primary clusterIP can not be unset")
    elif addresses[0] != before[0]:
        errors.invalid(path.index(0), addresses, "may not change once set")
    elif len(addresses) == len(before) == 2 and addresses[1] != before[1]:
        errors.invalid(path.index(1), addresses, "may not change once set")


def _validate_primary_family(spec: Any, stored: Any, errors: Errors) -> None:
    path, families, before = SPEC.child("ipFamilies"), spec.ipFamilies or [], stored.ipFamilies or []
    headless = _headless(spec) and not spec.selector
    if not before or headless:
        return
    if not families:
        errors.invalid(path.index(0), families, "primary ipFamily can not be unset")
    elif families[0] != before[0]:
        errors.invalid(path.index(0), families, "may not change once set")


def validate_status(new: Any, old: Any, errors: Errors) -> None:
    """Ingress points are addresses or names; only load balancers have them."""
    path = Path("status").child("loadBalancer", "ingress")
    ingress = new.status.loadBalancer.ingress or ()
    if ingress and new.spec.type != "LoadBalancer":
        errors.forbidden(path, 'may only be used when `spec.type` is "LoadBalancer"')
        return
    for i, point in enumerate(ingress):
        _validate_ingress(point, errors, path.index(i))


def _validate_ingress(point: Any, errors: Errors, path: Path) -> None:
    if point.ip:
        names.add_all(errors, path.child("ip"), point.ip, ip.address_faults(point.ip))
    if point.ip and point.ipMode is None:
        errors.required(path.child("ipMode"), "must be specified when `ip` is set")
    elif point.ipMode is not None:
        if not point.ip:
            errors.forbidden(path.child("ipMode"), "may not be specified when `ip` is not set")
        elif point.ipMode not in ("VIP", "Proxy"):
            errors.not_supported(path.child("ipMode"), point.ipMode, ("Proxy", "VIP"))
    if not point.hostname:
        return
    names.add_all(errors, path.child("hostname"), point.hostname, names.dns1123_subdomain(point.hostname))
    if ip.parse_address(point.hostname):
        errors.invalid(path.child("hostname"), point.hostname, "must be a DNS name, not an IP address")
