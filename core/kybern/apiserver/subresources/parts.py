"""Subresources that are a part of the object itself: status, ephemeralcontainers, resize, approval, finalize.

Reading one shows the whole object; writing one changes what the kind's `prepare_update` lets this
path change.
"""

from __future__ import annotations

from kybern.apiserver import body
from kybern.apiserver.backend import Backend
from kybern.apiserver.encode import Encoding
from kybern.apiserver.handlers import operation
from kybern.apiserver.negotiate import negotiate
from kybern.apiserver.options import write_options
from kybern.apiserver.patching import APPLY, applied_body, applied_decoder, change_of
from kybern.apiserver.request import Request
from kybern.apiserver.resource import Resource
from kybern.apiserver.response import Answer
from kybern.apiserver.verbs import read
from kybern.apiserver.verbs.update import replace, update

__all__ = ["Parts"]


class Parts:
    """get, update and patch of a part."""

    def __init__(self, backend: Backend, encoding: Encoding) -> None:
        self._backend = backend
        self._encoding = encoding

    async def __call__(self, request: Request, resource: Resource) -> Answer:
        """Answer one request."""
        media = negotiate(request)
        if request.verb == "get":
            item = await read.get(resource, operation(request))
            return self._encoding.item(request, resource, item, media)
        options = write_options(request.query, "PatchOptions" if request.verb == "patch" else "UpdateOptions")
        op = operation(request, options.dry_run, options.field_manager)
        if request.verb == "patch" and body.media_type(request) == APPLY:
            from kybern.apiserver.verbs.apply import apply

            wanted = await applied_body(request, options)
            decode = applied_decoder(request, resource, options)
            written = await apply(self._backend, resource, op, wanted, decode, force=options.force)
        elif request.verb == "patch":
            change = await change_of(request, resource.struct, options.field_validation)
            written = await update(self._backend, resource, op, change, blind=True)
        else:
            obj = await body.read_object(request, resource.kind, options.field_validation)
            written = await replace(self._backend, resource, op, obj)
        return self._encoding.written(request, resource, written, media)
