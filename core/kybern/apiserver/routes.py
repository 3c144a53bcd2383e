"""HTTP paths that are not Kubernetes resources: well-known documents, a dashboard, probes.

A route goes through the same pipeline up to and including authorization (as a non-resource path);
then its handler answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from kybern.apiserver.user import User

__all__ = ["Route", "RouteRequest", "RouteResponse"]


@attrs.frozen
class RouteRequest:
    """What a handler gets."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    user: User
    http: Any = None
    """The aiohttp request, for handlers that stream or upgrade; None when asked in process."""


@attrs.frozen
class RouteResponse:
    """What a handler answers."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = attrs.field(factory=dict)
    http: Any = None
    """A finished aiohttp response, when the handler has streamed by itself."""


@attrs.frozen
class Route:
    """One path. A path that ends in `/*` stands for everything below it."""

    path: str
    handler: Callable[[RouteRequest], Awaitable[RouteResponse]]
    methods: tuple[str, ...] = ("GET",)
    public: bool = False
    """Answer anyone, without asking authenticators and authorizers (upstream has none such; for static files)."""
