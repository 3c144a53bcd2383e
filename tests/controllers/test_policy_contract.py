"""The controllers of quota, storage, devices and tokens meet the contract that any controller must meet."""

from __future__ import annotations

from kybern.api import types
from kybern.reconcile.interface import Controller
from kybern.testing.controller import ControllerContract
from kybern.testing.world import World
from kybern_controllers_cluster.bootstrap_tokens import TokenCleaner
from kybern_controllers_cluster.nodettl import NodeTTLController
from tests.controllers import test_bootstrap_tokens
from tests.controllers.test_policy_interrupted import STORIES


class Told(ControllerContract):
    """A controller at work on one of the stories."""

    story: str

    def make(self) -> Controller:
        return STORIES[self.story].controllers[0]()

    def others(self) -> list[Controller]:
        return [make() for make in STORIES[self.story].controllers[1:]]

    async def populate(self, world: World) -> None:
        for kind, data in STORIES[self.story].objects:
            await world.apply(kind, data)


class TestVolumeBinding(Told):
    story = "a claim takes the volume that fits"


class TestProvisioning(Told):
    story = "a volume is provisioned for a claim"


class TestVolumeRelease(Told):
    story = "a volume whose claim is gone"


class TestEphemeralVolume(Told):
    story = "an ephemeral volume"


class TestAttachDetach(Told):
    story = "a volume is attached"


class TestResourceQuota(Told):
    story = "a quota is counted"


class TestMirroring(Told):
    story = "endpoints are mirrored"


class TestResourceClaim(Told):
    story = "a pod gets its claim for devices"


class TestBootstrapSigner(Told):
    story = "cluster-info is signed"


class TestTokenCleaner(ControllerContract):
    def make(self) -> Controller:
        return TokenCleaner()

    async def populate(self, world: World) -> None:
        from kybern.api.core import Secret

        for identifier in ("aaaaaa", "bbbbbb"):
            await world.apply(Secret, test_bootstrap_tokens.token(identifier, expiration="2001-01-01T00:00:00Z"))


class TestNodeTTL(ControllerContract):
    def make(self) -> Controller:
        return NodeTTLController()

    async def populate(self, world: World) -> None:
        from kybern.api.core import Node

        for name in ("a", "b"):
            await world.client.create(types.from_plain(Node, {"metadata": {"name": name}}))
