"""Bootstrap tokens end when they say, and sign what new nodes are to trust."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml
from joserfc import jws
from joserfc.jwk import OctKey

from kybern.api import types
from kybern.api.core import ConfigMap, Secret
from kybern.api.time import format_time
from kybern.testing.world import World
from kybern_controllers_cluster.bootstrap_tokens import BootstrapSigner, TokenCleaner, public_kubeconfig, signature

pytestmark = pytest.mark.anyio

KEY = "0123456789abcdef"


def token(identifier: str = "abcdef", **fields: str) -> dict[str, Any]:
    data = {"token-id": identifier, "token-secret": KEY, "usage-bootstrap-signing": "true"} | fields
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
    metadata = {"name": f"bootstrap-token-{identifier}", "namespace": "kube-system"}
    return {"metadata": metadata, "type": "bootstrap.kubernetes.io/token", "data": encoded}


def cluster_info(**data: str) -> dict[str, Any]:
    return {"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": {"kubeconfig": "trust me"} | data}


def signatures(world: World) -> set[str]:
    return {name for name in world.all(ConfigMap)[0].data if name.startswith("jws-")}


def test_the_signature_is_a_jws_with_the_content_left_out() -> None:
    made = signature("trust me", "abcdef", KEY)
    header, payload, end = made.split(".")
    assert payload == ""
    content = base64.urlsafe_b64encode(b"trust me").rstrip(b"=").decode()
    found = jws.deserialize_compact(f"{header}.{content}.{end}", OctKey.import_key(KEY))
    assert found.headers() == {"alg": "HS256", "kid": "abcdef"}
    assert found.payload == b"trust me"


async def test_every_signing_token_signs_and_others_do_not(world: World) -> None:
    await world.apply(ConfigMap, cluster_info(**{"jws-kubeconfig-gone00": "old", "other": "kept"}))
    await world.apply(Secret, token())
    await world.apply(Secret, token("second"))
    await world.apply(Secret, token("silent", **{"usage-bootstrap-signing": "false"}))
    async with world.running(BootstrapSigner()):
        await world.settle(1)
        assert signatures(world) == {"jws-kubeconfig-abcdef", "jws-kubeconfig-second"}
        assert world.all(ConfigMap)[0].data["other"] == "kept"
        await world.client.delete(Secret, "bootstrap-token-second", "kube-system")
        await world.settle(1)
        assert signatures(world) == {"jws-kubeconfig-abcdef"}
        changed = types.copy(world.all(ConfigMap)[0])
        changed.data["kubeconfig"] = "trust me more"
        await world.client.update(changed)
        await world.settle(1)
        assert world.all(ConfigMap)[0].data["jws-kubeconfig-abcdef"] == signature("trust me more", "abcdef", KEY)


async def test_a_token_ends_at_its_time_and_its_signature_with_it(world: World) -> None:
    await world.apply(ConfigMap, cluster_info())
    await world.apply(Secret, token(expiration=format_time(world.clock.now() + 3600)))
    await world.apply(Secret, token("lasting"[:6]))
    async with world.running(TokenCleaner(), BootstrapSigner()):
        await world.settle(3500)
        assert len(world.all(Secret)) == 2
        await world.settle(200)
        assert [s.metadata.name for s in world.all(Secret)] == ["bootstrap-token-lastin"]
        assert signatures(world) == {"jws-kubeconfig-lastin"}


@pytest.mark.parametrize("place", [{"namespace": "default"}, {"type": "Opaque"}])
async def test_other_secrets_are_left_alone(world: World, place: dict[str, str]) -> None:
    secret = token(expiration="2001-01-01T00:00:00Z")
    secret["metadata"]["namespace"] = place.get("namespace", "kube-system")
    secret["type"] = place.get("type", secret["type"])
    await world.apply(Secret, secret)
    async with world.running(TokenCleaner()):
        await world.settle(10)
        assert len(world.all(Secret)) == 1


async def test_a_time_that_nobody_can_read_has_passed(world: World) -> None:
    await world.apply(Secret, token(expiration="soon"))
    async with world.running(TokenCleaner()):
        await world.settle(1)
        assert world.all(Secret) == []


async def test_the_first_token_finds_something_to_sign(world: World) -> None:
    async with world.running(BootstrapSigner(lambda: public_kubeconfig("https://10.0.0.1:6443", b"PEM"))):
        await world.apply(Secret, token("silent", **{"usage-bootstrap-signing": "false"}))
        await world.settle(1)
        assert world.all(ConfigMap) == []
        await world.apply(Secret, token())
        await world.settle(1)
        [info] = world.all(ConfigMap)
        assert (info.metadata.namespace, info.metadata.name) == ("kube-public", "cluster-info")
        assert signatures(world) == {"jws-kubeconfig-abcdef"}
        config = yaml.safe_load(info.data["kubeconfig"])
        assert config["clusters"][0]["cluster"]["server"] == "https://10.0.0.1:6443"
        assert (config["users"], config["current-context"]) == (None, "")
