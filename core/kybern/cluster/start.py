"""What plugins are given when they register their drivers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from kybern.clock import Clock
from kybern.config import Config

if TYPE_CHECKING:
    from kybern.api.registry import Registry
    from kybern.client.interface import Client
    from kybern.cluster.pki import PKI
    from kybern.node.usage import NodeUsage
    from kybern.reconcile.informers import Informers
    from kybern.reconcile.interface import EventRecorder

__all__ = ["Start"]


@attrs.define
class Start:
    """A cluster about to start, as its plugins may see it."""

    config: Config
    clock: Clock
    state_dir: Path
    """A directory for state; each plugin keeps to a folder of its own name in it."""
    pki: PKI
    client: Client
    """In process, as system:masters; answers once the server serves."""
    informers: Informers
    """Shared caches; started with the cluster."""
    events: EventRecorder
    registry: Registry
    """All resources, for plugins that work on every kind (garbage collection)."""
    options: Callable[[str], Any]
    """Plugin name -> its config section as its `Options` class (defaults when the section is absent)."""
    usage: Callable[..., Awaitable[Sequence[NodeUsage]]]
    """What the nodes of this process and their pods use now, or with `usage(pods)` these pods alone; empty before the
    nodes run."""
    server_url: str = ""
    """Where the API server listens; known when controllers are asked for."""
