"""What lies below an object: `status`, `scale`, `binding`, `eviction`, `log`, `token`, ...; one file each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kybern.api.errors import StatusError
from kybern.apiserver.backend import Backend
from kybern.apiserver.encode import Encoding
from kybern.apiserver.request import Request
from kybern.apiserver.resource import Resource
from kybern.apiserver.response import Answer
from kybern.apiserver.subresources.binding import Bindings
from kybern.apiserver.subresources.eviction import Evictions
from kybern.apiserver.subresources.log import Logs
from kybern.apiserver.subresources.parts import Parts
from kybern.apiserver.subresources.review import ReviewQuestions
from kybern.apiserver.subresources.scale import Scales

__all__ = ["Subresources"]

Handler = Callable[[Request, Resource], Awaitable[Answer]]


class Subresources:
    """Finds what answers for a subresource."""

    def __init__(self, backend: Backend, encoding: Encoding) -> None:
        self._bindings = Bindings(backend)
        self._questions = ReviewQuestions(backend)
        parts = Parts(backend, encoding)
        self._handlers: dict[str, Handler] = {
            "scale": Scales(backend),
            "binding": self._bindings,
            "eviction": Evictions(backend),
            "log": Logs(backend),
            "token": self._questions.below,
            "exec": _not_here,
            "attach": _not_here,
            "portforward": _not_here,
            "proxy": _not_here,
        }
        self._parts = parts

    async def __call__(self, request: Request, resource: Resource) -> Answer:
        """Answer a request for a subresource; StatusError 404 and 405."""
        subresource = resource.subresources.get(request.subresource)
        if subresource is None:
            raise StatusError.no_such_path()
        if request.verb not in subresource.verbs:
            raise StatusError.method_not_allowed()
        return await self._handlers.get(request.subresource, self._parts)(request, resource)

    async def reviews(self, request: Request, resource: Resource) -> Answer:
        """Kinds that can only be created: questions, and bindings."""
        if resource.kind.plural == "bindings":
            return await self._bindings(request, resource)
        return await self._questions(request, resource)


async def _not_here(request: Request, resource: Resource) -> Answer:
    raise StatusError(501, "NotImplemented", f"{request.subresource} is not served by this cluster", {})
