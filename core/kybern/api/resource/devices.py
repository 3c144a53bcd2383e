"""The devices that a ResourceSlice offers: names, attributes, capacities, where they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.resource.claims import each, validate_attribute_name
from kybern.api.resource.consumption import validate_capacity, validate_counters
from kybern.api.validation import names
from kybern.api.validation.labels import validate_label_key
from kybern.api.validation.selectors import validate_node_selector

__all__ = ["most_devices", "validate_device", "validate_location", "validate_taint"]

DEVICES_MAX = 128
COMPLEX_DEVICES_MAX = 64
"""So many when any of them has taints or counters."""
CONSUMPTIONS_MAX = 2
CONDITIONS_MAX = 4
DETAILS_MAX = 32
"""Attributes and capacities of one device together."""
TAINTS_MAX = 16
TEXT_MAX = 64
VALUES = ("string", "int", "bool", "version")
# semver.org, "Is there a suggested regular expression": a release, a pre-release, a build.
_NUMBER, _PRE, _BUILD = r"(0|[1-9]\d*)", r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)", "[0-9a-zA-Z-]+"
_is_version = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRE}(\.{_PRE})*)?(\+{_BUILD}(\.{_BUILD})*)?", re.ASCII
).fullmatch
EFFECTS = ("NoExecute", "NoSchedule", "None")
ONLY_PER_DEVICE = (
    "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` "
    "is set to true in the ResourceSlice spec"
)
NEED_PER_DEVICE = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
    "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"
)


def most_devices(devices: Sequence[Any]) -> int:
    """How many devices such a slice may hold."""
    return COMPLEX_DEVICES_MAX if any(d.taints or d.consumesCounters for d in devices) else DEVICES_MAX


def validate_device(device: Any, per_device: bool, errors: Errors, path: Path) -> None:
    """One device. `per_device`: whether each says for itself on which nodes it can be used."""
    names.add_all(errors, path.child("name"), device.name, names.dns1123_label(device.name))
    attributes, capacity = device.attributes or {}, device.capacity or {}
    if len(attributes) + len(capacity) > DETAILS_MAX:
        text = f"the total number of attributes and capacities must not exceed {DETAILS_MAX}"
        errors.invalid(path, len(attributes) + len(capacity), text)
    for name, attribute in attributes.items():
        at = path.child("attributes").key(name)
        validate_attribute_name(name, errors, at)
        _validate_attribute(attribute, errors, at)
    for name, amount in capacity.items():
        at = path.child("capacity").key(name)
        validate_attribute_name(name, errors, at)
        validate_capacity(amount, bool(device.allowMultipleAllocations), errors, at)
    for at, taint in each(errors, path.child("taints"), device.taints, TAINTS_MAX):
        validate_taint(taint, errors, at)
    uses = each(
        errors, path.child("consumesCounters"), device.consumesCounters, CONSUMPTIONS_MAX, lambda u: u.counterSet
    )
    for at, use in uses:
        validate_counters(use.counterSet, use.counters, errors, at, "counterSet")
    _validate_own_location(device, per_device, errors, path)
    _validate_binding_conditions(device, errors, path)


def _validate_binding_conditions(device: Any, errors: Errors, path: Path) -> None:
    """Drivers that prepare devices before a pod is bound say both how it went well and how it went wrong."""
    for field in ("bindingConditions", "bindingFailureConditions"):
        for at, name in each(errors, path.child(field), getattr(device, field), CONDITIONS_MAX, lambda n: n):
            validate_label_key(errors, at, name)
    good, bad = device.bindingConditions or [], device.bindingFailureConditions or []
    if bad and not good:
        text = "bindingConditions are required to use bindingFailureConditions"
        errors.invalid(path.child("bindingConditions"), good, text)
    if good and not bad:
        text = "bindingFailureConditions are required to use bindingConditions"
        errors.invalid(path.child("bindingFailureConditions"), bad, text)
    for i, name in enumerate(bad):
        if name in good:
            text = "bindingFailureConditions must not overlap with bindingConditions"
            errors.invalid(path.child("bindingFailureConditions").index(i), name, text)


def _validate_attribute(attribute: Any, errors: Errors, path: Path) -> None:
    given = [field for field in VALUES if getattr(attribute, field) is not None]
    if len(given) != 1:
        shown = "" if not given else attribute
        errors.invalid(path, shown, "exactly one value must be specified")
        return
    value = getattr(attribute, given[0])
    if given[0] == "version" and not _is_version(value):
        errors.invalid(path.child("version"), value, "must be a string compatible with semver.org spec 2.0.0")
    if given[0] in ("string", "version") and len(value.encode()) > TEXT_MAX:
        errors.too_long(path.child(given[0]), TEXT_MAX)


def validate_taint(taint: Any, errors: Errors, path: Path) -> None:
    """A taint of one device, or of all that a rule selects."""
    validate_label_key(errors, path.child("key"), taint.key)
    if taint.value:
        names.add_all(errors, path.child("value"), taint.value, names.label_value(taint.value))
    if not taint.effect:
        errors.required(path.child("effect"))
    elif taint.effect not in EFFECTS:
        errors.not_supported(path.child("effect"), taint.effect, EFFECTS)


def _validate_own_location(device: Any, per_device: bool, errors: Errors, path: Path) -> None:
    if not per_device:
        if device.nodeName is not None or device.nodeSelector is not None or device.allNodes is not None:
            errors.invalid(path, None, ONLY_PER_DEVICE)
        return
    given = validate_location(device, errors, path)
    if not given:
        errors.required(path, NEED_PER_DEVICE)
    elif len(given) > 1:
        errors.invalid(path, f"{{{', '.join(given)}}}", NEED_PER_DEVICE)


def validate_location(place: Any, errors: Errors, path: Path) -> list[str]:
    """Check the ways in which a slice or device says where it is; the names of those that are used."""
    given = []
    if place.nodeName:
        given.append("`nodeName`")
        names.add_all(errors, path.child("nodeName"), place.nodeName, names.dns1123_subdomain(place.nodeName))
    elif place.nodeName is not None:
        errors.invalid(path.child("nodeName"), "", "must be either unset or set to a non-empty string")
    if place.nodeSelector is not None:
        given.append("`nodeSelector`")
        validate_node_selector(errors, path.child("nodeSelector"), place.nodeSelector)
        terms = place.nodeSelector.nodeSelectorTerms or []
        if len(terms) != 1:
            at = path.child("nodeSelector", "nodeSelectorTerms")
            errors.invalid(at, terms, "must have exactly one node selector term")
    for field in ("allNodes", "perDeviceNodeSelection"):
        value = getattr(place, field, None)
        if value:
            given.append(f"`{field}`")
        elif value is not None:
            errors.invalid(path.child(field), value, "must be either unset or set to true")
    return given
