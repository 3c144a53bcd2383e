"""Server-side apply: who owns which fields, who may change them, and what goes when nobody wants it any more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kybern.api.patch.fieldset import FieldSet
from kybern.api.patch.ownership import changed, fields_of, merged, object_type, removed
from tests.apiserver.conftest import CONFIG_MAPS, DEPLOYMENTS, Answer, Api, config_map, deployment

POD_SPEC = object_type("io.k8s.api.core.v1.PodSpec")
CONTAINERS = {"containers": [{"name": "a", "image": "i", "ports": [{"containerPort": 80}]}], "overhead": {"x": "1"}}


def test_the_fields_of_an_object() -> None:
    assert fields_of(CONTAINERS, POD_SPEC).fields_v1() == {
        "f:containers": {
            'k:{"name":"a"}': {
                ".": {}, "f:image": {}, "f:name": {},
                "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
            }
        },
        "f:overhead": {"f:x": {}},
    }  # fmt: skip


def test_field_sets_survive_their_written_form() -> None:
    fields = fields_of(CONTAINERS, POD_SPEC)
    assert FieldSet.from_fields_v1(fields.fields_v1()) == fields
    assert sorted(fields.paths())[:2] == ['.containers[name="a"]', '.containers[name="a"].image']
    for nonsense in (None, [], 5, {"f:a": 7}):
        FieldSet.from_fields_v1(nonsense)


def test_the_algebra_of_field_sets() -> None:
    a = fields_of({"overhead": {"x": "1", "y": "2"}, "hostname": "h"}, POD_SPEC)
    b = fields_of({"overhead": {"y": "3"}, "subdomain": "s"}, POD_SPEC)
    assert sorted(a.union(b).paths()) == [".hostname", ".overhead.x", ".overhead.y", ".subdomain"]
    assert sorted(a.minus(b).paths()) == [".hostname", ".overhead.x"]
    assert list(a.common(b).paths()) == [".overhead.y"]
    assert not a.minus(a)


def test_what_changed_between_two_objects() -> None:
    new = {
        "containers": [{"name": "a", "image": "j", "ports": [{"containerPort": 80}]}, {"name": "b"}],
        "overhead": {"x": "1"},
    }
    assert sorted(changed(CONTAINERS, new, POD_SPEC).paths()) == [
        '.containers[name="a"].image', '.containers[name="b"]', '.containers[name="b"].name'
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("live", "applied", "result"),
    [
        ({"overhead": {"a": "1"}}, {"overhead": {"b": "2"}}, {"overhead": {"a": "1", "b": "2"}}),
        ({"nodeSelector": {"a": "1"}}, {"nodeSelector": {"b": "2"}}, {"nodeSelector": {"b": "2"}}),
        ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "b"}]}, {"tolerations": [{"key": "b"}]}),
        ({"containers": [{"name": "a", "image": "1"}, {"name": "b"}]}, {"containers": [{"name": "b", "image": "2"}, {"name": "c"}]},
         {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c"}]}),
        ({"overhead": {"a": "1"}}, {"overhead": "wrong type"}, {"overhead": "wrong type"}),
    ],
)  # fmt: skip
def test_merging(live: Any, applied: Any, result: Any) -> None:
    assert merged(live, applied, POD_SPEC) == result


def test_what_nobody_else_owns_goes() -> None:
    value = {"containers": [{"name": "a", "image": "i", "tty": True}, {"name": "b"}], "hostname": "h"}
    gone = fields_of({"containers": [{"name": "a", "image": "i"}, {"name": "b"}], "hostname": "h"}, POD_SPEC)
    others = fields_of({"containers": [{"name": "a", "tty": True}]}, POD_SPEC)
    # The item stays because of `tty`, and its key with it: `name` is others' too.
    assert removed(value, gone, others, POD_SPEC) == {"containers": [{"name": "a", "tty": True}]}


class Applier:
    """Applies as somebody."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def __call__(self, who: str, target: str, wanted: Any, query: str = "") -> Answer:
        kind = "Deployment" if "deployments" in target else "ConfigMap"
        version = "apps/v1" if kind == "Deployment" else "v1"
        body = {
            "apiVersion": version,
            "kind": kind,
            "metadata": {"name": target.split("/")[7 if kind == "Deployment" else 6]},
            **wanted,
        }
        target = f"{target}?fieldManager={who}{query}"
        return await self._api.ask("PATCH", target, body, Content_Type="application/apply-patch+yaml")


