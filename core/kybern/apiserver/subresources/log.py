"""log: what a container wrote, from the node that runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from kybern.api.errors import StatusError
from kybern.api.field import Errors
from kybern.api.time import parse_time
from kybern.apiserver.backend import Backend
from kybern.apiserver.handlers import operation
from kybern.apiserver.nodes import LogOptions
from kybern.apiserver.request import Request, query_bool, query_int
from kybern.apiserver.resource import Resource
from kybern.apiserver.response import Answer, Response

__all__ = ["LogAnswer", "Logs"]

_TEXT = "text/plain; charset=utf-8"
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_STREAMS = ("All", "Stdout", "Stderr")


class Logs:
    """GET of a pod's log."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def __call__(self, request: Request, resource: Resource) -> Answer:
        """Answer one request."""
        op = operation(request)
        pod = resource.item(op.namespace, op.name).object
        options = _options(request)
        container = _container(pod, request.query.get("container", [""])[0])
        if not pod.spec.nodeName:
            return Response(200, b"", _TEXT)
        chunks = await self._backend.nodes.logs(pod.spec.nodeName, pod, container, options)
        return LogAnswer(chunks)


def _options(request: Request) -> LogOptions:
    query = request.query
    options = LogOptions(
        query_bool(query, "follow"), query_bool(query, "previous"), query_int(query, "sinceSeconds"),
        query.get("sinceTime", [""])[0], query_bool(query, "timestamps"), query_int(query, "tailLines"),
        query_int(query, "limitBytes"), query.get("stream", ["All"])[0] or "All",
    )  # fmt: skip
    errors = Errors()
    if options.tail_lines is not None and options.tail_lines < 0:
        errors.invalid("tailLines", options.tail_lines, "must be greater than or equal to 0")
    if options.limit_bytes is not None and options.limit_bytes < 1:
        errors.invalid("limitBytes", options.limit_bytes, "must be greater than 0")
    if options.since_seconds is not None and options.since_time:
        errors.forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified")
    elif options.since_seconds is not None and options.since_seconds < 1:
        errors.invalid("sinceSeconds", options.since_seconds, "must be greater than 0")
    _check_time(options.since_time, errors)
    if options.stream not in _STREAMS:
        errors.not_supported("stream", options.stream, _STREAMS)
    if errors:
        raise StatusError.invalid("PodLogOptions", "", request.name, errors)
    return options


def _check_time(text: str, errors: Errors) -> None:
    if not text:
        return
    try:
        parse_time(text)
    except ValueError as error:
        errors.invalid("sinceTime", text, str(error))


def _names(containers: Any) -> list[str]:
    return [c.name for c in containers or ()]


def _container(pod: Any, wanted: str) -> str:
    """The container meant; StatusError 400 when that is not clear."""
    spec = pod.spec
    main, first = _names(spec.containers), _names(spec.initContainers)
    name = pod.metadata.name
    known = main + first + _names(spec.ephemeralContainers)
    if wanted:
        if wanted not in known:
            raise StatusError.bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(main) == 1:
        return main[0]
    default = (pod.metadata.annotations or {}).get(_DEFAULT_CONTAINER)
    if default in known:
        return str(default)
    init = f" or one of the init containers: [{' '.join(first)}]" if first else ""
    raise StatusError.bad_request(
        f"a container name must be specified for pod {name}, choose one of: [{' '.join(main)}]{init}"
    )


class LogAnswer:
    """A log on its way to the client."""

    status = 200

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.chunks = chunks

    async def run(self, http: Any) -> web.StreamResponse:
        """Write until the log ends or the client goes."""
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        try:
            await response.prepare(http)
            async for chunk in self.chunks:
                if chunk:
                    await response.write(chunk)
        finally:
            close = getattr(self.chunks, "aclose", None)
            if close is not None:
                await close()
        await response.write_eof()
        return response
