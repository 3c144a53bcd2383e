"""The fairness stage: a limit on how many requests are worked on at once; beyond it clients are told to come back.

Reads and writes have their own limits, long-running requests (watch, log, exec) and the cluster's
own administrators and health checks none, so that a flood of one kind starves neither the other
nor the people who have to stop it.
"""

from __future__ import annotations

from kybern.api.errors import StatusError
from kybern.apiserver.request import Request

__all__ = ["Fairness", "is_long_running"]

_LONG_SUBRESOURCES = frozenset({"log", "exec", "attach", "portforward", "proxy"})
_READS = frozenset({"get", "list", "watch"})
_EXEMPT_GROUP = "system:masters"


def is_long_running(request: Request) -> bool:
    """Requests that last as long as the client likes."""
    return request.verb in ("watch", "proxy") or request.subresource in _LONG_SUBRESOURCES


class Fairness:
    """Counts requests in flight."""

    def __init__(self, reads: int = 400, writes: int = 200) -> None:
        self.limits = {True: reads, False: writes}
        self.in_flight = {True: 0, False: 0}

    def enter(self, request: Request) -> dict[bool, int] | None:
        """Take a seat for the time the request is worked on; StatusError 429 when none is free.

        What it returns is for `leave`. (Not a context manager: this is on the path of every request.)
        """
        if is_long_running(request) or not request.resource_request or _EXEMPT_GROUP in request.user.groups:
            return None
        reading, in_flight = request.verb in _READS, self.in_flight
        if in_flight[reading] >= self.limits[reading]:
            raise StatusError.too_many_requests("too many requests, please try again later", 1)
        in_flight[reading] += 1
        return in_flight

    @staticmethod
    def leave(request: Request, seat: dict[bool, int] | None) -> None:
        """Give the seat back."""
        if seat is not None:
            seat[request.verb in _READS] -= 1
