"""Mirrors Endpoints that people or old controllers write by hand into EndpointSlices, which is what proxies read.

Only for Services without a selector: the others get their slices from their pods. The Endpoints own
their mirrors, one for each address family and set of ports.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

import attrs

from kybern.api import types
from kybern.api.discovery import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from kybern.api.meta import ObjectMeta
from kybern.reconcile.expectations import Expectations
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern.reconcile.owners import controller_reference
from kybern_controllers_cluster.endpointslice import MANAGED_BY, SERVICE_NAME, Ports, ports_of

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MOST = 1000
"""So many addresses of a subset are mirrored."""


@attrs.define
class Mirror:
    """What Endpoints come to: endpoints by (family, ports), and what was left out."""

    groups: dict[tuple[str, Ports], list[Endpoint]] = attrs.field(factory=dict)
    invalid: int = 0
    skipped: int = 0


class EndpointSliceMirroringController(Controller):
    """Keeps the mirrors."""

    name = "endpointslicemirroring"
    event_source = "endpoint-slice-mirroring-controller"

    def setup(self, context: Context) -> None:
        from kybern.api.core import Endpoints, Service

        self.client, self.events = context.client, context.events
        self.expectations = Expectations(context.clock)
        self.endpoints = context.watch(Endpoints)
        self.services = context.watch(Service, on=_selector_changed)
        self.slices = context.watch(EndpointSlice, _mirrored)
        self.slices.add_index("mirrored", lambda s: [f"{key.namespace}/{key.name}" for key in _mirrored(s)])
        self.slices.on_change(self._slice_changed)

    def _slice_changed(self, old: Any, new: Any) -> None:
        for key in _mirrored(new if new is not None else old):
            if old is None:
                self.expectations.created(key)
            elif new is None:
                self.expectations.deleted(key, old.metadata.uid)

    async def reconcile(self, key: Key) -> Result | None:
        wait = self.expectations.wait(key)
        if wait:
            return Result(wait)
        endpoints: Any = self.endpoints.get(key.name, key.namespace)
        service: Any = self.services.get(key.name, key.namespace)
        existing = self.slices.by_index("mirrored", f"{key.namespace}/{key.name}")
        if endpoints is None or service is None or not is_mirrored(endpoints, service):
            await self._write(key, [], [], existing)
            return None
        mirror = mirror_of(endpoints)
        self._tell(endpoints, mirror)
        await self._write(key, *decide(endpoints, mirror, existing))
        return None

    def _tell(self, endpoints: Any, mirror: Mirror) -> None:
        if mirror.invalid:
            text = f"Skipped {mirror.invalid} invalid IP addresses when mirroring to EndpointSlices"
            self.events.event(endpoints, "Warning", "InvalidIPAddress", text)
        if mirror.skipped:
            text = (
                f"A max of {MOST} addresses can be mirrored to EndpointSlices per Endpoints subset. "
                f"{mirror.skipped} addresses were skipped"
            )
            self.events.event(endpoints, "Warning", "TooManyAddressesToMirror", text)

    async def _write(self, key: Key, create: list[Any], update: list[Any], delete: list[Any]) -> None:
        if create or delete:
            self.expectations.expect(key, len(create), [s.metadata.uid for s in delete])
        try:
            for each in create:
                await self.client.create(each)
            for each in update:
                await self.client.update(each)
            for each in delete:
                await self.client.delete(EndpointSlice, each.metadata.name, key.namespace, uid=each.metadata.uid)
        except BaseException:
            # What of it took place the informer will show.
            self.expectations.forget(key)
            raise


def is_mirrored(endpoints: Any, service: Any) -> bool:
    """Whether the Endpoints are somebody's own, for a Service that has no pods of its own."""
    metadata = endpoints.metadata
    if metadata.deletionTimestamp or service.spec.selector:
        return False
    return (metadata.labels or {}).get(SKIP) != "true" and LEADER not in (metadata.annotations or {})


def mirror_of(endpoints: Any) -> Mirror:
    """The endpoints of all subsets; subsets of the same ports come together."""
    mirror = Mirror()
    for subset in endpoints.subsets or ():
        ports = tuple((p.name or "", p.protocol or "TCP", p.port, p.appProtocol or "") for p in subset.ports or ())
        ready = [(address, True) for address in subset.addresses or ()]
        every = ready + [(address, False) for address in subset.notReadyAddresses or ()]
        mirror.skipped += max(0, len(every) - MOST)
        for address, is_ready in every[:MOST]:
            family = _family(address.ip)
            if not family:
                mirror.invalid += 1
                continue
            mirror.groups.setdefault((family, ports), []).append(_endpoint(address, is_ready))
    return mirror


def _family(ip: str) -> str:
    try:
        return f"IPv{ipaddress.ip_address(ip).version}"
    except ValueError:
        return ""


def _endpoint(address: Any, ready: bool) -> Any:
    return Endpoint(
        addresses=[address.ip],
        conditions=EndpointConditions(ready=ready),
        hostname=address.hostname or None,
        nodeName=address.nodeName,
        targetRef=types.copy(address.targetRef) if address.targetRef is not None else None,
    )


def decide(endpoints: Any, mirror: Mirror, existing: Iterable[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """Slices to (create, update, delete). One that is not needed as it is becomes one that is missing."""
    left = list(existing)
    create, update = [], []
    missing = []
    for (family, ports), found in mirror.groups.items():
        own = next((s for s in left if s.addressType == family and (ports_of(s) or ()) == ports), None)
        if own is None:
            missing.append((family, ports, found))
            continue
        left = [s for s in left if s is not own]
        update.append((own, _filled(own, endpoints, ports, found)))
    for family, ports, found in missing:
        spare = next((s for s in left if s.addressType == family), None)
        if spare is None:
            create.append(_new(endpoints, family, ports, found))
        else:
            left = [s for s in left if s is not spare]
            update.append((spare, _filled(spare, endpoints, ports, found)))
    return create, [new for old, new in update if new != old], left


def _new(endpoints: Any, family: str, ports: Ports, found: list[Any]) -> Any:
    made = EndpointSlice(
        metadata=ObjectMeta(
            generateName=f"{endpoints.metadata.name}-",
            namespace=endpoints.metadata.namespace,
            ownerReferences=[controller_reference(endpoints)],
        ),
        addressType=family,
    )
    return _filled(made, endpoints, ports, found)


def _filled(existing: Any, endpoints: Any, ports: Ports, found: list[Any]) -> Any:
    metadata = endpoints.metadata
    made = types.copy(existing)
    made.metadata.labels = {**(metadata.labels or {}), SERVICE_NAME: metadata.name, MANAGED_BY: MANAGER}
    annotations = {k: v for k, v in (metadata.annotations or {}).items() if k != LAST_APPLIED}
    made.metadata.annotations = annotations or None
    made.endpoints = found
    made.ports = [EndpointPort(name=n, protocol=p, port=port, appProtocol=app or None) for n, p, port, app in ports]
    made.ports = made.ports or None
    return made


def _mirrored(endpoint_slice: Any) -> Iterable[Key]:
    labels = endpoint_slice.metadata.labels or {}
    if labels.get(MANAGED_BY) != MANAGER or not labels.get(SERVICE_NAME):
        return ()
    return (Key(endpoint_slice.metadata.namespace, labels[SERVICE_NAME]),)


def _selector_changed(old: Any, new: Any) -> bool:
    return old is None or new is None or bool(old.spec.selector) != bool(new.spec.selector)
