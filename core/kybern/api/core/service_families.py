"""How a Service's addresses, IP families and type fit together, on create and from one version to the next.

A cluster has one IP family here (IPv4). What the user left out is worked out from what was given
(docs: "IPv4/IPv6 dual-stack", "Services"); what cannot work raises 422 before other checks, since
those could only repeat the complaint.
"""

from __future__ import annotations

from typing import Any

from kybern.api.core import service_rules
from kybern.api.errors import StatusError
from kybern.api.field import Errors, Path
from kybern.api.validation import ip

__all__ = ["CLUSTER_FAMILIES", "drop_of_old_type", "initialize", "keep_allocated", "normalize"]

CLUSTER_FAMILIES: tuple[str, ...] = ("IPv4",)
HEADLESS = "None"
SPEC = Path("spec")
POLICY = SPEC.child("ipFamilyPolicy")


def normalize(new: Any, old: Any | None) -> None:
    """Keep `clusterIP` and `clusterIPs` in step when the user wrote only one of them."""
    spec = new.spec
    if old is None:
        if spec.clusterIP and not spec.clusterIPs:
            spec.clusterIPs = [spec.clusterIP]
        return
    stored = old.spec
    if spec.clusterIP == stored.clusterIP:
        return
    if not spec.clusterIP:
        if spec.clusterIPs == stored.clusterIPs:
            spec.clusterIPs = None
    elif spec.clusterIPs == stored.clusterIPs:
        spec.clusterIPs = [spec.clusterIP]


def initialize(new: Any, old: Any | None) -> None:
    """Settle `ipFamilyPolicy` and `ipFamilies`; StatusError when they contradict the cluster or each other."""
    spec = new.spec
    if spec.type == "ExternalName" or _keeps_preferred(new, old):
        return
    selectorless = spec.clusterIP == HEADLESS and not spec.selector
    if spec.ipFamilyPolicy is None:
        before = old.spec.ipFamilyPolicy if old is not None else None
        spec.ipFamilyPolicy = before or ("RequireDualStack" if selectorless else "SingleStack")
    errors = Errors()
    service_rules.validate_cluster_ips(spec, errors)
    _refuse(new, errors)
    if old is not None:
        _release_second(spec, old.spec, errors)
    _check_single(spec, errors)
    _infer_families(spec, errors)
    _refuse(new, errors)
    if selectorless:
        _both_families(spec)
        return
    _check_configured(spec, errors)
    _refuse(new, errors)
    if not spec.ipFamilies:
        spec.ipFamilies = [CLUSTER_FAMILIES[0]]
    if spec.ipFamilyPolicy != "SingleStack" and len(CLUSTER_FAMILIES) == 2:
        _both_families(spec)


def _refuse(new: Any, errors: Errors) -> None:
    if errors:
        raise StatusError.invalid("Service", "", new.metadata.name or "", errors)


def _keeps_preferred(new: Any, old: Any | None) -> bool:
    """A PreferDualStack service whose families are as before stays as it is."""
    if old is None or new.spec.ipFamilyPolicy != "PreferDualStack":
        return False
    fields = ("type", "ipFamilyPolicy", "clusterIPs", "ipFamilies")
    return all(getattr(new.spec, f) == getattr(old.spec, f) for f in fields)


def _release_second(spec: Any, stored: Any, errors: Errors) -> None:
    if spec.ipFamilyPolicy == "SingleStack":
        for field in ("clusterIPs", "ipFamilies"):
            values = getattr(spec, field)
            if values == getattr(stored, field) and len(values or ()) > 1:
                setattr(spec, field, values[:1])
        return
    for field, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        given, before = getattr(spec, field) or [], getattr(stored, field) or []
        if given and len(given) < len(before) and given == before[: len(given)]:
            errors.invalid(POLICY, spec.ipFamilyPolicy, f"must be 'SingleStack' to release the secondary {what}")


def _check_single(spec: Any, errors: Errors) -> None:
    if spec.ipFamilyPolicy != "SingleStack":
        return
    for values, what in ((spec.clusterIPs, "cluster IPs"), (spec.ipFamilies, "IP families")):
        if len(values or ()) == 2:
            text = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
            errors.invalid(POLICY, spec.ipFamilyPolicy, text)


