"""What an object is charged for under a ResourceQuota, and which quotas it falls under.

The admission plugin charges with it before a write and the quota controller recounts with it
afterwards, so that the two can never disagree about a figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from kybern.api import quantity, selectors, types
from kybern.api.core.podspec.totals import pod_limits, pod_requests, qos_class
from kybern.api.time import parse_time

__all__ = ["Resource", "add", "amounts", "counted_as", "matches", "resources_behind", "shown", "usage"]

Amounts = dict[str, Fraction]
Resource = tuple[str, str]
"""(group, plural)."""

ONE = Fraction(1)
BINARY = ("memory", "storage", "hugepages-")
PODS: Resource = ("", "pods")
CLAIMS: Resource = ("", "persistentvolumeclaims")
SERVICES: Resource = ("", "services")
RESOURCE_CLAIMS: Resource = ("resource.k8s.io", "resourceclaims")
NAMED_PLAINLY = frozenset(
    {"pods", "services", "configmaps", "secrets", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas"}
)
"""Core resources that may be counted without `count/`."""
BY_CLASS = ".storageclass.storage.k8s.io/"
BY_DEVICE_CLASS = ".deviceclass.resource.k8s.io/devices"
ALL_DEVICES = 32
"""A claim for all devices is charged for as many as a claim may get (API limit of allocation results)."""


def counted_as(group: str, plural: str) -> str:
    """The name under which objects of a resource are counted: `count/pods`, `count/deployments.apps`."""
    return f"count/{plural}.{group}" if group else f"count/{plural}"


def resources_behind(names: Iterable[str]) -> set[Resource]:
    """The resources whose objects are charged for any of these quota entries."""
    return {_resource_behind(name) for name in names}


def _resource_behind(name: str) -> Resource:
    if name.startswith("count/"):
        plural, _, group = name.removeprefix("count/").partition(".")
        return group, plural
    if name.endswith(BY_DEVICE_CLASS):
        return RESOURCE_CLAIMS
    if BY_CLASS in name or name == "requests.storage":
        return CLAIMS
    if name.startswith("services."):
        return SERVICES
    return ("", name) if name in NAMED_PLAINLY else PODS


def amounts(resources: Mapping[str, str] | None) -> Amounts:
    """Quantities as numbers."""
    return {name: quantity.parse(value) for name, value in (resources or {}).items()}


def add(total: Amounts, more: Mapping[str, Fraction]) -> None:
    """Add `more` to `total`."""
    for name, amount in more.items():
        total[name] = total.get(name, Fraction(0)) + amount


def shown(name: str, amount: Fraction) -> str:
    """An amount as the quota's status tells it."""
    plain = name.removeprefix("requests.").removeprefix("limits.")
    binary = plain.startswith(BINARY) or plain == "ephemeral-storage" or name.endswith("/requests.storage")
    return quantity.format(amount, "BinarySI" if binary else "DecimalSI")


def usage(group: str, plural: str, obj: Any, now: float) -> Amounts:
    """All that one object is charged for, by quota entry."""
    total: Amounts = {counted_as(group, plural): ONE}
    if not group and plural in NAMED_PLAINLY and plural != "pods":
        total[plural] = ONE
    if (group, plural) == PODS:
        total |= _pod(obj, now)
    elif (group, plural) == CLAIMS:
        total |= _claim(obj)
    elif (group, plural) == SERVICES:
        total |= _service(obj)
    elif (group, plural) == RESOURCE_CLAIMS:
        total |= _devices(obj)
    return total


def _pod(pod: Any, now: float) -> Amounts:
    """A pod that has ended, or whose grace is over, no longer takes anything but its place in the store."""
    if pod.status.phase in ("Succeeded", "Failed") or _overdue(pod.metadata, now):
        return {}
    total: Amounts = {"pods": ONE}
    spec = _in_effect(pod)
    for name, amount in pod_requests(spec).items():
        total[f"requests.{name}"] = amount
        if name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-"):
            total[name] = amount
    for name, amount in pod_limits(spec).items():
        if name in ("cpu", "memory", "ephemeral-storage"):
            total[f"limits.{name}"] = amount
    return total


def _in_effect(pod: Any) -> Any:
    """The pod's spec; while a resize is under way, with the larger of what is wanted and what is still held
    (KEP-1287), and without what is wanted when its node can never give it."""
    held = {
        s.name: _held(s) for s in (*(pod.status.containerStatuses or ()), *(pod.status.initContainerStatuses or ()))
    }
    containers = (*(pod.spec.containers or ()), *(pod.spec.initContainers or ()))
    if all(held.get(c.name, ({}, {})) in (_stated(c), ({}, {})) for c in containers):
        return pod.spec
    spec = types.copy(pod.spec)
    infeasible = any(c.type == "PodResizePending" and c.reason == "Infeasible" for c in pod.status.conditions or ())
    for container in (*(spec.containers or ()), *(spec.initContainers or ())):
        if container.name in held:
            requests, limits = held[container.name]
            wanted = ({}, {}) if infeasible else _stated(container)
            container.resources.requests = _larger(wanted[0], requests)
            container.resources.limits = _larger(wanted[1], limits)
    return spec


def _stated(container: Any) -> tuple[dict[str, str], dict[str, str]]:
    return container.resources.requests or {}, container.resources.limits or {}


