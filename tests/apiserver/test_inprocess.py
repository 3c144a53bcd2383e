"""The client in the server's own process: the same rules as over HTTPS, and objects by reference."""

from __future__ import annotations

import asyncio

import pytest

from kybern.api.apps import Deployment
from kybern.api.authentication import TokenRequest
from kybern.api.core import Binding, ConfigMap, Pod
from kybern.api.errors import StatusError
from kybern.apiserver.user import User
from kybern.client.interface import Event
from kybern.cluster.inprocess import InProcessClient
from tests.apiserver.conftest import CONFIG_MAPS, DEPLOYMENTS, PODS, Api, config_map, deployment, pod

pytestmark = pytest.mark.anyio


@pytest.fixture
def client(api: Api) -> InProcessClient:
    return InProcessClient(lambda: api.server)


def new(name: str, **data: str) -> ConfigMap:
    made = ConfigMap(data=data or None)
    made.metadata.name, made.metadata.namespace = name, "default"
    return made


async def test_what_is_returned_is_what_the_cache_holds(api: Api, client: InProcessClient) -> None:
    given = new("a", x="1")
    made = await client.create(given)
    assert given.metadata.uid is None, "the caller keeps its own object"
    assert await client.get(ConfigMap, "a", "default") is made
    assert (await client.list(ConfigMap, "default")).items == [made]
    assert (await api.get(f"{CONFIG_MAPS}/a"))["metadata"]["uid"] == made.metadata.uid


async def test_updates_conflict_as_everybodys_do(client: InProcessClient) -> None:
    made = await client.create(new("a", x="1"))
    changed = new("a", x="2")
    changed.metadata.resourceVersion = made.metadata.resourceVersion
    assert (await client.update(changed)).data == {"x": "2"}
    with pytest.raises(StatusError) as refused:
        await client.update(changed)
    assert refused.value.reason == "Conflict"


async def test_statuses_and_patches(api: Api, client: InProcessClient) -> None:
    await api.create(DEPLOYMENTS, deployment("d"))
    patched = await client.patch(Deployment, "d", "default", {"spec": {"replicas": 7}})
    assert patched.spec.replicas == 7
    from kybern.api import types

    reported = types.copy(patched)
    reported.status.replicas, reported.spec.replicas = 7, 1
    after = await client.update_status(reported)
    assert (after.status.replicas, after.spec.replicas) == (7, 7)
    operations = [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]
    assert (await client.patch(Deployment, "d", "default", operations, type="json")).metadata.labels == {"a": "b"}
    wanted = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"paused": True}}
    applied = await client.patch(Deployment, "d", "default", wanted, type="apply", field_manager="me")
    assert (applied.spec.paused, applied.spec.replicas) == (True, 7)
    assert [e.manager for e in applied.metadata.managedFields] == ["me", "before-first-apply"]


async def test_deletion_with_preconditions(client: InProcessClient) -> None:
    made = await client.create(new("a"))
    with pytest.raises(StatusError) as refused:
        await client.delete(ConfigMap, "a", "default", uid="other")
    assert refused.value.code == 409
    await client.delete(ConfigMap, "a", "default", uid=made.metadata.uid)
    with pytest.raises(StatusError) as refused:
        await client.get(ConfigMap, "a", "default")
    assert refused.value.reason == "NotFound"


async def test_collections(client: InProcessClient) -> None:
    for name in ("a", "b", "c"):
        await client.create(new(name))
    first = await client.list(ConfigMap, "default", limit=2)
    rest = await client.list(ConfigMap, "default", limit=2, continue_=first.continue_)
    assert [o.metadata.name for o in [*first.items, *rest.items]] == ["a", "b", "c"]
    await client.delete_collection(ConfigMap, "default", fields="metadata.name!=b")
    assert [o.metadata.name for o in (await client.list(ConfigMap)).items] == ["b"]


async def test_watches_hand_over_the_same_objects(client: InProcessClient) -> None:
    start = (await client.list(ConfigMap)).resource_version
    seen: list[Event[ConfigMap]] = []

    async def follow() -> None:
        async for event in client.watch(ConfigMap, "default", resource_version=start):
            seen.append(event)
            if len(seen) == 2:
                return

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    made = await client.create(new("a"))
    await client.delete(ConfigMap, "a", "default")
    await asyncio.wait_for(following, 10)
    assert [e.type for e in seen] == ["ADDED", "DELETED"]
    assert seen[0].object is made


async def test_nobody_gets_around_authorization(api: Api, client: InProcessClient) -> None:
    eve = client.as_user(User("eve"))
    api.rules.allows = lambda a: a.user.name != "eve"
    for attempt in (
        eve.get(ConfigMap, "a", "default"),
        eve.list(ConfigMap),
        eve.create(new("a")),
        eve.update(new("a")),
        eve.patch(ConfigMap, "a", "default", {}),
        eve.delete(ConfigMap, "a", "default"),
        eve.delete_collection(ConfigMap, "default"),
        eve.create_subresource(Pod, "p", "default", "binding", Binding()),
    ):
        with pytest.raises(StatusError) as refused:
            await attempt
        assert refused.value.code == 403
    with pytest.raises(StatusError):
        async for _ in eve.watch(ConfigMap):
            pass
    assert (await eve.raw("GET", CONFIG_MAPS))[0] == 403


async def test_subresources(api: Api, client: InProcessClient) -> None:
    await api.create(PODS, pod("p"))
    binding = Binding()
    binding.target.name, binding.target.kind = "n", "Node"
    await client.create_subresource(Pod, "p", "default", "binding", binding)
    assert (await client.get(Pod, "p", "default")).spec.nodeName == "n"
    with pytest.raises(StatusError) as refused:
        await client.create_subresource(Pod, "p", "default", "token", TokenRequest())
    assert refused.value.code == 404


async def test_any_path_can_be_asked(client: InProcessClient) -> None:
    code, body = await client.raw("GET", "/version")
    assert (code, b"v1.37.0+kybern" in body) == (200, True)
    code, body = await client.raw("POST", CONFIG_MAPS, b"{")
    assert code == 400


async def test_validation_and_dry_run(api: Api, client: InProcessClient) -> None:
    with pytest.raises(StatusError) as refused:
        await client.create(new("UPPER"))
    assert refused.value.code == 422
    assert (await client.create(new("a"), dry_run=True)).metadata.uid
    assert (await api.ask("GET", f"{CONFIG_MAPS}/a")).code == 404
    await api.create(CONFIG_MAPS, config_map("a"))
    with pytest.raises(StatusError) as refused:
        await client.create(new("a"))
    assert refused.value.reason == "AlreadyExists"
