"""Admission webhooks: defaults and rules that mutating and validating configurations share."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from kybern.api.admissionregistration import matching
from kybern.api.field import Errors, Path
from kybern.api.kind import Column
from kybern.api.table import AGE, NAME, age
from kybern.api.validation import names, ports
from kybern.api.validation.selectors import validate_label_selector

__all__ = ["COLUMNS", "changed", "default", "row", "validate", "validate_client_service", "validate_client_url"]

REVIEW_VERSIONS = ("v1", "v1beta1")
SIDE_EFFECTS = ("None", "NoneOnDryRun")
USUAL_SECONDS, MOST_SECONDS = 10, 30
HTTPS_PORT = 443
FORM = "; desired format: https://host[/path]"
COLUMNS = (
    NAME,
    Column(
        "Webhooks",
        type="integer",
        description="Webhooks indicates the number of webhooks registered in this configuration",
    ),
    AGE,
)


def default(obj: Any) -> None:
    """What a webhook leaves out."""
    for hook in obj.webhooks or ():
        if hook.failurePolicy is None:
            hook.failurePolicy = "Fail"
        if hook.timeoutSeconds is None:
            hook.timeoutSeconds = USUAL_SECONDS
        if getattr(hook, "reinvocationPolicy", "") is None:
            hook.reinvocationPolicy = "Never"
        if hook.clientConfig.service is not None and hook.clientConfig.service.port is None:
            hook.clientConfig.service.port = HTTPS_PORT
        matching.default_match(hook)
        matching.default_rules(hook.rules)


def changed(new: Any, old: Any) -> bool:
    """Whether the generation grows."""
    return bool(new.webhooks != old.webhooks)


def validate(obj: Any, errors: Errors) -> None:
    """All webhooks of a configuration; their names are unique."""
    seen: set[str] = set()
    for i, hook in enumerate(obj.webhooks or ()):
        path = Path("webhooks").index(i)
        _validate_hook(hook, errors, path)
        _validate_versions(hook.admissionReviewVersions or [], errors, path.child("admissionReviewVersions"))
        if hook.name and hook.name in seen:
            errors.duplicate(path.child("name"), hook.name)
        seen.add(hook.name)


def _validate_hook(hook: Any, errors: Errors, path: Path) -> None:
    names.fully_qualified_name(errors, path.child("name"), hook.name)
    for i, rule in enumerate(hook.rules or ()):
        matching.validate_rule(rule, errors, path.child("rules").index(i))
    _validate_choice(hook, "failurePolicy", matching.FAILURE_POLICIES, errors, path)
    _validate_choice(hook, "matchPolicy", matching.MATCH_POLICIES, errors, path)
    if hook.sideEffects is None:
        errors.required(path.child("sideEffects"), f"must specify one of {', '.join(SIDE_EFFECTS)}")
    _validate_choice(hook, "sideEffects", SIDE_EFFECTS, errors, path)
    seconds = hook.timeoutSeconds
    if seconds is not None and not 1 <= seconds <= MOST_SECONDS:
        text = f"the timeout value must be between 1 and {MOST_SECONDS} seconds"
        errors.invalid(path.child("timeoutSeconds"), seconds, text)
    for field in ("namespaceSelector", "objectSelector"):
        validate_label_selector(errors, path.child(field), getattr(hook, field))
    _validate_choice(hook, "reinvocationPolicy", matching.REINVOCATION_POLICIES, errors, path)
    _validate_client(hook.clientConfig, errors, path.child("clientConfig"))
    at = path.child("matchConditions")
    matching.validate_conditions(hook.matchConditions, errors, at, matching.REQUEST_VARIABLES)


def _validate_choice(hook: Any, field: str, supported: tuple[str, ...], errors: Errors, path: Path) -> None:
    value = getattr(hook, field, None)
    if value is not None and value not in supported:
        errors.not_supported(path.child(field), value, supported)


def _validate_client(client: Any, errors: Errors, path: Path) -> None:
    if (client.url is None) == (client.service is None):
        errors.required(path, "exactly one of url or service is required")
    elif client.url is not None:
        validate_client_url(client.url, errors, path.child("url"))
    else:
        validate_client_service(client.service, errors, path.child("service"))


def validate_client_url(url: str, errors: Errors, path: Path) -> None:
    """Where a webhook listens: https, a host and a path, nothing else."""
    try:
        parts = urlsplit(url)
    except ValueError as fault:
        errors.required(path, f"url must be a valid URL: {fault}{FORM}")
        return
    if parts.scheme != "https":
        errors.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{FORM}")
    user, at, host = parts.netloc.rpartition("@")
    if not host:
        errors.invalid(path, "", f"host must be specified{FORM}")
    if at:
        errors.invalid(path, user, "user information is not permitted in the URL")
    if parts.fragment:
        errors.invalid(path, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        errors.invalid(path, parts.query, "query parameters are not permitted in the URL")


def validate_client_service(service: Any, errors: Errors, path: Path) -> None:
    """A webhook behind a service of the cluster."""
    for field in ("name", "namespace"):
        if not getattr(service, field):
            errors.required(path.child(field), f"service {field} is required")
    if service.port is not None and (faults := ports.port_number(service.port)):
        errors.invalid(path.child("port"), service.port, f"port is not valid: {','.join(faults)}")
    if service.path and service.path != "/":
        _validate_path(service.path, errors, path.child("path"))


def _validate_path(text: str, errors: Errors, path: Path) -> None:
    if text == "//":
        errors.invalid(path, text, "segment[0] may not be empty")
        return
    if not text.startswith("/"):
        errors.invalid(path, text, "must start with a '/'")
    for i, step in enumerate(text[1:].removesuffix("/").split("/")):
        if not step:
            errors.invalid(path, text, f"segment[{i}] may not be empty")
        else:
            faults = [f"segment[{i}]: {fault}" for fault in names.dns1123_subdomain(step)]
            names.add_all(errors, path, text, faults)


def _validate_versions(versions: list[str], errors: Errors, path: Path) -> None:
    known = ", ".join(REVIEW_VERSIONS)
    if not versions:
        errors.required(path, f"must specify one of {known}")
        return
    for i, version in enumerate(versions):
        if version in versions[:i]:
            errors.invalid(path.index(i), version, "duplicate version")
        else:
            names.add_all(errors, path.index(i), version, names.dns1035_label(version))
    if not set(versions) & set(REVIEW_VERSIONS):
        errors.invalid(path, versions, f"must include at least one of {known}")


def row(obj: Any, now: float) -> list[Any]:
    """A configuration in a table."""
    return [obj.metadata.name, len(obj.webhooks or ()), age(obj.metadata.creationTimestamp, now)]
