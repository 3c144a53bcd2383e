"""Kybern: Kubernetes as a Python plugin framework.

What an author of plugins, operators and tests imports. Everything else is machinery.
"""

from __future__ import annotations

from kybern.clock import Clock, SystemClock, VirtualClock
from kybern.hookspecs import hookimpl

__all__ = ["Clock", "SystemClock", "VirtualClock", "hookimpl"]
