"""Kybern: Kubernetes as a Python plugin framework.

What an author of plugins, operators and tests imports. Everything else is machinery.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kybern.client.interface import Client
    from kybern.clock import Clock, SystemClock, VirtualClock
    from kybern.hookspecs import hookimpl
    from kybern.reconcile.interface import Context, Controller, Key, Result

__all__ = ["Client", "Clock", "Context", "Controller", "Key", "Result", "SystemClock", "VirtualClock", "hookimpl"]

_HOMES = {
    "Client": "kybern.client.interface",
    "Clock": "kybern.clock",
    "SystemClock": "kybern.clock",
    "VirtualClock": "kybern.clock",
    "hookimpl": "kybern.hookspecs",
    "Context": "kybern.reconcile.interface",
    "Controller": "kybern.reconcile.interface",
    "Key": "kybern.reconcile.interface",
    "Result": "kybern.reconcile.interface",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: the command line must not pay for asyncio to print its help.
    if name not in _HOMES:
        raise AttributeError(f"module 'kybern' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