@pytest.fixture
def apply(api: Api) -> Applier:
    return Applier(api)


A = f"{CONFIG_MAPS}/a"
pytestmark = pytest.mark.anyio


def owners(obj: Any) -> dict[str, Any]:
    return {f"{e['manager']}/{e['operation']}": e["fieldsV1"] for e in obj["metadata"].get("managedFields", ())}


async def test_applying_creates_and_records_the_owner(api: Api, apply: Applier) -> None:
    answer = await apply("one", A, {"data": {"a": "1"}})
    assert answer.code == 201
    assert owners(answer.json) == {"one/Apply": {"f:data": {"f:a": {}}}}
    again = await apply("one", A, {"data": {"a": "1"}})
    assert (again.code, again.json) == (200, answer.json), "the same wish makes no new version"


async def test_two_may_want_the_same_but_not_different_things(api: Api, apply: Applier) -> None:
    await apply("one", A, {"data": {"a": "1", "b": "2"}})
    assert (await apply("two", A, {"data": {"a": "1"}})).code == 200
    refused = await apply("two", A, {"data": {"a": "9", "b": "9"}})
    assert refused.code == 409
    assert refused.message == 'Apply failed with 2 conflicts: conflicts with "one":\n- .data.a\n- .data.b'
    assert refused.json["details"]["causes"][0] == {
        "reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a",
    }  # fmt: skip
    forced = await apply("two", A, {"data": {"a": "9"}}, "&force=true")
    assert forced.json["data"] == {"a": "9", "b": "2"}
    assert owners(forced.json) == {"one/Apply": {"f:data": {"f:b": {}}}, "two/Apply": {"f:data": {"f:a": {}}}}


async def test_what_its_only_owner_no_longer_wants_is_removed(api: Api, apply: Applier) -> None:
    await apply("one", A, {"data": {"a": "1", "b": "2", "c": "3"}})
    await apply("two", A, {"data": {"b": "2"}})
    answer = await apply("one", A, {"data": {"c": "3"}})
    assert answer.json["data"] == {"b": "2", "c": "3"}, "`b` is two's as well"


async def test_others_take_ownership_by_changing(api: Api, apply: Applier) -> None:
    await apply("one", A, {"data": {"a": "1", "b": "2"}})
    patched = await api.ask(
        "PATCH", f"{A}?fieldManager=editor", {"data": {"a": "x"}}, Content_Type="application/merge-patch+json"
    )
    assert owners(patched.json) == {"one/Apply": {"f:data": {"f:b": {}}}, "editor/Update": {"f:data": {"f:a": {}}}}
    refused = await apply("one", A, {"data": {"a": "1", "b": "2"}})
    assert refused.message == 'Apply failed with 1 conflict: conflict with "editor" using v1: .data.a'
    by_program = await api.ask(
        "PATCH", A, {"data": {"z": "1"}}, Content_Type="application/merge-patch+json", User_Agent="tool/1.0"
    )
    assert "tool/Update" in owners(by_program.json)


async def test_whoever_came_before_owns_what_there_was(api: Api, apply: Applier) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a"))
    assert "managedFields" not in made["metadata"], "who does not name itself pays nothing"
    refused = await apply("one", A, {"data": {"a": "2"}})
    assert refused.message == 'Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.a'
    shared = await apply("one", A, {"data": {"a": "1", "b": "2"}})
    assert shared.json["data"] == {"a": "1", "b": "2"}


async def test_items_of_lists_are_owned_one_by_one(api: Api, apply: Applier) -> None:
    target = f"{DEPLOYMENTS}/d"
    full = deployment("d")
    await apply("one", target, {"spec": full["spec"]})
    sidecar = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "s"}]}}}}
    both = await apply("two", target, sidecar)
    assert [c["name"] for c in both.json["spec"]["template"]["spec"]["containers"]] == ["c", "side"]
    assert both.json["metadata"]["generation"] == 2
    alone = await apply("two", target, {"spec": {"template": {"spec": {"hostname": "h"}}}})
    assert [c["name"] for c in alone.json["spec"]["template"]["spec"]["containers"]] == ["c"]


