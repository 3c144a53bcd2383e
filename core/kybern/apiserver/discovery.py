"""Discovery: which groups, versions and resources there are, in the legacy and the aggregated form.

Made from the registered kinds when first asked for, and again when a kind was added.
(Kubernetes API Concepts, "API Discovery".)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import attrs
import msgspec

from kybern.api.errors import StatusError
from kybern.api.kind import Kind
from kybern.apiserver.encode import to_yaml
from kybern.apiserver.negotiate import Media, negotiate
from kybern.apiserver.paths import Paths, read_only
from kybern.apiserver.request import Request
from kybern.apiserver.resource import Resources
from kybern.apiserver.response import JSON, Answer, Response, nothing_here

__all__ = ["Discovery"]

_ORDER = (
    "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling",
    "batch",
    "certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io",
    "admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io",
    "discovery.k8s.io", "resource.k8s.io", "flowcontrol.apiserver.k8s.io",
)  # fmt: skip
"""Groups in the order in which clients prefer them; others follow by name."""

_AGGREGATED = "APIGroupDiscoveryList"


class Discovery:
    """The documents at /api and /apis."""

    def __init__(self, resources: Resources, address: str = "") -> None:
        self._resources = resources
        self.address = address
        """Host and port that /api tells clients."""
        self._made: dict[Any, tuple[bytes, str]] = {}
        self._generation: tuple[int, ...] = ()

    def serve(self, paths: Paths) -> None:
        """Add the paths."""
        paths.add("/api", read_only(self._api))
        paths.add("/apis", read_only(self._apis))
        paths.add("/api/*", read_only(self._below), listed=False)
        paths.add("/apis/*", read_only(self._below), listed=False)

    def listed(self) -> list[str]:
        """The paths of groups and versions, for the list at `/`."""
        found = []
        for group, versions in self._groups().items():
            base = f"/apis/{group}" if group else "/api"
            found += ([base] if group else []) + [f"{base}/{version}" for version in versions]
        return found

    def _groups(self) -> dict[str, dict[str, list[Kind]]]:
        """group -> version -> kinds, in order of preference."""
        found: dict[str, dict[str, list[Kind]]] = {}
        for resource in self._resources:
            kind = resource.kind
            found.setdefault(kind.group, {}).setdefault(kind.version, []).extend(_listed(kind))
        order = {group: i for i, group in enumerate(_ORDER)}
        ranked = sorted(found, key=lambda g: (order.get(g, len(order)), g))
        return {g: dict(sorted(found[g].items(), key=lambda v: _version_rank(v[0]))) for g in ranked}

    async def _api(self, request: Request) -> Answer:
        version = _aggregated_version(request)
        if version:
            return self._aggregated(request, version, [""])
        return self._document(request, "api", lambda: {
            "kind": "APIVersions", "versions": list(self._groups().get("", {})),
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": self.address}],
        })  # fmt: skip

    async def _apis(self, request: Request) -> Answer:
        version = _aggregated_version(request)
        if version:
            return self._aggregated(request, version, [g for g in self._groups() if g])
        return self._document(request, "apis", lambda: {
            "kind": "APIGroupList", "apiVersion": "v1",
            "groups": [_group(g, versions) for g, versions in self._groups().items() if g],
        })  # fmt: skip

    async def _below(self, request: Request) -> Answer:
        parts = request.path.strip("/").split("/")
        groups = self._groups()
        if parts[0] == "api" and len(parts) == 2 and parts[1] in groups.get("", {}):
            return self._document(request, parts[1], lambda: _resource_list("", parts[1], groups[""][parts[1]]))
        if parts[0] == "apis" and len(parts) > 1 and parts[1] in groups and parts[1]:
            group = parts[1]
            if len(parts) == 2:
                about = {"kind": "APIGroup", "apiVersion": "v1"}
                return self._document(request, group, lambda: about | _group(group, groups[group]))
            if len(parts) == 3 and parts[2] in groups[group]:
                kinds = groups[group][parts[2]]
                return self._document(request, (group, parts[2]), lambda: _resource_list(group, parts[2], kinds))
        elif parts[0] == "apis":
            return nothing_here()
        raise StatusError.no_such_path()

    def _document(self, request: Request, key: Any, make: Any) -> Response:
        media = negotiate(request)
        body, _ = self._cached(key, make)
        return _in_form(body, media)

    def _cached(self, key: Any, make: Any) -> tuple[bytes, str]:
        computed = (r.kind.computed.generation for r in self._resources if r.kind.computed is not None)
        generation = (self._resources.generation, *computed)
        if self._generation != generation:
            self._made.clear()
            self._generation = generation
        found = self._made.get(key)
        if found is None:
            body = msgspec.json.encode(make())
            found = self._made[key] = (body, hashlib.sha512(body).hexdigest().upper())
        return found

    def _aggregated(self, request: Request, version: str, groups: list[str]) -> Response:
        def make() -> dict[str, Any]:
            known = self._groups()
            items = [_aggregated_group(g, known[g]) for g in groups if g in known]
            return {"kind": _AGGREGATED, "apiVersion": f"apidiscovery.k8s.io/{version}", "metadata": {}, "items": items}

        body, digest = self._cached((_AGGREGATED, version, bool(groups and groups[0])), make)
        tag = f'"{digest}"'
        headers = {"ETag": tag, "Vary": "Accept", "Cache-Control": "public"}
        if request.headers.get("If-None-Match") == tag:
            return Response(304, b"", JSON, headers)
        content_type = f"{JSON};g=apidiscovery.k8s.io;v={version};as={_AGGREGATED}"
        return Response(200, body, content_type, headers)


def _listed(kind: Kind) -> list[Kind]:
    """A kind as discovery names it: mostly itself; one that stands for any name, under the names there are now."""
    if kind.computed is None or kind.plural != "*":
        return [kind]
    return [attrs.evolve(kind, plural=s.name, namespaced=s.namespaced) for s in kind.computed.served()]


def _in_form(body: bytes, media: Media) -> Response:
    if media.yaml:
        return Response(200, to_yaml(body), "application/yaml")
    return Response(200, msgspec.json.format(body, indent=2) + b"\n" if media.pretty else body)


def _aggregated_version(request: Request) -> str:
    """The version of the aggregated form that a client asks for before any other; "" for the legacy form."""
    for part in request.headers.get("Accept", "").split(","):
        media_type, *parameters = (p.strip() for p in part.split(";"))
        if (
            media_type == "application/json"
            and f"as={_AGGREGATED}" in parameters
            and "g=apidiscovery.k8s.io" in parameters
        ):
            for version in ("v2", "v2beta1"):
                if f"v={version}" in parameters:
                    return version
        elif media_type in ("application/json", "application/yaml", "*/*"):
            return ""
    return ""


def _version_rank(version: str) -> tuple[int, int, int]:
    """v2 before v1 before v1beta1 before v1alpha1."""
    for stage, mark in enumerate(("beta", "alpha"), start=1):
        major, found, minor = version.removeprefix("v").partition(mark)
        if found:
            return stage, -_number(major), -_number(minor)
    return 0, -_number(version.removeprefix("v")), 0


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _group(group: str, versions: Iterable[str]) -> dict[str, Any]:
    served = [{"groupVersion": f"{group}/{v}", "version": v} for v in versions]
    return {"name": group, "versions": served, "preferredVersion": served[0]}


def _resource_list(group: str, version: str, kinds: list[Kind]) -> dict[str, Any]:
    resources: list[dict[str, Any]] = []
    for kind in sorted(kinds, key=lambda k: k.plural):
        resources.append(_resource(kind))
        resources += [_subresource(kind, s) for s in sorted(kind.subresources, key=lambda s: s.name)]
    head: dict[str, Any] = {"kind": "APIResourceList"}
    if group:
        head["apiVersion"] = "v1"
    return head | {"groupVersion": f"{group}/{version}" if group else version, "resources": resources}


def _resource(kind: Kind) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "name": kind.plural, "singularName": kind.singular or kind.kind.lower(), "namespaced": kind.namespaced,
        "kind": kind.kind, "verbs": sorted(kind.verbs),
    }  # fmt: skip
    if kind.short_names:
        resource["shortNames"] = list(kind.short_names)
    if kind.categories:
        resource["categories"] = list(kind.categories)
    if "list" in kind.verbs and kind.computed is None:
        resource["storageVersionHash"] = _storage_hash(kind)
    return resource


def _subresource(kind: Kind, subresource: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": f"{kind.plural}/{subresource.name}", "singularName": "", "namespaced": kind.namespaced,
    }  # fmt: skip
    if subresource.group and subresource.group != kind.group:
        found |= {"group": subresource.group, "version": subresource.version}
    return found | {"kind": subresource.kind or kind.kind, "verbs": sorted(subresource.verbs)}


def _storage_hash(kind: Kind) -> str:
    import base64

    stored = "/".join((kind.group, *(kind.storage_version_of or (kind.group, kind.version))[1:], kind.kind))
    return base64.b64encode(hashlib.sha256(stored.encode()).digest()[:8]).decode()


def _aggregated_group(group: str, versions: dict[str, list[Kind]]) -> dict[str, Any]:
    return {
        "metadata": {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None},
        "versions": [
            {"version": v, "resources": _aggregated_resources(kinds), "freshness": "Current"}
            for v, kinds in versions.items()
        ],
    }  # fmt: skip


def _aggregated_resources(kinds: list[Kind]) -> list[dict[str, Any]]:
    return [_aggregated_resource(kind) for kind in sorted(kinds, key=lambda k: k.plural)]


def _aggregated_resource(kind: Kind) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": {"group": "", "version": "", "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular or kind.kind.lower(),
        "verbs": sorted(kind.verbs),
    }
    if kind.short_names:
        resource["shortNames"] = list(kind.short_names)
    if kind.categories:
        resource["categories"] = list(kind.categories)
    if kind.subresources:
        resource["subresources"] = [
            _aggregated_subresource(kind, s) for s in sorted(kind.subresources, key=lambda s: s.name)
        ]
    return resource


def _aggregated_subresource(kind: Kind, subresource: Any) -> dict[str, Any]:
    return {
        "subresource": subresource.name,
        "responseKind": {
            "group": subresource.group, "version": subresource.version, "kind": subresource.kind or kind.kind
        },
        "verbs": sorted(subresource.verbs),
    }  # fmt: skip
