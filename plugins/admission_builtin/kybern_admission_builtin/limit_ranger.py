"""LimitRanger: a namespace's LimitRanges give containers their default resources and bound what they may ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from kybern.api import quantity
from kybern.api.core.podspec.totals import pod_resources
from kybern.api.kind import Kind
from kybern.apiserver.admission import Admission, AdmissionRequest
from kybern.reconcile.interface import Informer
from kybern_admission_builtin.refusal import forbidden

__all__ = ["LimitRanger"]

ANNOTATION = "kubernetes.io/limit-ranger"

Amounts = Mapping[str, str]

_CONCERNED = {
    ("Pod", "CREATE", ""),
    ("Pod", "UPDATE", "resize"),
    ("PersistentVolumeClaim", "CREATE", ""),
    ("PersistentVolumeClaim", "UPDATE", ""),
}


class LimitRanger(Admission):
    """Fills in and refuses."""

    name = "LimitRanger"
    order = 30

    def __init__(self, ranges: Informer[Any]) -> None:
        self._ranges = ranges

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        # A pod's resources do not change with an update of the pod itself.
        return not kind.group and (kind.kind, operation, subresource) in _CONCERNED

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.kind.kind != "Pod" or request.operation != "CREATE":
            return
        done = [text for limits in self._of(request) for text in _fill_in(request.object, limits)]
        if done:
            annotations = request.object.metadata.annotations or {}
            told = f"LimitRanger plugin set: {'; '.join(done)}"
            request.object.metadata.annotations = {**annotations, ANNOTATION: told}

    async def validate(self, request: AdmissionRequest) -> None:
        check = _pod_problems if request.kind.kind == "Pod" else _claim_problems
        for limits in self._of(request):
            problems = list(dict.fromkeys(p for item in limits.spec.limits or () for p in check(request.object, item)))
            if problems:
                raise forbidden(request, problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")

    def _of(self, request: AdmissionRequest) -> list[Any]:
        ranges = self._ranges.list(request.namespace)
        return sorted(ranges, key=lambda r: r.metadata.name) if len(ranges) > 1 else ranges


def _fill_in(pod: Any, limits: Any) -> Iterator[str]:
    """Give containers the defaults they lack; says what was given."""
    requests: dict[str, str] = {}
    maxima: dict[str, str] = {}
    for item in limits.spec.limits or ():
        if item.type == "Container":
            requests.update(item.defaultRequest or {})
            maxima.update(item.default or {})
    if not requests and not maxima:
        return
    for kind, containers in (("container", pod.spec.containers), ("init container", pod.spec.initContainers)):
        for container in containers or ():
            for field, word, defaults in (("requests", "request", requests), ("limits", "limit", maxima)):
                own = getattr(container.resources, field) or {}
                missing = sorted(defaults.keys() - own.keys())
                if missing:
                    setattr(container.resources, field, {**own, **{name: defaults[name] for name in missing}})
                    yield f"{', '.join(missing)} {word} for {kind} {container.name}"


def _pod_problems(pod: Any, item: Any) -> Iterator[str]:
    if item.type == "Container":
        for container in (*(pod.spec.containers or ()), *(pod.spec.initContainers or ())):
            yield from _problems(item, container.resources.requests or {}, container.resources.limits or {})
    elif item.type == "Pod":
        yield from _problems(item, _total(pod, "requests"), _total(pod, "limits"))


def _claim_problems(claim: Any, item: Any) -> Iterator[str]:
    """A claim has requests only, so both bounds are on them."""
    if item.type != "PersistentVolumeClaim":
        return
    requests = claim.spec.resources.requests or {}
    yield from _bounds("minimum", item.type, item.min, [("request", requests)], _less)
    yield from _bounds("maximum", item.type, item.max, [("request", requests)], _more)


def _problems(item: Any, requests: Amounts, limits: Amounts) -> Iterator[str]:
    yield from _bounds("minimum", item.type, item.min, [("request", requests), ("limit", limits)], _less)
    yield from _bounds("maximum", item.type, item.max, [("limit", limits), ("request", requests)], _more)
    for name, most in sorted((item.maxLimitRequestRatio or {}).items()):
        yield from _ratio(item.type, name, most, requests.get(name), limits.get(name))


def _less(value: Fraction, bound: Fraction) -> bool:
    return value < bound


def _more(value: Fraction, bound: Fraction) -> bool:
    return value > bound


def _bounds(
    what: str,
    type: str,
    bounds: Amounts | None,
    amounts: list[tuple[str, Amounts]],
    beyond: Callable[[Fraction, Fraction], bool],
) -> Iterator[str]:
    """The first of `amounts` must be there; each that is there must keep the bound. One complaint per resource."""
    for name, bound in sorted((bounds or {}).items()):
        head = f"{what} {name} usage per {type} is {bound}"
        must, given = amounts[0]
        if name not in given:
            yield f"{head}.  No {must} is specified"
            continue
        for word, values in amounts:
            if name in values and beyond(quantity.parse(values[name]), quantity.parse(bound)):
                yield f"{head}, but {word} is {values[name]}"
                break


def _ratio(type: str, name: str, most: str, request: str | None, limit: str | None) -> Iterator[str]:
    head = f"{name} max limit to request ratio per {type} is {most}"
    for word, value in (("request", request), ("limit", limit)):
        if not value or not quantity.parse(value):
            yield f"{head}, but no {word} is specified or {word} is 0"
            return
    ratio = quantity.parse(limit or "0") / quantity.parse(request or "1")
    if ratio > quantity.parse(most):
        yield f"{head}, but provided ratio is {float(ratio):.6f}"


def _total(pod: Any, field: str) -> dict[str, str]:
    """What the whole pod asks for."""
    total = pod_resources(pod.spec, field)
    return {name: quantity.format(value, "DecimalSI" if name == "cpu" else "BinarySI") for name, value in total.items()}
