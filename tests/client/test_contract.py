"""Both transports do the same, against a whole cluster's API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from kybern.api import types
from kybern.api.core import ConfigMap, Namespace, Pod
from kybern.api.errors import StatusError
from kybern.api.meta import ObjectMeta
from kybern.client.discovery import served
from kybern.client.http import HTTPClient
from kybern.client.interface import Client
from kybern.client.kubeconfig import Connection

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["in process", "https"])
async def client(request: pytest.FixtureRequest, kybern_cluster: Any) -> AsyncIterator[Client]:
    if request.param == "in process":
        yield kybern_cluster.client
        return
    pki = kybern_cluster.pki
    connection = Connection(
        kybern_cluster.url, ca=pki.ca_certificate, certificate=pki.admin.certificate, key=pki.admin.key
    )
    client = HTTPClient(connection, kybern_cluster.clock)
    yield client
    await client.close()


def config_map(name: str, **data: str) -> Any:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default", labels={"test": "yes"}), data=data)


async def test_the_life_of_an_object(client: Client) -> None:
    made = await client.create(config_map("c", a="1"))
    assert made.metadata.uid and made.metadata.resourceVersion
    changed = types.copy(made)
    changed.data = {"a": "2"}
    updated = await client.update(changed)
    with pytest.raises(StatusError) as raised:
        await client.update(changed)
    assert (raised.value.code, raised.value.reason) == (409, "Conflict")
    patched = await client.patch(ConfigMap, "c", "default", {"data": {"b": "3"}})
    assert patched.data == {"a": "2", "b": "3"}
    assert int(patched.metadata.resourceVersion) > int(updated.metadata.resourceVersion)
    listed = await client.list(ConfigMap, "default", labels="test=yes")
    assert [c.metadata.name for c in listed.items] == ["c"]
    with pytest.raises(StatusError) as raised:
        await client.delete(ConfigMap, "c", "default", uid="another")
    assert raised.value.code == 409
    await client.delete(ConfigMap, "c", "default", uid=made.metadata.uid)
    with pytest.raises(StatusError) as raised:
        await client.get(ConfigMap, "c", "default")
    assert (raised.value.code, raised.value.reason) == (404, "NotFound")


async def test_what_is_given_is_not_changed(client: Client) -> None:
    given = config_map("c")
    before = types.encode(given)
    await client.create(given)
    assert types.encode(given) == before


async def test_a_watch_tells_every_change_after_its_start(client: Client) -> None:
    await client.create(config_map("before"))
    start = (await client.list(ConfigMap, "default")).resource_version
    await client.create(config_map("c"))
    await client.patch(ConfigMap, "c", "default", {"data": {"x": "y"}})
    await client.delete(ConfigMap, "c", "default")
    seen = []
    async for event in client.watch(ConfigMap, "default", resource_version=start, labels="test=yes"):
        seen.append((event.type, event.object.metadata.name))
        if event.type == "DELETED":
            break
    assert seen == [("ADDED", "c"), ("MODIFIED", "c"), ("DELETED", "c")]


async def test_a_watch_from_nowhere_is_refused(client: Client) -> None:
    with pytest.raises(StatusError) as raised:
        _ = [event async for event in client.watch(ConfigMap, "default", resource_version="nonsense")]
    assert raised.value.code == 400


async def test_pages_of_a_list(client: Client) -> None:
    for number in range(5):
        await client.create(config_map(f"c{number}"))
    first = await client.list(ConfigMap, "default", labels="test=yes", limit=2)
    names = [c.metadata.name for c in first.items]
    rest = await client.list(ConfigMap, "default", labels="test=yes", limit=9, continue_=first.continue_)
    assert [*names, *(c.metadata.name for c in rest.items)] == [f"c{n}" for n in range(5)]
    assert rest.continue_ == ""


async def test_delete_collection(client: Client) -> None:
    for number in range(3):
        await client.create(config_map(f"c{number}"))
    await client.delete_collection(ConfigMap, "default", labels="test=yes")
    assert (await client.list(ConfigMap, "default", labels="test=yes")).items == []


async def test_an_invalid_object_is_422_with_its_causes(client: Client) -> None:
    with pytest.raises(StatusError) as raised:
        await client.create(Pod(metadata=ObjectMeta(name="p", namespace="default")))
    assert (raised.value.code, raised.value.reason) == (422, "Invalid")
    assert raised.value.details and raised.value.details["causes"]


async def test_dry_run_stores_nothing(client: Client) -> None:
    made = await client.create(Namespace(metadata=ObjectMeta(name="dry")), dry_run=True)
    assert made.metadata.uid
    with pytest.raises(StatusError):
        await client.get(Namespace, "dry")


async def test_discovery_names_every_kind_once(client: Client) -> None:
    found = {r.name: r for r in await served(client)}
    assert found["pods"].struct is Pod
    assert found["pods"].namespaced and not found["nodes"].namespaced
    assert "deployments.apps" in found
    assert "subjectaccessreviews.authorization.k8s.io" not in found