def _held(status: Any) -> tuple[dict[str, str], dict[str, str]]:
    """(requests, limits) that a container has or was promised."""
    actual = status.resources
    requests = _larger(status.allocatedResources or {}, (actual.requests if actual is not None else None) or {})
    return requests, (actual.limits if actual is not None else None) or {}


def _larger(one: dict[str, str], other: dict[str, str]) -> dict[str, str]:
    return {name: max((a[name] for a in (one, other) if name in a), key=quantity.parse) for name in {**one, **other}}


def _overdue(metadata: Any, now: float) -> bool:
    if not metadata.deletionTimestamp or metadata.deletionGracePeriodSeconds is None:
        return False
    return bool(now > parse_time(metadata.deletionTimestamp) + metadata.deletionGracePeriodSeconds)


def _claim(claim: Any) -> Amounts:
    requests = claim.spec.resources.requests if claim.spec.resources is not None else None
    storage = quantity.parse((requests or {}).get("storage", "0"))
    # While a claim shrinks back after a failed expansion, the larger figure is what the back end may hold.
    storage = max(storage, quantity.parse((claim.status.allocatedResources or {}).get("storage", "0")))
    total = {"requests.storage": storage}
    annotated = (claim.metadata.annotations or {}).get("volume.beta.kubernetes.io/storage-class")
    name = annotated if annotated is not None else claim.spec.storageClassName
    if name:
        total[f"{name}{BY_CLASS}requests.storage"] = storage
        total[f"{name}{BY_CLASS}persistentvolumeclaims"] = ONE
    return total


def _service(service: Any) -> Amounts:
    spec = service.spec
    ports = spec.ports or ()
    node_ports, balancers = 0, 0
    if spec.type == "NodePort":
        node_ports = len(ports)
    elif spec.type == "LoadBalancer":
        balancers = 1
        allocated = spec.allocateLoadBalancerNodePorts is not False
        node_ports = len(ports) if allocated else sum(bool(port.nodePort) for port in ports)
    return {"services.nodeports": Fraction(node_ports), "services.loadbalancers": Fraction(balancers)}


def _devices(claim: Any) -> Amounts:
    total: Amounts = {}
    devices = claim.spec.devices
    for request in (devices.requests if devices is not None else None) or ():
        exactly = request.exactly
        wanted = [exactly] if exactly is not None else list(request.firstAvailable or ())
        largest: Amounts = {}
        for each in wanted:
            count = Fraction(ALL_DEVICES if each.allocationMode == "All" else each.count or 1)
            name = f"{each.deviceClassName}{BY_DEVICE_CLASS}"
            largest[name] = max(largest.get(name, Fraction(0)), count)
        add(total, largest)
    return total


def matches(quota: Any, group: str, plural: str, obj: Any) -> bool:
    """Whether the quota's scopes, if it has any, all hold for the object."""
    wanted = [(scope, "Exists", ()) for scope in quota.spec.scopes or ()]
    if quota.spec.scopeSelector is not None:
        for each in quota.spec.scopeSelector.matchExpressions or ():
            wanted.append((each.scopeName, each.operator, tuple(each.values or ())))
    if not wanted:
        return True
    if (group, plural) == PODS:
        return all(_pod_in(obj, *each) for each in wanted)
    if (group, plural) == CLAIMS:
        return all(_claim_in(obj, *each) for each in wanted)
    return False


def _pod_in(pod: Any, scope: str, operator: str, values: tuple[str, ...]) -> bool:
    spec = pod.spec
    match scope:
        case "Terminating":
            return spec.activeDeadlineSeconds is not None
        case "NotTerminating":
            return spec.activeDeadlineSeconds is None
        case "BestEffort":
            return qos_class(spec) == "BestEffort"
        case "NotBestEffort":
            return qos_class(spec) != "BestEffort"
        case "PriorityClass":
            return _selected(scope, operator, values, [spec.priorityClassName or ""])
        case "CrossNamespacePodAffinity":
            return any(term.namespaces or term.namespaceSelector is not None for term in _affinity_terms(spec))
    return False


def _affinity_terms(spec: Any) -> Iterable[Any]:
    affinity = spec.affinity
    for side in (affinity.podAffinity, affinity.podAntiAffinity) if affinity is not None else ():
        if side is not None:
            yield from side.requiredDuringSchedulingIgnoredDuringExecution or ()
            yield from (w.podAffinityTerm for w in side.preferredDuringSchedulingIgnoredDuringExecution or ())


def _claim_in(claim: Any, scope: str, operator: str, values: tuple[str, ...]) -> bool:
    if scope != "VolumeAttributesClass":
        return False
    # The class it has, the class it is being given and the class it asks for: each is charged.
    modify = claim.status.modifyVolumeStatus
    target = modify.targetVolumeAttributesClassName if modify is not None else None
    names = {claim.spec.volumeAttributesClassName, claim.status.currentVolumeAttributesClassName, target}
    return _selected(scope, operator, values, [name for name in names if name] or [""])


def _selected(scope: str, operator: str, values: tuple[str, ...], names: list[str]) -> bool:
    """Whether one of the names ("" for none at all) is what the requirement asks for."""
    operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    selector = selectors.Selector((selectors.Requirement(scope, operators[operator], values),))
    return any(selector.matches({scope: name} if name else {}) for name in names)
