"""The audit stage: one JSON line per request, for those who switch it on.

It stands right after impersonation, so that a line names both who asked and as whom, and is
written when the answer is known.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from kybern.api.time import format_micro_time
from kybern.apiserver.request import Request, readable

__all__ = ["Audit"]


class Audit:
    """Writes `audit.k8s.io/v1` events at level Metadata."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        """`write` gets one line, with its newline; it must not wait."""
        self._write = write

    def __call__(self, request: Request, code: int, now: float) -> None:
        """Tell about an answered request."""
        event: dict[str, object] = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "stage": "ResponseComplete",
            "requestURI": request.path,
            "verb": request.verb,
            "user": _user(request.impersonator or request.user),
            "sourceIPs": [request.peer] if request.peer else [],
            "userAgent": readable(request.headers.get("User-Agent", "")),
            "responseStatus": {"code": code},
            "requestReceivedTimestamp": format_micro_time(request.now),
            "stageTimestamp": format_micro_time(now),
        }
        if request.impersonator is not None:
            event["impersonatedUser"] = _user(request.user)
        if request.resource_request:
            event["objectRef"] = {
                "resource": request.resource, "namespace": request.namespace, "name": request.name,
                "apiGroup": request.group, "apiVersion": request.version, "subresource": request.subresource,
            }  # fmt: skip
        self._write(msgspec.json.encode(event) + b"\n")


def _user(user: object) -> dict[str, object]:
    return {"username": getattr(user, "name", ""), "groups": list(getattr(user, "groups", ()))}
