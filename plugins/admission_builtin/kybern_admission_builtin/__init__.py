"""The admission plugins that every Kubernetes API server runs by default, each in a file of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

from kybern.hookspecs import hookimpl

if TYPE_CHECKING:
    from kybern.apiserver.admission import Admission
    from kybern.cluster.start import Start

__all__ = ["Options", "kybern_admission"]


@attrs.frozen
class Options:
    """Section `[plugins.admission_builtin]` of kybern.toml."""

    enable: tuple[str, ...] = ()
    """Plugins that are off by default (OwnerReferencesPermissionEnforcement)."""
    disable: tuple[str, ...] = ()
    """Plugins that are on by default."""
    not_ready_toleration_seconds: int = 300
    unreachable_toleration_seconds: int = 300


@hookimpl
def kybern_admission(start: Start) -> Iterable[Admission]:
    from kybern_admission_builtin.chain import build

    return build(start, start.options("admission_builtin") or Options())
