"""Scale: the body of the `scale` subresource. It is never stored, so it has no `KIND`."""

from __future__ import annotations

from typing import Any

from kybern.api.core.podspec import workload
from kybern.api.field import Errors, Path

__all__ = ["validate"]


def validate(obj: Any, errors: Errors) -> None:
    """No fewer than zero replicas."""
    workload.not_negative(errors, Path("spec"), obj.spec, "replicas")
