"""NetworkPolicy: which traffic may enter and leave the pods it selects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind
from kybern.api.lifecycle import spec_changed
from kybern.api.table import AGE, NAME, age, selector
from kybern.api.validation import ip, ports
from kybern.api.validation.selectors import validate_label_selector

PROTOCOLS = ("TCP", "UDP", "SCTP")
DIRECTIONS = ("Ingress", "Egress")
SPEC = Path("spec")


def default(obj: Any) -> None:
    """Without `policyTypes`, a policy is about ingress, and about egress when it has such rules."""
    spec = obj.spec
    for rule in [*(spec.ingress or ()), *(spec.egress or ())]:
        for port in rule.ports or ():
            if port.protocol is None:
                port.protocol = "TCP"
    if not spec.policyTypes:
        spec.policyTypes = ["Ingress", "Egress"] if spec.egress else ["Ingress"]


def validate(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    validate_label_selector(errors, SPEC.child("podSelector"), spec.podSelector)
    for i, rule in enumerate(spec.ingress or ()):
        _validate_rule(rule.ports, rule.from_, errors, SPEC.child("ingress").index(i), "from")
    for i, rule in enumerate(spec.egress or ()):
        _validate_rule(rule.ports, rule.to, errors, SPEC.child("egress").index(i), "to")
    path, types = SPEC.child("policyTypes"), spec.policyTypes or []
    if len(types) > len(DIRECTIONS):
        errors.invalid(path, types, "may not specify more than two policyTypes")
        return
    for i, direction in enumerate(types):
        if direction not in DIRECTIONS:
            errors.not_supported(path.index(i), direction, DIRECTIONS)


def _validate_rule(
    rule_ports: Sequence[Any] | None, peers: Sequence[Any] | None, errors: Errors, path: Path, side: str
) -> None:
    for i, port in enumerate(rule_ports or ()):
        _validate_port(port, errors, path.child("ports").index(i))
    for i, peer in enumerate(peers or ()):
        _validate_peer(peer, errors, path.child(side).index(i))


def _validate_port(port: Any, errors: Errors, path: Path) -> None:
    if port.protocol is not None and port.protocol not in PROTOCOLS:
        errors.not_supported(path.child("protocol"), port.protocol, PROTOCOLS)
    end = path.child("endPort")
    if port.port is None:
        if port.endPort is not None:
            errors.invalid(end, port.endPort, "may not be specified when `port` is not specified")
    elif isinstance(port.port, str):
        if port.endPort is not None:
            errors.invalid(end, port.endPort, "may not be specified when `port` is non-numeric")
        ports.validate_port_or_name(errors, path.child("port"), port.port)
    else:
        ports.validate_port_number(errors, path.child("port"), port.port)
        if port.endPort is not None:
            if port.endPort < port.port:
                errors.invalid(end, port.port, "must be greater than or equal to `port`")
            ports.validate_port_number(errors, end, port.endPort)


def _validate_peer(peer: Any, errors: Errors, path: Path) -> None:
    validate_label_selector(errors, path.child("podSelector"), peer.podSelector)
    validate_label_selector(errors, path.child("namespaceSelector"), peer.namespaceSelector)
    by_labels = peer.podSelector is not None or peer.namespaceSelector is not None
    if peer.ipBlock is not None:
        _validate_block(peer.ipBlock, errors, path.child("ipBlock"))
        if by_labels:
            errors.forbidden(path, "may not specify both ipBlock and another peer")
    elif not by_labels:
        errors.required(path, "must specify a peer")


def _validate_block(block: Any, errors: Errors, path: Path) -> None:
    if not block.cidr:
        errors.required(path.child("cidr"))
        return
    ip.validate_network(errors, path.child("cidr"), block.cidr)
    network = ip.parse_network(block.cidr)
    if network is None:
        return
    for i, text in enumerate(block.except_ or ()):
        at = path.child("except").index(i)
        ip.validate_network(errors, at, text)
        inner = ip.parse_network(text)
        if inner is not None and not ip.strictly_within(inner, network):
            errors.invalid(at, text, "must be a strict subset of `cidr`")


def row(obj: Any, now: float) -> list[Any]:
    return [obj.metadata.name, selector(obj.spec.podSelector), age(obj.metadata.creationTimestamp, now)]


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="NetworkPolicy",
    plural="networkpolicies",
    namespaced=True,
    short_names=("netpol",),
    default=default,
    validate=validate,
    spec_changed=spec_changed,
    columns=(NAME, Column("Pod-Selector", field="NetworkPolicySpec.podSelector"), AGE),
    row=row,
)
