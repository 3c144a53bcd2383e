"""What the server counts about itself, in Prometheus' text form under upstream's names."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable

from kybern.apiserver.fairness import Fairness, is_long_running
from kybern.apiserver.request import Request

__all__ = ["Metrics"]

_BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0)
_VERBS = {"patch": "PATCH", "create": "POST", "update": "PUT", "get": "GET", "list": "LIST", "watch": "WATCH",
          "delete": "DELETE", "deletecollection": "DELETECOLLECTION", "post": "POST", "put": "PUT",
          "head": "HEAD"}  # fmt: skip
_MOST_SERIES = 5000

Labels = tuple[str, ...]
Gauge = Callable[[], Iterable[tuple[dict[str, str], float]]]


class _Histogram:
    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(_BUCKETS, seconds)] += 1
        self.total += seconds


class Metrics:
    """Counters of requests, and gauges that are asked when somebody looks."""

    def __init__(self, fairness: Fairness) -> None:
        self._fairness = fairness
        self._requests: dict[Labels, int] = {}
        self._durations: dict[Labels, _Histogram] = {}
        self._sources: list[Callable[[], Iterable[str]]] = []
        self._gauges: dict[str, tuple[str, Gauge]] = {}
        self.watches = 0
        """Watches that are open."""

    def add_gauge(self, name: str, help: str, read: Gauge) -> None:
        """Show a value that somebody else keeps."""
        self._gauges[name] = (help, read)

    def add_lines(self, source: Callable[[], Iterable[str]]) -> None:
        """Further lines of the exposition format, asked for at every read: other components of this process."""
        self._sources.append(source)

    def observe(self, request: Request, code: int, seconds: float) -> None:
        """Count an answered request."""
        scope = "" if not request.resource_request else (
            "resource" if request.name else "namespace" if request.namespace else "cluster"
        )  # fmt: skip
        key = (request.verb, request.group, request.version, request.resource, request.subresource, scope, str(code))
        count = self._requests.get(key)
        if count is None and (len(self._requests) >= _MOST_SERIES or code in (404, 405)):
            # Paths that do not exist must not fill the memory of the server.
            key = (request.verb if request.verb in _VERBS else "other", "", "", "", "", scope, str(code))
            count = self._requests.get(key)
        self._requests[key] = (count or 0) + 1
        if is_long_running(request):
            return
        histogram = self._durations.get(key[:6])
        if histogram is None:
            histogram = self._durations[key[:6]] = _Histogram()
        histogram.add(seconds)

    def text(self) -> bytes:
        """Everything, in the exposition format 0.0.4."""
        lines = _header("apiserver_request_total", "counter", "Counter of apiserver requests.")
        names = ("verb", "group", "version", "resource", "subresource", "scope", "code")
        for key, count in sorted(self._requests.items()):
            lines.append(f"apiserver_request_total{_labels(dict(zip(names, _shown(key), strict=True)))} {count}")
        lines += self._duration_lines(names[:6])
        lines += self._in_flight_lines()
        for name, (help, read) in self._gauges.items():
            lines += _header(name, "gauge", help)
            lines += [f"{name}{_labels(labels)} {value:g}" for labels, value in read()]
        for source in self._sources:
            lines += source()
        return ("\n".join(lines) + "\n").encode()

    def _duration_lines(self, names: tuple[str, ...]) -> list[str]:
        name = "apiserver_request_duration_seconds"
        lines = _header(name, "histogram", "Response latency distribution in seconds.")
        for key, histogram in sorted(self._durations.items(), key=lambda item: item[0]):
            labels = dict(zip(names, _shown(key), strict=True))
            seen = 0
            for bound, count in zip((*(f"{b:g}" for b in _BUCKETS), "+Inf"), histogram.counts, strict=True):
                seen += count
                lines.append(f"{name}_bucket{_labels(labels | {'le': bound})} {seen}")
            lines.append(f"{name}_sum{_labels(labels)} {histogram.total:g}")
            lines.append(f"{name}_count{_labels(labels)} {seen}")
        return lines

    def _in_flight_lines(self) -> list[str]:
        name = "apiserver_current_inflight_requests"
        lines = _header(name, "gauge", "Requests being worked on, by kind.")
        for reading, kind in ((False, "mutating"), (True, "readOnly")):
            lines.append(f'{name}{{request_kind="{kind}"}} {self._fairness.in_flight[reading]}')
        return lines


def _shown(key: Labels) -> Labels:
    return (_VERBS.get(key[0], key[0].upper() or "other"), *key[1:])


def _header(name: str, kind: str, help: str) -> list[str]:
    return [f"# HELP {name} {help}", f"# TYPE {name} {kind}"]


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{k}="{_escaped(v)}"' for k, v in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
