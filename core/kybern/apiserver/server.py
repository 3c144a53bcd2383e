"""The API server: builds the pipeline from the drivers it is given, and opens and closes what it needs.

server = APIServer(store=store, registry=registry, clock=clock, authenticators=[...], authorizers=[...])
await server.start()
await server.serve(listening_socket, ssl_context)
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator

from kybern.api.kind import Kind
from kybern.api.registry import Registry
from kybern.apiserver import bootstrap
from kybern.apiserver.admission import Admission
from kybern.apiserver.admit import AdmissionChain
from kybern.apiserver.audit import Audit
from kybern.apiserver.authenticate import Authentication
from kybern.apiserver.authentication import Authenticator
from kybern.apiserver.authorization import Authorizer
from kybern.apiserver.authorize import Authorization
from kybern.apiserver.backend import Backend
from kybern.apiserver.discovery import Discovery
from kybern.apiserver.dispatch import Dispatch
from kybern.apiserver.encode import Encoding, plain
from kybern.apiserver.fairness import Fairness
from kybern.apiserver.handlers import Handlers
from kybern.apiserver.health import Health
from kybern.apiserver.listener import Listener
from kybern.apiserver.metrics import Metrics
from kybern.apiserver.negotiate import negotiate
from kybern.apiserver.nodes import NodeStreams, NoNodes
from kybern.apiserver.openapi import OpenAPI
from kybern.apiserver.paths import Paths, read_only
from kybern.apiserver.pipeline import Pipeline
from kybern.apiserver.request import Request
from kybern.apiserver.resource import Resource, Resources
from kybern.apiserver.response import Answer, Response
from kybern.apiserver.reviews import Review
from kybern.apiserver.routes import Route
from kybern.apiserver.services.allocation import ServiceAllocation
from kybern.apiserver.subresources import Subresources
from kybern.apiserver.tables import Tables
from kybern.apiserver.version import version
from kybern.clock import Clock
from kybern.store.interface import Store

__all__ = ["APIServer"]


class APIServer:
    """One API server over one store."""

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        clock: Clock,
        authenticators: Iterable[Authenticator] = (),
        authorizers: Iterable[Authorizer] = (),
        admission: Iterable[Admission] = (),
        reviews: Iterable[Review] = (),
        routes: Iterable[Route] = (),
        nodes: NodeStreams | None = None,
        service_cidr: str = "10.96.0.0/12",
        node_port_range: tuple[int, int] | str = (30000, 32767),
        audit: Callable[[bytes], None] | None = None,
        max_reads: int = 400,
        max_writes: int = 200,
        tracks_everybody: bool = False,
        bootstrap_objects: bool = True,
        housekeeping: bool = True,
    ) -> None:
        """The store is started and closed by its maker. `audit` gets one JSON line per request.

        For small worlds of tests: without `bootstrap_objects` the server begins empty, without `housekeeping` it
        does nothing by the clock (no bookmarks on watches, no compaction, no expiry of Events)."""
        self.clock = clock
        self.resources = Resources(registry, store, clock, housekeeping=housekeeping)
        authorization = Authorization(list(authorizers))
        authentication = Authentication(list(authenticators))
        self.backend = Backend(
            clock, self.resources, AdmissionChain(list(admission)), authorization, tuple(authentication.authenticators),
            {review.resource: review for review in reviews}, nodes or NoNodes(),
            ServiceAllocation(service_cidr, _ports(node_port_range)), tracks_everybody,
        )  # fmt: skip
        self.health = Health()
        self.metrics = Metrics(fairness := Fairness(max_reads, max_writes))
        self.discovery = Discovery(self.resources)
        self.paths = Paths()
        encoding = Encoding(Tables(self.resources))
        dispatch = Dispatch(
            self.resources, Handlers(self.backend, encoding), Subresources(self.backend, encoding), self.paths
        )
        self.pipeline = Pipeline(
            clock, authentication, authorization, fairness, dispatch, self.paths, self.metrics,
            Audit(audit) if audit is not None else None,
        )  # fmt: skip
        self._listener = Listener(self.pipeline, clock)
        self._ready = False
        self._started = False
        self._bootstrapped = False
        self._bootstrap_objects = bootstrap_objects
        self._serve_paths(routes)

    @property
    def nodes(self) -> NodeStreams:
        """How logs and exec reach the nodes; may be set later."""
        return self.backend.nodes

    @nodes.setter
    def nodes(self, nodes: NodeStreams) -> None:
        self.backend.nodes = nodes

    def _serve_paths(self, routes: Iterable[Route]) -> None:
        paths = self.paths
        # Upstream's names, where something of the kind is checked: people and tools exclude and ask for them by name.
        self.health.add("etcd", lambda: None if self._started else "the store is not open", live=True)
        self.health.add("informer-sync", lambda: None if self._started else "the caches are not filled yet")
        for hook in ("start-system-namespaces-controller", "scheduling/bootstrap-system-priority-classes"):
            self.health.add(f"poststarthook/{hook}", lambda: None if self._bootstrapped else "not finished")
        self.health.add("poststarthook/rbac/bootstrap-roles", lambda: None if self._ready else "not finished")
        self.health.add("startup", lambda: None if self._ready else "components are still starting")
        self.health.serve(paths)
        self.discovery.serve(paths)
        OpenAPI(self.resources).serve(paths)
        paths.add("/version", read_only(_version))
        paths.add("/metrics", read_only(self._metrics))
        paths.add("/", read_only(self._index), listed=False)
        paths.add_routes(routes)
        self.metrics.add_gauge(
            "apiserver_storage_objects", "Number of stored objects, by resource.", self._object_counts
        )

    async def start(self) -> None:
        """Read the store, open the caches and write the objects every cluster begins with."""
        await self.resources.start()
        services = self.resources.find("", "v1", "services")
        if services is not None:
            listing = await services.cache.list()
            self.backend.services.start(services, (item.object for item in listing.items))
        self._started = True
        if self._bootstrap_objects:
            await bootstrap.ensure_objects(self.backend)
        self._bootstrapped = True

    async def serve(self, listening: socket.socket, context: ssl.SSLContext | None) -> None:
        """Answer on a socket from now on; returns when it listens. Without a TLS context: plain HTTP, for tests."""
        address, port = listening.getsockname()[:2]
        await self._listener.serve(listening, context)
        self.discovery.address = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        if reachable := _reachable(address):
            await bootstrap.ensure_endpoints(self.backend, reachable, port)

    def set_ready(self) -> None:
        """Everything that belongs to the cluster runs: /readyz says so."""
        self._ready = True

    async def add_kind(self, kind: Kind) -> Resource:
        """Serve one more kind from now on."""
        return await self.resources.add(kind)

    async def close(self) -> None:
        """Answer nobody any more; what was accepted is finished."""
        self._ready = False
        await self.resources.close()
        await self._listener.close()

    async def _index(self, request: Request) -> Answer:
        extra = [*self.discovery.listed(), *self.health.listed()]
        return plain(200, {"paths": sorted({*self.paths.listed(), *extra})}, negotiate(request))

    async def _metrics(self, request: Request) -> Answer:
        return Response(200, self.metrics.text(), "text/plain; version=0.0.4; charset=utf-8")

    def _object_counts(self) -> Iterator[tuple[dict[str, str], float]]:
        for resource in self.resources:
            if resource.stored_as_served and "list" in resource.verbs and resource.kind.computed is None:
                yield {"resource": resource.kind.resource}, len(resource.cache)


async def _version(request: Request) -> Answer:
    return plain(200, version(), negotiate(request))


def _ports(given: tuple[int, int] | str) -> tuple[int, int]:
    first, last = given.split("-") if isinstance(given, str) else given
    return int(first), int(last)


def _reachable(address: str) -> str:
    """The address under which others reach this machine: Endpoints may not name loopback. "" when there is none."""
    wanted = ipaddress.ip_address(address)
    if not (wanted.is_loopback or wanted.is_unspecified):
        return address
    # Connecting a datagram socket sends nothing; it only makes the system choose the outgoing address.
    with socket.socket(socket.AF_INET6 if wanted.version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("2001:db8::1" if wanted.version == 6 else "192.0.2.1", 9))
            found = str(probe.getsockname()[0])
        except OSError:
            return ""
    return "" if ipaddress.ip_address(found).is_loopback else found
