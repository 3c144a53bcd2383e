"""Cluster IPs and node ports of Services: taken right before the commit, given back when it fails or the Service goes.

What is taken is kept in memory and read from the stored Services at start; the Services are the truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from ipaddress import ip_address, ip_network
from typing import Any

from kybern.api.errors import StatusError
from kybern.api.field import Errors, Path
from kybern.apiserver.resource import Resource
from kybern.apiserver.services.pools import Full, NumberPool, address_number, address_pool

__all__ = ["ServiceAllocation"]

_SPEC = Path("spec")
_NOTHING: AbstractContextManager[None] = nullcontext()


class ServiceAllocation:
    """The registers of addresses and ports of one cluster."""

    def __init__(self, service_cidr: str = "10.96.0.0/12", node_ports: tuple[int, int] = (30000, 32767)) -> None:
        self.network = ip_network(service_cidr)
        self.first_address = str(self.network.network_address + 1)
        """Of the Service `kubernetes`."""
        self.addresses = address_pool(self.network)
        low, high = node_ports
        static = min(max(16, (high - low + 1) // 32), 128) if high - low >= 16 else 0
        self.ports = NumberPool(low, high, low + static)
        self._services: Resource | None = None

    def start(self, services: Resource, stored: Iterator[Any]) -> None:
        """Read what the stored Services have."""
        self._services = services
        for service in stored:
            self._count(service)

    def _count(self, service: Any) -> None:
        for address in _addresses(service):
            self.addresses.take(address_number(address))
        for port in _ports(service):
            self.ports.take(port)

    def reserved(self, resource: Resource, new: Any, old: Any, dry_run: bool = False) -> AbstractContextManager[None]:
        """Give a Service what it needs for the time of the commit: kept when that succeeds, given back when not."""
        return self._reserved(new, old, dry_run) if resource is self._services else _NOTHING

    @contextmanager
    def _reserved(self, new: Any, old: Any, dry_run: bool) -> Iterator[None]:
        taken = _Taken(self)
        try:
            taken.take(new, old)
            yield
        except BaseException:
            taken.give_back()
            raise
        if dry_run:
            taken.give_back()
        elif old is not None:
            self._free(set(_addresses(old)) - set(_addresses(new)), set(_ports(old)) - set(_ports(new)))

    def released(self, resource: Resource, service: Any) -> None:
        """A Service is gone."""
        if resource is self._services:
            self._free(set(_addresses(service)), set(_ports(service)))

    def _free(self, addresses: set[str], ports: set[int]) -> None:
        for address in addresses:
            self.addresses.give_back(address_number(address))
        for port in ports:
            self.ports.give_back(port)


def _addresses(service: Any) -> list[str]:
    spec = service.spec
    return [a for a in spec.clusterIPs or ([spec.clusterIP] if spec.clusterIP else []) if a and a != "None"]


def _ports(service: Any) -> list[int]:
    spec = service.spec
    ports = [p.nodePort for p in spec.ports or () if p.nodePort]
    return ports + ([spec.healthCheckNodePort] if spec.healthCheckNodePort else [])


class _Taken:
    """What one write took."""

    def __init__(self, allocation: ServiceAllocation) -> None:
        self._pools = allocation
        self._addresses: list[int] = []
        self._ports: list[int] = []

    def give_back(self) -> None:
        for address in self._addresses:
            self._pools.addresses.give_back(address)
        for port in self._ports:
            self._pools.ports.give_back(port)

    def take(self, new: Any, old: Any) -> None:
        """Fill in what is missing and take what is named; StatusError 422 when it cannot be had."""
        errors = Errors()
        if new.spec.type != "ExternalName":
            self._take_address(new.spec, set(_addresses(old)) if old is not None else set(), errors)
        if not errors and new.spec.type in ("NodePort", "LoadBalancer"):
            self._take_ports(new.spec, set(_ports(old)) if old is not None else set(), errors)
        if errors:
            raise StatusError.invalid("Service", "", new.metadata.name, errors)

    def _take_address(self, spec: Any, had: set[str], errors: Errors) -> None:
        if spec.clusterIP == "None":
            spec.clusterIPs = ["None"]
            return
        wanted = [a for a in spec.clusterIPs or ([spec.clusterIP] if spec.clusterIP else []) if a]
        if not wanted:
            wanted = self._any_address(errors)
        for address in wanted:
            if address not in had and address_number(address) not in self._addresses:
                self._named_address(address, wanted, errors)
        if not errors:
            spec.clusterIP, spec.clusterIPs = wanted[0], wanted

    def _any_address(self, errors: Errors) -> list[str]:
        try:
            number = self._pools.addresses.next()
        except Full:
            errors.internal(_SPEC.child("clusterIPs"), "failed to allocate a serviceIP: range is full")
            return []
        self._addresses.append(number)
        return [str(ip_address(number))]

    def _named_address(self, address: str, wanted: list[str], errors: Errors) -> None:
        number, why = address_number(address), ""
        if number not in self._pools.addresses or ip_address(address).version != self._pools.network.version:
            why = "the provided network does not match the current range"
        elif not self._pools.addresses.take(number):
            why = "provided IP is already allocated"
        else:
            self._addresses.append(number)
        if why:
            errors.invalid(_SPEC.child("clusterIPs"), wanted, f"failed to allocate IP {address}: {why}")

    def _take_ports(self, spec: Any, had: set[int], errors: Errors) -> None:
        if spec.type == "NodePort" or spec.allocateLoadBalancerNodePorts is not False:
            self._fill_ports(spec, had, errors)
        else:
            self._named_ports(spec, had, errors)
        if spec.type == "LoadBalancer" and spec.externalTrafficPolicy == "Local":
            self._health_port(spec, had, errors)

    def _named_ports(self, spec: Any, had: set[int], errors: Errors) -> dict[int, int]:
        """Take the ports that are named; returns Service port -> node port. Protocols may share one."""
        given: dict[int, int] = {}
        for i, port in enumerate(spec.ports or ()):
            if port.nodePort:
                if port.nodePort not in had and port.nodePort not in self._ports:
                    self._named_port(port.nodePort, _SPEC.child("ports").index(i).child("nodePort"), errors)
                given.setdefault(port.port, port.nodePort)
        return given

    def _fill_ports(self, spec: Any, had: set[int], errors: Errors) -> None:
        given = self._named_ports(spec, had, errors)
        for i, port in enumerate(spec.ports or ()):
            if port.nodePort or errors:
                continue
            if port.port not in given:
                given[port.port] = self._any_port(_SPEC.child("ports").index(i).child("nodePort"), errors)
            port.nodePort = given[port.port] or None

    def _any_port(self, path: Path, errors: Errors) -> int:
        try:
            port = self._pools.ports.next()
        except Full:
            errors.internal(path, "failed to allocate a nodePort: range is full")
            return 0
        self._ports.append(port)
        return port

    def _named_port(self, port: int, path: Path, errors: Errors) -> None:
        pool = self._pools.ports
        if port not in pool:
            text = f"provided port is not in the valid range. The range of valid ports is {pool.first}-{pool.last}"
            errors.invalid(path, port, text)
        elif not pool.take(port):
            errors.invalid(path, port, "provided port is already allocated")
        else:
            self._ports.append(port)

    def _health_port(self, spec: Any, had: set[int], errors: Errors) -> None:
        path = _SPEC.child("healthCheckNodePort")
        if not spec.healthCheckNodePort:
            spec.healthCheckNodePort = self._any_port(path, errors) or None
        elif spec.healthCheckNodePort not in had and spec.healthCheckNodePort not in self._ports:
            self._named_port(spec.healthCheckNodePort, path, errors)
