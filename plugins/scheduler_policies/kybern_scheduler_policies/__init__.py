"""The default scheduling policies, with Kubernetes' names, semantics and weights. One file each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kybern.hookspecs import hookimpl

if TYPE_CHECKING:
    from kybern.cluster.start import Start
    from kybern.scheduler.policy import Policy


@hookimpl
def kybern_scheduling_policy(start: Start) -> Iterable[type[Policy]]:
    """All of them, in the order in which a profile asks them."""
    from kybern_scheduler_policies.default_set import POLICIES

    return POLICIES
