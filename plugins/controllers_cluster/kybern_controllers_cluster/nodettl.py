"""Tells each node how long it may use Secrets and ConfigMaps it has read: the longer, the more nodes there are."""

from __future__ import annotations

from typing import Any

import attrs

from kybern.api.errors import StatusError
from kybern.reconcile.interface import Context, Controller, Key

SETTLING = 5.0
"""Seconds in which nodes that come together are counted, so that each is told once."""
ANNOTATION = "node.alpha.kubernetes.io/ttl"


@attrs.frozen
class Step:
    """A size of cluster. Steps overlap, so that one node more or less does not change all nodes."""

    least: int
    most: int
    seconds: int


STEPS = (
    Step(0, 100, 0),
    Step(90, 500, 15),
    Step(450, 1000, 30),
    Step(900, 2000, 60),
    Step(1800, 10_000, 300),
    Step(9000, 2**31, 600),
)


def step_for(nodes: int, step: int) -> int:
    """The step that a cluster of so many nodes is on when it was on `step` before."""
    while nodes > STEPS[step].most:
        step += 1
    while nodes < STEPS[step].least:
        step -= 1
    return step


class NodeTTLController(Controller):
    """Keeps the annotation of nodes."""

    name = "ttl"

    def setup(self, context: Context) -> None:
        from kybern.api.core import Node

        self.context, self.client = context, context.client
        self._count = self._step = 0
        self._due: set[Key] = set()
        self.nodes = context.informer(Node)
        self.nodes.on_change(self._node_changed)

    def _node_changed(self, old: Any, new: Any) -> None:
        self._count += (new is not None) - (old is not None)
        self._step = step_for(self._count, self._step)
        if new is None or _said(new) == str(STEPS[self._step].seconds):
            return
        key = Key("", new.metadata.name)
        if key not in self._due:
            self._due.add(key)
            self.context.enqueue(key, SETTLING)

    async def reconcile(self, key: Key) -> None:
        self._due.discard(key)
        node: Any = self.nodes.get(key.name)
        wanted = str(STEPS[self._step].seconds)
        if node is None or _said(node) == wanted:
            return
        try:
            await self.client.patch(type(node), key.name, "", {"metadata": {"annotations": {ANNOTATION: wanted}}})
        except StatusError as error:
            if error.code != 404:
                raise


def _said(node: Any) -> str | None:
    return (node.metadata.annotations or {}).get(ANNOTATION)
