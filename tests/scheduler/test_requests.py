"""What a pod asks of its node, all in all."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.core import Pod
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.requests import pod_requests
from tests.scheduler.world import pod


def container(name: str, cpu: str | None = None, memory: str | None = None, **more: Any) -> dict[str, Any]:
    wanted = {k: v for k, v in (("cpu", cpu), ("memory", memory)) if v}
    return {"name": name, "image": "app", "resources": {"requests": wanted}} | more


def of(spec: dict[str, Any], status: dict[str, Any] | None = None) -> dict[str, int]:
    return pod_requests(types.from_plain(Pod, {"metadata": {"name": "p"}, "spec": spec, "status": status or {}}))


SIDECAR = {"restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [container("a", "1"), container("b", "500m")]}, 1500),
        ({"containers": [container("a", "1")], "initContainers": [container("i", "3"), container("j", "2")]}, 3000),
        ({"containers": [container("a", "1")], "initContainers": [container("s", "1", **SIDECAR)]}, 2000),
        (
            {
                "containers": [container("a", "1")],
                "initContainers": [container("s", "1", **SIDECAR), container("i", "3")],
            },
            4000,
        ),
        (
            {
                "containers": [container("a", "1")],
                "initContainers": [container("i", "3"), container("s", "1", **SIDECAR)],
            },
            3000,
        ),
        ({"containers": [container("a", "1")], "overhead": {"cpu": "250m"}}, 1250),
        ({"containers": [container("a", "1")], "resources": {"requests": {"cpu": "4"}}}, 4000),
        (
            {"containers": [container("a", "1")], "resources": {"requests": {"memory": "1"}}, "overhead": {"cpu": "1"}},
            2000,
        ),
    ],
)
def test_cpu_of_a_pod(spec: dict[str, Any], cpu: int) -> None:
    assert of(spec)["cpu"] == cpu


def resizing(allocated: str, actual: str) -> dict[str, Any]:
    state = {"name": "a", "allocatedResources": {"cpu": allocated}, "resources": {"requests": {"cpu": actual}}}
    return {"containerStatuses": [state]}


@pytest.mark.parametrize(
    ("status", "cpu"),
    [
        (resizing("1", "1"), 2000),
        (resizing("3", "1"), 3000),
        (resizing("2", "4"), 4000),
        (
            resizing("1", "1")
            | {"conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]},
            1000,
        ),
        (
            resizing("1", "1") | {"conditions": [{"type": "PodResizePending", "status": "True", "reason": "Deferred"}]},
            2000,
        ),
    ],
)
def test_a_resize_under_way_counts_with_its_larger_side(status: dict[str, Any], cpu: int) -> None:
    assert of({"containers": [container("a", "2")]}, status)["cpu"] == cpu


def test_scoring_assumes_something_for_containers_that_request_nothing() -> None:
    info = PodInfo(pod("p", containers=[container("a", "1"), container("b", None, "1Gi")]))
    assert info.requests == {"cpu": 1000, "memory": 1024**3}
    assert (info.nonzero_cpu, info.nonzero_memory) == (1100, 1024**3 + 200 * 1024**2)


def test_host_ports_are_those_of_containers_and_sidecars() -> None:
    port = {"ports": [{"containerPort": 1, "hostPort": 80}]}
    other = {"ports": [{"containerPort": 1, "hostPort": 81, "hostIP": "127.0.0.1", "protocol": "UDP"}]}
    info = PodInfo(
        pod(
            "p",
            containers=[container("a", **port)],
            initContainers=[container("s", **SIDECAR, **other), container("i", **port)],
        )
    )
    assert [tuple(p) for p in info.ports] == [("0.0.0.0", "TCP", 80), ("127.0.0.1", "UDP", 81)]
