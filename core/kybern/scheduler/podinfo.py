"""A pod as the scheduler sees it: the object plus what is worked out once and asked often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from kybern.scheduler.requests import DEFAULT_CPU, DEFAULT_MEMORY, Amounts, pod_requests

if TYPE_CHECKING:
    from kybern.api.selectors import Selector

__all__ = ["TERM_SORTS", "AffinityTerm", "PodInfo", "Port", "Terms", "is_terminal"]

_NO_LABELS: Mapping[str, str] = {}
WILDCARD_IP = "0.0.0.0"


class Port(NamedTuple):
    """A host port that a pod takes."""

    ip: str
    protocol: str
    port: int

    def conflicts(self, other: Port) -> bool:
        """Whether two pods with these ports cannot share a node."""
        if self.port != other.port or self.protocol != other.protocol:
            return False
        return self.ip == other.ip or WILDCARD_IP in (self.ip, other.ip)


class AffinityTerm:
    """One pod (anti-)affinity term, with its selectors parsed. Equal terms have equal keys."""

    __slots__ = ("key", "namespace_selector", "namespaces", "selector", "topology_key", "weight")

    def __init__(self, pod: Any, term: Any, weight: int = 0) -> None:
        self.selector = _term_selector(pod, term)
        self.namespace_selector: Selector | None = None
        if term.namespaceSelector is not None:
            from kybern.api import selectors

            self.namespace_selector = selectors.from_label_selector(term.namespaceSelector)
        default = [pod.metadata.namespace] if term.namespaceSelector is None else []
        self.namespaces = frozenset(term.namespaces or default)
        self.topology_key: str = term.topologyKey
        self.weight = weight
        self.key = (
            self.namespaces,
            self.namespace_selector,
            self.selector,
            self.topology_key,
            weight,
        )

    def matches(self, pod: PodInfo, namespace_labels: Any) -> bool:
        """Whether the term is about this pod. `namespace_labels(name)` gives a namespace's labels."""
        return self.matches_namespace(pod.namespace, namespace_labels) and self.selector.matches(pod.labels)

    def matches_namespace(self, namespace: str, namespace_labels: Any) -> bool:
        """Whether pods of the namespace are meant."""
        if namespace in self.namespaces:
            return True
        chosen = self.namespace_selector
        return chosen is not None and chosen.matches(namespace_labels(namespace))


def _term_selector(pod: Any, term: Any) -> Selector:
    """The term's label selector, narrowed by matchLabelKeys and mismatchLabelKeys (KEP-3633).

    The API server has merged them into the selector already unless the pod is older than that."""
    from kybern.api import selectors

    selector = selectors.from_label_selector(term.labelSelector)
    if term.labelSelector is None:
        return selector
    labels = pod.metadata.labels or {}
    more = [selectors.Requirement(k, "in", (labels[k],)) for k in term.matchLabelKeys or () if k in labels]
    more += [selectors.Requirement(k, "notin", (labels[k],)) for k in term.mismatchLabelKeys or () if k in labels]
    new = tuple(r for r in more if r not in selector.requirements)
    return selectors.Selector(selector.requirements + new) if new else selector


TERM_SORTS = ("preferred", "preferred_against", "required", "required_against")


class Terms:
    """The pod's four lists of inter-pod terms."""

    __slots__ = TERM_SORTS

    def __init__(self, pod: Any) -> None:
        together, apart = pod.spec.affinity.podAffinity, pod.spec.affinity.podAntiAffinity
        self.required = _required(pod, together)
        self.required_against = _required(pod, apart)
        self.preferred = _preferred(pod, together)
        self.preferred_against = _preferred(pod, apart)


def _required(pod: Any, affinity: Any) -> list[AffinityTerm]:
    if affinity is None:
        return []
    return [AffinityTerm(pod, term) for term in affinity.requiredDuringSchedulingIgnoredDuringExecution or ()]


def _preferred(pod: Any, affinity: Any) -> list[AffinityTerm]:
    if affinity is None:
        return []
    preferred = affinity.preferredDuringSchedulingIgnoredDuringExecution or ()
    return [AffinityTerm(pod, p.podAffinityTerm, p.weight) for p in preferred]


class PodInfo:
    """A pod with its requests, ports and terms. The pod itself is the cache's: read-only."""

    __slots__ = (
        "_ports",
        "_terms",
        "labels",
        "name",
        "namespace",
        "nonzero_cpu",
        "nonzero_memory",
        "pod",
        "priority",
        "requests",
        "terminating",
        "uid",
    )

    def __init__(self, pod: Any) -> None:
        meta = pod.metadata
        self.pod = pod
        self.uid: str = meta.uid or f"{meta.namespace}/{meta.name}"
        self.name: str = meta.name
        self.namespace: str = meta.namespace or ""
        self.labels: Mapping[str, str] = meta.labels or _NO_LABELS
        self.priority: int = pod.spec.priority or 0
        self.terminating: bool = bool(meta.deletionTimestamp)
        self.requests: Amounts = pod_requests(pod)
        self.nonzero_cpu, self.nonzero_memory = _nonzero(pod, self.requests)
        self._ports: list[Port] | None = None
        self._terms: Terms | None = None

    @property
    def ports(self) -> list[Port]:
        """Host ports of containers and sidecars."""
        if self._ports is None:
            self._ports = list(_host_ports(self.pod))
        return self._ports

    @property
    def terms(self) -> Terms | None:
        """Inter-pod affinity terms; None when the pod has none at all."""
        affinity = self.pod.spec.affinity
        if affinity is None or (affinity.podAffinity is None and affinity.podAntiAffinity is None):
            return None
        if self._terms is None:
            self._terms = Terms(self.pod)
        return self._terms

    def __repr__(self) -> str:
        return f"PodInfo({self.namespace}/{self.name})"


def _nonzero(pod: Any, requests: Amounts) -> tuple[int, int]:
    spec = pod.spec
    for container in (*(spec.containers or ()), *(spec.initContainers or ())):
        wanted = (container.resources.requests if container.resources is not None else None) or {}
        if "cpu" not in wanted or "memory" not in wanted:
            assumed = pod_requests(pod, assume_defaults=True)
            return assumed.get("cpu", DEFAULT_CPU), assumed.get("memory", DEFAULT_MEMORY)
    return requests.get("cpu", 0), requests.get("memory", 0)


def _host_ports(pod: Any) -> Iterable[Port]:
    sidecars = (c for c in pod.spec.initContainers or () if c.restartPolicy == "Always")
    for container in (*(pod.spec.containers or ()), *sidecars):
        for port in container.ports or ():
            if port.hostPort:
                yield Port(port.hostIP or WILDCARD_IP, port.protocol or "TCP", port.hostPort)


def is_terminal(pod: Any) -> bool:
    """Whether the pod has run to its end and takes nothing of its node any more."""
    return pod.status.phase in ("Succeeded", "Failed")
