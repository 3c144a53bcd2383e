"""custom.metrics.k8s.io/v1beta2: metrics of objects, which their annotations make up.

An object has the metric `requests` when it carries `metrics.kybern.dev/requests` with a quantity or
a function of its age (`kybern.curve`), whatever kind it is of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kybern.api import selectors
from kybern.api.computed import Computed, ReadRequest, Served
from kybern.api.errors import StatusError
from kybern.api.kind import Kind
from kybern.api.time import format_time
from kybern_metrics.values import PREFIX, value_at

if TYPE_CHECKING:
    from kybern.cluster.start import Start

__all__ = ["custom_metrics"]

GROUP, VERSION = "custom.metrics.k8s.io", "v1beta2"
API_VERSION = f"{GROUP}/{VERSION}"
Plain = dict[str, Any]


class CustomMetrics(Computed):
    """`pods/*/requests`, `services/web/requests`, `namespaces/shop/metrics/requests`."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._names: Counter[str] = Counter()
        self._generation = 0

    def follow_pods(self) -> None:
        """Learn from the pods which metrics discovery lists."""
        from kybern.api.core import Pod

        self._start.informers.informer(Pod).on_change(self._pod_changed)

    def _pod_changed(self, old: Any, new: Any) -> None:
        before, after = _metric_names(old), _metric_names(new)
        if before == after:
            return
        known = set(self._names)
        self._names.subtract(before)
        self._names.update(after)
        self._names = +self._names
        self._generation += set(self._names) != known

    def served(self) -> Sequence[Served]:
        return [Served(f"pods/{name}") for name in sorted(self._names)]

    @property
    def generation(self) -> int:
        return self._generation

    async def list(self, request: ReadRequest) -> Sequence[Plain]:
        raise StatusError.no_such_path()

    async def get(self, request: ReadRequest) -> Plain:
        metric = request.subresource
        if request.resource == "metrics" and request.namespace and not metric:
            # Namespaces have a form of their own, in which the namespace is the object.
            metric, objects = (
                request.name,
                await self._objects("namespaces", "", request.namespace, selectors.EVERYTHING),
            )
        elif metric:
            objects = await self._objects(request.resource, request.namespace, request.name, request.labels)
        else:
            raise StatusError.no_such_path()
        found = [(obj, obj.metadata.annotations[PREFIX + metric]) for obj in objects if _has(obj, metric)]
        if not found and request.name != "*":
            raise StatusError.not_found(request.resource, GROUP, f"{request.name}/{metric}")
        items = [_value(obj, metric, text, request.now) for obj, text in found]
        return {"kind": "MetricValueList", "apiVersion": API_VERSION, "metadata": {}, "items": items}

    async def _objects(self, resource: str, namespace: str, name: str, labels: selectors.Selector) -> Sequence[Any]:
        kind = self._kind(resource)
        if kind is None:
            raise StatusError.no_such_path()
        if name != "*":
            return [await self._start.client.get(kind.struct, name, namespace)]
        return (await self._start.client.list(kind.struct, namespace, labels=str(labels))).items

    def _kind(self, resource: str) -> Kind | None:
        """The kind that `pods` or `deployments.apps` names."""
        plural, _, group = resource.partition(".")
        for kind in self._start.registry:
            if (kind.group, kind.plural) == (group, plural) and kind.computed is None and "list" in kind.verbs:
                return kind
        return None


def _metric_names(pod: Any) -> set[str]:
    notes = pod.metadata.annotations if pod is not None else None
    return {key.removeprefix(PREFIX) for key in notes if key.startswith(PREFIX)} if notes else set()


def _has(obj: Any, metric: str) -> bool:
    return PREFIX + metric in (obj.metadata.annotations or {})


def _value(obj: Any, metric: str, text: str, now: float) -> Plain:
    metadata = obj.metadata
    described = {"kind": obj.kind, "name": metadata.name, "apiVersion": obj.apiVersion}
    if metadata.namespace:
        described["namespace"] = metadata.namespace
    value = value_at(
        text, metadata.creationTimestamp, now, f"annotation {PREFIX}{metric} of {obj.kind} {metadata.name}"
    )
    return {"describedObject": described, "metric": {"name": metric}, "timestamp": format_time(now), "value": value}


def custom_metrics(start: Start) -> Kind:
    """The one kind, which stands for all resources."""
    computed = CustomMetrics(start)
    computed.follow_pods()
    return Kind(GROUP, VERSION, "MetricValueList", "*", True, verbs=("get",), computed=computed)
