"""The event recorder: tells people what a component did or could not do, as core/v1 Events.

Recording never waits and never fails: events go through a spam filter, repeated ones become a
count on the first, many similar ones are combined, and a background task writes what is left. The
limits are client-go's EventCorrelator's.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import OrderedDict, deque
from typing import Any, NamedTuple

import anyio
import attrs

from kybern.api.errors import StatusError
from kybern.client.interface import Client
from kybern.clock import Clock
from kybern.reconcile.interface import EventRecorder

__all__ = ["Events"]

log = logging.getLogger(__name__)

SPAM_BURST = 25.0
SPAM_REFILL = 1.0 / 300.0
SIMILAR_LIMIT = 10
SIMILAR_WINDOW = 600.0
REMEMBERED = 4096
BUFFERED = 10_000
WRITERS = 8
RETRIES = 12
RETRY_DELAY = 10.0
WRITE_BURST = 1000
WRITE_RATE = 200.0
"""Events a second that are written when there are many: they must not slow down what they tell of."""


@attrs.define
class _Bucket:
    """Token bucket of the spam filter: one per source and object."""

    tokens: float
    filled: float


@attrs.define
class _Similar:
    """Distinct messages of events that otherwise say the same."""

    messages: set[str]
    last: float


@attrs.define
class _Series:
    """One written Event and how often it happened."""

    namespace: str
    name: str
    count: int
    written: bool = False


@attrs.frozen
class _Note:
    """One thing to tell, before correlation."""

    component: str
    host: str
    about: Any
    type: str
    reason: str
    message: str
    action: str
    time: float


class _Waiting(NamedTuple):
    """What is to be written about a series. It becomes an Event only then: in a burst much is dropped before."""

    series: _Series
    note: _Note
    message: str
    times: int


class _Remembered(OrderedDict[Any, Any]):
    """The most recently used entries."""

    def use(self, key: Any) -> Any | None:
        if key not in self:
            return None
        self.move_to_end(key)
        return self[key]

    def keep(self, key: Any, value: Any) -> None:
        self[key] = value
        if len(self) > REMEMBERED:
            self.popitem(last=False)


class Recorder(EventRecorder):
    """Records in the name of one component (`source.component`)."""

    def __init__(self, events: Events, component: str, host: str) -> None:
        self._events = events
        self._component = component
        self._host = host

    def event(self, about: Any, type: str, reason: str, message: str, *, action: str = "") -> None:
        self._events.record(self._component, self._host, about, type, reason, message, action)


class Events(EventRecorder):
    """All recorders of a process and the task that writes for them. Is a recorder itself."""

    def __init__(self, client: Client, clock: Clock, component: str = "kybern") -> None:
        self._client = client
        self._clock = clock
        self._component = component
        self._pending: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._sequence = 0
        self._allowance, self._allowed = float(WRITE_BURST), clock.monotonic()
        self._buckets = _Remembered()
        self._similar = _Remembered()
        self._series = _Remembered()
        self.dropped = 0

    def recorder(self, component: str, host: str = "") -> EventRecorder:
        """A recorder for a component, e.g. `deployment-controller`; kubelets also name their host."""
        return Recorder(self, component, host)

    def event(self, about: Any, type: str, reason: str, message: str, *, action: str = "") -> None:
        self.record(self._component, "", about, type, reason, message, action)

    def record(
        self, component: str, host: str, about: Any, type: str, reason: str, message: str, action: str = ""
    ) -> None:
        """Tell it in the name of a component."""
        now = self._clock.now()
        try:
            if self._let_through(component, host, about, now):
                self._correlate(_Note(component, host, _reference(about), type, reason, message, action, now))
        except Exception:
            log.exception("could not record the event %s: %s", reason, message)

    async def run(self) -> None:
        """Write what was recorded, until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._pending:
                await self._write_pending()

    async def flush(self) -> None:
        """Write everything recorded so far (at shutdown)."""
        while self._pending:
            await self._write_pending()

    def _correlate(self, note: _Note) -> None:
        key, message = self._combine(note)
        series = self._series.use(key)
        if series is None:
            self._sequence += 1
            name = f"{note.about.name}.{int(note.time * 1e9) + self._sequence:x}"
            series = _Series(note.about.namespace or "default", name, 1)
            self._series.keep(key, series)
        else:
            series.count += 1
        self._send(_Waiting(series, note, message, series.count))

    def _send(self, waiting: _Waiting) -> None:
        if len(self._pending) >= BUFFERED:
            self.dropped += 1
            return
        self._pending.append(waiting)
        self._arrived.set()

    def _let_through(self, component: str, host: str, about: Any, now: float) -> bool:
        """The spam filter: asked first, as in a burst it refuses most."""
        source = getattr(about, "metadata", about)
        key = (component, host, source.uid, source.name, source.namespace, getattr(about, "fieldPath", None))
        bucket = self._buckets.use(key)
        if bucket is None:
            bucket = _Bucket(SPAM_BURST, now)
            self._buckets.keep(key, bucket)
        bucket.tokens = min(SPAM_BURST, bucket.tokens + (now - bucket.filled) * SPAM_REFILL)
        bucket.filled = now
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True

    def _combine(self, note: _Note) -> tuple[Any, str]:
        kin = (note.component, note.host, note.about.key, note.type, note.reason, note.action)
        similar = self._similar.use(kin)
        if similar is None or note.time - similar.last > SIMILAR_WINDOW:
            similar = _Similar(set(), note.time)
            self._similar.keep(kin, similar)
        similar.last = note.time
        similar.messages.add(note.message)
        if len(similar.messages) < SIMILAR_LIMIT:
            return (*kin, note.message), note.message
        # From here on one Event stands for all of them and shows the newest.
        if len(similar.messages) > SIMILAR_LIMIT:
            similar.messages.pop()
        return kin, f"(combined from similar events): {note.message}"

    async def _write_pending(self) -> None:
        lanes: list[list[_Waiting]] = [[] for _ in range(WRITERS)]
        for _ in range(min(await self._batch(), len(self._pending))):
            waiting = self._pending.popleft()
            self._allowance -= 1
            # Events of one series stay in order: they share a lane.
            lanes[zlib.crc32(waiting.series.name.encode()) % WRITERS].append(waiting)
        async with anyio.create_task_group() as tasks:
            for lane in lanes:
                if lane:
                    tasks.start_soon(self._write_lane, lane)

    async def _batch(self) -> int:
        """How many may be written now; waits until it is at least one."""
        while True:
            now = self._clock.monotonic()
            self._allowance = min(WRITE_BURST, self._allowance + (now - self._allowed) * WRITE_RATE)
            self._allowed = now
            if self._allowance >= 1:
                return int(self._allowance)
            await self._clock.sleep(1.0)

    async def _write_lane(self, lane: list[_Waiting]) -> None:
        for waiting in lane:
            event = _event(waiting)
            for _ in range(RETRIES):
                if await self._write(waiting.series, event):
                    break
                await self._clock.sleep(RETRY_DELAY)

    async def _write(self, series: _Series, event: Any) -> bool:
        """Whether the matter is settled: written, or refused for good."""
        try:
            if series.written and await self._count(series, event):
                return True
            await self._client.create(event)
            series.written = True
        except StatusError as error:
            if error.code in (500, 503, 504, 429):
                return False
            # Gone namespaces and refused events are not worth a second try.
            log.debug("event %s was not accepted: %s", series.name, error)
        except Exception:
            log.exception("could not write the event %s", series.name)
        return True

    async def _count(self, series: _Series, event: Any) -> bool:
        """Raise the count of the Event that is there; False when it has expired meanwhile."""
        patch = {"count": event.count, "lastTimestamp": event.lastTimestamp, "message": event.message}
        try:
            await self._client.patch(type(event), series.name, series.namespace, patch, type="merge")
        except StatusError as error:
            if error.code == 404:
                return False
            raise
        return True


