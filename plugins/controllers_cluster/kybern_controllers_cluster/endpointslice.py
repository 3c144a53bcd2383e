"""EndpointSlices: for each Service with a selector, where its pods are and whether they can serve.

A pod's readiness, address or end changes its Service's slices; proxies and DNS read them. Endpoints
are moved as little as possible: each stays in its slice, new ones fill slices that must be written
anyway, and a slice holds at most a hundred.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from kybern.api import types
from kybern.api.discovery import (
    Endpoint,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    ForNode,
    ForZone,
)
from kybern.api.errors import StatusError
from kybern.api.meta import ObjectMeta
from kybern.reconcile.expectations import Expectations
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern.reconcile.owners import controller_reference
from kybern.reconcile.pods import is_finished, is_ready
from kybern_controllers_cluster import service_pods, topology
from kybern_controllers_cluster.serviceaccount import namespace_is_ending
from kybern_controllers_cluster.topology import ZONE

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
HEADLESS = "service.kubernetes.io/headless"
PER_SLICE = 100
SETTLING = 100e-6
"""Seconds a pod's change may wait per endpoint of its Service."""

Ports = tuple[tuple[str, str, int, str], ...]
"""(name, protocol, number, application protocol) of every port, in order."""


@attrs.define
class Wanted:
    """The slices of one address family and one set of ports."""

    family: str
    ports: Ports | None
    endpoints: list[Endpoint]


@attrs.define
class Plan:
    """What to write. New slices have no name yet."""

    create: list[Any] = attrs.field(factory=list)
    update: list[Any] = attrs.field(factory=list)
    delete: list[Any] = attrs.field(factory=list)


