"""The cells of `kubectl get pods`: what a person reads of each state a pod can be in."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.core.pod import KIND
from kybern.api.time import format_time
from tests.api.judge import NOW, changed
from tests.api.samples import POD


def status(name: str, restarts: int = 0, ready: bool = False, **state: Any) -> dict[str, Any]:
    last = state.pop("last", {})
    return {
        "name": name,
        "ready": ready,
        "restartCount": restarts,
        "image": "",
        "imageID": "",
        "state": state,
        "lastState": last,
        "started": "running" in state,
    }


def cells(changes: dict[str, Any]) -> list[Any]:
    plain = changed(POD, {"metadata.creationTimestamp": format_time(NOW - 90), **changes})
    assert KIND.row is not None
    return KIND.row(types.from_plain(KIND.struct, plain), NOW)


def running(name: str, ready: bool = True, **more: Any) -> dict[str, Any]:
    return status(name, ready=ready, running={"startedAt": format_time(NOW)}, **more)


def ended(code: int, reason: str = "", ago: int = 5, **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": format_time(NOW - ago), **more}}


TWO = {"spec.containers.1": {"name": "b", "image": "b"}}
INIT = {"spec.initContainers": [{"name": "i0", "image": "i"}, {"name": "i1", "image": "i"}]}
SIDECAR = {"spec.initContainers": [{"name": "s", "image": "s", "restartPolicy": "Always"}]}
READY = [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "True"}]

STATES: list[tuple[dict[str, Any], tuple[str, str, str]]] = [
    ({"status.phase": "Pending"}, ("0/1", "Pending", "0")),
    ({"status.phase": "Running", "status.containerStatuses": [running("web")]}, ("1/1", "Running", "0")),
    (
        {"status.containerStatuses": [status("web", waiting={"reason": "ImagePullBackOff"})]},
        ("0/1", "ImagePullBackOff", "0"),
    ),
    (
        {
            "status.phase": "Running",
            "status.containerStatuses": [
                status("web", restarts=3, waiting={"reason": "CrashLoopBackOff"}, last=ended(1, "Error", ago=65))
            ],
        },
        ("0/1", "CrashLoopBackOff", "3 (65s ago)"),
    ),
    ({"status.containerStatuses": [status("web", restarts=2, **ended(137, "OOMKilled"))]}, ("0/1", "OOMKilled", "2")),
    ({"status.containerStatuses": [status("web", **ended(3))]}, ("0/1", "ExitCode:3", "0")),
    ({"status.containerStatuses": [status("web", **ended(0, signal=9))]}, ("0/1", "Signal:9", "0")),
    (
        {"status.phase": "Succeeded", "status.containerStatuses": [status("web", **ended(0, "Completed"))]},
        ("0/1", "Completed", "0"),
    ),
    (
        {**TWO, "status.conditions": READY,
         "status.containerStatuses": [status("web", **ended(0, "Completed")), running("b")]},
        ("1/2", "Running", "0"),
    ),
    (
        {**TWO, "status.containerStatuses": [status("web", **ended(0, "Completed")), running("b")]},
        ("1/2", "NotReady", "0"),
    ),
    (
        {**INIT, "status.phase": "Pending", "status.initContainerStatuses": [status("i0", waiting={}), status("i1")]},
        ("0/1", "Init:0/2", "0"),
    ),
    (
        {**INIT, "status.initContainerStatuses": [status("i0", **ended(0, "Completed")), running("i1", ready=False)]},
        ("0/1", "Init:1/2", "0"),
    ),
    ({**INIT, "status.initContainerStatuses": [status("i0", **ended(1, "Error"))]}, ("0/1", "Init:Error", "0")),
    ({**INIT, "status.initContainerStatuses": [status("i0", **ended(7))]}, ("0/1", "Init:ExitCode:7", "0")),
    (
        {**INIT, "status.initContainerStatuses": [
            status("i0", restarts=4, waiting={"reason": "CrashLoopBackOff"}, last=ended(1, ago=7200))]},
        ("0/1", "Init:CrashLoopBackOff", "4 (120m ago)"),
    ),
    (
        {**INIT, "status.phase": "Running",
         "status.containerStatuses": [running("web", restarts=1, last=ended(1, ago=9))],
         "status.initContainerStatuses": [status("i0", restarts=5, **ended(0)), status("i1", **ended(0))]},
        ("1/1", "Running", "1 (9s ago)"),
    ),
    (
        {**SIDECAR, "status.phase": "Running", "status.containerStatuses": [running("web")],
         "status.initContainerStatuses": [running("s", restarts=2)]},
        ("2/2", "Running", "2"),
    ),
    (
        {"status.phase": "Pending", "status.conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]},
        ("0/1", "SchedulingGated", "0"),
    ),
    ({"status.phase": "Failed", "status.reason": "Evicted"}, ("0/1", "Evicted", "0")),
    (
        {"status.phase": "Running", "metadata.deletionTimestamp": format_time(NOW),
         "status.containerStatuses": [running("web")]},
        ("1/1", "Terminating", "0"),
    ),
    (
        {"status.phase": "Succeeded", "metadata.deletionTimestamp": format_time(NOW),
         "status.containerStatuses": [status("web", **ended(0, "Completed"))]},
        ("0/1", "Completed", "0"),
    ),
    (
        {"status.phase": "Running", "status.reason": "NodeLost", "metadata.deletionTimestamp": format_time(NOW)},
        ("0/1", "Unknown", "0"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), STATES)
def test_ready_status_and_restarts(changes, expected):
    assert tuple(cells(changes)[1:4]) == expected


def test_the_wide_columns():
    changes = {
        "spec.nodeName": "node-1",
        "spec.readinessGates": [{"conditionType": "a"}, {"conditionType": "b"}],
        "status": {
            "podIP": "10.0.0.1",
            "nominatedNodeName": "node-2",
            "conditions": [{"type": "a", "status": "True"}, {"type": "b", "status": "False"}],
        },
    }
    assert cells(changes)[4:] == ["90s", "10.0.0.1", "node-1", "node-2", "1/2"]
    assert cells({})[5:] == ["<none>"] * 4


def test_there_is_a_cell_for_every_column():
    assert len(cells({})) == len(KIND.columns)


def test_pods_are_found_by_the_fields_that_clients_select_by():
    plain = changed(
        POD, {"spec.nodeName": "n", "spec.hostNetwork": True, "status.phase": "Running", "status.podIP": "10.0.0.1"}
    )
    pod = types.from_plain(KIND.struct, plain)
    found = {field: get(pod) for field, get in KIND.selectable.items()}
    assert found["spec.nodeName"] == "n"
    assert found["spec.hostNetwork"] == "true"
    assert found["status.phase"] == "Running"
    assert found["status.podIP"] == "10.0.0.1"
    assert found["spec.serviceAccountName"] == ""
