"""The admission stage: every plugin's `mutate`, then, when the object is complete and valid, every `validate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api.kind import Kind
from kybern.apiserver.admission import Admission, AdmissionRequest, handled
from kybern.apiserver.operation import Operation

__all__ = ["AdmissionChain"]


class AdmissionChain:
    """The plugins in their order; which of them a write concerns is worked out once per kind of write."""

    def __init__(self, plugins: Sequence[Admission]) -> None:
        self.plugins = sorted(plugins, key=lambda p: p.order)
        self._mutating: dict[tuple[str, int, str], list[Admission]] = {}
        self._validating: dict[tuple[str, int, str], list[Admission]] = {}

    async def mutate(self, operation: str, kind: Kind, op: Operation, obj: Any, old: Any) -> None:
        """Let plugins change `obj`; StatusError when one refuses."""
        await self._ask(self._mutating, "mutate", operation, kind, op, obj, old)

    async def validate(self, operation: str, kind: Kind, op: Operation, obj: Any, old: Any) -> None:
        """Let plugins refuse."""
        await self._ask(self._validating, "validate", operation, kind, op, obj, old)

    async def _ask(
        self, cached: dict[tuple[str, int, str], list[Admission]], method: str,
        operation: str, kind: Kind, op: Operation, obj: Any, old: Any,
    ) -> None:  # fmt: skip
        key = (operation, id(kind), op.subresource)
        plugins = cached.get(key)
        if plugins is None:
            able = [p for p in self.plugins if getattr(type(p), method) is not getattr(Admission, method)]
            plugins = cached[key] = handled(able, operation, kind, op.subresource)
        if not plugins:
            return
        request = AdmissionRequest(
            operation,
            kind,
            op.subresource,
            op.namespace,
            op.name,
            op.user,
            obj,
            old,
            op.dry_run,
            op.options,
            op.warnings,
        )
        for plugin in plugins:
            await getattr(plugin, method)(request)
