"""Paths and operations of resources, for both OpenAPI versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from kybern.api import schema, types
from kybern.api.kind import Kind, Subresource
from kybern.apiserver.openapi.schemas import Writer

__all__ = ["paths_of"]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_JSON, _YAML = "application/json", "application/yaml"
_PATCHES = (
    "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
)  # fmt: skip

_TEXT: dict[str, tuple[str, str]] = {
    # name: (type, description)
    "pretty": ("string", "If 'true', the output is pretty printed."),
    "dryRun": ("string", "All: the request goes through every stage but nothing is stored."),
    "fieldManager": ("string", "Name of the actor that makes the change; at most 128 printable characters."),
    "fieldValidation": ("string", "What to do about unknown and duplicate fields: Ignore, Warn or Strict."),
    "force": ("boolean", "Take over fields that others manage. Only for apply patches."),
    "labelSelector": ("string", "Only objects whose labels match."),
    "fieldSelector": ("string", "Only objects whose fields match."),
    "limit": ("integer", "At most so many objects; the answer then has a `continue` token."),
    "continue": ("string", "The token of a former answer: go on from there."),
    "resourceVersion": ("string", "Which state is wanted; see resourceVersionMatch."),
    "resourceVersionMatch": ("string", "How resourceVersion is meant: Exact or NotOlderThan."),
    "timeoutSeconds": ("integer", "How long the call may last."),
    "watch": ("boolean", "Follow changes instead of listing."),
    "allowWatchBookmarks": ("boolean", "Send BOOKMARK events on a watch."),
    "sendInitialEvents": ("boolean", "Begin a watch with the present objects."),
    "gracePeriodSeconds": ("integer", "Seconds before the object is deleted; zero is at once."),
    "orphanDependents": ("boolean", "Older form of propagationPolicy."),
    "propagationPolicy": ("string", "What happens to dependents: Orphan, Background or Foreground."),
}
_LIST = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents", "timeoutSeconds", "watch",
)  # fmt: skip
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_DELETE = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")

_VERBS = {
    # verb: (HTTP method, x-kubernetes-action, word in the operation id, parameters)
    "list": ("get", "list", "list", _LIST),
    "create": ("post", "post", "create", _WRITE),
    "deletecollection": ("delete", "deletecollection", "deletecollection", (*_LIST[1:-1], *_DELETE)),
    "get": ("get", "get", "read", ()),
    "update": ("put", "put", "replace", _WRITE),
    "patch": ("patch", "patch", "patch", (*_WRITE, "force")),
    "delete": ("delete", "delete", "delete", _DELETE),
}
_ON_COLLECTION = ("list", "create", "deletecollection")


@attrs.frozen
class Place:
    """A path that is described."""

    path: str
    kind: Kind
    verbs: tuple[str, ...]
    subresource: Subresource | None = None
    everywhere: bool = False
    """A namespaced resource, across all namespaces."""


def _base(kind: Kind) -> str:
    return f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"


def _places(kind: Kind) -> Iterator[Place]:
    base = _base(kind)
    collection = f"{base}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{base}/{kind.plural}"
    yield Place(collection, kind, tuple(v for v in _ON_COLLECTION if v in kind.verbs))
    if kind.namespaced and "list" in kind.verbs:
        yield Place(f"{base}/{kind.plural}", kind, ("list",), everywhere=True)
    yield Place(
        f"{collection}/{{name}}", kind, tuple(v for v in ("get", "update", "patch", "delete") if v in kind.verbs)
    )
    for subresource in kind.subresources:
        verbs = tuple(v for v in ("get", "create", "update", "patch", "delete") if v in subresource.verbs)
        yield Place(f"{collection}/{{name}}/{subresource.name}", kind, verbs, subresource)


def paths_of(kinds: list[Kind], writer: Writer, *, v3: bool) -> dict[str, Any]:
    """The `paths` of a document about these kinds."""
    found: dict[str, Any] = {}
    for kind in kinds:
        for place in _places(kind):
            if place.verbs:
                found[place.path] = _path_item(place, writer, v3)
    return dict(sorted(found.items()))


def _path_item(place: Place, writer: Writer, v3: bool) -> dict[str, Any]:
    item: dict[str, Any] = {_VERBS[verb][0]: _operation(place, verb, writer, v3) for verb in place.verbs}
    shared = [_path_parameter(name, v3) for name in ("name", "namespace") if "{" + name + "}" in place.path]
    item["parameters"] = [*shared, _parameter("pretty", v3)]
    return item


def _operation(place: Place, verb: str, writer: Writer, v3: bool) -> dict[str, Any]:
    kind, (_, action, word, parameters) = place.kind, _VERBS[verb]
    body, answer = _bodies(place, verb, writer)
    operation: dict[str, Any] = {
        "description": f"{word} {_described(place)}",
        "operationId": _operation_id(place, word),
        "tags": [_tag(kind)],
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(place),
        "parameters": [_parameter(name, v3) for name in parameters],
    }
    consumes = _PATCHES if verb == "patch" else (_JSON, _YAML)
    _describe_body(operation, body, consumes, v3)
    codes = {
        "create": ("200", "201", "202"),
        "update": ("200", "201"),
        "patch": ("200", "201"),
        "delete": ("200", "202"),
    }
    operation["responses"] = {code: _response(answer, v3) for code in codes.get(verb, ("200",))} | {
        "401": {"description": "Unauthorized"}
    }
    if not v3:
        operation |= {
            "consumes": list(consumes) if verb == "patch" else ["*/*"],
            "produces": [_JSON, _YAML],
            "schemes": ["https"],
        }
    return operation


def _described(place: Place) -> str:
    below = f"{place.subresource.name} of the specified " if place.subresource else ""
    return f"{below}{place.kind.kind}"


def _tag(kind: Kind) -> str:
    return f"{_camel(kind.group)}_{kind.version}" if kind.group else f"core_{kind.version}"


def _camel(group: str) -> str:
    first, *rest = group.removesuffix(".k8s.io").split(".")
    return first + "".join(part.capitalize() for part in rest)


def _operation_id(place: Place, word: str) -> str:
    kind = place.kind
    group = "".join(part.capitalize() for part in (kind.group.removesuffix(".k8s.io") or "core").split("."))
    where = "Namespaced" if kind.namespaced and not place.everywhere else ""
    if word == "deletecollection":
        return f"delete{group}{kind.version.capitalize()}Collection{where}{kind.kind}"
    below = place.subresource.name.capitalize() if place.subresource else ""
    tail = "ForAllNamespaces" if place.everywhere else ""
    return f"{word}{group}{kind.version.capitalize()}{where}{kind.kind}{below}{tail}"


def _gvk(place: Place) -> dict[str, str]:
    kind, below = place.kind, place.subresource
    if below is not None and below.kind:
        return {"group": below.group, "kind": below.kind, "version": below.version or kind.version}
    return {"group": kind.group, "kind": kind.kind, "version": kind.version}


def _definition(place: Place) -> str:
    gvk, computed = _gvk(place), place.kind.computed
    if computed is not None:
        return computed.described[0].definition.name
    found = schema.find(gvk["group"], gvk["version"], gvk["kind"])
    return found or types.definition_of(place.kind.struct).name


def _list_definition(kind: Kind) -> str | None:
    if kind.computed is not None:
        return kind.computed.described[1].definition.name
    return schema.find(kind.group, kind.version, kind.kind + "List")


def _bodies(place: Place, verb: str, writer: Writer) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """(schema of the request's body or None, schema of the answer)."""
    own = writer.reference(_definition(place))
    if verb in ("create", "update"):
        return own, own
    if verb == "patch":
        return {"type": "object"}, own
    if verb in ("delete", "deletecollection"):
        return writer.reference(f"{_META}.DeleteOptions"), writer.reference(f"{_META}.Status")
    if verb == "list":
        listed = _list_definition(place.kind)
        return None, writer.reference(listed) if listed else {"type": "object"}
    if place.subresource is not None and place.subresource.name == "log":
        return None, {"type": "string"}
    return None, own


def _describe_body(operation: dict[str, Any], body: dict[str, Any] | None, consumes: tuple[str, ...], v3: bool) -> None:
    if body is None:
        return
    required = operation["x-kubernetes-action"] not in ("delete", "deletecollection")
    if v3:
        operation["requestBody"] = {
            "content": {m: {"schema": body} for m in consumes},
            **({"required": True} if required else {}),
        }
    else:
        operation["parameters"].append(
            {"name": "body", "in": "body", "schema": body, **({"required": True} if required else {})}
        )


def _response(answer: dict[str, Any], v3: bool) -> dict[str, Any]:
    if v3:
        return {"description": "OK", "content": {m: {"schema": answer} for m in (_JSON, _YAML)}}
    return {"description": "OK", "schema": answer}


def _parameter(name: str, v3: bool) -> dict[str, Any]:
    kind, description = _TEXT[name]
    made: dict[str, Any] = {"name": name, "in": "query", "description": description}
    return made | ({"schema": {"type": kind, "uniqueItems": True}} if v3 else {"type": kind, "uniqueItems": True})


def _path_parameter(name: str, v3: bool) -> dict[str, Any]:
    about = "name of the object" if name == "name" else "namespace of the object"
    made: dict[str, Any] = {"name": name, "in": "path", "description": about, "required": True}
    return made | (
        {"schema": {"type": "string", "uniqueItems": True}} if v3 else {"type": "string", "uniqueItems": True}
    )
