"""The contract suite of the `kybern_admission` seam.

    class TestMyAdmission(AdmissionContract):
        def make(self) -> Admission: ...
        def requests(self) -> list[AdmissionRequest]: ...

A plugin changes objects in `mutate` only, and no further the second time; `validate` looks and says
no or nothing; a refusal is a StatusError that tells the user what to do.
"""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import registry, types
from kybern.api.errors import StatusError
from kybern.apiserver.admission import Admission, AdmissionRequest

__all__ = ["AdmissionContract"]


@pytest.mark.anyio
class AdmissionContract:
    """Subclass it, say how to make one, and which requests it has to do with."""

    def make(self) -> Admission:
        """A new plugin."""
        raise NotImplementedError

    def requests(self) -> list[AdmissionRequest]:
        """Requests that the plugin handles; it may refuse some of them."""
        raise NotImplementedError

    def test_has_a_name_and_an_order(self) -> None:
        made = self.make()
        assert isinstance(made.name, str) and made.name
        assert isinstance(made.order, int)

    def test_what_it_handles_is_settled_by_the_kind_of_write(self) -> None:
        made, again = self.make(), self.make()
        for kind in registry.builtin():
            for operation in ("CREATE", "UPDATE", "DELETE", "CONNECT"):
                for subresource in ("", "status", "scale"):
                    answer = made.handles(operation, kind, subresource)
                    assert isinstance(answer, bool)
                    assert again.handles(operation, kind, subresource) is answer

    def test_it_handles_its_requests(self) -> None:
        asked = self.requests()
        assert asked
        assert all(self.make().handles(r.operation, r.kind, r.subresource) for r in asked)

    async def test_mutating_twice_is_mutating_once(self) -> None:
        for request in self.requests():
            made = self.make()
            if await _refused(made.mutate(request)):
                continue
            once = _seen(request)
            assert not await _refused(made.mutate(request))
            assert _seen(request)[0] == once[0]

    async def test_the_stored_object_is_never_touched(self) -> None:
        for request in self.requests():
            before = _seen(request)[1]
            made = self.make()
            if not await _refused(made.mutate(request)):
                await _refused(made.validate(request))
            assert _seen(request)[1] == before

    async def test_validating_changes_nothing_and_says_the_same_again(self) -> None:
        for request in self.requests():
            made = self.make()
            if await _refused(made.mutate(request)):
                continue
            before = _seen(request)
            first = await _refused(made.validate(request))
            assert await _refused(made.validate(request)) == first
            assert _seen(request) == before


def _seen(request: AdmissionRequest) -> tuple[bytes, bytes]:
    """The new and the stored object as they are now."""
    return _encoded(request.object), _encoded(request.old)


def _encoded(obj: Any) -> bytes:
    return types.encode(obj) if obj is not None else b""


async def _refused(asked: Any) -> str:
    """The refusal's words, or nothing. A refusal blames the request, not the server."""
    try:
        await asked
    except StatusError as error:
        if error.code >= 500:
            raise
        return error.message
    return ""
