"""create, get, update, patch: metadata, conflicts, dry run, field validation."""

# tables of cases read better whole
from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.apiserver.conftest import CONFIG_MAPS, DEPLOYMENTS, PODS, Api, config_map, deployment, pod

pytestmark = pytest.mark.anyio


async def test_a_created_object_gets_what_the_server_owns(api: Api) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a", uid="mine", creationTimestamp="2000-01-01T00:00:00Z"))
    metadata = made["metadata"]
    assert uuid.UUID(metadata["uid"]).version == 4
    assert metadata["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert metadata["namespace"] == "default"
    assert made["data"] == {"a": "1"}
    assert await api.get(f"{CONFIG_MAPS}/a") == made
    assert list(made)[:3] == ["kind", "apiVersion", "metadata"]


async def test_a_name_can_be_generated(api: Api) -> None:
    names = {
        (await api.create(CONFIG_MAPS, {"metadata": {"generateName": "gen-"}}))["metadata"]["name"] for _ in range(20)
    }
    assert len(names) == 20
    assert all(n.startswith("gen-") and len(n) == 9 for n in names)
    long = await api.create(CONFIG_MAPS, {"metadata": {"generateName": "x" * 100}})
    assert len(long["metadata"]["name"]) == 63


async def test_a_generated_name_that_is_taken_is_tried_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    suffixes = iter(["aaaaa", "aaaaa", "bbbbb"])
    monkeypatch.setattr("kybern.apiserver.metadata.generate_name", lambda base: base + next(suffixes))
    for expected in ("g-aaaaa", "g-bbbbb"):
        made = await api.create(CONFIG_MAPS, {"metadata": {"generateName": "g-"}})
        assert made["metadata"]["name"] == expected


@pytest.mark.parametrize(
    ("method", "target", "body", "code", "message"),
    [
        ("POST", CONFIG_MAPS, config_map("a"), 409, 'configmaps "a" already exists'),
        ("POST", CONFIG_MAPS, config_map("b", namespace="other"), 400,
         "the namespace of the provided object does not match the namespace sent on the request"),
        ("POST", CONFIG_MAPS, config_map("b", resourceVersion="1"), 400,
         "resourceVersion should not be set on objects to be created"),
        ("POST", CONFIG_MAPS, {}, 422, 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'),
        ("GET", f"{CONFIG_MAPS}/zz", None, 404, 'configmaps "zz" not found'),
        ("GET", f"{DEPLOYMENTS}/zz", None, 404, 'deployments.apps "zz" not found'),
        ("PUT", f"{CONFIG_MAPS}/zz", config_map("zz"), 404, 'configmaps "zz" not found'),
        ("PUT", f"{CONFIG_MAPS}/a", config_map("c"), 400,
         "the name of the object (c) does not match the name on the URL (a)"),
        ("PUT", f"{CONFIG_MAPS}/a", {"data": {}}, 400,
         "the name of the object (a based on URL) was undeterminable: name must be provided"),
        ("PUT", f"{CONFIG_MAPS}/a", config_map("a", namespace="other"), 400,
         "the namespace of the provided object does not match the namespace sent on the request"),
        ("PATCH", f"{CONFIG_MAPS}/a", {"metadata": {"name": "c"}}, 400,
         "the name of the object (c) does not match the name on the URL (a)"),
        ("PATCH", f"{CONFIG_MAPS}/a", {"metadata": None}, 400,
         "the name of the object (a based on URL) was undeterminable: name must be provided"),
        ("PATCH", f"{CONFIG_MAPS}/a", {"metadata": {"namespace": "other"}}, 400,
         "the namespace of the provided object does not match the namespace sent on the request"),
        ("PATCH", f"{CONFIG_MAPS}/a", [], 400,
         "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ("PATCH", f"{CONFIG_MAPS}/a", b"{bad", 400,
         "error decoding patch: invalid character 'b' looking for beginning of object key string"),
        ("PATCH", f"{CONFIG_MAPS}/a", b"null", 400, "Invalid JSON Patch"),
        ("PUT", f"{CONFIG_MAPS}/a", config_map("a", resourceVersion="1"), 409,
         'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
         "please apply your changes to the latest version and try again"),
        ("PUT", f"{CONFIG_MAPS}/a", config_map("a", resourceVersion="x"), 400, 'strconv.ParseUint: parsing "x": invalid syntax'),
        ("POST", "/api/v1/configmaps", config_map("b"), 405,
         "the server does not allow this method on the requested resource"),
        ("GET", "/apis/apps/v1/namespaces/default/nosuch", None, 404, "the server could not find the requested resource"),
        ("GET", "/api/v1/namespaces/default/nodes", None, 404, "the server could not find the requested resource"),
        ("GET", "/api/v1/namespaces/default/namespaces", None, 404, "the server could not find the requested resource"),
    ],
)  # fmt: skip
async def test_refusals(api: Api, method: str, target: str, body: Any, code: int, message: str) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    headers = {"Content_Type": "application/merge-patch+json"} if method == "PATCH" else {}
    answer = await api.ask(method, target, body, **headers)
    assert (answer.code, answer.message) == (code, message)
    assert answer.json["kind"] == "Status"


async def test_an_update_replaces_and_keeps_identity(api: Api) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a", labels={"x": "y"}))
    answer = await api.ask("PUT", f"{CONFIG_MAPS}/a", {"metadata": {"name": "a"}, "data": {"b": "2"}})
    assert answer.code == 200
    changed = answer.json
    assert changed["data"] == {"b": "2"}
    assert "labels" not in changed["metadata"]
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]
    assert changed["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]
    assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


async def test_an_update_that_changes_nothing_makes_no_revision(api: Api) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a"))
    again = await api.ask("PUT", f"{CONFIG_MAPS}/a", made)
    assert again.json == made
    patched = await api.patch(f"{CONFIG_MAPS}/a", {"data": {"a": "1"}})
    assert patched.json == made


async def test_another_objects_uid_is_a_conflict(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    answer = await api.ask("PUT", f"{CONFIG_MAPS}/a", config_map("a", uid="11111111-1111-1111-1111-111111111111"))
    assert answer.code == 409
    assert "Precondition failed: UID in precondition: 11111111-1111-1111-1111-111111111111" in answer.message


async def test_put_creates_where_the_kind_allows_it(api: Api) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    answer = await api.ask("PUT", f"{leases}/l", {"metadata": {"name": "l"}, "spec": {}})
    assert answer.code == 201


async def test_kinds_that_may_not_be_overwritten_blindly_want_a_resource_version(api: Api) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    made = await api.create(leases, {"metadata": {"name": "l"}, "spec": {}})
    blind = await api.ask("PUT", f"{leases}/l", {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}})
    assert blind.code == 422
    assert "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update" in blind.message
    made["spec"]["holderIdentity"] = "me"
    assert (await api.ask("PUT", f"{leases}/l", made)).code == 200
    assert (await api.patch(f"{leases}/l", {"spec": {"holderIdentity": "you"}})).json["spec"]["holderIdentity"] == "you"


async def test_generation_counts_changes_of_the_spec_only(api: Api) -> None:
    made = await api.create(DEPLOYMENTS, deployment("d"))
    assert made["metadata"]["generation"] == 1
    labelled = await api.patch(f"{DEPLOYMENTS}/d", {"metadata": {"labels": {"a": "b"}}})
    assert labelled.json["metadata"]["generation"] == 1
    scaled = await api.patch(f"{DEPLOYMENTS}/d", {"spec": {"replicas": 5}})
    assert scaled.json["metadata"]["generation"] == 2
    reported = await api.patch(f"{DEPLOYMENTS}/d/status", {"status": {"replicas": 5}, "spec": {"replicas": 9}})
    assert reported.json["metadata"]["generation"] == 2
    assert reported.json["spec"]["replicas"] == 5
    assert reported.json["status"]["replicas"] == 5
    forged = await api.patch(f"{DEPLOYMENTS}/d", {"metadata": {"generation": 77}, "status": {"replicas": 1}})
    assert forged.json["metadata"]["generation"] == 2
    assert forged.json["status"]["replicas"] == 5


async def test_dry_run_goes_through_everything_and_stores_nothing(api: Api) -> None:
    revision = (await api.get(CONFIG_MAPS))["metadata"]["resourceVersion"]
    answer = await api.ask("POST", f"{CONFIG_MAPS}?dryRun=All", config_map("a"))
    assert answer.code == 201
    assert answer.json["metadata"]["uid"]
    assert "resourceVersion" not in answer.json["metadata"]
    assert (await api.ask("GET", f"{CONFIG_MAPS}/a")).code == 404
    await api.create(CONFIG_MAPS, config_map("a"))
    assert (await api.ask("POST", f"{CONFIG_MAPS}?dryRun=All", config_map("a"))).code == 409
    patched = await api.patch(f"{CONFIG_MAPS}/a?dryRun=All", {"data": {"b": "2"}})
    assert patched.json["data"] == {"a": "1", "b": "2"}
    assert (await api.get(f"{CONFIG_MAPS}/a"))["data"] == {"a": "1"}
    assert (await api.ask("DELETE", f"{CONFIG_MAPS}/a?dryRun=All")).code == 200
    listed = await api.get(CONFIG_MAPS)
    assert [i["metadata"]["name"] for i in listed["items"]] == ["a"]
    assert int(listed["metadata"]["resourceVersion"]) == int(revision) + 1


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (
            "dryRun=Some",
            'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: "Some": supported values: "All"',
        ),
        ("fieldValidation=Hard", 'fieldValidation: Unsupported value: "Hard"'),
        ("fieldManager=" + "x" * 129, "fieldManager: Too long: may not be more than 128 bytes"),
        ("fieldManager=a%07b", "fieldManager: Invalid value"),
    ],
)
async def test_options_are_checked(api: Api, query: str, words: str) -> None:
    answer = await api.ask("POST", f"{CONFIG_MAPS}?{query}", config_map("a"))
    assert answer.code == 422
    assert words in answer.message


async def test_unknown_and_duplicate_fields_are_errors_warnings_or_nothing(api: Api) -> None:
    body = b'{"metadata":{"name":"NAME"},"data":{"a":"1","a":"2"},"color":"red"}'
    strict = await api.ask("POST", f"{CONFIG_MAPS}?fieldValidation=Strict", body)
    assert strict.code == 400
    assert "strict decoding error: " in strict.message
    assert 'unknown field "color"' in strict.message
    assert 'duplicate field "data.a"' in strict.message
    warned = await api.ask("POST", CONFIG_MAPS, body.replace(b"NAME", b"w"))
    assert warned.code == 201
    assert sorted(warned.warnings) == ['duplicate field "data.a"', 'unknown field "color"']
    ignored = await api.ask("POST", f"{CONFIG_MAPS}?fieldValidation=Ignore", body.replace(b"NAME", b"i"))
    assert (ignored.code, ignored.warnings) == (201, [])
    assert ignored.json["data"] == {"a": "2"}


async def test_doubtful_values_are_warned_about(api: Api) -> None:
    doubtful = pod("p")
    doubtful["spec"]["nodeSelector"] = {"beta.kubernetes.io/os": "linux"}
    answer = await api.ask("POST", PODS, doubtful)
    assert answer.code == 201
    assert any("beta.kubernetes.io/os" in warning for warning in answer.warnings)


async def test_all_faults_are_told_at_once(api: Api) -> None:
    body = {"metadata": {"name": "UPPER", "labels": {"-a": "b"}}, "data": {"bad key": "1"}}
    answer = await api.ask("POST", CONFIG_MAPS, body)
    fields = {cause["field"] for cause in answer.json["details"]["causes"]}
    assert fields == {"metadata.name", "metadata.labels", "data[bad key]"}


async def test_a_patch_is_applied_again_when_somebody_was_faster(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    cache = api.server.resources.named("configmaps").cache
    update, interfered = cache.update, False

    async def update_with_interference(obj: Any, expect: int) -> Any:
        nonlocal interfered
        if not interfered:
            interfered = True
            await api.patch(f"{CONFIG_MAPS}/a", {"data": {"other": "writer"}})
        return await update(obj, expect)

    cache.update = update_with_interference  # type: ignore[method-assign]
    answer = await api.patch(f"{CONFIG_MAPS}/a", {"data": {"mine": "too"}})
    assert answer.json["data"] == {"a": "1", "other": "writer", "mine": "too"}


async def test_a_patch_may_name_the_version_it_was_made_for(api: Api) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a"))
    revision = made["metadata"]["resourceVersion"]
    good = await api.patch(f"{CONFIG_MAPS}/a", {"metadata": {"resourceVersion": revision}, "data": {"b": "2"}})
    assert good.code == 200
    late = await api.patch(f"{CONFIG_MAPS}/a", {"metadata": {"resourceVersion": revision}, "data": {"b": "3"}})
    assert late.code == 409


async def test_patches_of_three_kinds(api: Api) -> None:
    await api.create(PODS, pod("p"))
    image = "/spec/containers/0/image"
    answer = await api.patch(f"{PODS}/p", [{"op": "replace", "path": image, "value": "one"}], "json")
    assert answer.json["spec"]["containers"][0]["image"] == "one"
    answer = await api.patch(f"{PODS}/p", {"spec": {"containers": [{"name": "c", "image": "two"}]}}, "strategic")
    container = answer.json["spec"]["containers"][0]
    assert (container["image"], container["imagePullPolicy"]) == ("two", "Always")
    answer = await api.patch(f"{PODS}/p", {"metadata": {"labels": {"a": "b"}}}, "merge")
    assert answer.json["metadata"]["labels"] == {"a": "b"}


@pytest.mark.parametrize(
    ("patch", "kind", "code", "words"),
    [
        ({"data": 5}, "merge", 422, "patch: Invalid value"),
        ({"metadata": {"uid": "u"}}, "merge", 409, "Precondition failed: UID in precondition: u"),
        ([], "merge", 400, "cannot unmarshal"),
        (b"{", "merge", 400, "error decoding patch"),
        (b"", "strategic", 400, "error decoding patch"),
        ({"a": 1}, "json", 400, "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
        ([{"op": "add", "path": "", "value": 5}], "json", 422, "patch: Invalid value"),
    ],
)  # fmt: skip
async def test_patches_that_cannot_be(api: Api, patch: Any, kind: str, code: int, words: str) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    answer = await api.patch(f"{CONFIG_MAPS}/a", patch, kind)
    assert answer.code == code
    assert words in answer.message


async def test_a_patch_of_an_unknown_type_is_unsupported(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    answer = await api.ask("PATCH", f"{CONFIG_MAPS}/a", {}, Content_Type="application/weird")
    assert (answer.code, answer.json["reason"]) == (415, "UnsupportedMediaType")


async def test_events_go_an_hour_after_they_last_had_news(api: Api) -> None:
    events = "/api/v1/namespaces/default/events"
    about = {"kind": "Pod", "namespace": "default", "name": "p"}
    await api.create(events, {"metadata": {"name": "old"}, "involvedObject": about})
    await api.create(events, {"metadata": {"name": "new"}, "involvedObject": about})
    await api.clock.advance(1800)  # type: ignore[attr-defined]
    await api.patch(f"{events}/new", {"lastTimestamp": "2026-01-01T00:30:00Z"})
    await api.clock.advance(2000)  # type: ignore[attr-defined]
    assert [i["metadata"]["name"] for i in (await api.get(events))["items"]] == ["new"]
    await api.clock.advance(1800)  # type: ignore[attr-defined]
    assert (await api.get(events))["items"] == []


async def test_versions_of_one_kind_share_storage(api: Api) -> None:
    core, group = "/api/v1/namespaces/default/events", "/apis/events.k8s.io/v1/namespaces/default/events"
    about = {"kind": "Pod", "namespace": "default", "name": "p"}
    await api.create(core, {"metadata": {"name": "e"}, "involvedObject": about, "reason": "Because", "message": "m"})
    seen = await api.get(f"{group}/e")
    assert (seen["apiVersion"], seen["note"], seen["regarding"]["name"]) == ("events.k8s.io/v1", "m", "p")
    assert (await api.get(group))["kind"] == "EventList"
    assert len((await api.get(f"{group}?fieldSelector=reason%3DBecause"))["items"]) == 1
    changed = await api.patch(f"{core}/e", {"metadata": {"labels": {"a": "b"}}, "message": "n"})
    assert changed.code == 200
    seen = await api.get(f"{group}/e")
    assert (seen["metadata"]["labels"], seen["note"]) == ({"a": "b"}, "n")
    assert (await api.ask("DELETE", f"{group}/e")).code == 200
    assert (await api.ask("GET", f"{core}/e")).code == 404


async def test_an_owner_that_is_named_twice_is_named_once_with_a_warning(api: Api) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u1"}
    twice = {"metadata": {"name": "owned", "ownerReferences": [owner, owner, {**owner, "name": "p"}]}}
    made = await api.ask("POST", CONFIG_MAPS, twice)
    assert made.json["metadata"]["ownerReferences"] == [owner, {**owner, "name": "p"}]
    assert made.warnings[0].startswith(".metadata.ownerReferences contains duplicate entries; API server dedups")
    assert made.warnings[0].endswith("duplicate UID(s) observed: u1")
    patched = await api.patch(f"{CONFIG_MAPS}/owned", {"metadata": {"ownerReferences": [owner, owner]}})
    assert patched.json["metadata"]["ownerReferences"] == [owner]
    assert "contains duplicate entries after mutating admission happens" in patched.warnings[0]
