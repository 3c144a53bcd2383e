"""The request pipeline: every request walks these stages in this order, whoever brought it here.

authentication -> impersonation -> fairness -> authorization -> dispatch, with audit and metrics
told about the outcome. What goes wrong anywhere becomes a Status here, and only here.
"""

from __future__ import annotations

import logging

from kybern.api.errors import StatusError
from kybern.apiserver.audit import Audit
from kybern.apiserver.authenticate import Authentication
from kybern.apiserver.authorize import Authorization
from kybern.apiserver.dispatch import Dispatch
from kybern.apiserver.encode import compressed
from kybern.apiserver.fairness import Fairness
from kybern.apiserver.impersonate import Impersonation
from kybern.apiserver.metrics import Metrics
from kybern.apiserver.paths import Paths
from kybern.apiserver.request import Request
from kybern.apiserver.response import Answer, Response, from_error
from kybern.clock import Clock
from kybern.store.interface import StoreError

__all__ = ["Pipeline", "unreachable"]

log = logging.getLogger(__name__)
_LARGE = 128 * 1024


class Pipeline:
    """The stages, joined."""

    def __init__(
        self, clock: Clock, authentication: Authentication, authorization: Authorization, fairness: Fairness,
        dispatch: Dispatch, paths: Paths, metrics: Metrics, audit: Audit | None,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._authentication = authentication
        self._impersonation = Impersonation(authorization)
        self._authorization = authorization
        self._fairness = fairness
        self._dispatch = dispatch
        self._paths = paths
        self._metrics = metrics
        self._audit = audit

    async def __call__(self, request: Request, *, authenticated: bool = False) -> Answer:
        """Answer a request. `authenticated`: `request.user` is known already (in-process clients)."""
        started = self._clock.monotonic()
        try:
            answer = await self._stages(request, authenticated)
        except StatusError as error:
            answer = from_error(error)
        except StoreError as error:
            log.error("%s %s: %s", request.method, request.path, error)
            answer = from_error(unreachable(error))
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path)
            answer = from_error(StatusError.internal(str(error) or type(error).__name__))
        self._metrics.observe(request, answer.status, self._clock.monotonic() - started)
        if self._audit is not None:
            self._audit(request, answer.status, self._clock.now())
        return answer

    async def _stages(self, request: Request, authenticated: bool) -> Answer:
        if not request.resource_request and self._paths.is_public(request.path):
            return await self._paths(request)
        if not authenticated:
            await self._authentication(request)
        self._impersonation(request)
        seat = self._fairness.enter(request)
        try:
            self._authorization(request)
            answer = await self._dispatch(request)
            if isinstance(answer, Response) and (type(answer) is not Response or len(answer.body) > _LARGE):
                answer = await compressed(request, answer)
            return answer
        finally:
            self._fairness.leave(request, seat)


def unreachable(error: StoreError) -> StatusError:
    """What clients are told when the store fails."""
    return StatusError(503, "ServiceUnavailable", f"the store cannot be reached: {error}", {})
