"""Paths of the cluster itself, beside the Kubernetes API: `/kybern/snapshot`, `/kybern/clock`, `/kybern/break`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kybern.api.errors import StatusError
from kybern.apiserver.routes import Route, RouteRequest, RouteResponse
from kybern.cluster import clocks
from kybern.store.interface import StoreError

if TYPE_CHECKING:
    from kybern.cluster.cluster import Cluster

__all__ = ["routes"]


def routes(cluster: Cluster) -> Sequence[Route]:
    """What `kybern snapshot save`, `kybern clock` and `kybern break` ask a running cluster."""

    async def snapshot(request: RouteRequest) -> RouteResponse:
        file = Path((request.query.get("file") or [""])[0])
        if not file.is_absolute():
            raise StatusError.bad_request("file: an absolute path is needed, on the machine of the API server")
        try:
            revision = await cluster.store.save(file)
        except (StoreError, OSError) as e:
            raise StatusError.bad_request(f"the snapshot was not written: {e}") from e
        return RouteResponse(msgspec.json.encode({"revision": revision, "file": str(file)}))

    async def clock(request: RouteRequest) -> RouteResponse:
        if request.method == "GET":
            return RouteResponse(msgspec.json.encode(clocks.shown(cluster.clock)))
        try:
            shown = await clocks.move(cluster.clock, {name: values[0] for name, values in request.query.items()})
        except ValueError as e:
            raise StatusError.bad_request(str(e)) from e
        finally:
            clocks.save(cluster.clock, cluster.state)
        return RouteResponse(msgspec.json.encode(shown))

    async def break_(request: RouteRequest) -> RouteResponse:
        query = {name: values[0] for name, values in request.query.items()}
        try:
            await _break(cluster, query)
        except LookupError as e:
            raise StatusError(404, "NotFound", str(e.args[0]) if e.args else str(e), {}) from None
        return RouteResponse(msgspec.json.encode(query))

    return [
        Route("/kybern/break", break_, methods=("POST",)),
        Route("/kybern/snapshot", snapshot, methods=("POST",)),
        Route("/kybern/clock", clock, methods=("GET", "POST")),
    ]


async def _break(cluster: Cluster, what: dict[str, str]) -> None:
    """Take a node away, give it back, or kill a container; LookupError when it is not here."""
    agent = cluster.nodes
    if agent is None:
        raise LookupError("this cluster's process hosts no nodes")
    match what.get("action"):
        case "kill":
            await agent.kill_container(what.get("namespace", "default"), what.get("pod", ""), what.get("container", ""))
        case "stop" | "start" as action:
            node = what.get("node", "")
            if node not in agent.nodes:
                raise LookupError(f"no node {node!r} here; there are: {', '.join(sorted(agent.nodes))}")
            if agent.nodes[node].alive != (action == "stop"):
                raise LookupError(f"node {node!r} is {'stopped' if action == 'stop' else 'running'} already")
            await (agent.stop_node(node) if action == "stop" else agent.start_node(node))
        case other:
            raise LookupError(f"action {other!r} is none of: kill, stop, start")
