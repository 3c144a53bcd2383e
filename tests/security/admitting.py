"""What tests of admission plugins share."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.errors import StatusError
from tests.security.world import admit, plain, request


def pod(**fields: Any) -> Any:
    spec = {"containers": [{"name": "c", "image": "nginx"}], **fields}
    return plain("v1/Pod", metadata={"name": "p", "namespace": "a"}, spec=spec)


async def refused(plugin: Any, asked: Any) -> str:
    """The message of a 403."""
    with pytest.raises(StatusError) as caught:
        await admit(plugin, asked)
    assert caught.value.code == 403, caught.value.message
    return caught.value.message


async def created(plugin: Any, obj: Any) -> Any:
    """The object after the plugin, which changes nothing the second time."""
    once = await admit(plugin, request("CREATE", obj))
    again = types.encode(once)
    assert types.encode(await admit(plugin, request("CREATE", once))) == again
    return once
