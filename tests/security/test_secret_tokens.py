"""Long-lived tokens in secrets: filled in for accounts that exist, good while the secret holds them."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.core import Secret, ServiceAccount
from kybern.api.errors import StatusError
from kybern.apiserver.authentication import Authenticator, Credentials
from kybern.apiserver.user import User
from kybern.reconcile.lookup import Lookup
from kybern.testing.authentication import AuthenticatorContract
from kybern.testing.world import World as ControllerWorld
from kybern_auth_builtin.secret_tokens import SecretTokenAuthenticator, SecretTokenController, _claims
from kybern_auth_builtin.token_keys import TokenKeys
from tests.security.test_tokens import KEY, PEM, forged
from tests.security.world import World, plain

pytestmark = pytest.mark.anyio

ANNOTATION = "kubernetes.io/service-account.name"
UID = "kubernetes.io/service-account.uid"


def secret(account: str = "bot", **fields: Any) -> Any:
    metadata = {"name": "s", "namespace": "a", "annotations": {ANNOTATION: account}}
    return plain("v1/Secret", metadata=metadata, type="kubernetes.io/service-account-token", **fields)


def account(name: str = "bot") -> Any:
    return plain("v1/ServiceAccount", metadata={"name": name, "namespace": "a"})


class Running:
    """The controller, and an authenticator that asks the same server."""

    def __init__(self) -> None:
        self.world, self.keys = ControllerWorld(), TokenKeys(PEM)
        client = self.world.client
        accounts, secrets = Lookup(client, None, ServiceAccount), Lookup(client, None, Secret)
        self.authenticator = SecretTokenAuthenticator(self.keys, accounts, secrets, ("api",))

    def controller(self) -> SecretTokenController:
        return SecretTokenController(self.keys, lambda: b"pem")

    async def filled(self) -> Any:
        """The secret, once a token is in it: signing is done in a thread, in real time, the first time."""
        for _ in range(500):
            await self.world.settle(0.1)
            found = self.world.all(Secret)
            if not found or (found[0].data or {}).get("token"):
                return found[0] if found else None
        raise AssertionError("no token in 500 rounds")

    async def user(self, token: bytes) -> User | None:
        return await self.authenticator.authenticate(Credentials(bearer=token.decode()))


async def test_a_secret_gets_a_token_that_is_good_until_the_secret_goes() -> None:
    run = Running()
    made = await run.world.client.create(account())
    async with run.world.running(run.controller()):
        await run.world.client.create(secret())
        held = await run.filled()
        assert (held.data["ca.crt"], held.data["namespace"]) == (b"pem", b"a")
        assert held.metadata.annotations[UID] == made.metadata.uid
        user = await run.user(held.data["token"])
        assert user is not None and (user.name, user.uid) == ("system:serviceaccount:a:bot", made.metadata.uid)
        review = await run.authenticator.review(held.data["token"].decode(), ("api", "x"))
        assert review is not None and review[1] == ("api",)
        assert await run.authenticator.review(held.data["token"].decode(), ("vault",)) is None
        await run.world.client.delete(Secret, "s", "a")
        with pytest.raises(StatusError) as caught:
            await run.user(held.data["token"])
        assert (caught.value.code, str(caught.value.__cause__)) == (401, "service account token has been invalidated")


async def test_the_secret_goes_with_its_account() -> None:
    run = Running()
    await run.world.client.create(account())
    async with run.world.running(run.controller()):
        await run.world.client.create(secret())
        token = (await run.filled()).data["token"]
        await run.world.client.delete(ServiceAccount, "bot", "a")
        await run.world.settle(0.1)
        assert run.world.all(Secret) == []
        with pytest.raises(StatusError):
            await run.user(token)


async def test_a_secret_of_nobody_is_removed_and_other_secrets_are_not() -> None:
    run = Running()
    async with run.world.running(run.controller()):
        await run.world.client.create(secret("ghost"))
        other = plain("v1/Secret", metadata={"name": "other", "namespace": "a", "annotations": {ANNOTATION: "ghost"}})
        await run.world.client.create(other)
        await run.world.settle(0.1)
        assert [s.metadata.name for s in run.world.all(Secret)] == ["other"]


async def test_the_secret_of_an_earlier_account_of_the_name_is_removed() -> None:
    run = Running()
    await run.world.client.create(account())
    old = secret(data={"token": "eA=="})
    old.metadata.annotations[UID] = "another"
    await run.world.client.create(old)
    async with run.world.running(run.controller()):
        await run.world.settle(0.1)
        assert run.world.all(Secret) == []


async def test_what_is_taken_out_of_a_secret_comes_back_and_its_token_stays() -> None:
    run = Running()
    await run.world.client.create(account())
    async with run.world.running(run.controller()):
        await run.world.client.create(secret())
        held = await run.filled()
        changed = types.copy(held)
        changed.data = {"token": held.data["token"], "ca.crt": b"old"}
        await run.world.client.update(changed)
        await run.world.settle(0.1)
        assert run.world.all(Secret)[0].data == held.data


async def test_a_token_changed_in_the_secret_makes_the_old_one_worthless() -> None:
    run = Running()
    await run.world.client.create(account())
    async with run.world.running(run.controller()):
        await run.world.client.create(secret())
        held = await run.filled()
        changed = types.copy(held)
        changed.data = {**held.data, "token": b"mine"}
        await run.world.client.update(changed)
        with pytest.raises(StatusError):
            await run.user(held.data["token"])
        assert await run.user(b"mine") is None


async def test_a_forged_token_of_an_existing_secret_is_refused() -> None:
    from joserfc.jwk import ECKey

    run = Running()
    await run.world.client.create(account())
    async with run.world.running(run.controller()):
        await run.world.client.create(secret())
        token = (await run.filled()).data["token"].decode()
        for key in (ECKey.generate_key("P-256"), KEY):
            # Even with the right key: only the token that the secret holds is good.
            with pytest.raises(StatusError):
                await run.user(forged(token, lambda claims: None, key).encode())


class TestContract(AuthenticatorContract):
    """With a world of one account and one secret."""

    def make(self) -> Authenticator:
        world: Any = World()
        world.add(TOKEN_ACCOUNT)
        world.add(TOKEN_SECRET)
        return SecretTokenAuthenticator(TokenKeys(PEM), world.lookup(ServiceAccount), world.lookup(Secret), ("api",))

    def good(self) -> Credentials:
        return Credentials(bearer=TOKEN_SECRET.data["token"].decode())


TOKEN_ACCOUNT, TOKEN_SECRET = account(), secret()
TOKEN_ACCOUNT.metadata.uid = "u"


def _signed() -> bytes:
    import asyncio

    return asyncio.run(TokenKeys(PEM).sign(_claims(TOKEN_SECRET, TOKEN_ACCOUNT))).encode()


TOKEN_SECRET.data = {"token": _signed()}
