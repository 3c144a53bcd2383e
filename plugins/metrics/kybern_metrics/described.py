"""What NodeMetrics and PodMetrics look like, for OpenAPI and `kubectl explain`."""

from __future__ import annotations

from collections.abc import Sequence

from kybern.api.computed import Described
from kybern.api.schema import Definition, Field, Type

__all__ = ["described"]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_STRING = Type("string")
_USAGE = Type("map", item=Type("quantity"))
_TEXTS = {
    "apiVersion": "The version of this form of the object.",
    "kind": "What the object is.",
    "metadata": "Name, namespace and labels of what was measured.",
    "timestamp": "When the measuring ended.",
    "window": "How long was measured, up to the timestamp.",
    "usage": "CPU in cores, averaged over the window, and the memory in use.",
    "containers": "Each running container of the pod.",
    "name": "The container's name.",
    "items": "One per object that was measured.",
}


def described(version: str, kind: str) -> Sequence[Described]:
    """The definitions of a kind, its list, and the containers of pods."""
    prefix = f"io.k8s.metrics.pkg.apis.metrics.{version}"

    def definition(short: str, text: str, **fields: Type) -> Described:
        of_kind = (("metrics.k8s.io", version, short),) if "metadata" in fields else ()
        if of_kind:
            fields = {"apiVersion": _STRING, "kind": _STRING, **fields}
        required = {name: name not in ("apiVersion", "kind", "metadata") for name in fields}
        made = {name: Field(name, type, required[name]) for name, type in fields.items()}
        return Described(Definition(f"{prefix}.{short}", made, of_kind), text, {n: _TEXTS[n] for n in fields})

    container = f"{prefix}.ContainerMetrics"
    measured = {"usage": _USAGE}
    if kind == "PodMetrics":
        measured = {"containers": Type("list", item=Type("struct", container))}
    time = {"timestamp": Type("time"), "window": _STRING}
    items = Type("list", item=Type("struct", f"{prefix}.{kind}"))
    return (
        definition(kind, f"What a {kind.removesuffix('Metrics').lower()} uses now.",
                   metadata=Type("struct", f"{_META}.ObjectMeta"), **time, **measured),
        definition(f"{kind}List", f"{kind} of several.", metadata=Type("struct", f"{_META}.ListMeta"), items=items),
        definition("ContainerMetrics", "What a container uses now.", name=_STRING, usage=_USAGE),
    )  # fmt: skip