class EndpointSliceController(Controller):
    """Keeps the slices of Services that have a selector."""

    name = "endpointslice"
    event_source = "endpoint-slice-controller"

    def setup(self, context: Context) -> None:
        from kybern.api.core import Node, Pod, Service

        self.context = context
        self.client, self.events = context.client, context.events
        self.triggers = service_pods.TriggerTimes()
        self.expectations = Expectations(context.clock)
        self.services = context.watch(Service)
        service_pods.index_services(self.services)
        self.pods = context.informer(Pod)
        service_pods.index_pods(self.pods)
        self.pods.add_index("node", lambda pod: (pod.spec.nodeName,) if pod.spec.nodeName else ())
        self.pods.on_change(self._pod_changed)
        self.balanced: dict[Key, set[str]] = {}
        """Services that share out their endpoints among zones, and the address families that have hints."""
        self.nodes = context.watch(Node, self._services_on, on=_place_changed)
        self.nodes.on_change(self._capacity_changed)
        self.slices = context.watch(EndpointSlice, _service_of)
        self.slices.add_index("service", _managed_for)
        self.slices.on_change(self._slice_changed)

    def _pod_changed(self, old: Any, new: Any) -> None:
        if not service_pods.concerns_endpoints(old, new):
            return
        for key in service_pods.services_between(self.services, old, new):
            known = sum(len(s.endpoints or ()) for s in self._existing(key))
            # The pods of a large Service become ready one by one; not each is worth a look at all.
            self.context.enqueue(key, SETTLING * known if known > 50 else 0.0)

    def _services_on(self, node: Any) -> Iterable[Key]:
        pods = self.pods.by_index("node", node.metadata.name)
        return {key for pod in pods for key in service_pods.services_of(self.services, pod)}

    def _capacity_changed(self, old: Any, new: Any) -> None:
        if self.balanced and _capacity(old) != _capacity(new):
            for key in self.balanced:
                self.context.enqueue(key)

    def _slice_changed(self, old: Any, new: Any) -> None:
        for key in _service_of(new if new is not None else old):
            if old is None:
                self.expectations.created(key)
            elif new is None:
                self.expectations.deleted(key, old.metadata.uid)

    def _existing(self, key: Key) -> list[Any]:
        return self.slices.by_index("service", f"{key.namespace}/{key.name}")

    async def reconcile(self, key: Key) -> Result | None:
        service: Any = self.services.get(key.name, key.namespace)
        if service is None or not service_pods.has_selected_pods(service):
            # The garbage collector takes the slices of a deleted Service.
            self.triggers.forget(key)
            self.balanced.pop(key, None)
            return None
        if service.metadata.deletionTimestamp:
            return None
        wait = self.expectations.wait(key)
        if wait:
            return Result(wait)
        pods = [pod for pod in service_pods.pods_of(self.pods, service) if not is_finished(pod)]
        existing = self._existing(key)
        time, seen = self.triggers.since(key, service, pods, existing)
        plan = decide(service, self._wanted(service, pods), existing, time)
        try:
            await self._carry_out(key, plan)
        except StatusError as error:
            if namespace_is_ending(error):
                return None
            if error.code != 409:
                text = f"Error updating Endpoint Slices for Service {key.namespace}/{key.name}: {error}"
                self.events.event(service, "Warning", "FailedToUpdateEndpointSlices", text)
            raise
        self.triggers.remember(key, seen)
        return None

    def _wanted(self, service: Any, pods: Sequence[Any]) -> list[Wanted]:
        groups = {family: self._wanted_of(service, pods, family) for family in families(service)}
        if topology.is_balanced(service):
            for family, found in groups.items():
                self._balance(service, family, found)
        else:
            self._stop_balance(service)
        wanted = [group for found in groups.values() for group in found]
        return wanted if topology.is_balanced(service) else hinted(service, wanted)

    def _balance(self, service: Any, family: str, groups: list[Wanted]) -> None:
        """Hints by the zones' capacities. That there are some now is told once, why there are none each time."""
        key = Key(service.metadata.namespace, service.metadata.name)
        hinted = self.balanced.setdefault(key, set())
        served = {_identity(e): e.hints.forZones[0].name for e in self._hinted_endpoints(key)}
        endpoints = [e for group in groups for e in group.endpoints]
        try:
            shares = topology.shares(self.nodes.list())
            topology.share_out(endpoints, shares, lambda e: served.get(_identity(e)))
        except topology.NotShared as why:
            hinted.discard(family)
            self._tell_balance(service, str(why), family)
            return
        if family not in hinted:
            hinted.add(family)
            self._tell_balance(service, "Topology Aware Hints has been enabled", family)

    def _stop_balance(self, service: Any) -> None:
        for family in self.balanced.pop(Key(service.metadata.namespace, service.metadata.name), ()):
            self._tell_balance(service, "Topology Aware Hints has been disabled", family)

    def _hinted_endpoints(self, key: Key) -> Iterable[Any]:
        return (e for s in self._existing(key) for e in s.endpoints or () if e.hints is not None and e.hints.forZones)

    def _tell_balance(self, service: Any, text: str, family: str) -> None:
        kind = ("Normal", "Enabled") if text.endswith("enabled") else ("Warning", "Disabled")
        self.events.event(service, kind[0], f"TopologyAwareHints{kind[1]}", f"{text}, addressType: {family}")

    def _wanted_of(self, service: Any, pods: Sequence[Any], family: str) -> list[Wanted]:
        groups: dict[Ports, Wanted] = {}
        for pod in pods:
            address = service_pods.address_of(pod, family == "IPv6")
            node: Any = self.nodes.get(pod.spec.nodeName) if pod.spec.nodeName else None
            if address is None or (pod.spec.nodeName and node is None):
                continue
            ports = pod_ports(service, pod)
            group = groups.setdefault(ports, Wanted(family, ports, []))
            group.endpoints.append(endpoint(service, pod, node, address))
        return list(groups.values()) or [Wanted(family, None, [])]

    async def _carry_out(self, key: Key, plan: Plan) -> None:
        if plan.create or plan.delete:
            self.expectations.expect(key, len(plan.create), [s.metadata.uid for s in plan.delete])
        try:
            for each in plan.create:
                await self.client.create(each)
            for each in plan.update:
                await self.client.update(each)
            for each in plan.delete:
                await self.client.delete(EndpointSlice, each.metadata.name, key.namespace, uid=each.metadata.uid)
        except BaseException:
            # What of it took place the informer will show; wait for nothing that may never come.
            self.expectations.forget(key)
            raise