async def test_equal_quantities_are_no_conflict(api: Api, apply: Applier) -> None:
    def wanted(cpu: str) -> dict[str, Any]:
        spec = deployment("d")["spec"]
        spec["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
        return {"spec": spec}

    await apply("one", f"{DEPLOYMENTS}/d", wanted("1"))
    assert (await apply("two", f"{DEPLOYMENTS}/d", wanted("1000m"))).code == 200
    assert (await apply("two", f"{DEPLOYMENTS}/d", wanted("2"))).code == 409


async def test_the_status_has_its_own_owners(api: Api, apply: Applier) -> None:
    target = f"{DEPLOYMENTS}/d"
    await apply("one", target, {"spec": deployment("d")["spec"], "status": {"replicas": 3}})
    stored = await api.get(target)
    assert "replicas" not in stored["status"]
    assert "f:status" not in owners(stored)["one/Apply"]
    reported = await apply("reporter", f"{target}/status", {"status": {"replicas": 3}, "spec": {"replicas": 9}})
    assert reported.code == 200, reported.body
    assert (reported.json["status"]["replicas"], reported.json["spec"]["replicas"]) == (3, 2)
    assert owners(reported.json)["reporter/Apply"] == {"f:status": {"f:replicas": {}}}


@pytest.mark.parametrize(
    ("query", "body", "code", "words"),
    [
        ("", b"metadata: {name: a}", 422, "fieldManager: Required value: is required for apply patch"),
        ("?fieldManager=one", b"[]", 400, "must be an object"),
        ("?fieldManager=one", b"a: b: c", 400, "error converting YAML to JSON"),
        (
            "?fieldManager=one",
            b"{apiVersion: v1, metadata: {name: b}}",
            400,
            "the name of the object (b) does not match the name on the URL (a)",
        ),
        (
            "?fieldManager=one",
            b"{apiVersion: v1, metadata: {name: a, managedFields: [{manager: x}]}}",
            400,
            "metadata.managedFields must be nil",
        ),
        ("?fieldManager=one", b"{apiVersion: v1, metadata: {name: a}, data: 5}", 400, "cannot unmarshal number"),
        (
            "?fieldManager=one&fieldValidation=Strict",
            b"{apiVersion: v1, metadata: {name: a}, color: red}",
            400,
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .color: field not declared in schema",
        ),
        (
            "?fieldManager=one",
            b"{apiVersion: v1, metadata: {name: a}, data: {'bad key': x}}",
            422,
            "a valid config key",
        ),
    ],
)
async def test_what_cannot_be_applied(api: Api, query: str, body: bytes, code: int, words: str) -> None:
    answer = await api.ask("PATCH", f"{A}{query}", body, Content_Type="application/apply-patch+yaml")
    assert answer.code == code
    assert words in answer.message


async def test_what_is_applied_has_the_form_of_its_kind(api: Api, apply: Applier) -> None:
    containers = [{"name": "c", "imag": "i"}, {"image": "i"}, {"name": "c"}]
    wanted = {"spec": {"nope": 1, "template": {"spec": {"containers": containers}}}}
    refused = await apply("one", f"{DEPLOYMENTS}/d", wanted)
    assert refused.code == 400
    at = ".spec.template.spec.containers"
    assert refused.message.split("\n  ") == [
        "failed to create typed patch object (/d; apps/v1, Kind=Deployment): errors:",
        ".spec.nope: field not declared in schema",
        f'{at}[name="c"].imag: field not declared in schema',
        f'{at}: element 1: associative list with keys has an element that omits key field "name" '
        "(and doesn't have default value)",
        f'{at}: duplicate entries for key [name="c"]',
    ]
    other = await apply("one", f"{DEPLOYMENTS}/d", {"apiVersion": "apps/v2"})
    assert other.message == (
        "Incorrect version specified in apply patch. Specified patch version: apps/v2, expected: apps/v1"
    )


async def test_applying_with_the_uid_of_what_is_gone_creates_nothing(api: Api, apply: Applier) -> None:
    refused = await apply("one", A, {"metadata": {"name": "a", "uid": "u"}})
    assert (refused.code, refused.message.partition(": ")[2]) == (
        409, "uid mismatch: the provided object specified uid u, and no existing object was found",
    )  # fmt: skip


async def test_applying_something_new_needs_the_right_to_create(api: Api, apply: Applier) -> None:
    api.rules.allows = lambda a: a.verb != "create"
    refused = await apply("one", A, {"data": {"a": "1"}})
    assert (refused.code, 'cannot create resource "configmaps"' in refused.message) == (403, True)
    lease = {"metadata": {"name": "l"}, "spec": {}}
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l"
    assert (await api.ask("PUT", path, lease)).code == 403


async def test_a_dry_run_applies_nothing(api: Api, apply: Applier) -> None:
    assert (await apply("one", A, {"data": {"a": "1"}}, "&dryRun=All")).code == 201
    assert (await api.ask("GET", A)).code == 404
    await apply("one", A, {"data": {"a": "1"}})
    assert (await apply("one", A, {"data": {"a": "2"}}, "&dryRun=All")).json["data"] == {"a": "2"}
    assert (await api.get(A))["data"] == {"a": "1"}


async def test_deleted_objects_are_let_go_by_whoever_applies(api: Api, apply: Applier) -> None:
    held = {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}, "data": {"a": "1"}}
    await apply("one", A, held)
    await api.ask("DELETE", A)
    assert (await apply("one", A, {"data": {"a": "1"}})).code == 200
    assert (await api.ask("GET", A)).code == 404


