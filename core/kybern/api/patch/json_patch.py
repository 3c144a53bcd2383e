"""JSON patch (RFC 6902), with the API server's limits and refusals."""

from __future__ import annotations

from typing import Any

import msgspec

from kybern.api.errors import StatusError
from kybern.api.patch.words import go_type

__all__ = ["MAX_COPIED", "MAX_OPERATIONS", "apply_json_patch"]

MAX_OPERATIONS = 10_000
MAX_COPIED = 3 * 1024 * 1024
"""Bytes that the copy operations of one patch may add."""
_KNOWN = ("add", "remove", "replace", "move", "copy", "test")


def apply_json_patch(target: Any, patch: Any) -> Any:
    """The target after all operations. StatusError 400 for a body that is no patch, 422 for one that does not fit.

    `target` may be changed even when the patch fails.
    """
    if patch is None:
        return target
    if not isinstance(patch, list):
        raise _undecodable(patch, "value of type []handlers.jsonPatchOp")
    if len(patch) > MAX_OPERATIONS:
        raise StatusError(
            413,
            "RequestEntityTooLarge",
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}",
            {},
        )
    for operation in patch:
        _check_types(operation)
    if not all(_well_formed(operation) for operation in patch):
        raise _unfit()
    return _apply(target, patch)


def _apply(target: Any, patch: list[Any]) -> Any:
    import jsonpatch

    refusals = (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException)
    try:
        if any(operation["op"] == "copy" for operation in patch):
            return _apply_counting(target, patch)
        return jsonpatch.JsonPatch(patch).apply(target, in_place=True)
    except (*refusals, LookupError, TypeError, ValueError, AttributeError, RecursionError):
        raise _unfit() from None


def _apply_counting(target: Any, patch: list[Any]) -> Any:
    """Step by step, with an eye on what is copied: a few copies of copies would fill any memory."""
    import jsonpatch

    copied = 0
    for operation in patch:
        if operation["op"] == "copy":
            source = jsonpatch.JsonPointer(operation["from"]).resolve(target)
            copied += len(msgspec.json.encode(source))
            if copied > MAX_COPIED:
                raise _copied_too_much(copied)
        target = jsonpatch.JsonPatch([operation]).apply(target, in_place=True)
    return target


def _copied_too_much(size: int) -> StatusError:
    text = f"the accumulated size increase of copy is {size}, exceeding the limit {MAX_COPIED}"
    return StatusError(413, "RequestEntityTooLarge", f"Unable to complete the copy, {text}", {})


def _check_types(operation: Any) -> None:
    if not isinstance(operation, dict | None):
        raise _undecodable(operation, "value of type handlers.jsonPatchOp")
    for name in ("op", "path", "from"):
        if operation and not isinstance(operation.get(name), str | None):
            raise _undecodable(operation[name], f"struct field jsonPatchOp.{name} of type string")


def _undecodable(given: Any, where: str) -> StatusError:
    return StatusError.bad_request(f"error decoding patch: json: cannot unmarshal {go_type(given)} into Go {where}")


def _well_formed(operation: Any) -> bool:
    if not operation or operation.get("op") not in _KNOWN:
        return False
    pointers = [operation.get("path")] + ([operation.get("from")] if operation["op"] in ("move", "copy") else [])
    return all(isinstance(p, str) and (not p or p.startswith("/")) for p in pointers)


def _unfit() -> StatusError:
    return StatusError(422, "Invalid", "the server rejected our request due to an error in our request", {})
