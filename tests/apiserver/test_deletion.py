"""delete and deletecollection."""

from __future__ import annotations

from typing import Any

import pytest

from tests.apiserver.conftest import CONFIG_MAPS, DEPLOYMENTS, PODS, Api, config_map, deployment, pod

pytestmark = pytest.mark.anyio


def options(**given: Any) -> dict[str, Any]:
    return {"kind": "DeleteOptions", "apiVersion": "v1", **given}


async def test_what_is_deleted_is_gone(api: Api) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a"))
    answer = await api.ask("DELETE", f"{CONFIG_MAPS}/a")
    assert answer.json["status"] == "Success"
    assert answer.json["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert (await api.ask("DELETE", f"{CONFIG_MAPS}/a")).code == 404


async def test_preconditions(api: Api) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a"))
    wrong = await api.ask("DELETE", f"{CONFIG_MAPS}/a", options(preconditions={"uid": "wrong"}))
    assert wrong.code == 409
    assert "the UID in the precondition (wrong) does not match the UID in record" in wrong.message
    stale = await api.ask("DELETE", f"{CONFIG_MAPS}/a", options(preconditions={"resourceVersion": "1"}))
    assert stale.code == 409
    right = options(
        preconditions={"uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"]}
    )
    assert (await api.ask("DELETE", f"{CONFIG_MAPS}/a", right)).code == 200


@pytest.mark.parametrize(
    ("body", "query", "words"),
    [
        (options(propagationPolicy="Nope"), "", 'supported values: "Foreground", "Background", "Orphan", "nil"'),
        (None, "?propagationPolicy=Nope", 'supported values: "Foreground", "Background", "Orphan", "nil"'),
        (options(propagationPolicy="Orphan", orphanDependents=True), "", "cannot be both set"),
        (options(dryRun=["Half"]), "", "dryRun: Unsupported value"),
    ],
)
async def test_bad_options(api: Api, body: Any, query: str, words: str) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    answer = await api.ask("DELETE", f"{CONFIG_MAPS}/a{query}", body)
    assert answer.code == 422
    assert words in answer.message
    assert (await api.ask("GET", f"{CONFIG_MAPS}/a")).code == 200


async def test_finalizers_hold_an_object_until_they_are_gone(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a", finalizers=["example.com/hold"]))
    answer = await api.ask("DELETE", f"{CONFIG_MAPS}/a")
    assert answer.code == 200
    metadata = answer.json["metadata"]
    assert metadata["deletionTimestamp"] == "2026-01-01T00:00:00Z"
    assert metadata["deletionGracePeriodSeconds"] == 0
    added = await api.patch(f"{CONFIG_MAPS}/a", {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}})
    assert added.code == 422
    assert "no new finalizers can be added if the object is being deleted" in added.message
    assert (await api.ask("DELETE", f"{CONFIG_MAPS}/a")).json["metadata"] == metadata
    released = await api.patch(f"{CONFIG_MAPS}/a", {"metadata": {"finalizers": None}})
    assert released.code == 200
    assert (await api.ask("GET", f"{CONFIG_MAPS}/a")).code == 404


