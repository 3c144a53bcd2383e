"""A container runtime that only pretends: the rest of a cluster on it is real.

It replaces CRI and nothing else. Containers start at once and run for ever unless their command, a
rule in `[plugins.runtime_fake]` or an annotation of their pod says otherwise (see options.py for
the vocabulary), so that every phase and waiting reason of a pod can be produced on purpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kybern.hookspecs import hookimpl
from kybern_runtime_fake.options import Options

if TYPE_CHECKING:
    from kybern.cluster.start import Start
    from kybern.node.runtime import RuntimeDriver

__all__ = ["Options", "kybern_runtime"]


@hookimpl
def kybern_runtime(start: Start) -> dict[str, type[RuntimeDriver]]:
    """The runtime `fake`."""
    from kybern_runtime_fake.driver import FakeDriver

    return {"fake": FakeDriver}
