"""Which resources a server serves, asked of the server itself: for controllers that care about all kinds."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.client.framing import status_error
from kybern.client.interface import Client

__all__ = ["Resource", "served"]

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@attrs.frozen
class Resource:
    """One resource, in the version its group prefers."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]
    subresources: frozenset[str] = frozenset()

    @property
    def struct(self) -> type[Any] | None:
        """The Struct class of its objects; None when we have no type for it."""
        try:
            return types.struct(self.group, self.version, self.kind)
        except KeyError:
            return None

    @property
    def name(self) -> str:
        """`pods`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


async def served(client: Client) -> list[Resource]:
    """All resources that can be listed, each once. StatusError when the server does not answer."""
    found: dict[tuple[str, str], Resource] = {}
    for path in ("/api", "/apis"):
        code, body = await client.raw("GET", path, headers={"Accept": AGGREGATED})
        if code >= 400:
            raise status_error(code, body)
        for resource in _read(body):
            found.setdefault((resource.group, resource.plural), resource)
    return list(found.values())


def _read(body: bytes) -> list[Resource]:
    """Versions come in the order of the server's preference."""
    document = msgspec.json.decode(body)
    if document.get("kind") != "APIGroupDiscoveryList":
        raise StatusError(406, "NotAcceptable", "the server has no aggregated discovery")
    return [
        Resource(
            group=group.get("metadata", {}).get("name") or "",
            version=version["version"],
            kind=resource["responseKind"]["kind"],
            plural=resource["resource"],
            namespaced=resource["scope"] == "Namespaced",
            verbs=frozenset(resource["verbs"]),
            subresources=frozenset(sub["subresource"] for sub in resource.get("subresources") or ()),
        )
        for group in document.get("items") or ()
        for version in group.get("versions") or ()
        for resource in version.get("resources") or ()
        if "list" in resource["verbs"]
    ]
