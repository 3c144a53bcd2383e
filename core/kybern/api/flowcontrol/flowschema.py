"""FlowSchema: which requests belong to which priority level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half, spec_changed
from kybern.api.table import AGE, NAME, NONE, age
from kybern.api.validation import names

HIGHEST_PRECEDENCE = 10000
USUAL_PRECEDENCE = 1000
METHODS = ("ByNamespace", "ByUser")
SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
SPEC = Path("spec")


def default(obj: Any) -> None:
    obj.spec.matchingPrecedence = obj.spec.matchingPrecedence or USUAL_PRECEDENCE


def validate(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    _validate_precedence(obj, spec.matchingPrecedence or 0, errors, SPEC.child("matchingPrecedence"))
    method = spec.distinguisherMethod
    if method is not None and method.type not in METHODS:
        errors.not_supported(SPEC.child("distinguisherMethod", "type"), {"Type": method.type}, METHODS)
    level, path = spec.priorityLevelConfiguration.name, SPEC.child("priorityLevelConfiguration", "name")
    if not level:
        errors.required(path, "must reference a priority level")
    else:
        names.add_all(errors, path, level, names.dns1123_subdomain(level))
    for i, rule in enumerate(spec.rules or ()):
        _validate_rule(rule, errors, SPEC.child("rules").index(i))


def _validate_precedence(obj: Any, precedence: int, errors: Errors, path: Path) -> None:
    if precedence <= 0:
        errors.invalid(path, precedence, "must be a positive value")
    if precedence > HIGHEST_PRECEDENCE:
        errors.invalid(path, precedence, f"must not be greater than {HIGHEST_PRECEDENCE}")
    if precedence == 1 and obj.metadata.name != "exempt":
        errors.invalid(path, precedence, "only the schema named 'exempt' may have matchingPrecedence 1")


def _validate_rule(rule: Any, errors: Errors, path: Path) -> None:
    if not rule.subjects:
        errors.required(path.child("subjects"), "subjects must contain at least one value")
    for i, subject in enumerate(rule.subjects or ()):
        _validate_subject(subject, errors, path.child("subjects").index(i))
    if not rule.resourceRules and not rule.nonResourceRules:
        errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for i, resources in enumerate(rule.resourceRules or ()):
        _validate_resources(resources, errors, path.child("resourceRules").index(i))
    for i, urls in enumerate(rule.nonResourceRules or ()):
        _validate_urls(urls, errors, path.child("nonResourceRules").index(i))


def _validate_subject(subject: Any, errors: Errors, path: Path) -> None:
    own = SUBJECTS.get(subject.kind)
    if own is None:
        errors.not_supported(path.child("kind"), subject.kind, SUBJECTS)
        return
    named = getattr(subject, own)
    if named is None:
        errors.required(path.child(own), f"{own} is required when subject kind is '{subject.kind}'")
    else:
        _validate_named(named, own, errors, path.child(own))
    for kind, field in SUBJECTS.items():
        if field != own and getattr(subject, field) is not None:
            errors.forbidden(path.child(field), f"{field} is forbidden when subject kind is not '{kind}'")


def _validate_named(named: Any, field: str, errors: Errors, path: Path) -> None:
    if not named.name:
        errors.required(path.child("name"))
    if field != "serviceAccount":
        return
    if named.name and named.name != "*":
        names.add_all(errors, path.child("name"), named.name, names.dns1123_subdomain(named.name))
    if not named.namespace:
        errors.required(path.child("namespace"), "must specify namespace for service account")
    else:
        names.add_all(errors, path.child("namespace"), named.namespace, names.dns1123_label(named.namespace))


def _validate_alone(values: Sequence[str], errors: Errors, path: Path, what: str) -> bool:
    """Whether `*` is among the values; it must be the only one."""
    if "*" not in values:
        return False
    if len(values) > 1:
        errors.invalid(path, list(values), f"if '*' is present, must not specify other {what}")
    return True


def _validate_verbs(rule: Any, errors: Errors, path: Path) -> None:
    if not rule.verbs:
        errors.required(path, "verbs must contain at least one value")
    elif not _validate_alone(rule.verbs, errors, path, "verbs") and not set(rule.verbs) <= set(VERBS):
        errors.not_supported(path, rule.verbs, VERBS)


def _validate_resources(rule: Any, errors: Errors, path: Path) -> None:
    _validate_verbs(rule, errors, path.child("verbs"))
    for field, one, many in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        values = getattr(rule, field)
        if not values:
            errors.required(path.child(field), f"resource rules must supply at least one {one}")
        else:
            _validate_alone(values, errors, path.child(field), many)
    at = path.child("namespaces")
    if not rule.namespaces and not rule.clusterScope:
        errors.required(at, "resource rules that are not cluster scoped must supply at least one namespace")
    elif not _validate_alone(rule.namespaces or (), errors, at, "namespaces"):
        for i, namespace in enumerate(rule.namespaces or ()):
            faults = names.dns1123_label(namespace)
            intro = "each member of this list must be '*' or a DNS-1123 label; "
            names.add_all(errors, at.index(i), namespace, [intro + fault for fault in faults])


def _validate_urls(rule: Any, errors: Errors, path: Path) -> None:
    _validate_verbs(rule, errors, path.child("verbs"))
    at = path.child("nonResourceURLs")
    if not rule.nonResourceURLs:
        errors.required(at, "nonResourceURLs must contain at least one value")
    elif not _validate_alone(rule.nonResourceURLs, errors, at, "non-resource URLs"):
        for i, url in enumerate(rule.nonResourceURLs):
            _validate_url(url, errors, at.index(i))


def _validate_url(url: str, errors: Errors, path: Path) -> None:
    if not url:
        errors.invalid(path, url, "must not be empty")
    elif url == "/":
        return
    elif not url.startswith("/"):
        errors.invalid(path, url, "must start with slash")
    elif " " in url:
        errors.invalid(path, url, "must not contain white-space")
    elif "//" in url:
        errors.invalid(path, url, "must not contain double slash")
    elif "*" in url and not (url.endswith("/*") and url.count("*") == 1):
        errors.invalid(path, url, "wildcard can only do suffix matching")


def row(obj: Any, now: float) -> list[Any]:
    spec = obj.spec
    dangling = next((c.status or "" for c in obj.status.conditions or () if c.type == "Dangling"), "?")
    return [
        obj.metadata.name,
        spec.priorityLevelConfiguration.name,
        spec.matchingPrecedence or 0,
        spec.distinguisherMethod.type if spec.distinguisherMethod is not None else NONE,
        age(obj.metadata.creationTimestamp, now),
        dangling,
    ]


KIND = Kind(
    group="flowcontrol.apiserver.k8s.io",
    version="v1",
    kind="FlowSchema",
    plural="flowschemas",
    namespaced=False,
    subresources=(Subresource("status"),),
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    validate=validate,
    spec_changed=spec_changed,
    columns=(
        NAME,
        Column("PriorityLevel", field="PriorityLevelConfigurationReference.name"),
        Column("MatchingPrecedence", field="FlowSchemaSpec.matchingPrecedence"),
        Column("DistinguisherMethod", field="FlowSchemaSpec.distinguisherMethod"),
        AGE,
        Column("MissingPL", description="references a broken or non-existent PriorityLevelConfiguration"),
    ),
    row=row,
)