async def test_a_mark_of_deletion_cannot_be_taken_back(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a", finalizers=["example.com/hold"]))
    await api.ask("DELETE", f"{CONFIG_MAPS}/a")
    answer = await api.patch(f"{CONFIG_MAPS}/a", {"metadata": {"deletionTimestamp": None}})
    assert answer.json["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
async def test_propagation_leaves_its_finalizer(api: Api, policy: str, finalizer: str) -> None:
    await api.create(DEPLOYMENTS, deployment("d"))
    answer = await api.ask("DELETE", f"{DEPLOYMENTS}/d?propagationPolicy={policy}")
    assert answer.json["metadata"]["finalizers"] == [finalizer]
    assert answer.json["metadata"]["generation"] == 2
    background = await api.ask("DELETE", f"{DEPLOYMENTS}/d", options(propagationPolicy="Background"))
    assert background.json["status"] == "Success"
    assert (await api.ask("GET", f"{DEPLOYMENTS}/d")).code == 404


async def running_pod(api: Api, name: str = "p") -> None:
    await api.create(PODS, pod(name))
    binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": "n"}}
    assert (await api.ask("POST", f"{PODS}/{name}/binding", binding)).code == 201


async def test_a_pod_on_a_node_gets_its_grace_period(api: Api) -> None:
    await running_pod(api)
    answer = await api.ask("DELETE", f"{PODS}/p")
    metadata = answer.json["metadata"]
    assert (metadata["deletionTimestamp"], metadata["deletionGracePeriodSeconds"]) == ("2026-01-01T00:00:30Z", 30)
    longer = await api.ask("DELETE", f"{PODS}/p?gracePeriodSeconds=60")
    assert longer.json["metadata"]["deletionGracePeriodSeconds"] == 30
    shorter = await api.ask("DELETE", f"{PODS}/p?gracePeriodSeconds=5")
    assert shorter.json["metadata"]["deletionGracePeriodSeconds"] == 5
    assert shorter.json["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:05Z"
    now = await api.ask("DELETE", f"{PODS}/p?gracePeriodSeconds=0")
    assert now.json["metadata"]["deletionGracePeriodSeconds"] == 0
    assert (await api.ask("GET", f"{PODS}/p")).code == 404


@pytest.mark.parametrize(
    ("own", "asked", "left"), [(None, None, 30), (7, None, 7), (0, None, 0), (7, 0, 0), (7, -4, 1)]
)
async def test_whose_grace_period_counts(api: Api, own: int | None, asked: int | None, left: int) -> None:
    patient = pod("p")
    patient["spec"] |= {"nodeName": "n"} | ({} if own is None else {"terminationGracePeriodSeconds": own})
    await api.create(PODS, patient)
    answer = await api.ask("DELETE", f"{PODS}/p" + ("" if asked is None else f"?gracePeriodSeconds={asked}"))
    assert answer.json["metadata"]["deletionGracePeriodSeconds"] == left
    assert (await api.ask("GET", f"{PODS}/p")).code == (200 if left else 404)


async def test_a_pod_that_runs_nowhere_is_gone_at_once(api: Api) -> None:
    await api.create(PODS, pod("p"))
    answer = await api.ask("DELETE", f"{PODS}/p")
    assert answer.json["kind"] == "Pod"
    assert answer.json["metadata"]["deletionGracePeriodSeconds"] == 0
    assert answer.json["metadata"]["generation"] == 2
    assert (await api.ask("GET", f"{PODS}/p")).code == 404


async def test_a_namespace_waits_for_its_finalizers(api: Api) -> None:
    await api.create("/api/v1/namespaces", {"metadata": {"name": "n"}})
    answer = await api.ask("DELETE", "/api/v1/namespaces/n")
    assert answer.json["status"]["phase"] == "Terminating"
    assert answer.json["metadata"]["deletionTimestamp"]
    done = await api.ask(
        "PUT", "/api/v1/namespaces/n/finalize", {"metadata": {"name": "n"}, "spec": {"finalizers": []}}
    )
    assert done.code == 200
    assert (await api.ask("GET", "/api/v1/namespaces/n")).code == 404


async def test_a_collection_is_deleted_by_selector(api: Api) -> None:
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        await api.create(CONFIG_MAPS, config_map(name, labels={"l": label}))
    answer = await api.ask("DELETE", f"{CONFIG_MAPS}?labelSelector=l%3Dx")
    assert answer.json["kind"] == "ConfigMapList"
    assert [i["metadata"]["name"] for i in answer.json["items"]] == ["a", "b"]
    assert [i["metadata"]["name"] for i in (await api.get(CONFIG_MAPS))["items"]] == ["c"]


async def test_namespaces_cannot_be_deleted_as_a_collection(api: Api) -> None:
    assert (await api.ask("DELETE", "/api/v1/namespaces")).code == 405
    assert (await api.ask("DELETE", "/api/v1/pods")).code == 405
