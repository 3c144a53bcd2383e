"""The one thread that writes to disk, and how the event loop hears from it; or none, where time waits for work."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from kybern.store.interface import StoreError

__all__ = ["InlineWriter", "Writer"]

SWITCH_SECONDS = 0.0005
"""How long the thread waits at most for a busy event loop to lend it the interpreter (Python's default: 5 ms)."""

T = TypeVar("T")


class Writer:
    """Runs jobs in their order in a thread of its own and reports each to the event loop that made it."""

    def __init__(self) -> None:
        sys.setswitchinterval(min(SWITCH_SECONDS, sys.getswitchinterval()))
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any, StoreError | None], None]] | None]
        self._jobs = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="kybern-store-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], Any], report: Callable[[Any, StoreError | None], None]) -> None:
        """Run the job; then `report(result, error)` on the event loop."""
        self._jobs.put((job, report))

    async def call(self, job: Callable[[], T]) -> T:
        """Run the job and wait for it."""
        done: asyncio.Future[T] = self._loop.create_future()

        def report(result: Any, error: StoreError | None) -> None:
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)

        self.submit(job, report)
        return await done

    def stop(self) -> None:
        """End the thread once it has done all it was given."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (task := self._jobs.get()) is not None:
            job, report = task
            result, error = _done(job)
            with suppress(RuntimeError):  # the loop is gone: nobody is left to tell
                self._loop.call_soon_threadsafe(report, result, error)


class InlineWriter(Writer):
    """Runs jobs on the event loop, whose time stands still until they are done."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def submit(self, job: Callable[[], Any], report: Callable[[Any, StoreError | None], None]) -> None:
        self._loop.call_soon(report, *_done(job))

    def stop(self) -> None:
        pass


def _done(job: Callable[[], Any]) -> tuple[Any, StoreError | None]:
    """What came of a job."""
    try:
        return job(), None
    except StoreError as failure:
        return None, failure
    except Exception as failure:
        error = StoreError(f"the store failed: {failure!r}")
        error.__cause__ = failure
        return None, error
