"""Whatever interrupts them, the controllers of quota, storage and devices come to the same end.

Each story is told undisturbed, then with the controllers killed before every single write, killed
after every single write (whose answer is lost), and with two of each at work at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anyio
import attrs
import pytest

from kybern.api.core import (
    ConfigMap,
    Endpoints,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    ResourceQuota,
    Secret,
    Service,
)
from kybern.api.discovery import EndpointSlice
from kybern.api.resource import ResourceClaim, ResourceClaimTemplate
from kybern.api.storage import CSIDriver, VolumeAttachment
from kybern.reconcile.engine import Engine
from kybern.reconcile.events import Events
from kybern.reconcile.informers import Informers
from kybern.reconcile.interface import Controller
from kybern.testing.world import World
from kybern_controllers_cluster.attachdetach import AttachDetachController
from kybern_controllers_cluster.bootstrap_tokens import BootstrapSigner
from kybern_controllers_cluster.endpointslicemirroring import EndpointSliceMirroringController
from kybern_controllers_cluster.ephemeral_volume import EphemeralVolumeController
from kybern_controllers_cluster.persistentvolume_binder import PersistentVolumeBinder
from kybern_controllers_cluster.resourceclaim import ResourceClaimController
from kybern_controllers_cluster.resourcequota import ResourceQuotaController
from kybern_runtime_fake.storage import FakeProvisioner
from tests.controllers import test_bootstrap_tokens, test_resourceclaim
from tests.controllers.objects import least
from tests.controllers.test_volumes import claim, volume, with_scratch

pytestmark = pytest.mark.anyio

Objects = Sequence[tuple[type[Any], dict[str, Any]]]


@attrs.frozen
class Story:
    """What is there, who works, and what must have come of it."""

    objects: Objects
    controllers: tuple[type[Controller], ...]
    result: Callable[[World], Any]
    expected: Any


def on_node() -> dict[str, Any]:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    return least(Pod, "p", {"nodeName": "n", "volumes": volumes})


def phases(world: World) -> list[str]:
    objects = [*world.all(PersistentVolumeClaim), *world.all(PersistentVolume)]
    return sorted(f"{o.kind} {o.status.phase}" for o in objects)


def mirrored(world: World) -> list[list[str]]:
    return [[e.addresses[0] for e in s.endpoints] for s in world.all(EndpointSlice)]


def named_claims(world: World) -> bool:
    [made] = world.all(ResourceClaim)
    [status] = world.all(Pod)[0].status.resourceClaimStatuses
    return bool(status.resourceClaimName == made.metadata.name)


def attachments(world: World) -> list[str]:
    return [a.spec.nodeName for a in world.all(VolumeAttachment)]


def attachable() -> Objects:
    csi = {"driver": "csi.example.com", "volumeHandle": "h"}
    bound = claim(volumeName="v")
    bound["status"] = {"phase": "Bound"}
    return [
        (Node, {"metadata": {"name": "n"}}),
        (CSIDriver, {"metadata": {"name": "csi.example.com"}, "spec": {}}),
        (PersistentVolume, least(PersistentVolume, "v", {"hostPath": None, "csi": csi})),
        (PersistentVolumeClaim, bound),
        (Pod, on_node()),
    ]


STORIES = {
    "a claim takes the volume that fits": Story(
        [(PersistentVolume, volume("v")), (PersistentVolume, volume("w", "9Gi")), (PersistentVolumeClaim, claim())],
        (PersistentVolumeBinder,),
        phases,
        ["PersistentVolume Available", "PersistentVolume Bound", "PersistentVolumeClaim Bound"],
    ),
    "a volume is provisioned for a claim": Story(
        [(PersistentVolumeClaim, claim(storageClassName="standard"))],
        (PersistentVolumeBinder, FakeProvisioner),
        phases,
        ["PersistentVolume Bound", "PersistentVolumeClaim Bound"],
    ),
    "a volume whose claim is gone": Story(
        [(PersistentVolume, volume("v", claimRef={"namespace": "default", "name": "c", "uid": "gone"}))],
        (PersistentVolumeBinder,),
        phases,
        ["PersistentVolume Released"],
    ),
    "an ephemeral volume": Story(
        [(Pod, with_scratch("p"))],
        (EphemeralVolumeController,),
        lambda world: [c.metadata.name for c in world.all(PersistentVolumeClaim)],
        ["p-scratch"],
    ),
    "a volume is attached": Story(attachable(), (AttachDetachController,), attachments, ["n"]),
    "a quota is counted": Story(
        [
            (ResourceQuota, {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "2", "pods": "1"}}}),
            (ConfigMap, {"metadata": {"name": "c"}}),
        ],
        (ResourceQuotaController,),
        lambda world: world.all(ResourceQuota)[0].status.used,
        {"configmaps": "1", "pods": "0"},
    ),
    "endpoints are mirrored": Story(
        [
            (Service, least(Service, "s", {"clusterIP": "10.96.0.9"})),
            (Endpoints, {"metadata": {"name": "s"}, "subsets": [{"addresses": [{"ip": "10.0.0.1"}]}]}),
        ],
        (EndpointSliceMirroringController,),
        mirrored,
        [["10.0.0.1"]],
    ),
    "a pod gets its claim for devices": Story(
        [(ResourceClaimTemplate, test_resourceclaim.TEMPLATE), (Pod, test_resourceclaim.pod())],
        (ResourceClaimController,),
        named_claims,
        True,
    ),
    "cluster-info is signed": Story(
        [(ConfigMap, test_bootstrap_tokens.cluster_info()), (Secret, test_bootstrap_tokens.token())],
        (BootstrapSigner,),
        test_bootstrap_tokens.signatures,
        {"jws-kubeconfig-abcdef"},
    ),
}


@pytest.fixture(params=STORIES.values(), ids=list(STORIES))
async def story(request: pytest.FixtureRequest, world: World) -> Story:
    for kind, data in request.param.objects:
        await world.apply(kind, data)
    return request.param  # type: ignore[no-any-return]  # what parametrize was given


def one_write(world: World) -> Callable[..., None]:
    """Lets one write of a life pass, and no more: what comes next dies of it."""
    written: list[str] = []

    def check(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if kind.__name__ == "Event":
            return
        written.append(name)
        if len(written) > 1:
            raise ConnectionError("killed")

    return check


async def test_undisturbed(story: Story, world: World) -> None:
    async with world.running(*(make() for make in story.controllers)):
        await world.settle(5)
        assert story.result(world) == story.expected


async def test_killed_before_every_write(story: Story, world: World) -> None:
    for _ in range(12):
        world.client.intercept = one_write(world)
        async with world.running(*(make() for make in story.controllers)):
            await world.settle(0.5)
    world.client.intercept = None
    assert story.result(world) == story.expected


async def test_killed_after_every_write(story: Story, world: World) -> None:
    def lost(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if kind.__name__ != "Event":
            raise ConnectionError("the answer is lost")

    for _ in range(12):
        world.client.interrupt = lost
        async with world.running(*(make() for make in story.controllers)):
            await world.settle()
    world.client.interrupt = None
    async with world.running(*(make() for make in story.controllers)):
        await world.settle(5)
        assert story.result(world) == story.expected


async def test_two_of_each_at_the_same_time(story: Story, world: World) -> None:
    async with (
        world.running(*(make() for make in story.controllers)),
        world.running(*(make() for make in story.controllers)),
    ):
        await world.settle(30)
        assert story.result(world) == story.expected


async def test_set_up_over_caches_that_are_full_already(
    story: Story, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """In a whole cluster the informers run before the controllers are made."""
    informers = Informers(world.client, world.clock)
    events = Events(world.client, world.clock)
    filling, engine = (Engine(world.client, world.clock, informers, events) for _ in range(2))
    for make in story.controllers:
        filling.add(make())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(informers.run)
        await informers.synced()
        for make in story.controllers:
            engine.add(make())
        tasks.start_soon(engine.run)
        await world.settle(5)
        tasks.cancel_scope.cancel()
    assert [record.getMessage() for record in caplog.records if "callback" in record.getMessage()] == []
    assert story.result(world) == story.expected
