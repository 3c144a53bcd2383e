"""One request and what its path says: group, version, resource, name, verb (upstream: `RequestInfo`).

The first stage after the listener. Everything later reads the same parse, so that what was
authorized is what is done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from kybern.api import selectors
from kybern.api.errors import StatusError
from kybern.apiserver.user import ANONYMOUS, User

__all__ = ["Request", "query_bool", "query_int", "readable"]

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_COLLECTION = {"get": "list", "delete": "deletecollection"}
_NAMESPACE_SUBRESOURCES = ("status", "finalize")
_FALSE = ("false", "0")


def query_bool(query: Mapping[str, list[str]], name: str) -> bool:
    """A flag of the query: present and anything but `false` or `0` is true, as upstream reads it."""
    values = query.get(name)
    return bool(values) and values[0].lower() not in _FALSE  # type: ignore[index]  # not empty here


def query_int(query: Mapping[str, list[str]], name: str) -> int | None:
    """A number of the query; StatusError 400 when it is none."""
    values = query.get(name)
    if not values or not values[0]:
        return None
    text = values[0]
    digits = text[1:] if text[0] in "+-" else text
    if not (digits.isascii() and digits.isdigit()):
        raise StatusError.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if abs(number := int(text[:25])) >= 2**63:
        raise StatusError.bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
    return number


class Request:
    """A request on its way through the stages; each fills in what it finds out."""

    __slots__ = (
        "_body",
        "_read",
        "certificate",
        "group",
        "headers",
        "http",
        "impersonator",
        "method",
        "name",
        "namespace",
        "now",
        "path",
        "peer",
        "query",
        "resource",
        "resource_request",
        "rest",
        "subresource",
        "user",
        "verb",
        "version",
        "warnings",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        read: Callable[[], Awaitable[bytes]],
        now: float,
        *,
        peer: str = "",
        certificate: bytes | None = None,
        http: Any = None,
    ) -> None:
        """`target`: path and query as sent; `read`: gets the body from the connection, once."""
        raw_path, _, raw_query = target.partition("?")
        self.method = method
        self.path = unquote(raw_path) if "%" in raw_path else raw_path
        self.query: dict[str, list[str]] = _parse_query(raw_query) if raw_query else {}
        self.headers = headers
        self._read = read
        self._body: bytes | None = None
        self.now = now
        self.peer = peer
        self.certificate = certificate
        self.http = http
        self.user: User = ANONYMOUS
        self.impersonator: User | None = None
        self.warnings: list[str] = []
        self.group = self.version = self.namespace = self.resource = self.name = self.subresource = ""
        self.rest: tuple[str, ...] = ()
        """Path segments after the subresource (`pods/x/proxy/a/b`)."""
        self.resource_request = False
        self.verb = method.lower()
        self._parse_path()

    def _parse_path(self) -> None:
        if self.path.startswith("//"):
            return
        parts = self.path.strip("/").split("/")
        if parts[0] == "api" and len(parts) > 2:
            self.version = parts[1]
            self._parse_resource(parts[2:])
        elif parts[0] == "apis" and len(parts) > 3:
            self.group, self.version = parts[1], parts[2]
            self._parse_resource(parts[3:])

    def _parse_resource(self, parts: list[str]) -> None:
        self.resource_request = True
        self.verb = _VERBS.get(self.method, "")
        if "" in parts:
            # An empty segment names nothing; without this, it would read as "all namespaces".
            return
        if parts[0] in ("watch", "proxy") and len(parts) > 1:
            self.verb = parts[0]
            parts = parts[1:]
        if parts[0] == "namespaces" and len(parts) > 1:
            self.namespace = parts[1]
            if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
                parts = parts[2:]
        self.resource = parts[0]
        if len(parts) > 1:
            self.name = parts[1]
        if len(parts) > 2:
            self.subresource = parts[2]
            self.rest = tuple(parts[3:])
        if not self.name:
            self._name_collection_verb()

    def _name_collection_verb(self) -> None:
        self.verb = _COLLECTION.get(self.verb, self.verb)
        if self.verb == "list" and query_bool(self.query, "watch"):
            self.verb = "watch"
        if self.verb in ("list", "watch", "deletecollection") and "fieldSelector" in self.query:
            self.name = _selected_name(self.query["fieldSelector"][0])

    async def body(self) -> bytes:
        """The body, read when first asked for; StatusError 413 when it is too large."""
        if self._body is None:
            self._body = await self._read()
        return self._body


def _selected_name(text: str) -> str:
    """The one name that a field selector asks for, so that rules with resourceNames can allow a watch of it."""
    try:
        wanted = [(f, o, v) for f, o, v in selectors.parse_fields(text).requirements if f == "metadata.name"]
    except ValueError:
        return ""
    return wanted[0][2] if len(wanted) == 1 and wanted[0][1] in ("=", "==") else ""


def _parse_query(text: str) -> dict[str, list[str]]:
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=None):
        query.setdefault(name, []).append(value)
    return query


def readable(header: str) -> str:
    """A header's value as text that can be encoded again: bytes that are no UTF-8 become the replacement character."""
    return header if header.isascii() else header.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
