"""custom.metrics.k8s.io: metrics of objects, which their annotations make up.

An object has the metric `requests` when it carries `metrics.kybern.dev/requests` with a quantity or
a function of its age (see values.py), whatever kind it is of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import attrs

from kybern.api import selectors
from kybern.api.computed import Computed, ReadRequest, Served
from kybern.api.errors import StatusError
from kybern.api.kind import Kind
from kybern.api.time import format_time
from kybern_metrics.values import PREFIX, series_at, shown

if TYPE_CHECKING:
    from kybern.cluster.start import Start

__all__ = ["Annotated", "custom_metrics"]

GROUP = "custom.metrics.k8s.io"
VERSIONS = ("v1beta2", "v1beta1")
NOT_FOLLOWED = {("", "events"), ("events.k8s.io", "events"), ("coordination.k8s.io", "leases")}
"""Written all the time, and measured by nobody: not worth a copy. Their metrics can be read, but are not listed."""
Plain = dict[str, Any]


class Annotated:
    """Which metrics there are: what discovery lists. Learned from the objects as they change."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._names: Counter[tuple[Kind, str]] = Counter()
        self.generation = 0

    def follow(self) -> None:
        """Once the cluster runs: by then the caches are there that the garbage collector keeps of every kind."""
        for kind in self._start.registry:
            stored = kind.computed is None and kind.storage_version_of is None and "watch" in kind.verbs
            if stored and (kind.group, kind.plural) not in NOT_FOLLOWED:
                self._start.informers.informer(kind.struct).on_change(self._counting(kind))

    def _counting(self, kind: Kind) -> Any:
        def changed(old: Any, new: Any) -> None:
            before, after = _metric_names(old), _metric_names(new)
            if before != after:
                self._count(kind, before, after)

        return changed

    def _count(self, kind: Kind, before: Iterable[str], after: Iterable[str]) -> None:
        known = set(self._names)
        self._names.subtract((kind, name) for name in before)
        self._names.update((kind, name) for name in after)
        self._names = +self._names
        self.generation += set(self._names) != known

    def served(self) -> list[Served]:
        """`pods/requests`; namespaces have a form of their own, `namespaces/requests`, as adapters list them."""
        return [
            Served(f"{kind.resource}/{name}", kind.namespaced)
            for kind, name in sorted(self._names, key=lambda found: (found[0].resource, found[1]))
        ]


@attrs.frozen
class CustomMetrics(Computed):
    """`namespaces/shop/pods/*/requests`, `namespaces/shop/metrics/requests`, `nodes/node-1/requests`."""

    start: Start
    annotated: Annotated
    version: str

    def served(self) -> Sequence[Served]:
        return self.annotated.served()

    @property
    def generation(self) -> int:
        return self.annotated.generation

    async def list(self, request: ReadRequest) -> Sequence[Plain]:
        raise StatusError.no_such_path()

    async def get(self, request: ReadRequest) -> Plain:
        metric, resource, namespace, name = request.subresource, request.resource, request.namespace, request.name
        if resource == "metrics" and namespace and not metric:
            metric, resource, namespace, name = name, "namespaces", "", namespace
        kind = self._kind(resource)
        if not metric or kind is None or kind.namespaced != bool(namespace):
            raise StatusError.no_such_path()
        wanted = _metric_selector(request)
        objects = await self._objects(kind, namespace, name, request.labels)
        found = [self._value(obj, metric, request.now, wanted) for obj in objects]
        items = [item for item in found if item is not None]
        if not items:
            raise _unknown(kind, name, metric, wanted)
        return {"kind": "MetricValueList", "apiVersion": f"{GROUP}/{self.version}", "metadata": {}, "items": items}

    def _kind(self, resource: str) -> Kind | None:
        """The kind that `pods` or `deployments.apps` names."""
        for kind in self.start.registry:
            if kind.resource == resource and kind.computed is None and "list" in kind.verbs:
                return kind
        return None

    async def _objects(self, kind: Kind, namespace: str, name: str, labels: selectors.Selector) -> Sequence[Any]:
        if name != "*":
            try:
                return [await self.start.client.get(kind.struct, name, namespace)]
            except StatusError as error:
                if error.code != 404:
                    raise
                return []
        return (await self.start.client.list(kind.struct, namespace, labels=str(labels))).items

    def _value(self, obj: Any, metric: str, now: float, wanted: selectors.Selector) -> Plain | None:
        metadata = obj.metadata
        text = (metadata.annotations or {}).get(PREFIX + metric)
        if text is None:
            return None
        where = f"annotation {PREFIX}{metric} of {obj.kind} {metadata.name}"
        series = series_at(text, metadata.creationTimestamp, now, where)
        chosen = [value for labels, value in series if wanted.matches(labels)]
        if not chosen:
            return None
        described = {"kind": obj.kind, "name": metadata.name, "apiVersion": obj.apiVersion}
        if metadata.namespace:
            described["namespace"] = metadata.namespace
        return {"describedObject": described, **self._named(metric, wanted), "timestamp": format_time(now),
                "value": shown(sum(chosen, Fraction(0)))}  # fmt: skip

    def _named(self, metric: str, wanted: selectors.Selector) -> Plain:
        """The two versions differ in this alone."""
        selector = {} if wanted.empty else {"selector": _as_object(wanted)}
        if self.version == "v1beta1":
            return {"metricName": metric, **selector}
        return {"metric": {"name": metric, **selector}}


def _metric_names(obj: Any) -> set[str]:
    notes = obj.metadata.annotations if obj is not None else None
    return {key.removeprefix(PREFIX) for key in notes if key.startswith(PREFIX)} if notes else set()


def _metric_selector(request: ReadRequest) -> selectors.Selector:
    try:
        return selectors.parse_labels((request.query.get("metricLabelSelector") or [""])[0])
    except ValueError as error:
        raise StatusError.bad_request(str(error)) from None


_OPERATORS = {"in": "In", "notin": "NotIn", "exists": "Exists", "!": "DoesNotExist"}


def _as_object(selector: selectors.Selector) -> Plain:
    """A selector as a LabelSelector."""
    exact = {r.key: r.values[0] for r in selector.requirements if selector.exact(r.key) is not None}
    others: list[Plain] = [
        {
            "key": r.key,
            "operator": _OPERATORS.get(r.operator, r.operator),
            **({"values": [*r.values]} if r.values else {}),
        }
        for r in selector.requirements
        if r.key not in exact
    ]
    return {name: value for name, value in (("matchLabels", exact), ("matchExpressions", others)) if value}


def _unknown(kind: Kind, name: str, metric: str, wanted: selectors.Selector) -> StatusError:
    """In the words of the library that adapters are made with."""
    text = f"the server could not find the metric {metric} for {kind.resource}"
    if name != "*":
        text += f" {name}"
    if not wanted.empty:
        text += f" with selector {wanted}"
    return StatusError(404, "NotFound", text, {})


def custom_metrics(start: Start) -> list[Kind]:
    """One kind per version, which stands for all resources."""
    annotated = Annotated(start)
    return [
        Kind(GROUP, version, "MetricValueList", "*", True, verbs=("get",),
             computed=CustomMetrics(start, annotated, version))
        for version in VERSIONS
    ]  # fmt: skip
