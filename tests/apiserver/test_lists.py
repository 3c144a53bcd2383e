"""list: selectors, pages, resource versions, and the forms of an answer."""

# tables of cases read better whole
from __future__ import annotations

import gzip
import json

import pytest
import yaml

from kybern.apiserver.encode import compressed
from kybern.apiserver.response import Response
from tests.apiserver.conftest import CONFIG_MAPS, PODS, Api, config_map, pod

pytestmark = pytest.mark.anyio

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


async def names(api: Api, target: str) -> list[str]:
    return [i["metadata"]["name"] for i in (await api.get(target))["items"]]


async def test_items_do_not_repeat_their_kind(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    listed = await api.get(CONFIG_MAPS)
    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    assert set(listed["items"][0]) == {"metadata", "data"}


async def test_an_empty_list_has_items(api: Api) -> None:
    assert (await api.get(CONFIG_MAPS))["items"] == []


async def test_selectors(api: Api) -> None:
    for name, tier in (("a", "front"), ("b", "back"), ("c", "")):
        await api.create(CONFIG_MAPS, config_map(name, labels={"tier": tier} if tier else {}))
    assert await names(api, f"{CONFIG_MAPS}?labelSelector=tier%3Dfront") == ["a"]
    assert await names(api, f"{CONFIG_MAPS}?labelSelector=tier%20in%20(front,back)") == ["a", "b"]
    assert await names(api, f"{CONFIG_MAPS}?labelSelector=!tier") == ["c"]
    assert await names(api, f"{CONFIG_MAPS}?fieldSelector=metadata.name%3Db") == ["b"]
    assert await names(api, f"{CONFIG_MAPS}?fieldSelector=metadata.name!%3Db") == ["a", "c"]
    assert await names(api, "/api/v1/configmaps?fieldSelector=metadata.namespace%3Ddefault,metadata.name%3Dc") == ["c"]
    assert await names(api, "/api/v1/configmaps?fieldSelector=metadata.name%3Dc") == ["c"]
    assert await names(api, "/api/v1/namespaces?fieldSelector=metadata.name%3Ddefault") == ["default"]


async def test_pages_show_one_state_whatever_happens_between_them(api: Api) -> None:
    for i in range(5):
        await api.create(CONFIG_MAPS, config_map(f"m{i}"))
    first = await api.get(f"{CONFIG_MAPS}?limit=2")
    assert first["metadata"]["remainingItemCount"] == 3
    await api.create(CONFIG_MAPS, config_map("m2a"))
    await api.ask("DELETE", f"{CONFIG_MAPS}/m3")
    second = await api.get(f"{CONFIG_MAPS}?limit=2&continue={first['metadata']['continue']}")
    third = await api.get(f"{CONFIG_MAPS}?limit=2&continue={second['metadata']['continue']}")
    seen = [i["metadata"]["name"] for page in (first, second, third) for i in page["items"]]
    assert seen == ["m0", "m1", "m2", "m3", "m4"]
    assert "continue" not in third["metadata"]
    assert {p["metadata"]["resourceVersion"] for p in (first, second, third)} == {first["metadata"]["resourceVersion"]}


async def test_an_exact_old_state_can_be_asked_for(api: Api) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a"))
    await api.create(CONFIG_MAPS, config_map("b"))
    revision = made["metadata"]["resourceVersion"]
    assert await names(api, f"{CONFIG_MAPS}?resourceVersion={revision}&resourceVersionMatch=Exact") == ["a"]
    assert await names(api, f"{CONFIG_MAPS}?resourceVersion={revision}&resourceVersionMatch=NotOlderThan") == ["a", "b"]
    assert await names(api, f"{CONFIG_MAPS}?resourceVersion=0") == ["a", "b"]


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("labelSelector=!!", 400, "unable to parse requirement"),
        ("fieldSelector=a", 400, "invalid selector: 'a'; can't understand 'a'"),
        ("fieldSelector=foo%3Dbar", 400,
         '"foo" is not a known field selector: only "metadata.name", "metadata.namespace"'),
        ("limit=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("continue=*", 400, "invalid continue token: continue key is not valid: illegal base64 data at input byte 0"),
        ("continue=e30", 400, "continue key is not valid: server does not recognize this encoded version"),
        ("labelSelector=a%3D%3D%3Db", 400, "unable to parse requirement: found '=', expected: identifier"),
        ("resourceVersion=x", 400, "resourceVersion: Invalid value"),
        ("resourceVersionMatch=Exact", 422, "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ("resourceVersionMatch=Exact&resourceVersion=0", 422,
         'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
        ("resourceVersionMatch=Near&resourceVersion=1", 422, 'Unsupported value: "Near"'),
        ("sendInitialEvents=true", 422, "sendInitialEvents is forbidden for list"),
        ("watch=1&sendInitialEvents=true", 422, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
        ("watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&continue=x", 422,
         "resourceVersionMatch is forbidden when continue is provided"),
        ("watch=1&resourceVersionMatch=Exact", 422,
         "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"),
        ("watch=1&resourceVersion=x", 400, "resourceVersion: Invalid value"),
        ("watch=1&timeoutSeconds=x", 400, "strconv.ParseInt"),
    ],
)  # fmt: skip
async def test_bad_list_options(api: Api, query: str, code: int, words: str) -> None:
    answer = await api.ask("GET", f"{CONFIG_MAPS}?{query}")
    assert answer.code == code
    assert words in answer.message


async def test_a_table_has_the_kinds_columns_and_metadata(api: Api) -> None:
    await api.create(PODS, pod("p", labels={"a": "b"}))
    table = (await api.ask("GET", PODS, Accept=TABLE + ",application/json")).json
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [c["name"] for c in table["columnDefinitions"]][:5] == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert table["columnDefinitions"][0]["description"].startswith("Name must be unique within a namespace.")
    (row,) = table["rows"]
    assert row["cells"][:4] == ["p", "0/1", "Pending", "0"]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert row["object"]["metadata"]["labels"] == {"a": "b"}
    assert "spec" not in row["object"]


async def test_what_table_rows_carry(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    for include, expected in (("None", None), ("Object", "ConfigMap"), ("Metadata", "PartialObjectMetadata")):
        table = (await api.ask("GET", f"{CONFIG_MAPS}?includeObject={include}", Accept=TABLE)).json
        assert (table["rows"][0]["object"] or {}).get("kind") == expected
    assert (await api.ask("GET", f"{CONFIG_MAPS}?includeObject=All", Accept=TABLE)).code == 400


async def test_metadata_alone(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    one = (await api.ask("GET", f"{CONFIG_MAPS}/a", Accept=PARTIAL)).json
    assert set(one) == {"kind", "apiVersion", "metadata"}
    many = (await api.ask("GET", CONFIG_MAPS, Accept=PARTIAL_LIST)).json
    assert many["kind"] == "PartialObjectMetadataList"
    assert many["items"][0] == one


async def test_every_kinds_table_can_be_made(api: Api) -> None:
    for resource in api.server.resources:
        if "list" in resource.verbs:
            base = f"/apis/{resource.kind.group}" if resource.kind.group else "/api"
            answer = await api.ask("GET", f"{base}/{resource.kind.version}/{resource.kind.plural}", Accept=TABLE)
            assert answer.code == 200, answer.body
            columns = len(answer.json["columnDefinitions"])
            assert all(len(row["cells"]) == columns for row in answer.json["rows"]), resource.kind.kind


async def test_yaml_and_pretty_json(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    plain = await api.get(f"{CONFIG_MAPS}/a")
    answer = await api.ask("GET", f"{CONFIG_MAPS}/a", Accept="application/yaml")
    assert yaml.safe_load(answer.body)["data"] == plain["data"]
    pretty = await api.ask("GET", f"{CONFIG_MAPS}/a?pretty=true")
    assert pretty.body.startswith(b'{\n  "kind": "ConfigMap"')
    assert json.loads(pretty.body) == plain
    assert (await api.ask("GET", f"{CONFIG_MAPS}/a", User_Agent="curl/8")).body == pretty.body


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "image/png;q=0.5",
        "application/json;as=Table;v=v9;g=meta.k8s.io",
        "application/json;as=Chair;v=v1;g=meta.k8s.io",
    ],
)
async def test_forms_that_nobody_makes_are_not_acceptable(api: Api, accept: str) -> None:
    answer = await api.ask("GET", CONFIG_MAPS, Accept=accept)
    assert (answer.code, answer.json["reason"]) == (406, "NotAcceptable")


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "text/html, application/json;q=0.1",
        "application/vnd.kubernetes.protobuf,application/json",
        "",
        f"{TABLE}x,application/json",
    ],
)
async def test_json_is_the_common_ground(api: Api, accept: str) -> None:
    answer = await api.ask("GET", CONFIG_MAPS, Accept=accept)
    assert answer.json["kind"] == "ConfigMapList"


async def test_large_answers_are_compressed_for_those_who_can_read_it(api: Api) -> None:
    await api.create(CONFIG_MAPS, {"metadata": {"name": "a"}, "data": {"k": "x" * 200_000}})
    answer = await api.ask("GET", f"{CONFIG_MAPS}/a", Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(answer.body))["data"]["k"] == "x" * 200_000
    plain = await api.ask("GET", f"{CONFIG_MAPS}/a")
    assert "Content-Encoding" not in plain.headers
    small = Response(200, b"{}")
    request = type("R", (), {"method": "GET", "headers": {"Accept-Encoding": "gzip"}})()
    assert await compressed(request, small) is small
