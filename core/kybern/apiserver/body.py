"""The decode stage: a request's body becomes an object, or a Status that says what is wrong with it.

JSON, YAML and, for Kubernetes' own kinds, protobuf are read.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from kybern.api import decode
from kybern.api.errors import StatusError
from kybern.api.kind import Kind
from kybern.apiserver.request import Request

__all__ = ["LIMIT", "json_of_yaml", "media_type", "object_from", "plain_yaml", "read_object", "too_large"]

LIMIT = 3 * 1024 * 1024
"""Bytes that a body may have."""

_YAML = ("application/yaml", "text/yaml", "text/x-yaml", "application/x-yaml")
_JSON = ("application/json", "text/json", "")
_PROTOBUF = "application/vnd.kubernetes.protobuf"
_LARGEST_YAML = 500_000
_DEEPEST = 200
_LONG_YAML = 1 << 15


def too_large() -> StatusError:
    """413: the body is longer than the limit."""
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {LIMIT}", {})


def media_type(request: Request) -> str:
    """The media type of the body, without parameters."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def read_object(request: Request, target: Kind | type[Any], field_validation: str) -> Any:
    """The body as a Struct."""
    kind = media_type(request)
    if kind not in _JSON and kind not in _YAML and kind != _PROTOBUF:
        raise unsupported()
    data = await request.body()
    if kind in _YAML:
        data = await _from_yaml(data, target)
    elif kind == _PROTOBUF:
        data = msgspec.json.encode(_plain_protobuf(data, target))
    if b"meta.k8s.io/" in data:
        data = _in_every_group(data)
    return object_from(data, target, field_validation, request.warnings)


async def _from_yaml(data: bytes, target: Kind | type[Any]) -> bytes:
    try:
        return await json_of_yaml(data)
    except StatusError as error:
        kind = target.kind if isinstance(target, Kind) else target.__name__
        raise decode.unrecognized(kind, error.message, data) from None


def _in_every_group(data: bytes) -> bytes:
    """Options belong to every group, so clients also write them as the meta group's own, which no object is in."""
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return data
    if not isinstance(plain, dict) or plain.get("apiVersion") != "meta.k8s.io/v1":
        return data
    return msgspec.json.encode({**plain, "apiVersion": "v1"})


def object_from(
    data: bytes | Any, target: Kind | type[Any], field_validation: str, warnings: list[str], *, encoded: bool = False
) -> Any:
    """JSON bytes or plain data as a Struct. Unknown and duplicate fields are an error, a warning or nothing.
    `encoded`: the bytes are our own."""
    strict = field_validation != "Ignore"
    try:
        obj, problems = decode.read(target, data, strict=strict, encoded=encoded)
    except (ValueError, RecursionError) as error:
        raise StatusError.bad_request(f"the object provided is unrecognized: {error}") from None
    if problems and strict:
        if field_validation == "Strict":
            raise decode.strict_error(type(obj), problems)
        warnings.extend(problems)
    return obj


def _plain_protobuf(data: bytes, target: Kind | type[Any]) -> dict[str, Any]:
    from kybern.apiserver.protobuf.read import Malformed, plain_object

    try:
        plain = plain_object(data, target)
    except Malformed as error:
        raise StatusError.bad_request(f"the object provided is unrecognized: {error}") from None
    if plain is None:
        raise unsupported()
    return plain


async def json_of_yaml(data: bytes) -> bytes:
    """YAML as JSON bytes; long texts are read off the event loop."""
    if len(data) < _LONG_YAML:
        return msgspec.json.encode(plain_yaml(data))
    return msgspec.json.encode(await asyncio.to_thread(plain_yaml, data))


def plain_yaml(data: bytes) -> Any:
    """YAML as JSON-like plain data; StatusError 400 for what is no YAML, or expands without measure."""
    import yaml

    from kybern.apiserver.yaml_loader import Loader, check_depth

    try:
        check_depth(data, _DEEPEST)
        loaded = yaml.load(data, Loader)
        return _jsonable(loaded, [_LARGEST_YAML], 0)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        text = " ".join(str(error).split())
        raise StatusError.bad_request(f"error converting YAML to JSON: yaml: {text}") from None


def _jsonable(value: Any, left: list[int], depth: int) -> Any:
    """Plain JSON data of what YAML gave; aliases are written out, so count."""
    left[0] -= 1
    if left[0] < 0:
        raise ValueError("document contains excessive aliasing")
    if depth > _DEEPEST:
        raise ValueError("exceeded max depth")
    if isinstance(value, dict):
        return {_key(k): _jsonable(v, left, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [_jsonable(v, left, depth + 1) for v in value]
    if isinstance(value, str | bool | int | float) or value is None:
        return value
    raise ValueError(f"unsupported value of type {type(value).__name__}")


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, str | int | float):
        return str(key)
    raise ValueError(f"unsupported type for a map key: {type(key).__name__}")


def unsupported() -> StatusError:
    """415: no such media type is read."""
    return StatusError(
        415, "UnsupportedMediaType",
        "the body of the request was in an unknown format - "
        "accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        {},
    )  # fmt: skip
