"""CustomResourceDefinition: a kind that users add, with its schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api import types
from kybern.api.admissionregistration.webhooks import validate_client_service, validate_client_url
from kybern.api.apiextensions import versions as parts
from kybern.api.field import Errors, Path
from kybern.api.kind import Kind, Subresource, WriteContext
from kybern.api.table import CREATED_AT, NAME, name_and_creation
from kybern.api.validation import names
from kybern.api.validation.metadata import validate_immutable

SPEC, STATUS = Path("spec"), Path("status")
SCOPES = ("Cluster", "Namespaced")
STRATEGIES = ("None", "Webhook")
REVIEW_VERSIONS = ("v1", "v1beta1")
HTTPS_PORT = 443
APPROVAL = "api-approved.kubernetes.io"
NEED_APPROVAL = f'protected groups must have approval annotation "{APPROVAL}", see https://github.com/kubernetes/enhancements/pull/1111'
ONLY_WEBHOOK = "should not be set when strategy is not set to Webhook"
NESTED = ("items", "additionalProperties", "additionalItems")
"""Keywords whose value may be a schema or something else, so that decoding leaves it as it came."""


def default(obj: Any) -> None:
    from kybern.api.apiextensions import CustomResourceConversion

    spec, named = obj.spec, obj.spec.names
    if named.kind:
        named.singular = named.singular or named.kind.lower()
        named.listKind = named.listKind or f"{named.kind}List"
    if spec.conversion is None:
        spec.conversion = CustomResourceConversion(strategy="None")
    webhook = spec.conversion.webhook
    client = webhook.clientConfig if webhook is not None else None
    if client is not None and client.service is not None and client.service.port is None:
        client.service.port = HTTPS_PORT
    for version in spec.versions or ():
        if version.schema is not None and version.schema.openAPIV3Schema is not None:
            _normalize(version.schema.openAPIV3Schema)


def _normalize(schema: Any) -> None:
    """Read schemas below keywords of open type as schemas too: unknown fields and nulls go."""
    for keyword in NESTED:
        value = getattr(schema, keyword)
        if isinstance(value, dict):
            inner = types.from_plain(type(schema), value)
            _normalize(inner)
            setattr(schema, keyword, types.to_plain(inner))
    for field in ("properties", "patternProperties", "definitions"):
        for inner in (getattr(schema, field) or {}).values():
            _normalize(inner)
    for field in ("allOf", "anyOf", "oneOf"):
        for inner in getattr(schema, field) or ():
            _normalize(inner)
    if schema.not_ is not None:
        _normalize(schema.not_)


def prepare_create(obj: Any, context: WriteContext) -> None:
    obj.status = type(obj)().status
    _record_storage(obj)


def _record_storage(obj: Any) -> None:
    """Objects may be stored in every version that was ever the storage version."""
    stored = obj.status.storedVersions or []
    for version in obj.spec.versions or ():
        if version.storage and version.name not in stored:
            obj.status.storedVersions = [*stored, version.name]
            return


def prepare_update(new: Any, old: Any, context: WriteContext) -> None:
    if context.subresource == "status":
        new.spec = old.spec
        new.metadata.labels, new.metadata.annotations = old.metadata.labels, old.metadata.annotations
        return
    new.status = types.copy(old).status
    _record_storage(new)


def changed(new: Any, old: Any) -> bool:
    """Compared as written, since parts of a schema have no type of their own."""
    return bool(types.to_plain(new.spec) != types.to_plain(old.spec))


def validate(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    if obj.metadata.name and obj.metadata.name != f"{spec.names.plural}.{spec.group}":
        errors.invalid("metadata.name", obj.metadata.name, 'must be spec.names.plural+"."+spec.group')
    _validate_group(spec.group, errors, SPEC.child("group"))
    if not spec.scope:
        errors.required(SPEC.child("scope"))
    elif spec.scope not in SCOPES:
        errors.not_supported(SPEC.child("scope"), spec.scope, SCOPES)
    _validate_versions(spec.versions, errors, SPEC.child("versions"))
    for field in ("plural", "singular", "kind", "listKind"):
        if not getattr(spec.names, field):
            errors.required(SPEC.child("names", field))
    _validate_names(spec.names, errors, SPEC.child("names"))
    parts.validate_parts(spec.versions or [], errors)
    if spec.conversion is not None:
        _validate_conversion(spec.conversion, errors, SPEC.child("conversion"))
    _validate_names(obj.status.acceptedNames, errors, STATUS.child("acceptedNames"))
    _validate_stored(obj.status.storedVersions, spec.versions or [], errors, STATUS.child("storedVersions"))
    _validate_approval(obj, errors)
    if spec.preserveUnknownFields:
        text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        errors.invalid(SPEC.child("preserveUnknownFields"), True, text)


def _validate_group(group: str, errors: Errors, path: Path) -> None:
    if not group:
        errors.required(path)
    elif faults := names.dns1123_subdomain(group):
        errors.invalid(path, group, ",".join(faults))
    elif "." not in group:
        errors.invalid(path, group, "should be a domain with at least one dot")


def _validate_versions(versions: Sequence[Any] | None, errors: Errors, path: Path) -> None:
    found = versions or []
    for i, version in enumerate(found):
        if parts.plain_schema(version) is None:
            errors.required(path.index(i).child("schema", "openAPIV3Schema"))
    for i, version in enumerate(found):
        parts.validate_version(version, found, errors, path.index(i))
    shown = parts.versions_shown(versions)
    if len({v.name for v in found}) < len(found):
        errors.invalid(path, shown, "must contain unique version names")
    if sum(bool(v.storage) for v in found) != 1:
        errors.invalid(path, shown, "must have exactly one version marked as storage version")
    # Upstream repeats the first version's name in a field that older clients knew.
    if found and found[0].name and (faults := names.dns1035_label(found[0].name)):
        errors.invalid(SPEC.child("version"), found[0].name, ",".join(faults))


def _validate_names(named: Any, errors: Errors, path: Path) -> None:
    for field in ("plural", "singular"):
        value = getattr(named, field)
        if value and (faults := names.dns1035_label(value)):
            errors.invalid(path.child(field), value, ",".join(faults))
    for field in ("kind", "listKind"):
        value = getattr(named, field)
        if value and (faults := names.dns1035_label(value.lower())):
            text = f"may have mixed case, but should otherwise match: {','.join(faults)}"
            errors.invalid(path.child(field), value, text)
    _validate_labels(named.shortNames, errors, path.child("shortNames"))
    if named.kind and named.kind == named.listKind:
        errors.invalid(path.child("listKind"), named.listKind, "kind and listKind may not be the same")
    _validate_labels(named.categories, errors, path.child("categories"))


def _validate_labels(values: Sequence[str] | None, errors: Errors, path: Path) -> None:
    for i, value in enumerate(values or ()):
        if faults := names.dns1035_label(value):
            errors.invalid(path.index(i), value, ",".join(faults))


def _validate_conversion(conversion: Any, errors: Errors, path: Path) -> None:
    strategy, webhook = conversion.strategy, conversion.webhook
    if not strategy:
        errors.required(path.child("strategy"))
    elif strategy not in STRATEGIES:
        errors.not_supported(path.child("strategy"), strategy, STRATEGIES)
    client = webhook.clientConfig if webhook is not None else None
    found = (webhook.conversionReviewVersions or []) if webhook is not None else []
    if strategy == "Webhook":
        _validate_client(client, errors, path.child("webhookClientConfig"))
        _validate_review_versions(found, errors, path.child("conversionReviewVersions"))
        return
    if client is not None:
        errors.forbidden(path.child("webhookClientConfig"), ONLY_WEBHOOK)
    if found:
        errors.forbidden(path.child("conversionReviewVersions"), ONLY_WEBHOOK)


def _validate_client(client: Any | None, errors: Errors, path: Path) -> None:
    if client is None:
        errors.required(path, "required when strategy is set to Webhook")
    elif (client.url is None) == (client.service is None):
        errors.required(path, "exactly one of url or service is required")
    elif client.url is not None:
        validate_client_url(client.url, errors, path.child("url"))
    else:
        validate_client_service(client.service, errors, path.child("service"))


def _validate_review_versions(found: list[str], errors: Errors, path: Path) -> None:
    if not found:
        errors.required(path)
        return
    for i, version in enumerate(found):
        if version in found[:i]:
            errors.invalid(path.index(i), version, "duplicate version")
        else:
            names.add_all(errors, path.index(i), version, names.dns1035_label(version))
    if not set(found) & set(REVIEW_VERSIONS):
        errors.invalid(path, found, f"must include at least one of {', '.join(REVIEW_VERSIONS)}")


def _validate_stored(stored: list[str] | None, versions: Sequence[Any], errors: Errors, path: Path) -> None:
    if not stored:
        errors.invalid(path, stored, "must have at least one stored version")
        return
    left = {name: i for i, name in enumerate(stored)}
    for version in versions:
        if version.storage and version.name not in left:
            errors.invalid(path, stored, f"must have the storage version {version.name}")
        left.pop(version.name, None)
    for name, i in left.items():
        text = (
            f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions "
            f"until a storage migration ensures no data remains persisted in {name} and removes {name} from "
            "status.storedVersions"
        )
        errors.invalid(path.index(i), name, text)


def _validate_approval(obj: Any, errors: Errors) -> None:
    """The community's own groups need its word."""
    if not f".{obj.spec.group}".endswith((".k8s.io", ".kubernetes.io")):
        return
    path = Path("metadata").child("annotations").key(APPROVAL)
    approval = (obj.metadata.annotations or {}).get(APPROVAL)
    if not approval:
        errors.required(path, NEED_APPROVAL)
    elif not approval.startswith(("unapproved", "https://")):
        errors.invalid(path, approval, NEED_APPROVAL)


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    spec, stored = new.spec, old.spec
    established = any(c.type == "Established" and c.status == "True" for c in old.status.conditions or ())
    if established:
        validate_immutable(errors, SPEC.child("scope"), spec.scope, stored.scope)
        validate_immutable(errors, SPEC.child("names", "kind"), spec.names.kind, stored.names.kind)
    validate_immutable(errors, SPEC.child("group"), spec.group, stored.group)
    validate_immutable(errors, SPEC.child("names", "plural"), spec.names.plural, stored.names.plural)


KIND = Kind(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    subresources=(Subresource("status"),),
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    spec_changed=changed,
    columns=(NAME, CREATED_AT),
    row=name_and_creation,
    unconditional_update=False,
)
