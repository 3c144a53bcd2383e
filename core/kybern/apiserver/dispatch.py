"""The route stage: which resource a path means, and which verb of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kybern.api.errors import StatusError
from kybern.apiserver.computed import ComputedReads
from kybern.apiserver.handlers import Handlers
from kybern.apiserver.paths import Paths
from kybern.apiserver.request import Request
from kybern.apiserver.resource import Resource, Resources
from kybern.apiserver.response import Answer, nothing_here
from kybern.apiserver.subresources import Subresources

__all__ = ["Dispatch"]

Handler = Callable[[Request, Resource], Awaitable[Answer]]

_ONE_OBJECT = frozenset({"get", "update", "patch", "delete"})
_ACROSS_NAMESPACES = frozenset({"list", "watch"})


class Dispatch:
    """Finds the handler of a request."""

    def __init__(self, resources: Resources, handlers: Handlers, subresources: Subresources, paths: Paths) -> None:
        self._resources = resources
        self._subresources = subresources
        self._paths = paths
        self._reviews = subresources.reviews
        self._computed = ComputedReads(handlers.encoding)
        self._verbs: dict[str, Handler] = {
            verb: getattr(handlers, verb)
            for verb in ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
        }

    async def __call__(self, request: Request) -> Answer:
        """Do what the request asks; StatusError 404 and 405 for what is not served."""
        if not request.resource_request:
            return await self._paths(request)
        resource = self._resources.find(request.group, request.version, request.resource)
        if resource is None:
            if request.group and not self._resources.serves(request.group):
                return nothing_here()
            raise StatusError.no_such_path()
        if resource.kind.computed is not None:
            return await self._computed(request, resource)
        self._check_scope(request, resource)
        if request.subresource:
            return await self._subresources(request, resource)
        verb = request.verb
        if verb not in resource.verbs or verb not in self._verbs or (verb == "create" and request.name):
            raise StatusError.method_not_allowed()
        if verb in _ONE_OBJECT and not request.name:
            raise StatusError.method_not_allowed()
        if resource.kind.verbs == ("create",):
            return await self._reviews(request, resource)
        return await self._verbs[verb](request, resource)

    @staticmethod
    def _check_scope(request: Request, resource: Resource) -> None:
        """A cluster-scoped resource has no path below a namespace; a namespaced one can only be read across them."""
        if request.rest and request.subresource != "proxy":
            raise StatusError.no_such_path()
        if request.namespace and not resource.kind.namespaced:
            itself = resource.kind.plural == "namespaces" and request.name == request.namespace
            if not itself:
                raise StatusError.no_such_path()
        if resource.kind.namespaced and not request.namespace and request.verb not in _ACROSS_NAMESPACES:
            if request.name and request.verb != "deletecollection":
                raise StatusError.no_such_path()
            raise StatusError.method_not_allowed()
