"""How full a node would be with the pod, resource by resource: the sums that the resource policies score by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.snapshot import Snapshot

if TYPE_CHECKING:
    from kybern.scheduler.policy import Ints

Resources = Sequence[tuple[str, int]]
"""(resource, weight)"""

DEFAULT_RESOURCES: Resources = (("cpu", 1), ("memory", 1))
_ALWAYS = ("cpu", "memory", "ephemeral-storage")


def read_resources(plain: Any, path: str) -> Resources:
    """`resources` of a policy's args."""
    found: list[tuple[str, int]] = []
    for i, item in enumerate(plain or ()):
        weight = item.get("weight") or 1
        if not item.get("name") or not isinstance(weight, int) or not 1 <= weight <= 100:
            raise ValueError(f"{path}[{i}]: {item!r} must have a name and a weight between 1 and 100")
        found.append((item["name"], weight))
    return found or DEFAULT_RESOURCES


def concerning(resources: Resources, pod: PodInfo) -> Resources:
    """The resources that count for this pod: extended ones only when it asks for them."""
    return [(name, weight) for name, weight in resources if name in _ALWAYS or pod.requests.get(name)]


def used(info: NodeInfo, pod: PodInfo, resource: str, *, assume_defaults: bool) -> int:
    """What would be taken of the resource with the pod on the node."""
    if assume_defaults and resource == "cpu":
        return info.nonzero_cpu + pod.nonzero_cpu
    if assume_defaults and resource == "memory":
        return info.nonzero_memory + pod.nonzero_memory
    return info.requested.get(resource, 0) + pod.requests.get(resource, 0)


def used_all(snapshot: Snapshot, rows: Ints, pod: PodInfo, resource: str, *, assume_defaults: bool) -> Ints:
    """The same for many nodes."""
    columns = snapshot.columns
    if assume_defaults and resource == "cpu":
        column, own = columns.nonzero_cpu, pod.nonzero_cpu
    elif assume_defaults and resource == "memory":
        column, own = columns.nonzero_memory, pod.nonzero_memory
    else:
        column, own = columns.requested(resource), pod.requests.get(resource, 0)
    total: Ints = column[rows] + own
    return total


def only_fields(args: Mapping[str, Any], known: set[str], what: str) -> None:
    """ValueError when the args have other fields."""
    for field in args:
        if field not in known:
            raise ValueError(f"{what}: unknown field {field!r}; known are {', '.join(sorted(known))}")


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def read_seconds(text: Any, default: float, path: str) -> float:
    """A duration of a policy's args, as Go writes it: `10m0s`."""
    if text is None:
        return default
    if not isinstance(text, str) or not text or _DURATION.sub("", text):
        raise ValueError(f"{path}: {text!r} is no duration such as 10m0s")
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))
