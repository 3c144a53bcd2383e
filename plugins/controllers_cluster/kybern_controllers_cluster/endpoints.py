"""Endpoints, the elder form of EndpointSlices: one object per Service, read by old clients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kybern.api import types
from kybern.api.core import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, ObjectReference
from kybern.api.errors import StatusError
from kybern.api.meta import ObjectMeta
from kybern.reconcile.interface import Context, Controller, Key
from kybern.reconcile.pods import is_finished, is_ready
from kybern_controllers_cluster import service_pods
from kybern_controllers_cluster.serviceaccount import namespace_is_ending

HEADLESS = "service.kubernetes.io/headless"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
CAPACITY = 1000
SETTLING = 100e-6
"""Seconds a pod's change may wait per address of its Service."""

Port = tuple[str, int, str, str]


class EndpointsController(Controller):
    """Keeps the Endpoints of Services that have a selector."""

    name = "endpoints"
    event_source = "endpoint-controller"

    def setup(self, context: Context) -> None:
        from kybern.api.core import Pod, Service

        self.context, self.client, self.events = context, context.client, context.events
        self.triggers = service_pods.TriggerTimes()
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
            self.triggers.forget(key)
            await self._remove(key)
            return
        if not service_pods.has_selected_pods(service):
            return
        existing: Any = self.endpoints.get(key.name, key.namespace)
        pods = service_pods.pods_of(self.pods, service)
        wanted = decide(service, pods, existing)
        time, seen = self.triggers.since(key, service, pods, () if existing is None else (existing,))
        if wanted is not existing:
            wanted.metadata.annotations = service_pods.with_trigger(wanted.metadata.annotations, time)
            await self._write(wanted, is_new=existing is None)
        self.triggers.remember(key, seen)

    async def _write(self, wanted: Any, is_new: bool) -> None:
        try:
            await (self.client.create(wanted) if is_new else self.client.update(wanted))
        except StatusError as error:
            if namespace_is_ending(error):
                return
            if error.code != 409:
                self._tell(wanted, is_new, error)
            raise

    def _tell(self, wanted: Any, is_new: bool, error: StatusError) -> None:
        name = f"{wanted.metadata.namespace}/{wanted.metadata.name}"
        reason = "FailedToCreateEndpoint" if is_new else "FailedToUpdateEndpoint"
        text = f"Failed to create endpoint for service {name}" if is_new else f"Failed to update endpoint {name}"
        self.events.event(wanted, "Warning", reason, f"{text}: {error}")

    async def _remove(self, key: Key) -> None:
        """Endpoints have no owner reference: they go with the Service's name."""
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
    """Ports that have the same addresses behind them stand together."""
    families = service.spec.ipFamilies
    ipv6 = (families[0] == "IPv6") if families else ":" in (service.spec.clusterIP or "")
    tolerant = bool(service.spec.publishNotReadyAddresses)
    behind: dict[Port | None, list[tuple[Any, bool]]] = {}
    for pod in pods:
        address = service_pods.address_of(pod, ipv6)
        if address is None or is_finished(pod):
            continue
        if pod.metadata.deletionTimestamp and not tolerant:
            continue
        entry = _address(service, pod, address), tolerant or is_ready(pod)
        for port in _ports(service, pod) if service.spec.ports else (None,):
            behind.setdefault(port, []).append(entry)
    return _packed(behind)


def _packed(behind: dict[Port | None, list[tuple[Any, bool]]]) -> list[Any]:
    subsets: dict[frozenset[str], tuple[list[Port], list[tuple[Any, bool]]]] = {}
    for port in sorted(behind, key=lambda port: port or ("", 0, "", "")):
        entries = behind[port]
        ports, _ = subsets.setdefault(frozenset(address.targetRef.uid for address, _ in entries), ([], entries))
        if port is not None:
            ports.append(port)
    return [_subset(ports, entries) for ports, entries in subsets.values()]


def _subset(ports: list[Port], entries: list[tuple[Any, bool]]) -> Any:
    made = [EndpointPort(name=n or None, port=p, protocol=pr, appProtocol=a or None) for n, p, pr, a in ports]
    return EndpointSubset(
        addresses=sorted((address for address, ready in entries if ready), key=_order) or None,
        notReadyAddresses=sorted((address for address, ready in entries if not ready), key=_order) or None,
        ports=made or None,
    )


def _order(address: Any) -> tuple[str, str]:
    return address.ip, address.targetRef.uid or ""


def _ports(service: Any, pod: Any) -> list[Port]:
    found = []
    for port in service.spec.ports or ():
        number = service_pods.target_port(port, pod)
        if number is not None:
            found.append((port.name or "", number, port.protocol or "TCP", port.appProtocol or ""))
    return found


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
