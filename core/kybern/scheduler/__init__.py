"""The scheduler: finds a node for every pod, by policies that plugins bring (`policy.Policy`).

The way of a pod: `watching` puts it into the `queue`; `scheduler` takes it out, `cycle` picks a node
from the `snapshot` by the policies of its `profile`, and the binding is written.
"""

from __future__ import annotations

from kybern.scheduler.scheduler import Scheduler

__all__ = ["Scheduler"]
