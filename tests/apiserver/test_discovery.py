"""Discovery and OpenAPI: what clients learn about the server."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from kybern.apiserver.protobuf.wire import fields
from tests.apiserver.conftest import Api

pytestmark = pytest.mark.anyio

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


async def test_version(api: Api) -> None:
    found = await api.get("/version")
    assert (found["gitVersion"], found["major"], found["minor"]) == ("v1.37.0+kybern", "1", "37")


async def test_legacy_discovery(api: Api) -> None:
    assert (await api.get("/api"))["versions"] == ["v1"]
    groups = await api.get("/apis")
    names = [g["name"] for g in groups["groups"]]
    assert names[:2] == ["apiregistration.k8s.io", "apps"]
    assert "" not in names
    apps = await api.get("/apis/apps")
    assert apps["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
    resources = {r["name"]: r for r in (await api.get("/apis/apps/v1"))["resources"]}
    assert resources["deployments"]["shortNames"] == ["deploy"]
    assert resources["deployments"]["singularName"] == "deployment"
    assert resources["deployments/scale"]["group"] == "autoscaling"
    core = await api.get("/api/v1")
    assert core["groupVersion"] == "v1"
    assert {"pods", "pods/log", "namespaces/finalize", "bindings"} <= {r["name"] for r in core["resources"]}


async def test_aggregated_discovery(api: Api) -> None:
    answer = await api.ask("GET", "/apis", Accept=AGGREGATED)
    assert (answer.json["kind"], answer.json["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
    apps = next(g for g in answer.json["items"] if g["metadata"]["name"] == "apps")
    deployments = next(r for r in apps["versions"][0]["resources"] if r["resource"] == "deployments")
    assert deployments["scope"] == "Namespaced"
    assert [s["subresource"] for s in deployments["subresources"]] == ["scale", "status"]
    unchanged = await api.ask("GET", "/apis", Accept=AGGREGATED, If_None_Match=answer.headers["ETag"])
    assert (unchanged.code, unchanged.body) == (304, b"")
    older = await api.ask("GET", "/api", Accept=AGGREGATED.replace("v=v2", "v=v2beta1"))
    assert older.json["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    assert [len(older.json["items"]), older.json["items"][0]["versions"][0]["version"]] == [1, "v1"]


async def test_discovery_names_every_registered_kind(api: Api) -> None:
    listed = set()
    for top in ("/api", "/apis"):
        for group in (await api.ask("GET", top, Accept=AGGREGATED)).json["items"]:
            name = group["metadata"].get("name", "")
            for version in group["versions"]:
                listed |= {(name, version["version"], r["resource"]) for r in version["resources"]}
    assert listed == {(r.kind.group, r.kind.version, r.kind.plural) for r in api.server.resources}


async def test_the_list_of_paths(api: Api) -> None:
    paths = (await api.get("/"))["paths"]
    assert {"/api", "/api/v1", "/apis/apps/v1", "/healthz/ping", "/openapi/v3", "/version", "/metrics"} <= set(paths)


@pytest.mark.parametrize("path", ["/nosuch", "/apis/nosuch", "/apis/nosuch/v1/things", "/apis/nosuch/v1/things/a"])
async def test_what_belongs_to_no_part_of_the_api_gets_a_line_of_text(api: Api, path: str) -> None:
    answer = await api.ask("GET", path)
    assert (answer.code, answer.body) == (404, b"404 page not found\n")


@pytest.mark.parametrize(
    "path", ["/apis/apps/v9/things", "/apis/apps/v9", "/api/v9", "/apis/apps/v1/x/y/z", "/openapi/v3/apis/nosuch"]
)
async def test_what_is_not_served_is_not_found(api: Api, path: str) -> None:
    answer = await api.ask("GET", path)
    assert (answer.code, answer.message) == (404, "the server could not find the requested resource")


async def openapi(api: Api, path: str) -> dict[str, Any]:
    index = await api.get("/openapi/v3")
    answer = await api.ask("GET", index["paths"][path]["serverRelativeURL"])
    assert answer.headers["Cache-Control"] == "public, immutable"
    document: dict[str, Any] = answer.json
    return document


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        found = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return found.union(*(references(v) for v in node.values()))
    return set().union(*(references(v) for v in node)) if isinstance(node, list) else set()


async def test_openapi_v3_of_every_group_is_closed(api: Api) -> None:
    for path in (await api.get("/openapi/v3"))["paths"]:
        document = await openapi(api, path)
        schemas = document["components"]["schemas"]
        assert {r.rpartition("/")[2] for r in references(document)} <= set(schemas), path


async def test_openapi_v3_tells_what_kubectl_asks_it(api: Api) -> None:
    document = await openapi(api, "apis/apps/v1")
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert {"dryRun", "fieldValidation", "fieldManager"} <= {p["name"] for p in patch["parameters"]}
    spec = document["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]
    containers = spec["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-list-map-keys"] == ["name"]
    assert containers["description"].startswith("List of containers belonging to the pod.")
    assert spec["required"] == ["containers"]


async def test_operation_ids_are_unique(api: Api) -> None:
    document = await api.get("/openapi/v2")
    ids = [o["operationId"] for p in document["paths"].values() for m, o in p.items() if m != "parameters"]
    assert len(ids) == len(set(ids))
    assert "readCoreV1NamespacedPodLog" in ids
    assert {r.rpartition("/")[2] for r in references(document)} <= set(document["definitions"])


async def test_openapi_documents_are_cached_and_compressed(api: Api) -> None:
    packed = await api.ask("GET", "/openapi/v2", Accept_Encoding="gzip")
    assert json.loads(zlib.decompress(packed.body, 31))["swagger"] == "2.0"
    again = await api.ask("GET", "/openapi/v2", If_None_Match=packed.headers["ETag"])
    assert again.code == 304
    only_protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    known = await api.ask("GET", "/openapi/v2", Accept=only_protobuf)
    assert (known.code, b"v1.37.0+kybern" in known.body) == (200, True)
    assert (await api.ask("GET", "/openapi/v2", Accept="application/yaml")).code == 406
    assert (await api.ask("POST", "/openapi/v2")).code == 405


def parts(message: bytes, number: int) -> list[Any]:
    """The values of one field of a protobuf message."""
    return [value for field, value in fields(message) if field == number]


async def test_the_older_document_in_protobuf_has_definitions_and_what_patches_take(api: Api) -> None:
    answer = await api.ask("GET", "/openapi/v2", Accept="application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    [paths], [definitions] = parts(answer.body, 8), parts(answer.body, 9)
    named = {parts(d, 1)[0].decode(): parts(d, 2)[0] for d in parts(definitions, 1)}
    plain = (await api.get("/openapi/v2"))["definitions"]
    assert named.keys() == plain.keys()
    pod = named["io.k8s.api.core.v1.Pod"]
    properties = {parts(p, 1)[0].decode(): parts(p, 2)[0] for p in parts(parts(pod, 25)[0], 1)}
    assert properties.keys() == plain["io.k8s.api.core.v1.Pod"]["properties"].keys()
    assert parts(properties["spec"], 1) == [b"#/definitions/io.k8s.api.core.v1.PodSpec"]
    assert parts(pod, 4) == [plain["io.k8s.api.core.v1.Pod"]["description"].encode()]
    extension = next(e for e in parts(pod, 31) if parts(e, 1) == [b"x-kubernetes-group-version-kind"])
    assert json.loads(parts(parts(extension, 2)[0], 2)[0]) == [{"group": "", "kind": "Pod", "version": "v1"}]
    one = next(p for p in parts(paths, 2) if parts(p, 1) == [b"/api/v1/namespaces/{namespace}/pods/{name}"])
    patch = parts(parts(one, 2)[0], 8)[0]
    queries = [parts(parts(parts(p, 1)[0], 2)[0], 3)[0] for p in parts(patch, 8)]
    assert b"fieldValidation" in {parts(q, 4)[0] for q in queries}
