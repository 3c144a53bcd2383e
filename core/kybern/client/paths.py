"""Which URL a verb on an object has."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from kybern.api.kind import Kind

__all__ = ["resource_path", "with_query"]


def resource_path(kind: Kind, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """`/apis/apps/v1/namespaces/default/deployments/web/scale`; parts that are "" are left out."""
    parts = ["/apis", kind.group, kind.version] if kind.group else ["/api", kind.version]
    if kind.namespaced and namespace:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(kind.plural)
    if name:
        parts.append(quote(name, safe=":"))
    if subresource:
        parts.append(subresource)
    return "/".join(parts)


def with_query(path: str, parameters: dict[str, str | int | bool]) -> str:
    """The path with those parameters that are not empty."""
    given = {key: "true" if value is True else str(value) for key, value in parameters.items() if value}
    return f"{path}?{urlencode(given)}" if given else path