@attrs.frozen
class _About:
    """An ObjectReference, before it is needed as a Struct."""

    apiVersion: str
    kind: str
    namespace: str
    name: str
    uid: str
    resourceVersion: str
    fieldPath: str

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        return (self.kind, self.namespace, self.name, self.uid, self.fieldPath)


def _reference(about: Any) -> _About:
    """From an object, or from an ObjectReference (which may name a part by `fieldPath`)."""
    source = getattr(about, "metadata", about)
    return _About(
        apiVersion=about.apiVersion or "",
        kind=about.kind or "",
        namespace=source.namespace or "",
        name=source.name or "",
        uid=source.uid or "",
        resourceVersion=source.resourceVersion or "",
        fieldPath=getattr(about, "fieldPath", None) or "",
    )


def _event(waiting: _Waiting) -> Any:
    from kybern.api.core import Event, EventSource, ObjectReference
    from kybern.api.meta import ObjectMeta
    from kybern.api.time import format_time

    series, note = waiting.series, waiting.note
    now, about = format_time(note.time), note.about
    return Event(
        metadata=ObjectMeta(name=series.name, namespace=series.namespace),
        involvedObject=ObjectReference(
            apiVersion=about.apiVersion or None,
            kind=about.kind or None,
            namespace=about.namespace or None,
            name=about.name or None,
            uid=about.uid or None,
            resourceVersion=about.resourceVersion or None,
            fieldPath=about.fieldPath or None,
        ),
        reason=note.reason,
        message=waiting.message[:1024],
        source=EventSource(component=note.component, host=note.host or None),
        firstTimestamp=now,
        lastTimestamp=now,
        count=waiting.times,
        type=note.type,
        action=note.action or None,
        reportingComponent=note.component,
        reportingInstance=note.host or "",
    )