def families(service: Any) -> list[str]:
    """The address families of the Service; IPv4 unless it says."""
    if service.spec.ipFamilies:
        return list(service.spec.ipFamilies)
    return ["IPv6" if ":" in (service.spec.clusterIP or "") else "IPv4"]


def pod_ports(service: Any, pod: Any) -> Ports:
    """The Service's ports as this pod has them; those it does not have are left out."""
    ports = []
    for port in service.spec.ports or ():
        number = service_pods.target_port(port, pod)
        if number is not None:
            ports.append((port.name or "", port.protocol or "TCP", number, port.appProtocol or ""))
    return tuple(ports)


def endpoint(service: Any, pod: Any, node: Any, address: str) -> Any:
    """One pod as an endpoint of the Service."""
    from kybern.api.core import ObjectReference

    terminating = bool(pod.metadata.deletionTimestamp)
    serving = is_ready(pod)
    ready = bool(service.spec.publishNotReadyAddresses) or (serving and not terminating)
    zone = (node.metadata.labels or {}).get(ZONE) if node is not None else None
    metadata = pod.metadata
    return Endpoint(
        addresses=[address],
        conditions=EndpointConditions(ready=ready, serving=serving, terminating=terminating),
        hostname=service_pods.hostname_for(service, pod),
        nodeName=pod.spec.nodeName,
        zone=zone,
        targetRef=ObjectReference(kind="Pod", namespace=metadata.namespace, name=metadata.name, uid=metadata.uid),
    )


def hinted(service: Any, wanted: list[Wanted]) -> list[Wanted]:
    """With `trafficDistribution`, tell each endpoint for whom it is: its zone's clients, or its node's."""
    wish = service.spec.trafficDistribution
    if wish not in ("PreferClose", "PreferSameZone", "PreferSameNode"):
        return wanted
    for each in (e for group in wanted for e in group.endpoints):
        if not each.conditions.ready:
            continue
        zones = [ForZone(name=each.zone)] if each.zone else None
        nodes = [ForNode(name=each.nodeName)] if wish == "PreferSameNode" and each.nodeName else None
        if zones or nodes:
            each.hints = EndpointHints(forZones=zones, forNodes=nodes)
    return wanted


def decide(service: Any, wanted: Sequence[Wanted], existing: Sequence[Any], trigger: str | None) -> Plan:
    """The fewest writes that make the slices say what is wanted. `trigger`: when what is new took place."""
    plan = Plan()
    left = list(existing)
    for group in wanted:
        own = [s for s in left if s.addressType == group.family and ports_of(s) == group.ports]
        left = [s for s in left if not any(s is o for o in own)]
        _plan_group(plan, service, group, own)
    plan.delete += left
    _reuse(plan)
    for each in (*plan.create, *plan.update):
        each.metadata.annotations = service_pods.with_trigger(each.metadata.annotations, trigger)
    return plan


def _plan_group(plan: Plan, service: Any, group: Wanted, own: Sequence[Any]) -> None:
    missing = {_identity(e): e for e in group.endpoints}
    kept = [(s, [w for e in s.endpoints or () if (w := missing.pop(_identity(e), None)) is not None]) for s in own]
    labels = slice_labels(service)
    dirty = [(s, list(e)) for s, e in kept if e != (s.endpoints or []) or s.metadata.labels != labels]
    clean = [(s, e) for s, e in kept if not any(s is d for d, _ in dirty)]
    rest = list(missing.values())
    for _, endpoints in sorted(dirty, key=lambda pair: -len(pair[1])):
        room = PER_SLICE - len(endpoints)
        endpoints += rest[:room]
        rest = rest[room:]
    if rest and (fitting := _closest(clean, len(rest))) is not None:
        dirty.append((fitting[0], fitting[1] + rest))
        rest = []
    batches = [rest[i : i + PER_SLICE] for i in range(0, len(rest), PER_SLICE)]
    if not group.endpoints and not own:
        batches = [[]]
    plan.create += [_new_slice(service, group, batch) for batch in batches]
    for s, endpoints in dirty:
        if endpoints or not group.endpoints:
            plan.update.append(_changed(s, service, group, endpoints))
        else:
            plan.delete.append(s)


