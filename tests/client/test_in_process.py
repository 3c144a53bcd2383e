"""What only the client inside the server's process can meet."""

from __future__ import annotations

import pytest

from kybern.api.core import ConfigMap
from kybern.api.errors import StatusError
from kybern.api.meta import ObjectMeta
from kybern.store.interface import StoreError

pytestmark = pytest.mark.anyio


async def test_a_store_that_cannot_be_written_to_is_unavailable_as_over_https(kybern_cluster, monkeypatch):
    made = await kybern_cluster.client.create(ConfigMap(metadata=ObjectMeta(name="a", namespace="default")))

    async def full(*_, **__):
        raise StoreError("no space is left")

    monkeypatch.setattr(kybern_cluster.store, "commit", full)
    client = kybern_cluster.client
    for write in (
        client.create(ConfigMap(metadata=ObjectMeta(name="b", namespace="default"))),
        client.patch(ConfigMap, "a", "default", {"data": {"a": "b"}}),
        client.delete(ConfigMap, made.metadata.name, "default"),
    ):
        with pytest.raises(StatusError) as refused:
            await write
        assert (refused.value.code, refused.value.reason) == (503, "ServiceUnavailable")
        assert "no space is left" in refused.value.message
