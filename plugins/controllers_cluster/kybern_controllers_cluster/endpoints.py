"""Endpoints, the elder form of EndpointSlices: one object per Service, read by old clients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kybern.api import types
from kybern.api.core import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, ObjectReference
from kybern.api.meta import ObjectMeta
from kybern.api.time import format_time
from kybern.reconcile.interface import Context, Controller, Key
from kybern.reconcile.pods import is_finished, is_ready
from kybern_controllers_cluster import service_pods

HEADLESS = "service.kubernetes.io/headless"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"
CAPACITY = 1000
SETTLING = 100e-6
"""Seconds a pod's change may wait per address of its Service."""

Ports = tuple[tuple[str, int, str, str], ...]


class EndpointsController(Controller):
    """Keeps the Endpoints of Services that have a selector."""

    name = "endpoints"
    event_source = "endpoint-controller"

    def setup(self, context: Context) -> None:
        from kybern.api.core import Pod, Service

        self.context, self.client, self.clock = context, context.client, context.clock
        self.services = context.watch(Service)
        service_pods.index_services(self.services)
        self.pods = context.informer(Pod)
        service_pods.index_pods(self.pods)
        self.pods.on_change(self._pod_changed)
        self.endpoints = context.watch(Endpoints)

    def _pod_changed(self, old: Any, new: Any) -> None:
        if not service_pods.concerns_endpoints(old, new):
            return
        for key in service_pods.services_between(self.services, old, new):
            known = _size(self.endpoints.get(key.name, key.namespace))
            self.context.enqueue(key, SETTLING * known if known > 50 else 0.0)

    async def reconcile(self, key: Key) -> None:
        service: Any = self.services.get(key.name, key.namespace)
        if service is None:
            await self._remove(key)
            return
        if not service_pods.has_selected_pods(service):
            return
        existing: Any = self.endpoints.get(key.name, key.namespace)
        wanted = decide(service, service_pods.pods_of(self.pods, service), existing)
        if wanted is existing:
            return
        wanted.metadata.annotations = {**(wanted.metadata.annotations or {}), TRIGGER: format_time(self.clock.now())}
        if existing is None:
            await self.client.create(wanted)
        else:
            await self.client.update(wanted)

    async def _remove(self, key: Key) -> None:
        """Endpoints have no owner reference: they go with the Service's name."""
        from kybern.api.errors import StatusError

        existing: Any = self.endpoints.get(key.name, key.namespace)
        if existing is None or (existing.metadata.labels or {}).get(MANAGED_BY) != MANAGER:
            return
        try:
            await self.client.delete(Endpoints, key.name, key.namespace, uid=existing.metadata.uid)
        except StatusError as error:
            if error.code != 404:
                raise


def decide(service: Any, pods: Iterable[Any], existing: Any | None) -> Any:
    """The Endpoints as they should be: `existing` itself when they are so."""
    subsets, whole = _within_capacity(_subsets(service, pods))
    labels = _labels(service)
    if existing is not None and (existing.subsets or []) == subsets and existing.metadata.labels == labels:
        return existing
    if existing is None:
        made = Endpoints(metadata=ObjectMeta(name=service.metadata.name, namespace=service.metadata.namespace))
    else:
        made = types.copy(existing)
    made.subsets = subsets or None
    made.metadata.labels = labels
    annotations = {k: v for k, v in (made.metadata.annotations or {}).items() if k != OVER_CAPACITY}
    made.metadata.annotations = annotations if whole else {**annotations, OVER_CAPACITY: "truncated"}
    return made


def _labels(service: Any) -> dict[str, str]:
    labels = {k: v for k, v in (service.metadata.labels or {}).items() if k not in (HEADLESS, MANAGED_BY)}
    labels[MANAGED_BY] = MANAGER
    if service.spec.clusterIP == "None":
        labels[HEADLESS] = ""
    return labels


def _subsets(service: Any, pods: Iterable[Any]) -> list[Any]:
    """Addresses that share their ports stand together."""
    families = service.spec.ipFamilies
    ipv6 = (families[0] == "IPv6") if families else ":" in (service.spec.clusterIP or "")
    groups: dict[Ports, tuple[list[Any], list[Any]]] = {}
    for pod in pods:
        address = service_pods.address_of(pod, ipv6)
        if address is None or is_finished(pod):
            continue
        tolerant = bool(service.spec.publishNotReadyAddresses)
        if pod.metadata.deletionTimestamp and not tolerant:
            continue
        ports = _ports(service, pod)
        if not ports and service.spec.ports:
            continue
        ready, not_ready = groups.setdefault(ports, ([], []))
        (ready if tolerant or is_ready(pod) else not_ready).append(_address(service, pod, address))
    return [_subset(ports, *groups[ports]) for ports in sorted(groups)]


def _subset(ports: Ports, ready: list[Any], not_ready: list[Any]) -> Any:
    made = [EndpointPort(name=n or None, port=p, protocol=pr, appProtocol=a or None) for n, p, pr, a in ports]
    return EndpointSubset(
        addresses=sorted(ready, key=_order) or None,
        notReadyAddresses=sorted(not_ready, key=_order) or None,
        ports=made or None,
    )


def _order(address: Any) -> tuple[str, str]:
    return address.ip, address.targetRef.uid or ""


def _ports(service: Any, pod: Any) -> Ports:
    found = []
    for port in service.spec.ports or ():
        number = service_pods.target_port(port, pod)
        if number is not None:
            found.append((port.name or "", number, port.protocol or "TCP", port.appProtocol or ""))
    return tuple(found)


def _address(service: Any, pod: Any, address: str) -> Any:
    metadata = pod.metadata
    return EndpointAddress(
        ip=address,
        hostname=service_pods.hostname_for(service, pod),
        nodeName=pod.spec.nodeName,
        targetRef=ObjectReference(kind="Pod", namespace=metadata.namespace, name=metadata.name, uid=metadata.uid),
    )


def _within_capacity(subsets: list[Any]) -> tuple[list[Any], bool]:
    """(At most a thousand addresses, ready ones first; whether that is all)."""
    if sum(map(_count, subsets)) <= CAPACITY:
        return subsets, True
    room = CAPACITY
    for field in ("addresses", "notReadyAddresses"):
        for subset in subsets:
            kept = (getattr(subset, field) or [])[:room]
            setattr(subset, field, kept or None)
            room -= len(kept)
    return [subset for subset in subsets if _count(subset)], False


def _count(subset: Any) -> int:
    return len(subset.addresses or ()) + len(subset.notReadyAddresses or ())


def _size(endpoints: Any) -> int:
    subsets: Sequence[Any] = (endpoints.subsets or ()) if endpoints is not None else ()
    return sum(map(_count, subsets))