def _infer_families(spec: Any, errors: Errors) -> None:
    for i, address in enumerate(spec.clusterIPs or ()):
        if address == HEADLESS:
            return
        if i < len(spec.ipFamilies or ()):
            continue
        family = ip.family(address)
        if family in CLUSTER_FAMILIES:
            spec.ipFamilies = [*(spec.ipFamilies or ()), family]
        else:
            path = SPEC.child("clusterIPs").index(i)
            errors.invalid(path, spec.clusterIPs, f"{family} is not configured on this cluster")


def _both_families(spec: Any) -> None:
    families = spec.ipFamilies or [CLUSTER_FAMILIES[0]]
    if len(families) < 2 and spec.ipFamilyPolicy != "SingleStack":
        families = [families[0], "IPv6" if families[0] == "IPv4" else "IPv4"]
    spec.ipFamilies = families


def _check_configured(spec: Any, errors: Errors) -> None:
    if spec.ipFamilyPolicy == "RequireDualStack" and len(CLUSTER_FAMILIES) < 2:
        errors.invalid(POLICY, spec.ipFamilyPolicy, "this cluster is not configured for dual-stack services")
    for i, family in enumerate(spec.ipFamilies or ()):
        if family not in CLUSTER_FAMILIES:
            errors.invalid(SPEC.child("ipFamilies").index(i), family, "not configured on this cluster")


def keep_allocated(new: Any, old: Any) -> None:
    """A PUT without the addresses and ports that the server gave keeps them."""
    spec, stored = new.spec, old.spec
    if spec.type in service_rules.ADDRESSED and stored.type in service_rules.ADDRESSED:
        spec.clusterIP = spec.clusterIP or stored.clusterIP
        if not spec.clusterIPs and spec.clusterIP == stored.clusterIP:
            spec.clusterIPs = stored.clusterIPs
    if spec.type in service_rules.EXPOSED and stored.type in service_rules.EXPOSED:
        _keep_node_ports(spec, stored)
    if service_rules.needs_health_check(spec) and service_rules.needs_health_check(stored):
        spec.healthCheckNodePort = spec.healthCheckNodePort or stored.healthCheckNodePort


def _keep_node_ports(spec: Any, stored: Any) -> None:
    before = {(p.protocol, p.port): p.nodePort for p in stored.ports or () if p.nodePort}
    used = {p.nodePort for p in spec.ports or () if p.nodePort}
    for port in spec.ports or ():
        node_port = before.get((port.protocol, port.port))
        if not port.nodePort and node_port not in used:
            port.nodePort = node_port


def drop_of_old_type(new: Any, old: Any) -> None:
    """A change of type lets go of what only the old type had, unless the user changed that too."""
    spec, stored = new.spec, old.spec
    if stored.type in service_rules.ADDRESSED and spec.type not in service_rules.ADDRESSED:
        if spec.clusterIP == stored.clusterIP and spec.clusterIPs == stored.clusterIPs:
            spec.clusterIP = spec.clusterIPs = None
        _drop_same(spec, stored, "ipFamilies", "ipFamilyPolicy")
    if stored.type in service_rules.EXPOSED and spec.type not in service_rules.EXPOSED:
        before = {p.nodePort for p in stored.ports or ()}
        if all(p.nodePort in before for p in spec.ports or ()):
            for port in spec.ports or ():
                port.nodePort = None
    if service_rules.needs_health_check(stored) and not service_rules.needs_health_check(spec):
        _drop_same(spec, stored, "healthCheckNodePort")
    if stored.type == "LoadBalancer" and spec.type != "LoadBalancer":
        _drop_same(spec, stored, "allocateLoadBalancerNodePorts", "loadBalancerClass")
    if service_rules.externally_accessible(stored) and not service_rules.externally_accessible(spec):
        _drop_same(spec, stored, "externalTrafficPolicy")


def _drop_same(spec: Any, stored: Any, *fields: str) -> None:
    for field in fields:
        if getattr(spec, field) == getattr(stored, field):
            setattr(spec, field, None)
