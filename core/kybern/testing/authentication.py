"""The contract suite of the `kybern_authenticator` seam.

    class TestMyAuthenticator(AuthenticatorContract):
        def make(self) -> Authenticator: ...
        def good(self) -> Credentials: ...

An authenticator knows its own credentials and says nothing about others: whatever else it is shown,
it answers None or a 401, and never fails in another way.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import pytest

from kybern.api.errors import StatusError
from kybern.apiserver.authentication import Authenticator, Credentials
from kybern.apiserver.user import ANONYMOUS, User

T = TypeVar("T")

__all__ = ["STRANGE_TOKENS", "AuthenticatorContract"]

STRANGE_TOKENS = (
    "",
    "x",
    "a.b",
    "a.b.c",
    "e30.e30.",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.",
    "W10.W10.W10",
    "zzzzzz.0123456789abcdef",
    "\x00\x1b",
    "ü" * 50,
    "." * 1000,
    "a" * 100_000,
)


@pytest.mark.anyio
class AuthenticatorContract:
    """Subclass it, say how to make one, and what it takes."""

    def make(self) -> Authenticator:
        """A new authenticator."""
        raise NotImplementedError

    def good(self) -> Credentials:
        """Credentials that the authenticator accepts."""
        raise NotImplementedError

    def test_has_a_name_and_an_order(self) -> None:
        made = self.make()
        assert isinstance(made.name, str) and made.name
        assert isinstance(made.order, int)

    async def test_its_own_credentials_are_a_user(self) -> None:
        made = self.make()
        user = await made.authenticate(self.good())
        assert isinstance(user, User) and user.name
        assert isinstance(user.groups, tuple) and all(isinstance(group, str) for group in user.groups)
        assert all(isinstance(values, tuple) for values in user.extra.values())

    async def test_the_answer_is_the_same_again(self) -> None:
        made = self.make()
        assert await made.authenticate(self.good()) == await made.authenticate(self.good())

    async def test_nothing_shown_is_nobody(self) -> None:
        assert await self.make().authenticate(Credentials(path="/api")) in (None, ANONYMOUS)

    @pytest.mark.parametrize("token", STRANGE_TOKENS, ids=range(len(STRANGE_TOKENS)))
    async def test_a_strange_token_is_nobody_or_a_401(self, token: str) -> None:
        assert await _answer(self.make(), Credentials(bearer=token)) is None

    @pytest.mark.parametrize("certificate", [b"", b"\x30\x00", b"garbage", b"\x30\x84\xff\xff\xff\xff"])
    async def test_a_strange_certificate_is_nobody_or_a_401(self, certificate: bytes) -> None:
        assert await _answer(self.make(), Credentials(certificate=certificate)) is None

    async def test_a_token_changed_in_one_place_is_no_longer_good(self) -> None:
        token = self.good().bearer
        if not token:
            return
        made = self.make()
        for at in {0, len(token) // 2}:
            other = "A" if token[at] != "A" else "B"
            assert await _answer(made, Credentials(bearer=token[:at] + other + token[at + 1 :])) is None

    async def test_a_review_gives_no_audience_that_was_not_asked_for(self) -> None:
        token = self.good().bearer
        if not token:
            return
        wanted = ("https://nobody.example", "other")
        found = await _or_nobody(self.make().review(token, wanted))
        assert found is None or set(found[1]) <= set(wanted)


async def _answer(authenticator: Authenticator, credentials: Credentials) -> User | None:
    return await _or_nobody(authenticator.authenticate(credentials))


async def _or_nobody(answer: Awaitable[T | None]) -> T | None:
    """The answer; None also for a 401. Any other failure is the test's."""
    try:
        return await answer
    except StatusError as error:
        if error.code != 401:
            raise
        return None
