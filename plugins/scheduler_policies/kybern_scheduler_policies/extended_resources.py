"""Extended resources that DeviceClasses stand behind (KEP-5004): a pod that requests `example.com/gpu: 1` on a node
without such a resource gets a device of the class instead, through a claim that the scheduler makes for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from kybern.api import types
from kybern.reconcile.owners import controller_reference
from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import Handle

__all__ = ["ANNOTATION", "DeviceClasses", "Mapped", "claim_for", "lacking"]

ANNOTATION = "resource.kubernetes.io/extended-resource-claim"
IMPLICIT = "deviceclass.resource.kubernetes.io/"
"""Every class can be requested under its own name, too."""


class Mapped(NamedTuple):
    """Which of the claim's requests serves a container's resource."""

    containerName: str
    resourceName: str
    requestName: str


class DeviceClasses:
    """The classes by the extended resources that they serve."""

    def __init__(self, handle: Handle) -> None:
        from kybern.api.resource import DeviceClass

        self._informer = handle.informer(DeviceClass)
        self._by_resource: dict[str, str] | None = None
        self._told: list[Callable[[], None]] = []
        self._informer.on_change(self._changed)

    def on_change(self, call: Callable[[], None]) -> None:
        """Call when any class changes."""
        self._told.append(call)

    def _changed(self, old: Any, new: Any) -> None:
        self._by_resource = None
        for call in self._told:
            call()

    def get(self, name: str) -> Any:
        """The DeviceClass, or None."""
        return self._informer.get(name)

    def behind(self, resource: str) -> str | None:
        """The name of the class behind an extended resource. Of several the newest counts, then the first by name."""
        if "/" not in resource:
            return None
        if resource.startswith(IMPLICIT):
            name = resource.removeprefix(IMPLICIT)
            return name if self._informer.get(name) is not None else None
        if self._by_resource is None:
            classes = sorted(self._informer.list(), key=lambda c: str(c.metadata.name), reverse=True)
            classes.sort(key=lambda c: c.metadata.creationTimestamp or "")
            named = [c for c in classes if c.spec.extendedResourceName]
            self._by_resource = {c.spec.extendedResourceName: str(c.metadata.name) for c in named}
        return self._by_resource.get(resource)

    def serve(self, pod: PodInfo) -> dict[str, str]:
        """Class by resource, of what the pod requests."""
        found = {name: self.behind(name) for name, amount in pod.requests.items() if amount and "/" in name}
        return {name: behind for name, behind in found.items() if behind is not None}


def lacking(served: Mapping[str, str], info: NodeInfo) -> dict[str, str]:
    """Those of the resources that the node itself does not have."""
    return {name: behind for name, behind in served.items() if not info.allocatable.get(name)}


def claim_for(pod: Any, wanted: Mapping[str, str]) -> tuple[Any, list[Mapped]]:
    """The claim for these resources, and what of it is for which container."""
    from kybern.api.meta import ObjectMeta
    from kybern.api.resource import ResourceClaim

    requests: list[dict[str, Any]] = []
    mapped: list[Mapped] = []
    for resource, device_class in sorted(wanted.items()):
        new, lines = _requests(pod.spec, resource, device_class)
        requests += new
        mapped += lines
    requests.sort(key=lambda request: str(request["name"]))
    claim = types.from_plain(ResourceClaim, {"spec": {"devices": {"requests": requests}}})
    claim.metadata = ObjectMeta(
        generateName=f"{pod.metadata.name}-extended-resources-",
        namespace=pod.metadata.namespace,
        annotations={ANNOTATION: "true"},
        ownerReferences=[types.copy(controller_reference(pod))],
    )
    claim.metadata.ownerReferences[0].blockOwnerDeletion = None
    return claim, mapped


def _requests(spec: Any, resource: str, device_class: str) -> tuple[list[dict[str, Any]], list[Mapped]]:
    """Containers that run side by side need devices of their own; init containers borrow those of later ones, and the
    hungriest of them says how many more there must be."""
    containers = [*(spec.initContainers or ()), *(spec.containers or ())]
    lasting: list[tuple[int, str, int]] = []
    mapped: list[Mapped] = []
    brief: list[int] = []
    for i, container in enumerate(containers):
        if i < len(spec.initContainers or ()) and container.restartPolicy != "Always":
            brief.append(i)
        elif count := _count(container, resource):
            lasting.append((i, _name(i, container, resource), count))
            mapped.append(Mapped(container.name, resource, lasting[-1][1]))
    extra: tuple[str, int] | None = None
    more: list[tuple[str, list[str]]] = []
    for i in brief:
        short, borrowed = _borrow(_count(containers[i], resource), [each for each in lasting if each[0] > i])
        if short and (extra is None or short > extra[1]):
            extra = _name(i, containers[i], resource), short
        more.append((containers[i].name, [*borrowed, ""] if short else borrowed))
    for container_name, names in more:
        own = extra[0] if extra is not None else ""
        mapped += [Mapped(container_name, resource, name or own) for name in names]
    counted: Iterable[tuple[str, int]] = [*([extra] if extra else []), *((name, n) for _, name, n in lasting)]
    return [_request(name, device_class, count) for name, count in counted], mapped


def _borrow(count: int, later: Sequence[tuple[int, str, int]]) -> tuple[int, list[str]]:
    """How many are still short, and the requests that are borrowed from."""
    borrowed = []
    for _, name, there in later:
        if count <= 0:
            break
        borrowed.append(name)
        count -= there
    return max(count, 0), borrowed


def _count(container: Any, resource: str) -> int:
    wanted = (container.resources.requests if container.resources is not None else None) or {}
    return int(wanted.get(resource) or 0)


def _name(index: int, container: Any, resource: str) -> str:
    """`container-0-request-1`: the container's place, and the resource's among all that it requests."""
    return f"container-{index}-request-{sorted(container.resources.requests).index(resource)}"


def _request(name: str, device_class: str, count: int) -> dict[str, Any]:
    return {
        "name": name,
        "exactly": {"deviceClassName": device_class, "allocationMode": "ExactCount", "count": count},
    }
