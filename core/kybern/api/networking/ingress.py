"""Ingress: HTTP routes from outside the cluster to services."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half, spec_changed
from kybern.api.table import AGE, NAME, NONE, age
from kybern.api.validation import ip, names, ports

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
BAD_SUFFIXES = ("/..", "/.")
NOT_ADDRESS = "must be a DNS name, not an IP address"
SPEC = Path("spec")
HOSTS_SHOWN = 3


def validate(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    if not spec.rules and spec.defaultBackend is None:
        errors.invalid(SPEC, spec.rules, "either `defaultBackend` or `rules` must be specified")
    if spec.defaultBackend is not None:
        _validate_backend(spec.defaultBackend, errors, SPEC.child("defaultBackend"))
    for i, rule in enumerate(spec.rules or ()):
        _validate_rule(rule, errors, SPEC.child("rules").index(i))
    for i, tls in enumerate(spec.tls or ()):
        _validate_tls(tls, errors, SPEC.child("tls").index(i))
    if spec.ingressClassName is not None:
        path = SPEC.child("ingressClassName")
        names.add_all(errors, path, spec.ingressClassName, names.dns1123_subdomain(spec.ingressClassName))
    if not obj.metadata.resourceVersion:
        _validate_class_annotation(obj, errors)


def _validate_class_annotation(obj: Any, errors: Errors) -> None:
    """A new Ingress may name its class twice, if it is the same class."""
    named = (obj.metadata.annotations or {}).get(CLASS_ANNOTATION)
    if named is not None and obj.spec.ingressClassName not in (None, named):
        path = Path("annotations").child(CLASS_ANNOTATION)
        errors.invalid(path, named, "must match `ingressClassName` when both are specified")


def _validate_host(host: str, errors: Errors, path: Path) -> None:
    faults = names.wildcard_subdomain(host) if "*" in host else names.dns1123_subdomain(host)
    names.add_all(errors, path, host, faults)


def _validate_tls(tls: Any, errors: Errors, path: Path) -> None:
    for i, host in enumerate(tls.hosts or ()):
        _validate_host(host, errors, path.child("hosts").index(i))
    if tls.secretName:
        names.add_all(errors, path.child("secretName"), tls.secretName, names.dns1123_subdomain(tls.secretName))


def _validate_rule(rule: Any, errors: Errors, path: Path) -> None:
    if rule.host:
        if ip.parse_address(rule.host):
            errors.invalid(path.child("host"), rule.host, NOT_ADDRESS)
        _validate_host(rule.host, errors, path.child("host"))
    if rule.http is None:
        return
    path = path.child("http", "paths")
    if not rule.http.paths:
        errors.required(path)
    for i, route in enumerate(rule.http.paths or ()):
        _validate_path(route, errors, path.index(i))


def _validate_path(route: Any, errors: Errors, path: Path) -> None:
    kind, text = route.pathType, route.path or ""
    if kind is None:
        errors.required(path.child("pathType"), "pathType must be specified")
        return
    if kind not in PATH_TYPES:
        errors.not_supported(path.child("pathType"), kind, PATH_TYPES)
    elif (text or kind != "ImplementationSpecific") and not text.startswith("/"):
        errors.invalid(path.child("path"), text, "must be an absolute path")
    if kind in ("Exact", "Prefix"):
        for bad in (b for b in BAD_SEQUENCES if b in text):
            errors.invalid(path.child("path"), text, f"must not contain '{bad}'")
        for bad in (b for b in BAD_SUFFIXES if text.endswith(b)):
            errors.invalid(path.child("path"), text, f"cannot end with '{bad}'")
    _validate_backend(route.backend, errors, path.child("backend"))


def _validate_backend(backend: Any, errors: Errors, path: Path) -> None:
    if backend.resource is not None and backend.service is not None:
        errors.invalid(path, "", "cannot set both resource and service backends")
    elif backend.resource is not None:
        validate_reference(backend.resource, errors, path.child("resource"))
    elif backend.service is not None:
        _validate_service(backend.service, errors, path)
    else:
        errors.invalid(path, "", "resource or service backend is required")


def _validate_service(service: Any, errors: Errors, path: Path) -> None:
    at = path.child("service")
    if not service.name:
        errors.required(at.child("name"))
    else:
        names.add_all(errors, at.child("name"), service.name, names.dns1123_label(service.name))
    name, number = (service.port.name, service.port.number) if service.port is not None else (None, None)
    if name and number:
        errors.invalid(path, "", "cannot set both port name & port number")
    elif name:
        names.add_all(errors, at.child("port", "name"), name, ports.port_name(name))
    elif number:
        ports.validate_port_number(errors, at.child("port", "number"), number)
    else:
        errors.required(path, "port name or number is required")


def validate_reference(reference: Any, errors: Errors, path: Path) -> None:
    """Another object, named by API group, kind and name."""
    if reference.apiGroup is not None:
        names.add_all(errors, path.child("apiGroup"), reference.apiGroup, names.dns1123_subdomain(reference.apiGroup))
    for field in ("kind", "name"):
        value = getattr(reference, field)
        if not value:
            errors.required(path.child(field))
        else:
            names.add_all(errors, path.child(field), value, names.path_segment(value))


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    path = Path("status").child("loadBalancer", "ingress")
    for i, point in enumerate(new.status.loadBalancer.ingress or ()):
        at = path.index(i)
        if point.ip:
            names.add_all(errors, at.child("ip"), point.ip, ip.address_faults(point.ip))
        if point.hostname:
            names.add_all(errors, at.child("hostname"), point.hostname, names.dns1123_subdomain(point.hostname))
            if ip.parse_address(point.hostname):
                errors.invalid(at.child("hostname"), point.hostname, NOT_ADDRESS)


def warn(new: Any, old: Any | None) -> list[str]:
    if CLASS_ANNOTATION in (new.metadata.annotations or {}) and old is None:
        return [f"annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"]
    return []


def row(obj: Any, now: float) -> list[Any]:
    spec = obj.spec
    points = sorted({p.ip or p.hostname or "" for p in obj.status.loadBalancer.ingress or ()} - {""})
    return [
        obj.metadata.name,
        NONE if spec.ingressClassName is None else spec.ingressClassName,
        _hosts(spec.rules or []),
        ",".join(points),
        "80, 443" if spec.tls else "80",
        age(obj.metadata.creationTimestamp, now),
    ]


def _hosts(rules: list[Any]) -> str:
    hosts = [rule.host for rule in rules if rule.host]
    if not hosts:
        return "*"
    shown = ",".join(hosts[:HOSTS_SHOWN])
    return f"{shown} + {len(hosts) - HOSTS_SHOWN} more..." if len(hosts) > HOSTS_SHOWN else shown


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="Ingress",
    plural="ingresses",
    namespaced=True,
    short_names=("ing",),
    subresources=(Subresource("status"),),
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    validate=validate,
    validate_status_update=validate_status_update,
    spec_changed=spec_changed,
    warn=warn,
    columns=(
        NAME,
        Column(
            "Class",
            description="The name of the IngressClass resource that should be used for additional configuration",
        ),
        Column("Hosts", description="Hosts that incoming requests are matched against before the ingress rule"),
        Column("Address", description="Address is a list containing ingress points for the load-balancer"),
        Column("Ports", description="Ports of TLS configurations that open"),
        AGE,
    ),
    row=row,
)
