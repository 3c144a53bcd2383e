"""Paths of the cluster itself, beside the Kubernetes API: `/kybern/snapshot` and `/kybern/clock`."""

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
    """What `kybern snapshot save` asks a running cluster."""

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
        try:
            if request.method == "POST":
                await clocks.move(cluster.clock, {name: values[0] for name, values in request.query.items()})
                clocks.save(cluster.clock, cluster.state)
        except ValueError as e:
            raise StatusError.bad_request(str(e)) from e
        return RouteResponse(msgspec.json.encode(clocks.shown(cluster.clock)))

    return [
        Route("/kybern/snapshot", snapshot, methods=("POST",)),
        Route("/kybern/clock", clock, methods=("GET", "POST")),
    ]
