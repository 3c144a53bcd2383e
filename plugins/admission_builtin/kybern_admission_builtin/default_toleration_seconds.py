"""DefaultTolerationSeconds: a pod outlives five minutes of its node being not ready or unreachable."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from kybern.api import types
from kybern.api.kind import Kind
from kybern.apiserver.admission import Admission, AdmissionRequest

__all__ = ["DefaultTolerationSeconds"]

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"


class DefaultTolerationSeconds(Admission):
    """Adds the two tolerations where they are missing."""

    name = "DefaultTolerationSeconds"
    order = 90

    def __init__(self, not_ready: int = 300, unreachable: int = 300) -> None:
        self._templates = {
            key: json.dumps({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds})
            for key, seconds in ((NOT_READY, not_ready), (UNREACHABLE, unreachable))
        }

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        return kind.kind == "Pod" and not kind.group and not subresource and operation in ("CREATE", "UPDATE")

    async def mutate(self, request: AdmissionRequest) -> None:
        spec = request.object.spec
        present = spec.tolerations or []
        missing = [key for key in self._templates if not any(_tolerates(toleration, key) for toleration in present)]
        if missing:
            spec.tolerations = [*present, *map(self._toleration, missing)]

    def _toleration(self, key: str) -> Any:
        return types.decode_exact(_struct(), self._templates[key].encode())


@cache
def _struct() -> type[Any]:
    from kybern.api.core import Toleration

    return Toleration


def _tolerates(toleration: Any, key: str) -> bool:
    return (toleration.key or key) == key and (toleration.effect or "NoExecute") == "NoExecute"
