"""LimitRanger: defaults and bounds of a namespace's resources."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import core, types
from kybern.api.errors import StatusError
from kybern_admission_builtin.limit_ranger import LimitRanger
from tests.security.world import World, admit, plain, request

pytestmark = pytest.mark.anyio


class Cluster(World):
    def __init__(self, *items: dict[str, Any]) -> None:
        super().__init__()
        self.plugin = LimitRanger(self.informer(core.LimitRange))
        if items:
            self.limits("limits", *items)

    def limits(self, name: str, *items: dict[str, Any]) -> None:
        metadata = {"name": name, "namespace": "a"}
        self.add(plain("v1/LimitRange", metadata=metadata, spec={"limits": list(items)}))

    async def create(self, obj: Any, **_: Any) -> Any:
        return await admit(self.plugin, request("CREATE", obj))

    async def refused(self, obj: Any) -> str:
        with pytest.raises(StatusError) as caught:
            await self.create(obj)
        assert caught.value.code == 403
        return caught.value.message.partition(" is forbidden: ")[2]


def container(name: str = "c", requests: str = "", limits: str = "", **fields: Any) -> dict[str, Any]:
    """`requests="cpu=1 memory=1Gi"`."""
    resources = {
        field: dict(pair.split("=") for pair in text.split())
        for field, text in (("requests", requests), ("limits", limits))
    }
    return {"name": name, "image": "x", "resources": resources, **fields}


def pod(*containers: dict[str, Any], init: list[dict[str, Any]] | None = None, **more: Any) -> Any:
    spec = {"containers": list(containers) or [container()], "initContainers": init or [], **more}
    return plain("v1/Pod", metadata={"name": "p", "namespace": "a"}, spec=spec)


DEFAULTS = {
    "type": "Container",
    "default": {"cpu": "500m", "memory": "1Gi"},
    "defaultRequest": {"cpu": "100m", "memory": "512Mi"},
}


async def test_containers_get_what_they_do_not_say_and_the_pod_tells() -> None:
    made = await Cluster(DEFAULTS).create(
        pod(container(), container("d", "cpu=1", "cpu=2"), init=[container("i", limits="memory=2Gi")])
    )
    c, d = made.spec.containers
    assert (c.resources.requests, c.resources.limits) == (DEFAULTS["defaultRequest"], DEFAULTS["default"])
    assert d.resources.requests == {"cpu": "1", "memory": "512Mi"}
    assert d.resources.limits == {"cpu": "2", "memory": "1Gi"}
    assert made.spec.initContainers[0].resources.limits == {"cpu": "500m", "memory": "2Gi"}
    assert made.metadata.annotations["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c; "
        "memory request for container d; memory limit for container d; "
        "cpu, memory request for init container i; cpu limit for init container i"
    )


async def test_a_pod_that_says_all_is_left_alone() -> None:
    made = await Cluster(DEFAULTS).create(pod(container("c", "cpu=1 memory=1Gi", "cpu=1 memory=1Gi")))
    assert made.metadata.annotations is None


async def test_other_namespaces_are_not_concerned() -> None:
    cluster = Cluster(DEFAULTS)
    elsewhere = pod()
    elsewhere.metadata.namespace = "b"
    assert (await cluster.create(elsewhere)).spec.containers[0].resources.requests is None


@pytest.mark.parametrize(
    ("item", "refused", "why"),
    [
        (
            {"type": "Container", "min": {"cpu": "100m"}},
            pod(),
            "minimum cpu usage per Container is 100m.  No request is specified",
        ),
        (
            {"type": "Container", "min": {"cpu": "100m"}},
            pod(container("c", "cpu=50m")),
            "minimum cpu usage per Container is 100m, but request is 50m",
        ),
        (
            {"type": "Container", "max": {"memory": "1Gi"}},
            pod(),
            "maximum memory usage per Container is 1Gi.  No limit is specified",
        ),
        (
            {"type": "Container", "max": {"memory": "1Gi"}},
            pod(container("c", "memory=1Gi", "memory=1Gi"), container("d", "memory=1Gi", "memory=2Gi")),
            "maximum memory usage per Container is 1Gi, but limit is 2Gi",
        ),
        (
            {"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "2", "memory": "1Gi"}},
            pod(container("c", "cpu=3", "cpu=3")),
            "[maximum cpu usage per Container is 2, but limit is 3, "
            "maximum memory usage per Container is 1Gi.  No limit is specified]",
        ),
        (
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}},
            pod(container("c", "cpu=100m", "cpu=250m")),
            "cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000",
        ),
        (
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}},
            pod(container("c", "", "cpu=250m")),
            "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
        ),
        (
            {"type": "Container", "max": {"cpu": "1"}},
            pod(container("c", "", "cpu=1"), init=[container("i", "", "cpu=2")]),
            "maximum cpu usage per Container is 1, but limit is 2",
        ),
        (
            {"type": "Container", "max": {"cpu": "1"}},
            pod(container("c", "cpu=2", "cpu=1")),
            "maximum cpu usage per Container is 1, but request is 2",
        ),
        (
            {"type": "Container", "min": {"cpu": "1"}},
            pod(container("c", "cpu=1", "cpu=500m")),
            "minimum cpu usage per Container is 1, but limit is 500m",
        ),
        (
            {"type": "Pod", "max": {"cpu": "1"}},
            pod(container("c", "cpu=600m", "cpu=600m"), container("d", "cpu=600m", "cpu=600m")),
            "maximum cpu usage per Pod is 1, but limit is 1200m",
        ),
        (
            {"type": "Pod", "max": {"cpu": "1"}},
            pod(container("c", "cpu=100m", "cpu=100m"), init=[container("i", "cpu=2", "cpu=2")]),
            "maximum cpu usage per Pod is 1, but limit is 2",
        ),
        (
            {"type": "Pod", "max": {"cpu": "1"}},
            pod(
                container("c", "cpu=600m", "cpu=600m"),
                init=[container("s", "cpu=600m", "cpu=600m", restartPolicy="Always")],
            ),
            "maximum cpu usage per Pod is 1, but limit is 1200m",
        ),
    ],
)
async def test_what_is_out_of_bounds_is_refused(item: dict[str, Any], refused: Any, why: str) -> None:
    assert await Cluster(item).refused(refused) == why


async def test_what_just_keeps_its_bounds_is_let_through() -> None:
    item = {"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "2"}}
    await Cluster(item).create(pod(container("c", "cpu=1", "cpu=2")))


async def test_what_a_pod_asks_for_as_a_whole_is_bounded() -> None:
    cluster = Cluster({"type": "Pod", "max": {"cpu": "3"}})
    made = pod(container(limits="cpu=1"), resources={"limits": {"cpu": "4"}})
    assert await cluster.refused(made) == "maximum cpu usage per Pod is 3, but limit is 4"
    await cluster.create(pod(container(limits="cpu=4"), resources={"limits": {"cpu": "2"}}))


async def test_a_resize_is_bounded_and_gets_no_defaults() -> None:
    cluster = Cluster(DEFAULTS | {"max": {"cpu": "1"}})
    old, new = pod(container(requests="cpu=1")), pod(container(requests="cpu=2"))
    assert cluster.plugin.handles("UPDATE", types.kind_of(old), "resize")
    assert not cluster.plugin.handles("UPDATE", types.kind_of(old), "")
    with pytest.raises(StatusError) as caught:
        await admit(cluster.plugin, request("UPDATE", new, old=old, subresource="resize"))
    assert "maximum cpu usage per Container is 1.  No limit is specified" in caught.value.message
    assert new.spec.containers[0].resources.limits is None


async def test_every_limit_range_counts() -> None:
    cluster = Cluster({"type": "Container", "max": {"cpu": "2"}})
    cluster.limits("more", {"type": "Container", "default": {"cpu": "4"}, "defaultRequest": {"cpu": "4"}})
    assert await cluster.refused(pod()) == "maximum cpu usage per Container is 2, but limit is 4"


def claim(size: str) -> Any:
    spec = {"resources": {"requests": {"storage": size}}}
    return plain("v1/PersistentVolumeClaim", metadata={"name": "c", "namespace": "a"}, spec=spec)


async def test_claims_are_bounded_too() -> None:
    item = {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}
    cluster = Cluster(item, {"type": "Container", "max": {"storage": "1"}})
    await cluster.create(claim("2Gi"))
    head = "storage usage per PersistentVolumeClaim is"
    assert await cluster.refused(claim("500Mi")) == f"minimum {head} 1Gi, but request is 500Mi"
    assert await cluster.refused(claim("3Gi")) == f"maximum {head} 2Gi, but request is 3Gi"
