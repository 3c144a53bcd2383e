"""Counters of the engine, read by whoever serves /metrics; counting costs one addition."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

__all__ = ["ControllerMetrics", "exposition"]


@attrs.define
class ControllerMetrics:
    """What one controller did so far (names follow controller-runtime's and the work queue's)."""

    reconciled: int = 0
    errors: int = 0
    conflicts: int = 0
    requeues: int = 0
    panics: int = 0
    seconds: float = 0.0
    active: int = 0


_HELP = {
    "reconciled": ("controller_reconcile_total", "counter", "Reconciles finished, with or without error."),
    "errors": ("controller_reconcile_errors_total", "counter", "Reconciles that ended in an error."),
    "conflicts": ("controller_reconcile_conflicts_total", "counter", "Reconciles that lost a race for an object."),
    "requeues": ("controller_requeues_total", "counter", "Reconciles that asked to be called again later."),
    "panics": ("controller_reconcile_panics_total", "counter", "Reconciles that failed with an unexpected exception."),
    "seconds": ("controller_reconcile_time_seconds_sum", "counter", "Seconds spent in reconciles."),
    "active": ("controller_active_workers", "gauge", "Workers that are reconciling now."),
}


def exposition(metrics: dict[str, ControllerMetrics], depths: dict[str, int]) -> Iterator[str]:
    """Lines of the Prometheus text format; `depths` are the queue lengths by controller."""
    for field, (name, kind, text) in _HELP.items():
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} {kind}"
        for controller, counted in metrics.items():
            yield f'{name}{{controller="{controller}"}} {getattr(counted, field):g}'
    yield "# HELP workqueue_depth Keys waiting for a worker."
    yield "# TYPE workqueue_depth gauge"
    for controller, depth in depths.items():
        yield f'workqueue_depth{{name="{controller}"}} {depth}'
