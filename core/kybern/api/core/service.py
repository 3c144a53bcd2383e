"""Service: one name and address for the pods that a selector chooses.

The rules are in `service_rules`, the interplay of addresses and IP families in `service_families`.
Addresses and node ports themselves are given out by the API server, after `prepare_*` here.
"""

from __future__ import annotations

from typing import Any

from kybern.api.core import service_families, service_rules
from kybern.api.field import Path
from kybern.api.kind import Column, Kind, Subresource, WriteContext
from kybern.api.table import AGE, NAME, NONE, age, labels
from kybern.api.validation import ip, names

AFFINITY_SECONDS = 10800


def default(obj: Any) -> None:
    spec = obj.spec
    spec.type = spec.type or "ClusterIP"
    _default_affinity(spec)
    for port in spec.ports or ():
        port.protocol = port.protocol or "TCP"
        if port.targetPort in (None, 0, ""):
            port.targetPort = port.port
    if service_rules.externally_accessible(spec) and not spec.externalTrafficPolicy:
        spec.externalTrafficPolicy = "Cluster"
    if spec.internalTrafficPolicy is None and spec.type in service_rules.ADDRESSED:
        spec.internalTrafficPolicy = "Cluster"
    if spec.type == "LoadBalancer" and spec.allocateLoadBalancerNodePorts is None:
        spec.allocateLoadBalancerNodePorts = True
    _default_ingress_mode(obj)


def _default_affinity(spec: Any) -> None:
    spec.sessionAffinity = spec.sessionAffinity or "None"
    if spec.sessionAffinity == "None":
        spec.sessionAffinityConfig = None
    if spec.sessionAffinity != "ClientIP":
        return
    from kybern.api.core import ClientIPConfig, SessionAffinityConfig

    config = spec.sessionAffinityConfig
    if config is None or config.clientIP is None or config.clientIP.timeoutSeconds is None:
        spec.sessionAffinityConfig = SessionAffinityConfig(clientIP=ClientIPConfig(timeoutSeconds=AFFINITY_SECONDS))


def _default_ingress_mode(obj: Any) -> None:
    if obj.spec.type != "LoadBalancer":
        return
    for ingress in obj.status.loadBalancer.ingress or ():
        if ingress.ip and ingress.ipMode is None:
            ingress.ipMode = "VIP"


def prepare_create(obj: Any, context: WriteContext) -> None:
    obj.status = type(obj)().status
    service_families.normalize(obj, None)
    service_families.initialize(obj, None)


def prepare_update(new: Any, old: Any, context: WriteContext) -> None:
    if context.subresource == "status":
        new.spec = old.spec
        _default_ingress_mode(new)
        return
    new.status = old.status
    service_families.keep_allocated(new, old)
    service_families.normalize(new, old)
    service_families.initialize(new, old)
    service_families.drop_of_old_type(new, old)


def warn(new: Any, old: Any | None) -> list[str]:
    spec, path = new.spec, Path("spec")
    found = []
    for field in ("clusterIPs", "externalIPs"):
        for i, address in enumerate(getattr(spec, field) or ()):
            found += ip.address_warnings(path.child(field).index(i), address) if address != "None" else []
    if spec.externalIPs:
        found.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    if spec.type == "ExternalName" and spec.externalIPs:
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if spec.type != "ExternalName" and spec.externalName:
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    return found


def row(obj: Any, now: float) -> list[Any]:
    spec = obj.spec
    address = spec.clusterIPs[0] if spec.clusterIPs else NONE
    return [
        obj.metadata.name,
        spec.type or "",
        address,
        _external(obj),
        ",".join(_port(p) for p in spec.ports or ()) or NONE,
        age(obj.metadata.creationTimestamp, now),
        labels(spec.selector),
    ]


def _port(port: Any) -> str:
    node_port = f":{port.nodePort}" if port.nodePort else ""
    return f"{port.port}{node_port}/{port.protocol}"


def _external(obj: Any) -> str:
    spec = obj.spec
    external = list(spec.externalIPs or ())
    if spec.type == "ExternalName":
        return spec.externalName or ""
    if spec.type != "LoadBalancer":
        return ",".join(external) or NONE
    ingress = sorted({i.ip or i.hostname or "" for i in obj.status.loadBalancer.ingress or ()} - {""})
    return ",".join(ingress + external) or "<pending>"


KIND = Kind(
    group="",
    version="v1",
    kind="Service",
    plural="services",
    namespaced=True,
    short_names=("svc",),
    categories=("all",),
    subresources=(
        Subresource("proxy", kind="ServiceProxyOptions", verbs=("create", "delete", "get", "patch", "update")),
        Subresource("status"),
    ),
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=service_rules.validate,
    validate_update=service_rules.validate_update,
    validate_status_update=service_rules.validate_status,
    warn=warn,
    name_errors=names.name_dns_label,
    selectable={
        "spec.clusterIP": lambda obj: obj.spec.clusterIP or "",
        "spec.type": lambda obj: obj.spec.type or "",
    },
    columns=(
        NAME,
        Column("Type", field="ServiceSpec.type"),
        Column("Cluster-IP", field="ServiceSpec.clusterIP"),
        Column("External-IP", field="ServiceSpec.externalIPs"),
        Column("Port(s)", field="ServiceSpec.ports"),
        AGE,
        Column("Selector", priority=1, field="ServiceSpec.selector"),
    ),
    row=row,
    allow_create_on_update=True,
)
