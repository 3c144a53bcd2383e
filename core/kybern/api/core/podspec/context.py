"""What the checks of a pod's parts must know about the whole pod."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["PodContext"]


@attrs.frozen
class PodContext:
    """Made once per checked PodSpec, from the spec itself."""

    volumes: Mapping[str, Any]
    """Valid volumes by name."""
    claims: frozenset[str]
    """Names of the pod's resource claims."""
    grace_seconds: int
    restart_policy: str
    host_users: bool
    """Whether the pod shares the host's user namespace."""
    is_pod: bool
    """True for a Pod, False for a template."""
