"""Which pods stand behind a Service, and on which port: shared by Endpoints and EndpointSlices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kybern.reconcile.interface import Informer, Key
from kybern.reconcile.pods import is_finished, is_ready, pod_condition

__all__ = [
    "TRIGGER", "TriggerTimes", "address_of", "concerns_endpoints", "has_selected_pods", "hostname_for", "index_pods",
    "index_services", "matches", "pods_of", "services_between", "services_of", "target_port", "with_trigger",
]  # fmt: skip

TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"


class TriggerTimes:
    """When what made endpoints change took place: whoever measures how long the network takes to follow wants to know.

    A Service's own time is that of its creation, a pod's that of its last becoming ready or not. Of those that are new
    since the last look the earliest counts; a pod that went has none. After a restart the objects say when that was.
    """

    def __init__(self) -> None:
        self._seen: dict[Key, dict[str, str]] = {}

    def since(
        self, key: Key, service: Any, pods: Iterable[Any], existing: Iterable[Any]
    ) -> tuple[str | None, dict[str, str]]:
        """(The time, or None; what to remember when it is written.)"""
        before = self._seen.get(key)
        told = "" if before else max(((e.metadata.annotations or {}).get(TRIGGER, "") for e in existing), default="")
        conditions = ((pod.metadata.uid, pod_condition(pod, "Ready")) for pod in pods)
        times = {uid: ready.lastTransitionTime or "" for uid, ready in conditions if ready is not None}
        times[service.metadata.uid] = service.metadata.creationTimestamp or ""
        new = (time for uid, time in times.items() if time > (before or {}).get(uid, told))
        return min(new, default=None), times

    def remember(self, key: Key, times: dict[str, str]) -> None:
        """What `since` gave is written."""
        self._seen[key] = times

    def forget(self, key: Key) -> None:
        """The Service is gone."""
        self._seen.pop(key, None)


def with_trigger(annotations: dict[str, str] | None, time: str | None) -> dict[str, str] | None:
    """Annotations with the trigger time, or without any when there is none."""
    others = {name: value for name, value in (annotations or {}).items() if name != TRIGGER}
    return (others if time is None else {**others, TRIGGER: time}) or None


def index_services(services: Informer[Any]) -> None:
    """Services by one label that their selector asks for: whoever knows a pod's labels finds them by it."""
    services.add_index("selector", _service_values)


def index_pods(pods: Informer[Any]) -> None:
    """Pods by each of their labels."""
    pods.add_index("labels", _pod_values)


def _service_values(service: Any) -> Iterable[str]:
    selector = service.spec.selector
    if not selector:
        return ()
    name, value = min(selector.items())
    return (f"{service.metadata.namespace}/{name}={value}",)


def _pod_values(pod: Any) -> Iterable[str]:
    namespace = pod.metadata.namespace
    return [f"{namespace}/{name}={value}" for name, value in (pod.metadata.labels or {}).items()]


def matches(service: Any, pod: Any) -> bool:
    """Whether the Service's selector means the pod."""
    return (service.spec.selector or {}).items() <= (pod.metadata.labels or {}).items()


def services_between(services: Informer[Any], old: Any, new: Any) -> list[Key]:
    """Keys of the Services that selected the pod before a change or do so after it."""
    if old is None or new is None or old.metadata.labels == new.metadata.labels:
        return list(services_of(services, new if new is not None else old))
    return sorted({*services_of(services, old), *services_of(services, new)})


def services_of(services: Informer[Any], pod: Any) -> Iterator[Key]:
    """Keys of the Services that select the pod."""
    for value in _pod_values(pod):
        for service in services.by_index("selector", value):
            if matches(service, pod):
                yield Key(service.metadata.namespace, service.metadata.name)


def pods_of(pods: Informer[Any], service: Any) -> list[Any]:
    """The pods that the Service selects."""
    namespace = service.metadata.namespace
    values = [f"{namespace}/{name}={value}" for name, value in (service.spec.selector or {}).items()]
    shortest = min((pods.by_index("labels", value) for value in values), key=len, default=[])
    return [pod for pod in shortest if matches(service, pod)]


def has_selected_pods(service: Any) -> bool:
    """Whether its endpoints are ours to keep: without a selector somebody else does."""
    return bool(service.spec.selector) and service.spec.type != "ExternalName"


def concerns_endpoints(old: Any, new: Any) -> bool:
    """Whether a pod's change can change endpoints. Most status updates cannot."""
    if (old is None or not old.status.podIP) and (new is None or not new.status.podIP):
        # Without an address it never was nor is one.
        return False
    return old is None or new is None or _relevant(old) != _relevant(new)


def _relevant(pod: Any) -> tuple[Any, ...]:
    status, spec, metadata = pod.status, pod.spec, pod.metadata
    return (
        status.podIP,
        status.podIPs,
        is_ready(pod),
        is_finished(pod),
        metadata.deletionTimestamp is None,
        metadata.labels,
        spec.nodeName,
        spec.hostname,
        spec.subdomain,
    )


def address_of(pod: Any, ipv6: bool) -> str | None:
    """The pod's address of a family."""
    addresses = [entry.ip for entry in pod.status.podIPs or () if entry.ip] or [pod.status.podIP or ""]
    return next((ip for ip in addresses if ip and (":" in ip) == ipv6), None)


def hostname_for(service: Any, pod: Any) -> str | None:
    """The name the pod has below the Service's, if it asked for one."""
    spec = pod.spec
    return spec.hostname if spec.hostname and spec.subdomain == service.metadata.name else None


def target_port(port: Any, pod: Any) -> int | None:
    """The number behind a Service port on this pod; None when the pod has no port of that name."""
    target = port.targetPort
    if isinstance(target, int):
        return target or port.port
    if not target:
        return int(port.port)
    for container in _containers(pod):
        for declared in container.ports or ():
            if declared.name == target and (declared.protocol or "TCP") == (port.protocol or "TCP"):
                return int(declared.containerPort)
    return None


def _containers(pod: Any) -> Iterator[Any]:
    """The containers, then the init containers that keep running beside them."""
    yield from pod.spec.containers or ()
    for container in pod.spec.initContainers or ():
        if container.restartPolicy == "Always":
            yield container
