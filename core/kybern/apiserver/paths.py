"""Paths that are no resources: discovery, version, health, metrics, OpenAPI, and what plugins add."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec

from kybern.api.errors import StatusError
from kybern.apiserver.request import Request
from kybern.apiserver.response import JSON, Answer, Response, nothing_here
from kybern.apiserver.routes import Route, RouteRequest

__all__ = ["Paths"]

PathHandler = Callable[[Request], Awaitable[Answer]]


class Paths:
    """Handlers by exact path, then by prefix; the longest prefix wins."""

    def __init__(self) -> None:
        self._exact: dict[str, PathHandler] = {}
        self._below: dict[str, PathHandler] = {}
        self._listed: list[str] = []
        self._public: set[str] = set()

    def add(self, path: str, handler: PathHandler, *, listed: bool = True) -> None:
        """Serve a path, or with `/*` at its end everything below. `listed`: show it at `/`."""
        if path.endswith("/*"):
            self._below[path[:-1]] = handler
        else:
            self._exact[path] = handler
            if listed:
                self._listed.append(path)

    def add_routes(self, routes: Iterable[Route]) -> None:
        """Serve what plugins brought."""
        for route in routes:
            self.add(route.path, _route_handler(route))
            if route.public:
                self._public.add(route.path.removesuffix("*"))

    def listed(self) -> list[str]:
        """Paths shown at `/`."""
        return list(self._listed)

    def is_public(self, path: str) -> bool:
        """Whether anyone may ask for it."""
        return bool(self._public) and (
            path in self._public or any(p.endswith("/") and path.startswith(p) for p in self._public)
        )

    async def __call__(self, request: Request) -> Answer:
        """Answer; at `/` with the list of what there is."""
        path = request.path
        handler = self._exact.get(path) or self._exact.get(path.rstrip("/"))
        if handler is None:
            prefixes = [p for p in self._below if path.startswith(p)]
            handler = self._below[max(prefixes, key=len)] if prefixes else None
        if handler is not None:
            return await handler(request)
        if path != "/":
            return nothing_here()
        return Response(200, msgspec.json.encode({"paths": sorted(self._listed)}), JSON)


def read_only(handler: Callable[[Request], Awaitable[Answer]]) -> PathHandler:
    """A document: GET and HEAD only."""

    async def guarded(request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            raise StatusError.method_not_allowed()
        return await handler(request)

    return guarded


def _route_handler(route: Route) -> PathHandler:
    async def answer(request: Request) -> Answer:
        if request.method not in route.methods:
            raise StatusError.method_not_allowed()
        headers: Mapping[str, str] = {name.lower(): value for name, value in request.headers.items()}
        asked = RouteRequest(
            request.method, request.path, request.query, headers, await request.body(), request.user, request.http
        )
        response = await route.handler(asked)
        if response.http is not None:
            return _Finished(response.http)
        return Response(response.status, response.body, response.content_type, response.headers)

    return answer


class _Finished:
    """An answer that its handler has already written."""

    def __init__(self, response: object) -> None:
        self._response = response
        self.status = int(getattr(response, "status", 200))

    async def run(self, http: object) -> object:
        return self._response
