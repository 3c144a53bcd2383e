"""Small makers for the tests of autoscaling: specs, pods and samples from a few words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from kybern.api import types
from kybern.api.autoscaling import HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec
from kybern.api.autoscaling.behavior import default_behavior
from kybern.api.core import Pod
from kybern.api.time import format_time
from kybern.clock import Clock
from kybern.testing.client import WorldClient
from kybern_controllers_workloads.hpa_decision import Reading
from kybern_controllers_workloads.hpa_replicas import Sample

NOW = 1_767_229_200.0
"""2026-01-01T01:00:00Z."""
OLD = NOW - 3000

__all__ = ["NOW", "MeasuredClient", "autoscaler", "pods", "reading", "spec", "utilization"]


def utilization(percent: int = 50, name: str = "cpu") -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": name, "target": target}}


def autoscaler(*metrics: dict[str, Any], least: int | None = 1, most: int = 10, **more: Any) -> dict[str, Any]:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    made = {"scaleTargetRef": reference, "maxReplicas": most, "metrics": list(metrics) or [utilization()], **more}
    if least is not None:
        made["minReplicas"] = least
    return {"metadata": {"name": "web"}, "spec": made}


def spec(*metrics: dict[str, Any], **more: Any) -> HorizontalPodAutoscalerSpec:
    made = types.from_plain(HorizontalPodAutoscaler, autoscaler(*metrics, **more)).spec
    if made.behavior is not None:
        default_behavior(made.behavior)
    return made


def pods(
    states: str, request: str | None = "100m", started: float = OLD, whole: dict[str, str] | None = None
) -> list[Any]:
    """One pod per letter: r ready, n not ready for long, s just started and not ready, p pending, f failed, d deleted."""
    return [_pod(f"p{i}", state, request, started, whole) for i, state in enumerate(states)]


def _pod(name: str, state: str, request: str | None, started: float, whole: dict[str, str] | None) -> Any:
    begun = NOW - 10 if state == "s" else started
    changed = begun if state in "sr" else NOW - 100
    ready = {
        "type": "Ready",
        "status": "True" if state in "rd" else "False",
        "lastTransitionTime": format_time(changed),
    }
    resources = {"requests": {"cpu": request}} if request else {}
    made = types.from_plain(Pod, {
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "nginx", "resources": resources}],
                 **({"resources": {"requests": whole}} if whole else {})},
        "status": {"phase": {"p": "Pending", "f": "Failed"}.get(state, "Running"), "startTime": format_time(begun),
                   "conditions": [ready] if state != "p" else []},
    })  # fmt: skip
    if state == "d":
        made.metadata.deletionTimestamp = format_time(NOW)
    return made


def reading(*values: int | None) -> Reading:
    """Thousandths by pod; None: not measured."""
    return Reading({f"p{i}": Sample(v, NOW, 15.0) for i, v in enumerate(values) if v is not None})


class MeasuredClient(WorldClient):
    """A client whose server knows what pods use, and how long a queue is."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.share: int | None = 50
        """Thousandths of a core that each pod uses; None: nothing is measured."""
        self.queue: int | None = None
        """What the external metric measures."""
        self.asked: list[str] = []

    async def raw(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        self.asked.append(f"{method} {path.partition('?')[0]}")
        if "external.metrics.k8s.io" in path:
            return 200, msgspec.json.encode({"items": [] if self.queue is None else [{"value": str(self.queue)}]})
        if "metrics.k8s.io" in path:
            return 200, msgspec.json.encode({"items": list(self._metrics())})
        return await super().raw(method, path, body, headers)

    def _metrics(self) -> Iterator[dict[str, Any]]:
        now = format_time(self.clock.now())
        for pod in self.all(Pod) if self.share is not None else ():
            yield {
                "metadata": {"name": pod.metadata.name, "namespace": "default"}, "timestamp": now, "window": "15s",
                "containers": [{"name": "c", "usage": {"cpu": f"{self.share}m"}}],
            }  # fmt: skip
