"""kubectl's own record, an annotation, of what it applied when it merged on the client's side.

When kubectl goes over to server-side apply, what it has applied before is not somebody else's: fields that still are
as the record says may change without a conflict, and the record is kept up for those who go back. (KEP-555.)
"""

from __future__ import annotations

from typing import Any

import msgspec

from kybern.api.patch.fieldset import FieldSet
from kybern.api.patch.ownership import ObjectType, changed, fields_of

__all__ = ["keep_up", "recorded"]

_KUBECTL = "kubectl"
"""The one manager that the record is about."""
_RECORD = "kubectl.kubernetes.io/last-applied-configuration"


def recorded(manager: str, live: dict[str, Any], type_: ObjectType) -> FieldSet:
    """What the manager has applied on the client's side and is still so."""
    text = (live["metadata"].get("annotations") or {}).get(_RECORD) if manager == _KUBECTL else None
    if not text:
        return FieldSet()
    try:
        applied = msgspec.json.decode(text, type=dict[str, Any])
        return fields_of(applied, type_).minus(changed(live, applied, type_))
    except (msgspec.DecodeError, RecursionError):  # anybody can write annotations
        return FieldSet()


def keep_up(manager: str, new: Any, wanted: dict[str, Any]) -> None:
    """Where there is a record, it says what is applied now."""
    annotations = new.metadata.annotations
    if manager == _KUBECTL and annotations and _RECORD in annotations:
        new.metadata.annotations = annotations | {_RECORD: _record(wanted)}


def _record(wanted: dict[str, Any]) -> str:
    metadata = dict(wanted.get("metadata") or {})
    if "annotations" in metadata:
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != _RECORD}
    return msgspec.json.encode({**wanted, "metadata": metadata}, order="sorted").decode() + "\n"
