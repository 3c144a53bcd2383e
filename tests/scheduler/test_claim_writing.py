"""Waiting for the drivers that prepare a claim's devices."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from kybern.api import types
from kybern.api.resource import ResourceClaim
from kybern_scheduler_policies.claim_writing import ClaimWriter

pytestmark = pytest.mark.anyio

RESULT = {"driver": "d", "pool": "p", "device": "a", "request": "r", "bindingConditions": ["Attached"]}


def claim(version: str, *conditions: str) -> Any:
    told = [{"type": name, "status": "True"} for name in conditions]
    status = {"allocation": {"devices": {"results": [RESULT]}}}
    status["devices"] = [{"driver": "d", "pool": "p", "device": "a", "conditions": told}]
    metadata = {"name": "c", "namespace": "default", "uid": "u", "resourceVersion": version}
    return types.from_plain(ResourceClaim, {"metadata": metadata, "status": status})


async def test_a_change_while_the_claim_is_being_read_wakes_too() -> None:
    """The read shows what was before the change, and the change comes before the read's answer."""
    versions = [claim("1"), claim("2", "Attached")]

    async def get(kind: type[Any], name: str, namespace: str) -> Any:
        if len(versions) > 1:
            writer.changed(versions[1])
        return versions.pop(0)

    writer = ClaimWriter(SimpleNamespace(client=SimpleNamespace(get=get)))  # type: ignore[arg-type]  # all it reads
    with anyio.fail_after(20):
        await writer.prepared([claim("1")])
    assert versions == []
