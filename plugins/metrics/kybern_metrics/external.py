"""external.metrics.k8s.io/v1beta1: metrics of things outside of the cluster, which ConfigMaps make up.

A ConfigMap labelled `metrics.kybern.dev/source: external` gives one value per entry: the key names
the metric, the value is a quantity or a function of the ConfigMap's age, or several (see values.py),
and the ConfigMap's other labels are the metric's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kybern.api.computed import Computed, ReadRequest, Served
from kybern.api.kind import Kind
from kybern.api.time import format_time
from kybern_metrics.values import SOURCE, series_at, shown

if TYPE_CHECKING:
    from kybern.cluster.start import Start

__all__ = ["external_metrics"]

GROUP, VERSION = "external.metrics.k8s.io", "v1beta1"
Plain = dict[str, Any]


class ExternalMetrics(Computed):
    """`namespaces/shop/queue_length?labelSelector=queue=orders`."""

    def __init__(self, start: Start) -> None:
        from kybern.api.core import ConfigMap

        self._maps = start.informers.informer(ConfigMap)
        self._maps.add_index("metrics source", lambda found: ("external",) if _is_source(found) else ())
        self._maps.on_change(self._changed)
        self._generation = 0

    def _changed(self, old: Any, new: Any) -> None:
        if (old is not None and _is_source(old)) or (new is not None and _is_source(new)):
            self._generation += 1

    def served(self) -> Sequence[Served]:
        names = {name for source in self._maps.by_index("metrics source", "external") for name in source.data or {}}
        return [Served(name) for name in sorted(names)]

    @property
    def generation(self) -> int:
        return self._generation

    async def get(self, request: ReadRequest) -> Plain:
        raise NotImplementedError("external metrics are only listed")

    async def list(self, request: ReadRequest) -> Sequence[Plain]:
        sources = self._maps.by_index("metrics source", "external")
        return [
            value
            for source in sorted(sources, key=lambda s: str(s.metadata.name))
            if request.resource in (source.data or {}) and request.namespace in ("", source.metadata.namespace)
            for value in _values(source, request.resource, request.now)
            if request.labels.matches(value["metricLabels"])
        ]


def _is_source(found: Any) -> bool:
    return (found.metadata.labels or {}).get(SOURCE) == "external"


def _labels(source: Any) -> dict[str, str]:
    return {name: value for name, value in source.metadata.labels.items() if name != SOURCE}


def _values(source: Any, metric: str, now: float) -> Iterator[Plain]:
    metadata = source.metadata
    where = f"ConfigMap {metadata.namespace}/{metadata.name}: {metric}"
    common = _labels(source)
    for labels, value in series_at(source.data[metric], metadata.creationTimestamp, now, where):
        yield {"metricName": metric, "metricLabels": common | labels, "timestamp": format_time(now),
               "value": shown(value)}  # fmt: skip


def external_metrics(start: Start) -> Kind:
    """The one kind, which stands for all metrics."""
    return Kind(GROUP, VERSION, "ExternalMetricValue", "*", True, verbs=("list",), computed=ExternalMetrics(start))