async def named(api: Api, method: str, target: str, manager: str, body: Any, **headers: str) -> Any:
    """A write of a client that names itself."""
    answer = await api.ask(method, f"{target}?fieldManager={manager}", body, **headers)
    assert answer.code < 300, answer.message
    return answer.json


MERGE = {"Content_Type": "application/merge-patch+json"}


async def test_who_creates_under_a_name_owns_what_it_says_and_the_defaults(api: Api) -> None:
    made = await named(
        api, "POST", DEPLOYMENTS, "maker", {**deployment("d"), "metadata": {"name": "d", "labels": {"a": "b"}}}
    )
    [entry] = made["metadata"]["managedFields"]
    assert (entry["operation"], entry["apiVersion"], entry["fieldsType"]) == ("Update", "apps/v1", "FieldsV1")
    fields = entry["fieldsV1"]
    assert fields["f:metadata"] == {"f:labels": {".": {}, "f:a": {}}}
    assert fields["f:spec"]["f:strategy"] == {
        "f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {},
    }  # fmt: skip
    containers = fields["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert {".", "f:image", "f:imagePullPolicy", "f:name"} <= set(containers['k:{"name":"c"}'])
    assert "." not in containers
    assert not {"f:status", "f:kind", "f:apiVersion"} & set(fields)


async def test_each_later_writer_has_its_share_of_a_tracked_object(api: Api) -> None:
    await named(api, "POST", DEPLOYMENTS, "maker", deployment("d"))
    target = f"{DEPLOYMENTS}/d"
    await named(api, "PATCH", f"{target}/scale", "scaler", {"spec": {"replicas": 7}}, **MERGE)
    await named(api, "PATCH", f"{target}/status", "reporter", {"status": {"replicas": 7}}, **MERGE)
    await api.ask("PATCH", target, {"metadata": {"labels": {"x": "y"}}}, User_Agent="tool/1.0 (linux)", **MERGE)
    entries = (await api.get(target))["metadata"]["managedFields"]
    found = {(e["manager"], e.get("subresource", "")): e["fieldsV1"] for e in entries}
    assert found["scaler", "scale"] == {"f:spec": {"f:replicas": {}}}
    assert found["reporter", "status"] == {"f:status": {"f:replicas": {}}}
    assert found["tool", ""] == {"f:metadata": {"f:labels": {".": {}, "f:x": {}}}}
    assert "f:replicas" not in found["maker", ""]["f:spec"]


async def test_only_the_writers_own_time_moves(api: Api) -> None:
    await named(api, "POST", CONFIG_MAPS, "maker", {"metadata": {"name": "a"}, "data": {"a": "1", "b": "2"}})
    await api.clock.advance(60)
    changed = await named(api, "PATCH", A, "editor", {"data": {"a": "x"}}, **MERGE)
    times = {e["manager"]: e["time"] for e in changed["metadata"]["managedFields"]}
    assert times["maker"] < times["editor"]


async def test_a_named_creator_is_asked_before_its_fields_are_applied_over(api: Api, apply: Applier) -> None:
    await named(api, "POST", CONFIG_MAPS, "maker", {"metadata": {"name": "a"}, "data": {"a": "1"}})
    refused = await apply("one", A, {"data": {"a": "2"}})
    assert refused.message == 'Apply failed with 1 conflict: conflict with "maker" using v1: .data.a'
    forced = await apply("one", A, {"data": {"a": "2"}}, "&force=true")
    assert owners(forced.json) == {"one/Apply": {"f:data": {"f:a": {}}}, "maker/Update": {"f:data": {}}}


async def test_a_client_may_hand_its_fields_to_another_name(api: Api, apply: Applier) -> None:
    """What `kubectl apply --server-side` does with what it once applied itself."""
    made = await named(
        api, "POST", CONFIG_MAPS, "old", {"metadata": {"name": "a", "labels": {"q": "r"}}, "data": {"a": "1", "b": "2"}}
    )
    entry = {**made["metadata"]["managedFields"][0], "manager": "new", "operation": "Apply"}
    operations = [
        {"op": "replace", "path": "/metadata/managedFields", "value": [entry]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": made["metadata"]["resourceVersion"]},
    ]
    moved = await api.ask("PATCH", A, operations, Content_Type="application/json-patch+json")
    assert set(owners(moved.json)) == {"new/Apply"}
    applied = await apply("new", A, {"metadata": {"name": "a", "labels": {"q": "r"}}, "data": {"a": "2"}})
    assert (applied.json["data"], applied.json["metadata"]["labels"]) == ({"a": "2"}, {"q": "r"})


@pytest.mark.parametrize(
    ("given", "left"),
    [([{}], None), ([], {"maker/Update"}), ([{"manager": "x", "operation": "Guess"}], {"maker/Update"})],
)
async def test_the_books_are_closed_by_one_empty_entry_only(api: Api, given: Any, left: Any) -> None:
    await named(api, "POST", CONFIG_MAPS, "maker", {"metadata": {"name": "a"}, "data": {"a": "1"}})
    answer = await api.ask("PATCH", A, {"metadata": {"managedFields": given}}, **MERGE)
    assert (set(owners(answer.json)) or None) == left


async def test_a_server_told_so_keeps_books_about_everybody(api: Api) -> None:
    api.server.backend.tracks_everybody = True
    made = await api.ask("POST", CONFIG_MAPS, config_map("a"), User_Agent="operator/v2 linux")
    assert set(owners(made.json)) == {"operator/Update"}


async def test_a_scale_is_applied_like_the_replicas_that_it_is(api: Api, apply: Applier) -> None:
    target = f"{DEPLOYMENTS}/d"
    await apply("one", target, {"spec": deployment("d")["spec"]})
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 5}}
    refused = await apply("scaler", f"{target}/scale", scale)
    assert refused.message == 'Apply failed with 1 conflict: conflict with "one": .spec.replicas'
    forced = await apply("scaler", f"{target}/scale", scale, "&force=true")
    assert (forced.json["kind"], forced.json["spec"]["replicas"]) == ("Scale", 5)
    entries = (await api.get(target))["metadata"]["managedFields"]
    [entry] = [e for e in entries if e["manager"] == "scaler"]
    assert (entry["operation"], entry["subresource"], entry["fieldsV1"]) == (
        "Apply", "scale", {"f:spec": {"f:replicas": {}}},
    )  # fmt: skip
    wrong = await apply("scaler", f"{target}/scale", {**scale, "apiVersion": "apps/v1"})
    assert wrong.message.endswith("Specified patch version: apps/v1, expected: autoscaling/v1")


LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


async def test_kubectl_may_change_on_the_server_what_it_applied_on_its_own_side(api: Api, apply: Applier) -> None:
    record = json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "1", "b": "2"}}
    )
    made = {"metadata": {"name": "a", "annotations": {LAST_APPLIED: record}}, "data": {"a": "1", "b": "2"}}
    await named(api, "POST", CONFIG_MAPS, "kubectl-client-side-apply", made)
    await named(api, "PATCH", A, "editor", {"data": {"b": "9"}}, **MERGE)
    somebody = await apply("one", A, {"data": {"a": "3"}})
    assert somebody.code == 409, "the record is kubectl's own"
    refused = await apply("kubectl", A, {"data": {"a": "3", "b": "3"}})
    assert refused.message == 'Apply failed with 1 conflict: conflict with "editor" using v1: .data.b'
    changed = await apply("kubectl", A, {"data": {"a": "3"}})
    assert changed.json["data"] == {"a": "3", "b": "9"}
    kept = json.loads(changed.json["metadata"]["annotations"][LAST_APPLIED])
    assert kept == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "3"}}


async def test_a_record_that_nobody_can_read_is_no_record(api: Api, apply: Applier) -> None:
    for text in ("{", "5", '{"data": 5}', '{"a":' * 5000 + "1" + "}" * 5000):
        made = {"metadata": {"name": "a", "annotations": {LAST_APPLIED: text}}, "data": {"a": "1"}}
        await named(api, "POST", CONFIG_MAPS, "editor", made)
        assert (await apply("kubectl", A, {"data": {"a": "2"}})).code == 409
        await named(api, "DELETE", A, "editor", {})
