"""The client for any Kubernetes API server over HTTPS.

A request is sent again only where that cannot do harm: when the server refused it unprocessed (429,
or a connection that could not be made), and, for reads, when the connection broke or the server
was unavailable. aiohttp is imported at the first request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.client.framing import Lines, read_event, read_list, status_error, unavailable
from kybern.client.interface import Client, Event, ObjectList, PatchType, Propagation
from kybern.client.kubeconfig import Connection
from kybern.client.paths import resource_path, with_query
from kybern.clock import Clock, SystemClock

if TYPE_CHECKING:
    import aiohttp

K = TypeVar("K")

__all__ = ["HTTPClient"]

ATTEMPTS = 5
RETRY_DELAY = 0.1
TOKEN_AGE = 60.0
WATCH_SECONDS = 540
WATCH_SLACK = 30.0

_PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
_JSON = {"Content-Type": "application/json"}


class HTTPClient(Client):
    """One server and one identity; connections are kept and shared."""

    def __init__(
        self,
        connection: Connection,
        clock: Clock | None = None,
        *,
        timeout: float = 60.0,
        user_agent: str = "kybern",
    ) -> None:
        self.connection = connection
        self._clock = clock or SystemClock()
        self._timeout = timeout
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None
        self._ssl: Any = True
        self._sni: dict[str, Any] = {}
        self._token = connection.token
        self._token_read = float("-inf")

    async def get(self, kind: type[K], name: str, namespace: str = "", *, resource_version: str = "") -> K:
        path = self._path(kind, namespace, name, query={"resourceVersion": resource_version})
        return types.decode(kind, await self._call("GET", path))

    async def list(
        self,
        kind: type[K],
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
    ) -> ObjectList[K]:
        query: dict[str, str | int | bool] = {
            "labelSelector": labels, "fieldSelector": fields, "limit": limit, "continue": continue_,
            "resourceVersion": resource_version,
        }  # fmt: skip
        return read_list(kind, await self._call("GET", self._path(kind, namespace, query=query)))

    async def watch(
        self,
        kind: type[K],
        namespace: str = "",
        *,
        resource_version: str = "",
        labels: str = "",
        fields: str = "",
        bookmarks: bool = True,
    ) -> AsyncIterator[Event[K]]:
        query: dict[str, str | int | bool] = {
            "watch": True, "resourceVersion": resource_version, "labelSelector": labels, "fieldSelector": fields,
            "allowWatchBookmarks": bookmarks, "timeoutSeconds": WATCH_SECONDS,
        }  # fmt: skip
        lines = Lines()
        async for chunk in self.stream(self._path(kind, namespace, query=query), WATCH_SECONDS + WATCH_SLACK):
            for line in lines.feed(chunk):
                yield read_event(kind, line)

    async def create(self, obj: K, *, dry_run: bool = False, field_manager: str = "") -> K:
        path = self._path(type(obj), _namespace(obj), query=_write_query(dry_run, field_manager))
        return types.decode(type(obj), await self._call("POST", path, types.encode(obj), _JSON))

    async def update(self, obj: K, *, subresource: str = "", dry_run: bool = False, field_manager: str = "") -> K:
        name = cast(Any, obj).metadata.name
        path = self._path(type(obj), _namespace(obj), name, subresource, _write_query(dry_run, field_manager))
        return types.decode(type(obj), await self._call("PUT", path, types.encode(obj), _JSON))

    async def patch(
        self,
        kind: type[K],
        name: str,
        namespace: str,
        patch: Any,
        *,
        type: PatchType = "merge",
        subresource: str = "",
        dry_run: bool = False,
        field_manager: str = "",
        force: bool = False,
    ) -> K:
        query = _write_query(dry_run, field_manager) | {"force": force}
        headers = {"Content-Type": _PATCH_TYPES[type]}
        path = self._path(kind, namespace, name, subresource, query)
        return types.decode(kind, await self._call("PATCH", path, msgspec.json.encode(patch), headers))

    async def delete(
        self,
        kind: type[K],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        propagation: Propagation | None = None,
        grace_period: int | None = None,
        dry_run: bool = False,
    ) -> Any:
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
        preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v}
        if preconditions:
            options["preconditions"] = preconditions
        if propagation:
            options["propagationPolicy"] = propagation
        if grace_period is not None:
            options["gracePeriodSeconds"] = grace_period
        if dry_run:
            options["dryRun"] = ["All"]
        answer = await self._call("DELETE", self._path(kind, namespace, name), msgspec.json.encode(options), _JSON)
        return _object_or_plain(kind, answer)

    async def delete_collection(
        self,
        kind: type[K],
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        propagation: Propagation | None = None,
    ) -> None:
        query: dict[str, str | int | bool] = {"labelSelector": labels, "fieldSelector": fields}
        if propagation:
            query["propagationPolicy"] = propagation
        await self._call("DELETE", self._path(kind, namespace, query=query))

    async def create_subresource(self, kind: type[Any], name: str, namespace: str, subresource: str, body: Any) -> Any:
        path = self._path(kind, namespace, name, subresource)
        return _object_or_plain(type(body), await self._call("POST", path, types.encode(body), _JSON))

    async def raw(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        code, answer, _ = await self._send(method, path, body, headers or {})
        return code, answer

    async def stream(self, path: str, seconds: float | None = None) -> AsyncIterator[bytes]:
        """The body of a GET as it comes (watches, logs); ended after `seconds`, lest a dead peer keep us for ever."""
        import aiohttp

        try:
            async with self._connections().get(
                self._url(path), headers=self._headers({}), ssl=self._ssl, **self._sni
            ) as answer:
                if answer.status >= 400:
                    raise status_error(answer.status, await answer.read())
                timer = self._clock.call_later(seconds, answer.close) if seconds else None
                try:
                    async for chunk in answer.content.iter_any():
                        yield chunk
                finally:
                    if timer:
                        timer.cancel()
        except (aiohttp.ClientError, OSError) as error:
            raise unavailable(error) from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _path(
        self,
        kind: type[Any],
        namespace: str,
        name: str = "",
        subresource: str = "",
        query: dict[str, str | int | bool] | None = None,
    ) -> str:
        return with_query(resource_path(types.kind_of(kind), namespace, name, subresource), query or {})

    async def _call(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
        for attempt in range(1, ATTEMPTS + 1):
            code, answer, retry_after = await self._send(method, path, body, headers or {})
            if code < 400:
                return answer
            again = code == 429 or (code in (502, 503, 504) and method == "GET")
            if not again or attempt == ATTEMPTS:
                break
            await self._clock.sleep(retry_after or RETRY_DELAY * 2**attempt)
        raise status_error(code, answer)

    async def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, float]:
        """(code, body, seconds of Retry-After). A broken connection is a StatusError 503."""
        import aiohttp

        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._clock.wait_for(self._exchange(method, path, body, headers), self._timeout)
            except TimeoutError as error:
                raise StatusError(504, "Timeout", f"{method} {path}: {error}") from None
            except (aiohttp.ClientError, OSError) as error:
                unsent = isinstance(error, aiohttp.ClientConnectorError)
                harmless = unsent or method == "GET"
                certificate = isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError)
                if not harmless or certificate or attempt == ATTEMPTS:
                    raise unavailable(error) from None
            await self._clock.sleep(RETRY_DELAY * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    async def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, float]:
        request = self._connections().request(
            method, self._url(path), data=body or None, headers=self._headers(headers), ssl=self._ssl, **self._sni
        )
        async with request as answer:
            after = answer.headers.get("Retry-After", "")
            return answer.status, await answer.read(), float(after) if after.isdigit() else 0.0

    def _connections(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            self._ssl = self.connection.ssl_context() or True
            if self.connection.server_name:
                self._sni = {"server_hostname": self.connection.server_name}
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
                headers={"User-Agent": self._user_agent, "Accept": "application/json"},
                auto_decompress=True,
            )
        return self._session

    def _url(self, path: str) -> Any:
        from yarl import URL

        return URL(self.connection.server + path, encoded=True)

    def _headers(self, given: dict[str, str]) -> Any:
        from multidict import CIMultiDict

        connection = self.connection
        headers = CIMultiDict(given)
        token = self._current_token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        elif connection.username:
            import base64

            pair = base64.b64encode(f"{connection.username}:{connection.password}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        if connection.impersonate:
            headers["Impersonate-User"] = connection.impersonate
        for group in connection.impersonate_groups:
            headers.add("Impersonate-Group", group)
        return headers

    def _current_token(self) -> str:
        file = self.connection.token_file
        if file is None or self._clock.monotonic() - self._token_read < TOKEN_AGE:
            return self._token
        try:
            self._token = file.read_text().strip()
        except OSError as error:
            if not self._token:
                raise unavailable(f"cannot read the token file {file}: {error.strerror}") from None
        self._token_read = self._clock.monotonic()
        return self._token


def _namespace(obj: Any) -> str:
    return obj.metadata.namespace or ""


def _write_query(dry_run: bool, field_manager: str) -> dict[str, str | int | bool]:
    return {"dryRun": "All" if dry_run else "", "fieldManager": field_manager}


def _object_or_plain(kind: type[Any], answer: bytes) -> Any:
    """The object if the answer is one of this kind, else (a Status, mostly) plain data."""
    plain = msgspec.json.decode(answer)
    if isinstance(plain, dict) and plain.get("kind") == kind.__name__:
        return types.decode(kind, answer)
    return plain
