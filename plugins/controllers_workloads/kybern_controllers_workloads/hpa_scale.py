"""The scale subresource of whatever a reference names, found through discovery: built-in and custom kinds alike."""

from __future__ import annotations

from typing import Any

import msgspec

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.client.framing import status_error
from kybern.client.interface import Client

__all__ = ["Scales"]


class Scales:
    """Reads and writes scales; remembers which path a kind has."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._struct = types.struct("autoscaling", "v1", "Scale")
        self._paths: dict[tuple[str, str], tuple[str, str]] = {}

    async def get(self, reference: Any, namespace: str) -> Any:
        """The Scale; StatusError when the reference leads nowhere."""
        base, plural = await self._path(reference)
        return await self._ask("GET", f"{base}/namespaces/{namespace}/{plural}/{reference.name}/scale")

    async def put(self, reference: Any, namespace: str, scale: Any) -> Any:
        """Write it; StatusError, 409 among them."""
        base, plural = await self._path(reference)
        path = f"{base}/namespaces/{namespace}/{plural}/{reference.name}/scale"
        return await self._ask("PUT", path, types.encode(scale))

    async def plural(self, reference: Any) -> str:
        """`deployments`; StatusError when no such kind is served."""
        return (await self._path(reference))[1]

    async def _ask(self, method: str, path: str, body: bytes = b"") -> Any:
        headers = {"Content-Type": "application/json"} if body else None
        code, data = await self._client.raw(method, path, body, headers)
        if code == 404:  # perhaps the kind is no longer where it was
            self._paths.clear()
        if code >= 400:
            raise status_error(code, data)
        return types.from_plain(self._struct, msgspec.json.decode(data))

    async def _path(self, reference: Any) -> tuple[str, str]:
        """(`/apis/apps/v1`, `deployments`)."""
        group, _, version = (reference.apiVersion or "v1").rpartition("/")
        key = (group, reference.kind)
        if key not in self._paths:
            self._paths[key] = await self._find(group, version, reference.kind)
        return self._paths[key]

    async def _find(self, group: str, version: str, kind: str) -> tuple[str, str]:
        for candidate in await self._versions(group, version):
            base = f"/apis/{group}/{candidate}" if group else f"/api/{candidate}"
            resources = (await self._document(base)).get("resources") or ()
            for resource in resources:
                if resource["kind"] == kind and "/" not in resource["name"]:
                    return base, resource["name"]
        text = f'no matches for kind "{kind}" in group "{group}"'
        raise StatusError(404, "NotFound", text, {})

    async def _versions(self, group: str, version: str) -> list[str]:
        """The version that is asked for, then the others that are served."""
        if not group:
            return [version]
        served = [v["version"] for v in (await self._document(f"/apis/{group}")).get("versions") or ()]
        return sorted(served, key=lambda v: v != version)

    async def _document(self, path: str) -> dict[str, Any]:
        code, body = await self._client.raw("GET", path)
        found: dict[str, Any] = msgspec.json.decode(body) if code == 200 else {}
        return found
