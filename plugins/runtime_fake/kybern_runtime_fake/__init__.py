"""A container runtime that only pretends: the rest of a cluster on it is real.

It replaces CRI and nothing else. Containers start at once and run for ever unless their command, a
rule in `[plugins.runtime_fake]` or an annotation of their pod says otherwise (see options.py for
the vocabulary), so that every phase and waiting reason of a pod can be produced on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kybern.hookspecs import hookimpl
from kybern_runtime_fake.options import Options

if TYPE_CHECKING:
    from kybern.cluster.start import Start
    from kybern.node.runtime import RuntimeDriver
    from kybern.reconcile.interface import Controller

__all__ = ["Options", "kybern_controllers", "kybern_runtime"]


@hookimpl
def kybern_runtime(start: Start) -> dict[str, type[RuntimeDriver]]:
    """The runtime `fake`."""
    from kybern_runtime_fake.driver import FakeDriver

    return {"fake": FakeDriver}


@hookimpl
def kybern_controllers(start: Start) -> Iterable[Controller]:
    """Pretended storage, where there are nodes that only pretend."""
    from kybern_runtime_fake.storage import FakeAttacher, FakeProvisioner, FakeResizer

    nodes = start.config.nodes
    runtimes = {nodes.runtime if nodes.count else ""} | {group.runtime or nodes.runtime for group in nodes.group}
    return [FakeProvisioner(), FakeAttacher(), FakeResizer()] if "fake" in runtimes else []
