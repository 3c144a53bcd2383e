"""What the controllers that keep pods running have in common: owners, their pods, and a cache that may be behind.

A pod's change wakes its owner, or, when nobody owns it, those whose selector means it. What a controller did and the
pod informer has not shown yet it remembers as expectations, so that a stale cache never makes it act twice.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

from kybern.api.errors import StatusError
from kybern.reconcile.bursts import all_at_once, slow_start
from kybern.reconcile.expectations import Expectations
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern.reconcile.owners import claim, controller_of, label_test
from kybern.reconcile.pods import is_active, owner_index, ready_since
from kybern_controllers_workloads.pod_writer import PodWriter, namespace_ends

__all__ = ["PodsController", "next_available", "soonest"]


def next_available(pods: Iterable[Any], min_ready_seconds: int, now: float) -> float | None:
    """Seconds until the next ready pod becomes available; None when none is about to."""
    waits = [
        since + min_ready_seconds - now
        for pod in pods
        if is_active(pod) and (since := ready_since(pod)) is not None and since + min_ready_seconds > now
    ]
    return min(waits, default=None)


def soonest(*waits: float | None) -> Result | None:
    """Another look when the first of these seconds are over; None and 0: nothing to wait for."""
    due = [seconds for seconds in waits if seconds]
    return Result(min(due)) if due else None


class PodsController(Controller):
    """Subclasses say which kind owns the pods, and reconcile it."""

    kind: type[Any]

    def selector(self, owner: Any) -> Callable[[Any], bool]:
        """The spec's selector as a test of labels."""
        return label_test(owner.spec.selector)

    def is_news(self, old: Any, new: Any) -> bool:
        """Whether a change of an owner is worth a look."""
        return True

    def setup(self, context: Context) -> None:
        from kybern.api.core import Pod

        self.context = context
        self.client, self.clock, self.events = context.client, context.clock, context.events
        self.writer = PodWriter(context.client, context.events)
        self.expectations = Expectations(context.clock)
        self.owners = context.watch(self.kind, on=self.is_news)
        self.pods = context.informer(Pod)
        self.pods.add_index("owner", owner_index)
        self.pods.on_change(self._pod_changed)

    def _pod_changed(self, old: Any, new: Any) -> None:
        if new is None:
            self._saw_deletion(old)
            return
        key = self._owner_key(new)
        if old is not None and key != (before := self._owner_key(old)) and before is not None:
            self.context.enqueue(before)
        if key is None:
            if controller_of(new) is None and not new.metadata.deletionTimestamp:
                self._wake_matching(new)
            return
        last = False
        if new.metadata.deletionTimestamp:
            last = self.expectations.deleted(key, new.metadata.uid)
        elif old is None:
            last = self.expectations.created(key)
        self.wake(key, at_once=last)

    def _saw_deletion(self, pod: Any) -> None:
        key = self._owner_key(pod)
        if key is not None:
            self.wake(key, at_once=self.expectations.deleted(key, pod.metadata.uid))

    def wake(self, key: Key, at_once: bool) -> None:
        """One of the owner's pods has changed; `at_once`: it was the last change expected."""
        self.context.enqueue(key)

    def _wake_matching(self, pod: Any) -> None:
        for owner in self.owners.list(pod.metadata.namespace):
            if self.selector(owner)(pod.metadata.labels):
                self.context.enqueue(Key(owner.metadata.namespace, owner.metadata.name))

    def _owner_key(self, pod: Any) -> Key | None:
        reference = controller_of(pod)
        if reference is None or reference.kind != self.kind.__name__:
            return None
        return Key(pod.metadata.namespace, reference.name)

    async def claim(
        self, owner: Any, adoptable: Callable[[Any], bool] = lambda _: True, known: Container[int] = ()
    ) -> list[Any]:
        """The owner's pods. Nearly all are so by reference and labels; the rest is adopted or let go.

        `known`: the `id` of pod objects that were claimed before by the same selector, and are kept by who says so.
        """
        matches = self.selector(owner)
        pods, doubtful = [], self.pods.by_index("owner", f"orphans/{owner.metadata.namespace}")
        for pod in self.pods.by_index("owner", owner.metadata.uid):
            (pods if id(pod) in known or matches(pod.metadata.labels) else doubtful).append(pod)
        return pods + await claim(self.client, owner, doubtful, matches, adoptable)

    async def create_pods(self, key: Key, owner: Any, number: int, make: Callable[[int], Any]) -> Exception | None:
        """Create `make(0)`, `make(1)`, ... which are expected already; the first error."""

        async def create_one(index: int) -> None:
            await self.writer.create(owner, make(index))

        created, error = await slow_start(number, create_one)
        self.expectations.created(key, number - created)
        # In a namespace that is being deleted nothing can be created any more, however often it is tried.
        return None if error is not None and namespace_ends(error) else error

    async def delete_pods(self, key: Key, owner: Any, pods: Sequence[Any]) -> Exception | None:
        """Delete pods whose deletion is expected already; the first error, a conflict too: no event need follow it."""

        async def delete_one(pod: Any) -> None:
            try:
                await self.writer.delete(owner, pod)
            except StatusError as error:
                self.expectations.deleted(key, pod.metadata.uid)
                if error.code != 404:
                    raise

        errors = await all_at_once(pods, delete_one)
        return errors[0] if errors else None
