"""The three metrics APIs: metrics.k8s.io from what nodes measure, the others from annotations and ConfigMaps.

Autoscalers and `kubectl top` read them like any other resource; nothing of them is stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from kybern.hookspecs import hookimpl

if TYPE_CHECKING:
    from kybern.api.kind import Kind
    from kybern.client.interface import Client
    from kybern.cluster.cluster import Cluster
    from kybern.cluster.start import Start


@hookimpl
def kybern_resources(start: Start) -> Iterable[Kind]:
    from kybern_metrics.custom import custom_metrics
    from kybern_metrics.external import external_metrics
    from kybern_metrics.resources import resource_metrics

    return [*resource_metrics(start), *custom_metrics(start), external_metrics(start)]


@hookimpl
def kybern_bootstrap(start: Start) -> Iterable[Callable[[Client], Awaitable[None]]]:
    from kybern_metrics.role import ensure_reader

    return [ensure_reader]


@hookimpl
def kybern_cluster_started(cluster: Cluster) -> None:
    from kybern_metrics.custom import CustomMetrics

    served = (kind.computed for kind in cluster.server.resources.registry)
    for annotated in {computed.annotated for computed in served if isinstance(computed, CustomMetrics)}:
        annotated.follow()
