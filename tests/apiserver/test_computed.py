"""Resources that are not stored: read like any other, written by nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kybern.api.computed import Computed, ReadRequest, Served
from kybern.api.errors import StatusError
from kybern.api.kind import Column, Kind
from kybern.api.registry import Registry, builtin
from tests.apiserver.conftest import Api

pytestmark = pytest.mark.anyio

MOONS = {"luna": {"planet": "earth"}, "io": {"planet": "jupiter"}}
BASE = "/apis/sky.example.com/v1"


class Moons(Computed):
    """Two of them."""

    async def get(self, request: ReadRequest) -> dict[str, Any]:
        if request.name not in MOONS:
            raise StatusError.not_found("moons", "sky.example.com", request.name)
        head = {"kind": "Moon", "apiVersion": "sky.example.com/v1"}
        return {**head, "metadata": {"name": request.name, "labels": MOONS[request.name]}, "at": request.now}

    async def list(self, request: ReadRequest) -> Sequence[dict[str, Any]]:
        found = [{"metadata": {"name": name, "labels": labels}} for name, labels in MOONS.items()]
        return [
            moon
            for moon in found
            if request.labels.matches(moon["metadata"]["labels"])
            and request.fields.matches(lambda _, moon=moon: str(moon["metadata"]["name"]))
        ]


class Anything(Computed):
    """Answers under whatever name; lists what it was told of."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def get(self, request: ReadRequest) -> dict[str, Any]:
        return {"kind": "Thing", "path": [request.namespace, request.resource, request.name, request.subresource]}

    async def list(self, request: ReadRequest) -> Sequence[dict[str, Any]]:
        return [{"kind": "Thing", "path": [request.namespace, request.resource]}]

    def served(self) -> Sequence[Served]:
        return [Served(name) for name in self.names]

    @property
    def generation(self) -> int:
        return len(self.names)


async def serve(api: Api, kind: Kind) -> None:
    """Add a kind to this server only: the registry of built-in kinds is everybody's."""
    api.server.resources.registry = Registry(builtin())
    await api.server.add_kind(kind)


@pytest.fixture
async def sky(api: Api) -> Api:
    columns = (Column("Name", format="name"), Column("Planet"))
    await serve(
        api,
        Kind(
            "sky.example.com", "v1", "Moon", "moons", False, verbs=("get", "list"), columns=columns,
            row=lambda moon, now: [moon["metadata"]["name"], moon["metadata"]["labels"]["planet"]], computed=Moons(),
        )
    )  # fmt: skip
    return api


async def test_is_read_like_any_other(sky: Api) -> None:
    listed = await sky.get(f"{BASE}/moons")
    assert (listed["kind"], listed["apiVersion"]) == ("MoonList", "sky.example.com/v1")
    assert [moon["metadata"]["name"] for moon in listed["items"]] == ["luna", "io"]
    one = await sky.get(f"{BASE}/moons/io")
    assert one["kind"] == "Moon" and one["at"] == sky.clock.now()
    assert [m["metadata"]["name"] for m in (await sky.get(f"{BASE}/moons?labelSelector=planet%3Dearth"))["items"]] == [
        "luna"
    ]
    assert [
        m["metadata"]["name"] for m in (await sky.get(f"{BASE}/moons?fieldSelector=metadata.name%3Dio"))["items"]
    ] == ["io"]


async def test_comes_as_table_and_as_yaml(sky: Api) -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    table = await sky.get(f"{BASE}/moons", Accept=accept)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Planet"]
    assert [row["cells"] for row in table["rows"]] == [["luna", "earth"], ["io", "jupiter"]]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    one = await sky.get(f"{BASE}/moons/io?includeObject=Object", Accept=accept)
    assert one["rows"][0]["object"]["kind"] == "Moon"
    written = await sky.ask("GET", f"{BASE}/moons/io", Accept="application/yaml")
    assert written.body.startswith(b"kind: Moon\napiVersion: sky.example.com/v1") or b"\nkind: Moon\n" in written.body


async def test_what_it_cannot_do_is_refused(sky: Api) -> None:
    for method, path in (
        ("POST", "moons"), ("PUT", "moons/io"), ("PATCH", "moons/io"), ("DELETE", "moons/io"), ("DELETE", "moons"),
        ("GET", "moons?watch=true"),
    ):  # fmt: skip
        assert (await sky.ask(method, f"{BASE}/{path}", {})).code == 405, (method, path)
    assert (await sky.ask("GET", f"{BASE}/moons/deimos")).message == 'moons.sky.example.com "deimos" not found'
    assert (await sky.ask("GET", f"{BASE}/namespaces/default/moons/io")).code == 404
    assert (await sky.ask("GET", f"{BASE}/moons?labelSelector=a=b=c")).code == 400
    assert (await sky.ask("GET", f"{BASE}/stars")).code == 404


async def test_is_authorized_as_a_resource(sky: Api) -> None:
    sky.rules.allows = lambda asked: asked.resource != "moons"
    refused = await sky.ask("GET", f"{BASE}/moons/io", X_User="jane")
    assert refused.code == 403 and 'cannot get resource "moons" in API group "sky.example.com"' in refused.message


async def test_is_in_discovery_but_not_among_the_schemas(sky: Api) -> None:
    assert "sky.example.com" in [group["name"] for group in (await sky.get("/apis"))["groups"]]
    (resource,) = (await sky.get(BASE))["resources"]
    assert resource == {
        "name": "moons", "singularName": "moon", "namespaced": False, "kind": "Moon", "verbs": ["get", "list"]
    }  # fmt: skip
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    groups = {group["metadata"]["name"]: group for group in (await sky.get("/apis", Accept=accept))["items"]}
    assert groups["sky.example.com"]["versions"][0]["resources"][0]["resource"] == "moons"
    assert "apis/sky.example.com/v1" not in (await sky.get("/openapi/v3"))["paths"]
    assert (await sky.ask("GET", "/openapi/v2")).code == 200


async def test_one_kind_may_stand_for_every_name(api: Api) -> None:
    anything = Anything()
    await serve(api, Kind("any.example.com", "v1", "Thing", "*", True, verbs=("get", "list"), computed=anything))
    base = "/apis/any.example.com/v1"
    assert (await api.get(f"{base}/namespaces/shop/pods/x/rate"))["path"] == ["shop", "pods", "x", "rate"]
    assert (await api.get(f"{base}/namespaces/shop/queue"))["items"] == [{"kind": "Thing", "path": ["shop", "queue"]}]
    assert (await api.get(base))["resources"] == []
    anything.names.append("queue")
    assert [r["name"] for r in (await api.get(base))["resources"]] == ["queue"]