def _closest(clean: Sequence[tuple[Any, list[Any]]], count: int) -> tuple[Any, list[Any]] | None:
    """The fullest slice that has room for `count` more."""
    fitting = [(s, e) for s, e in clean if len(e) + count <= PER_SLICE]
    return max(fitting, key=lambda pair: len(pair[1]), default=None)


def _reuse(plan: Plan) -> None:
    """A slice to create and one to delete, of one family, are one to update."""
    for new in list(plan.create):
        spare = next((s for s in plan.delete if s.addressType == new.addressType), None)
        if spare is None:
            continue
        plan.delete.remove(spare)
        plan.create.remove(new)
        changed = types.copy(spare)
        changed.endpoints, changed.ports, changed.metadata.labels = new.endpoints, new.ports, new.metadata.labels
        plan.update.append(changed)


def _new_slice(service: Any, group: Wanted, endpoints: list[Any]) -> Any:
    metadata = service.metadata
    return EndpointSlice(
        metadata=ObjectMeta(
            generateName=f"{metadata.name}-",
            namespace=metadata.namespace,
            labels=slice_labels(service),
            ownerReferences=[controller_reference(service)],
        ),
        addressType=group.family,
        endpoints=endpoints,
        ports=_port_structs(group.ports),
    )


def _changed(existing: Any, service: Any, group: Wanted, endpoints: list[Any]) -> Any:
    changed = types.copy(existing)
    changed.endpoints = endpoints
    changed.metadata.labels = slice_labels(service)
    return changed


def slice_labels(service: Any) -> dict[str, str]:
    """The Service's own labels and those by which its slices are found."""
    labels = {k: v for k, v in (service.metadata.labels or {}).items() if k not in (SERVICE_NAME, MANAGED_BY, HEADLESS)}
    labels |= {SERVICE_NAME: service.metadata.name, MANAGED_BY: MANAGER}
    if service.spec.clusterIP == "None":
        labels[HEADLESS] = ""
    return labels


def _port_structs(ports: Ports | None) -> list[Any] | None:
    if ports is None:
        return None
    return [EndpointPort(name=n, protocol=p, port=number, appProtocol=app or None) for n, p, number, app in ports]


def ports_of(existing: Any) -> Ports | None:
    """A slice's ports, in the form that groups are told apart by."""
    if existing.ports is None:
        return None
    return tuple((p.name or "", p.protocol or "TCP", p.port or 0, p.appProtocol or "") for p in existing.ports)


def _identity(e: Any) -> tuple[Any, ...]:
    target = e.targetRef
    return (tuple(e.addresses or ()), e.hostname, e.nodeName, target.uid if target is not None else None)


def _service_of(endpoint_slice: Any) -> Iterable[Key]:
    labels = endpoint_slice.metadata.labels or {}
    if labels.get(MANAGED_BY) != MANAGER or not labels.get(SERVICE_NAME):
        return ()
    return (Key(endpoint_slice.metadata.namespace, labels[SERVICE_NAME]),)


def _managed_for(endpoint_slice: Any) -> Iterable[str]:
    return [f"{key.namespace}/{key.name}" for key in _service_of(endpoint_slice)]


def _place_changed(old: Any, new: Any) -> bool:
    """Whether a node came, went or moved to another zone."""
    if old is None or new is None:
        return True
    return (old.metadata.labels or {}).get(ZONE) != (new.metadata.labels or {}).get(ZONE)


def _capacity(node: Any) -> tuple[str, int] | None:
    return topology.capacity(node) if node is not None else None
