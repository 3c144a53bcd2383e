"""StatefulSet: order, identity, storage, updates from the top, history."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kybern.api import types
from kybern.api.apps import ControllerRevision, StatefulSet
from kybern.api.core import PersistentVolumeClaim, Pod
from kybern.api.errors import StatusError
from kybern.testing.world import World
from kybern_controllers_workloads.statefulset import StatefulSetController
from kybern_controllers_workloads.statefulset_plan import max_unavailable
from tests.controllers.chaos import live_until_killed
from tests.controllers.objects import least

pytestmark = pytest.mark.anyio


def stateful_set(replicas: int = 3, image: str = "db:1", claims: bool = False, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    base: dict[str, Any] = {
        "replicas": replicas,
        "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "podManagementPolicy": "OrderedReady",
        "template": template,
    }
    if claims:
        base["volumeClaimTemplates"] = [least(PersistentVolumeClaim, "data")]
    return {"metadata": {"name": "db"}, "spec": base | spec}


async def patch_spec(world: World, **spec: Any) -> None:
    await world.client.patch(StatefulSet, "db", "default", {"spec": spec})
    await world.settle(1)


async def set_image(world: World, image: str) -> None:
    await patch_spec(world, template={"spec": {"containers": [{"name": "c", "image": image}]}})


def pods(world: World) -> dict[str, str]:
    """Name -> image, in the order of names."""
    found = {p.metadata.name: p.spec.containers[0].image for p in world.all(Pod) if not p.metadata.deletionTimestamp}
    return dict(sorted(found.items()))


def by_name(world: World, name: str) -> Any:
    return next(p for p in world.all(Pod) if p.metadata.name == name)


async def test_pods_start_one_after_the_other(world: World) -> None:
    await world.apply(StatefulSet, stateful_set(3))
    async with world.running(StatefulSetController()):
        await world.settle(5)
        assert list(pods(world)) == ["db-0"]
        await world.make_ready()
        await world.settle(5)
        assert list(pods(world)) == ["db-0", "db-1"]
        await world.run_pods()
        assert list(pods(world)) == ["db-0", "db-1", "db-2"]
        status = world.all(StatefulSet)[0].status
        assert (status.replicas, status.readyReplicas, status.availableReplicas) == (3, 3, 3)
        assert (status.currentReplicas, status.updatedReplicas) == (3, 3)
        assert status.currentRevision == status.updateRevision == world.all(ControllerRevision)[0].metadata.name
        assert "Normal SuccessfulCreate create Pod db-0 in StatefulSet db successful" in world.events()


async def test_a_pod_has_its_name_number_and_storage(world: World) -> None:
    await world.apply(StatefulSet, stateful_set(1, claims=True, ordinals={"start": 5}))
    async with world.running(StatefulSetController()):
        await world.run_pods()
        pod = by_name(world, "db-5")
        assert (pod.spec.hostname, pod.spec.subdomain) == ("db-5", "db")
        assert pod.metadata.labels == {
            "app": "db",
            "statefulset.kubernetes.io/pod-name": "db-5",
            "apps.kubernetes.io/pod-index": "5",
            "controller-revision-hash": world.all(ControllerRevision)[0].metadata.name,
        }
        (volume,) = pod.spec.volumes
        assert (volume.name, volume.persistentVolumeClaim.claimName) == ("data", "data-db-5")
        (claim,) = world.all(PersistentVolumeClaim)
        assert (claim.metadata.name, claim.metadata.labels) == ("data-db-5", {"app": "db"})


async def test_parallel_starts_and_ends_all_at_once(world: World) -> None:
    await world.apply(StatefulSet, stateful_set(3, podManagementPolicy="Parallel"))
    async with world.running(StatefulSetController()):
        await world.settle(1)
        assert len(pods(world)) == 3
        await patch_spec(world, replicas=0)
        assert pods(world) == {}


async def test_scaling_down_ends_the_highest_and_waits_for_the_others_to_be_well(world: World) -> None:
    await world.apply(StatefulSet, stateful_set(4))
    async with world.running(StatefulSetController()):
        await world.run_pods()
        await world.make_ready([by_name(world, "db-1")], ready=False)
        await patch_spec(world, replicas=2)
        assert list(pods(world)) == ["db-0", "db-1", "db-2", "db-3"]
        await world.make_ready()
        await world.settle(1)
        assert list(pods(world)) == ["db-0", "db-1"]


async def test_an_update_goes_from_the_top_and_waits_for_each(world: World) -> None:
    await world.apply(StatefulSet, stateful_set(3))
    async with world.running(StatefulSetController()):
        await world.run_pods()
        await set_image(world, "db:2")
        assert pods(world) == {"db-0": "db:1", "db-1": "db:1", "db-2": "db:2"}
        status = world.all(StatefulSet)[0].status
        assert status.currentRevision != status.updateRevision
        assert (status.currentReplicas, status.updatedReplicas) == (2, 1)
        await world.make_ready()
        await world.settle(1)
        assert pods(world) == {"db-0": "db:1", "db-1": "db:2", "db-2": "db:2"}
        await world.run_pods()
        assert set(pods(world).values()) == {"db:2"}
        status = world.all(StatefulSet)[0].status
        assert status.currentRevision == status.updateRevision


async def test_a_partition_keeps_the_lower_ones_old_even_when_they_are_replaced(world: World) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    await world.apply(StatefulSet, stateful_set(3, updateStrategy=rolling))
    async with world.running(StatefulSetController()):
        await world.run_pods()
        await set_image(world, "db:2")
        await world.run_pods()
        assert pods(world) == {"db-0": "db:1", "db-1": "db:1", "db-2": "db:2"}
        await world.client.delete(Pod, "db-0", "default")
        await world.run_pods()
        assert pods(world)["db-0"] == "db:1"
        await patch_spec(world, updateStrategy={"rollingUpdate": {"partition": 0}})
        await world.run_pods()
        assert set(pods(world).values()) == {"db:2"}


async def test_on_delete_updates_only_what_somebody_deletes(world: World) -> None:
    await world.apply(StatefulSet, stateful_set(2, updateStrategy={"type": "OnDelete"}))
    async with world.running(StatefulSetController()):
        await world.run_pods()
        await set_image(world, "db:2")
        await world.run_pods()
        assert set(pods(world).values()) == {"db:1"}
        await world.client.delete(Pod, "db-0", "default")
        await world.run_pods()
        assert pods(world) == {"db-0": "db:2", "db-1": "db:1"}


async def test_max_unavailable_updates_several_at_a_time(world: World) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 2}}
    await world.apply(StatefulSet, stateful_set(5, podManagementPolicy="Parallel", updateStrategy=rolling))
    async with world.running(StatefulSetController()):
        await world.run_pods()
        await set_image(world, "db:2")
        assert list(pods(world).values()) == ["db:1", "db:1", "db:1", "db:2", "db:2"]
        await world.run_pods()
        assert set(pods(world).values()) == {"db:2"}


@pytest.mark.parametrize(("value", "expected"), [(None, 1), (0, 1), (2, 2), ("40%", 2), ("59%", 2), ("1%", 1)])
def test_max_unavailable_rounds_down_but_not_to_none(value: Any, expected: int) -> None:
    from kybern.api import types

    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": value}}
    assert max_unavailable(types.from_plain(StatefulSet, stateful_set(5, updateStrategy=rolling))) == expected


async def test_rolling_back_uses_the_old_revision_again(world: World) -> None:
    await world.apply(StatefulSet, stateful_set(1))
    async with world.running(StatefulSetController()):
        for image in ("db:1", "db:2", "db:1"):
            await set_image(world, image)
            await world.run_pods()
        revisions = {
            r.data["spec"]["template"]["spec"]["containers"][0]["image"]: r.revision
            for r in world.all(ControllerRevision)
        }
        assert revisions == {"db:1": 3, "db:2": 2}
        assert pods(world) == {"db-0": "db:1"}


async def test_old_revisions_beyond_the_limit_are_forgotten(world: World) -> None:
    await world.apply(StatefulSet, stateful_set(1, revisionHistoryLimit=2))
    async with world.running(StatefulSetController()):
        for number in range(1, 7):
            await set_image(world, f"db:{number}")
            await world.run_pods()
        await world.settle(1)
        assert sorted(r.revision for r in world.all(ControllerRevision)) == [4, 5, 6]


async def test_a_failed_pod_is_made_again_under_its_name(world: World) -> None:
    await world.apply(StatefulSet, stateful_set(1))
    async with world.running(StatefulSetController()):
        await world.run_pods()
        first = by_name(world, "db-0")
        await world.set_status(first, lambda pod: setattr(pod.status, "phase", "Failed"))
        await world.run_pods()
        assert by_name(world, "db-0").metadata.uid != first.metadata.uid


async def test_min_ready_seconds_delays_the_next(world: World) -> None:
    await world.apply(StatefulSet, stateful_set(2, minReadySeconds=30))
    async with world.running(StatefulSetController()):
        await world.settle(1)
        await world.make_ready()
        await world.settle(20)
        assert list(pods(world)) == ["db-0"]
        await world.settle(15)
        assert list(pods(world)) == ["db-0", "db-1"]


@pytest.mark.parametrize(
    ("deleted", "scaled", "owners"),
    [
        ("Retain", "Retain", {"data-db-0": None, "data-db-1": None}),
        ("Delete", "Retain", {"data-db-0": "StatefulSet", "data-db-1": "StatefulSet"}),
        ("Retain", "Delete", {"data-db-0": None, "data-db-1": "Pod"}),
        ("Delete", "Delete", {"data-db-0": "StatefulSet", "data-db-1": "Pod"}),
    ],
)
async def test_claims_go_with_whom_the_retention_policy_says(
    world: World, deleted: str, scaled: str, owners: dict[str, str | None]
) -> None:
    policy = {"whenDeleted": deleted, "whenScaled": scaled}
    await world.apply(StatefulSet, stateful_set(2, claims=True, persistentVolumeClaimRetentionPolicy=policy))
    async with world.running(StatefulSetController()):
        await world.run_pods()
        await world.bind(await world.client.get(Pod, "db-1", "default"), "n")
        await patch_spec(world, replicas=1)
        assert by_name(world, "db-1").metadata.deletionTimestamp
        found = {
            c.metadata.name: c.metadata.ownerReferences[0].kind if c.metadata.ownerReferences else None
            for c in world.all(PersistentVolumeClaim)
        }
        assert found == owners


async def test_at_rest_it_writes_nothing(world: World) -> None:
    await world.apply(StatefulSet, stateful_set(2, claims=True))
    async with world.running(StatefulSetController()):
        await world.run_pods()
        world.took()
        await world.settle(3600)
        assert world.took() == []


@pytest.mark.parametrize("kind", ["StatefulSet", "Pod", "ControllerRevision", "PersistentVolumeClaim"])
async def test_killed_at_every_step_and_restarted_it_converges(world: World, kind: str) -> None:
    await world.apply(StatefulSet, stateful_set(3, claims=True, podManagementPolicy="Parallel"))
    for step in range(6):
        await world.client.patch(
            StatefulSet,
            "db",
            "default",
            {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": f"db:{step + 1}"}]}}}},
        )
        await live_until_killed(
            world, StatefulSetController(), counts=lambda _, touched: touched == kind, after=step, seconds=5
        )
        async with world.running(StatefulSetController()):
            await world.run_pods()
            assert pods(world) == {f"db-{n}": f"db:{step + 1}" for n in range(3)}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ready"), st.integers(0, 9)),
        st.tuples(st.just("unready"), st.integers(0, 9)),
        st.tuples(st.just("kill"), st.integers(0, 9)),
        st.tuples(st.just("image"), st.integers(1, 3)),
    ),
    max_size=20,
)


@settings(max_examples=40)
@given(replicas=st.integers(1, 6), limit=st.integers(1, 3), parallel=st.booleans(), steps=STEPS)
def test_an_update_never_takes_more_than_max_unavailable(
    replicas: int, limit: int, parallel: bool, steps: list[tuple[str, int]]
) -> None:
    import asyncio

    asyncio.run(roll(replicas, limit, parallel, steps))


async def roll(replicas: int, limit: int, parallel: bool, steps: list[tuple[str, int]]) -> None:
    world = World()
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": limit}}
    policy = "Parallel" if parallel else "OrderedReady"
    await world.apply(StatefulSet, stateful_set(replicas, updateStrategy=rolling, podManagementPolicy=policy))
    broken: list[str] = []

    def ready() -> set[str]:
        return {
            p.metadata.name
            for p in world.all(Pod)
            if not p.metadata.deletionTimestamp
            and any(c.type == "Ready" and c.status == "True" for c in p.status.conditions or ())
        }

    def check(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if kind is Pod and verb == "delete" and name in ready() and len(ready()) - 1 < replicas - limit:
            broken.append(f"{name} deleted with {len(ready())} of {replicas} ready")

    async with world.running(StatefulSetController()):
        await world.run_pods()
        world.client.intercept = check
        await set_image(world, "db:2")
        for what, number in steps:
            alive = [p for p in world.all(Pod) if not p.metadata.deletionTimestamp]
            if what == "image":
                await set_image(world, f"db:{number}")
            elif alive and what == "kill":
                await world.client.remove(Pod, alive[number % len(alive)].metadata.name, "default")
            elif alive:
                await world.make_ready([alive[number % len(alive)]], what == "ready")
            await world.settle(1)
        await world.run_pods()
        image = world.all(StatefulSet)[0].spec.template.spec.containers[0].image
        assert set(pods(world).values()) == {image}
        assert broken == []


async def test_refused_pods_of_a_parallel_set_are_not_tried_all_at_once(world: World) -> None:
    tried: list[str] = []

    def refuse(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if (verb, kind) == ("create", Pod):
            tried.append(name)
            raise StatusError.forbidden("pods", "", name, "exceeded quota")

    await world.apply(StatefulSet, stateful_set(50, podManagementPolicy="Parallel"))
    world.client.intercept = refuse
    async with world.running(StatefulSetController()):
        await world.settle()
        assert set(tried) == {"db-0"}
        (event,) = world.events()
        assert event.startswith("Warning FailedCreate create Pod db-0 in StatefulSet db failed error: ")


async def test_an_adopted_pod_gets_its_labels_once_it_is_well(world: World) -> None:
    await world.apply(Pod, least(Pod, "db-0", labels={"app": "db"}))
    await world.apply(StatefulSet, stateful_set(1, updateStrategy={"type": "OnDelete"}))
    async with world.running(StatefulSetController()):
        await world.settle(1)
        assert by_name(world, "db-0").metadata.ownerReferences[0].kind == "StatefulSet"
        assert by_name(world, "db-0").metadata.labels == {"app": "db"}
        await world.make_ready()
        await world.settle(1)
        labels = by_name(world, "db-0").metadata.labels
        assert labels["statefulset.kubernetes.io/pod-name"] == "db-0"
        assert "Normal SuccessfulUpdate update Pod db-0 in StatefulSet db successful" in world.events()


async def test_a_claim_that_goes_while_its_pod_waits_is_waited_for_and_the_status_told(world: World) -> None:
    await world.apply(StatefulSet, stateful_set(1, claims=True))
    async with world.running(StatefulSetController()):
        await world.settle(1)
        (claim,) = world.all(PersistentVolumeClaim)
        held = types.copy(claim)
        held.metadata.finalizers = ["example.com/hold"]
        await world.client.update(held)
        await world.client.delete(PersistentVolumeClaim, "data-db-0", "default")
        await patch_spec(world, minReadySeconds=3)
        assert world.all(StatefulSet)[0].status.observedGeneration == 2
        (claim,) = world.all(PersistentVolumeClaim)
        freed = types.copy(claim)
        freed.metadata.finalizers = None
        await world.client.update(freed)
        await world.settle(1)
        (claim,) = world.all(PersistentVolumeClaim)
        assert claim.metadata.uid != held.metadata.uid
        assert not claim.metadata.deletionTimestamp
