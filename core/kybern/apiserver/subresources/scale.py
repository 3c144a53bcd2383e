"""scale: how many replicas are wanted, in one form for every kind that has them (autoscaling/v1 Scale)."""

from __future__ import annotations

from typing import Any

from kybern.api import selectors, types
from kybern.api.errors import StatusError
from kybern.api.field import Errors
from kybern.apiserver import body
from kybern.apiserver.backend import Backend
from kybern.apiserver.encode import plain
from kybern.apiserver.handlers import operation
from kybern.apiserver.negotiate import Media, negotiate
from kybern.apiserver.operation import Operation
from kybern.apiserver.options import WriteOptions, write_options
from kybern.apiserver.patching import APPLY, applied_body, applied_decoder, change_of
from kybern.apiserver.request import Request
from kybern.apiserver.resource import Resource
from kybern.apiserver.response import Answer
from kybern.apiserver.verbs import read
from kybern.apiserver.verbs.update import Change, check_identity, update

__all__ = ["Scales"]


class Scales:
    """get, update and patch of a Scale."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def __call__(self, request: Request, resource: Resource) -> Answer:
        """Answer one request."""
        media = negotiate(request)
        if request.verb == "get":
            item = await read.get(resource, operation(request))
            return _answer(resource, resource.object(item), media)
        options = write_options(request.query, "PatchOptions" if request.verb == "patch" else "UpdateOptions")
        op = operation(request, options.dry_run, options.field_manager)
        struct = types.struct("autoscaling", "v1", "Scale")
        if request.verb == "patch" and body.media_type(request) == APPLY:
            return await self._apply(request, resource, options, op, media)
        if request.verb == "patch":
            change_scale = await change_of(request, struct, options.field_validation)
        else:
            scale = await body.read_object(request, struct, options.field_validation)
            check_identity(scale.metadata, op, resource)
            change_scale = lambda _: scale  # noqa: E731  # a named function would say no more
        change = _change(resource, change_scale)
        written = await update(self._backend, resource, op, change, blind=True)
        return _answer(resource, written.object, media)

    async def _apply(
        self, request: Request, resource: Resource, options: WriteOptions, op: Operation, media: Media
    ) -> Answer:
        """Applying a Scale is applying an object that says nothing but how many replicas are wanted."""
        from kybern.apiserver.verbs.apply import apply, check_form

        struct = types.struct("autoscaling", "v1", "Scale")
        plain_scale = await applied_body(request, options)
        check_form(struct, "autoscaling/v1", plain_scale)
        scale = body.object_from(plain_scale, struct, options.field_validation, request.warnings)
        check_identity(scale.metadata, op, resource)
        _check(scale)
        kind = resource.kind
        wanted: dict[str, Any] = {
            "apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": op.name},
            **_nested(_paths(resource)[0], scale.spec.replicas or 0),
        }  # fmt: skip
        decode = applied_decoder(request, resource, options)
        written = await apply(self._backend, resource, op, wanted, decode, force=options.force)
        return _answer(resource, written.object, media)


def _nested(path: str, value: Any) -> dict[str, Any]:
    for name in reversed(path.lstrip(".").split(".")):
        value = {name: value}
    nested: dict[str, Any] = value
    return nested


def _change(resource: Resource, change_scale: Change) -> Change:
    """The change of the object that a change of its Scale means."""

    def change(current: Any) -> Any:
        scale = change_scale(scale_of(resource, current))
        _check(scale)
        new = types.copy(current)
        _assign(new, _paths(resource)[0], scale.spec.replicas or 0)
        new.metadata.resourceVersion = scale.metadata.resourceVersion
        new.metadata.uid = scale.metadata.uid or current.metadata.uid
        return new

    return change


def _check(scale: Any) -> None:
    replicas = scale.spec.replicas or 0
    if replicas < 0:
        errors = Errors()
        errors.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise StatusError.invalid("Scale", "autoscaling", scale.metadata.name or "", errors)


def _paths(resource: Resource) -> tuple[str, str, str]:
    paths = resource.kind.scale_paths
    if paths is None:
        raise StatusError.no_such_path()
    return paths


def scale_of(resource: Resource, obj: Any) -> Any:
    """The Scale of an object."""
    replicas, running, selector = _paths(resource)
    struct = types.struct("autoscaling", "v1", "Scale")
    scale = struct()
    metadata = obj.metadata
    for field in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp"):
        setattr(scale.metadata, field, getattr(metadata, field))
    scale.spec.replicas = _value(obj, replicas) or None
    scale.status.replicas = _value(obj, running) or 0
    scale.status.selector = _selector_text(_value(obj, selector)) or None
    return scale


def _answer(resource: Resource, obj: Any, media: Media) -> Answer:
    return plain(200, scale_of(resource, obj), Media(media.yaml, pretty=media.pretty))


def _value(obj: Any, path: str) -> Any:
    for name in path.lstrip(".").split("."):
        obj = obj.get(name) if isinstance(obj, dict) else getattr(obj, name, None)
        if obj is None:
            return None
    return obj


def _assign(obj: Any, path: str, value: Any) -> None:
    *parents, last = path.lstrip(".").split(".")
    for name in parents:
        obj = obj[name] if isinstance(obj, dict) else getattr(obj, name)
    if isinstance(obj, dict):
        obj[last] = value
    else:
        setattr(obj, last, value)


def _selector_text(selector: Any) -> str:
    if selector is None or isinstance(selector, str):
        return selector or ""
    if isinstance(selector, dict) and not {"matchLabels", "matchExpressions"} & set(selector):
        return ",".join(f"{k}={v}" for k, v in sorted(selector.items()))
    if isinstance(selector, dict):
        selector = types.from_plain(types.struct("meta", "v1", "LabelSelector"), selector)
    return str(selectors.from_label_selector(selector))
