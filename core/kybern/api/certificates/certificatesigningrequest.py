"""CertificateSigningRequest: asks a signer for a certificate; somebody approves, the signer signs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource, WriteContext
from kybern.api.table import AGE, NAME, NONE, age
from kybern.api.time import format_time, human_duration
from kybern.api.validation import names

USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
SPEC, CONDITIONS = Path("spec"), Path("status").child("conditions")
ONLY_TRUE = ("Approved", "Denied", "Failed")
SHORTEST = 600
SIGNER_FORM = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
BLOCK = b"-----BEGIN CERTIFICATE REQUEST-----"


def prepare_create(obj: Any, context: WriteContext) -> None:
    """The server writes down who asks; nobody can ask for another."""
    spec = obj.spec
    spec.username, spec.uid = context.user or None, context.uid or None
    spec.groups = list(context.groups) or None
    spec.extra = {key: list(values) for key, values in context.extra.items()} or None
    obj.status = type(obj)().status


def prepare_update(new: Any, old: Any, context: WriteContext) -> None:
    """Each path changes its own part: approval the conditions, status the rest, the main path only metadata."""
    new.spec = old.spec
    if context.subresource == "":
        new.status = old.status
        return
    if context.subresource == "approval":
        conditions, new.status = new.status.conditions, type(new.status)(certificate=old.status.certificate)
        new.status.conditions = conditions
    _stamp_conditions(new.status.conditions or (), old.status.conditions or (), format_time(context.now))


def _stamp_conditions(conditions: Sequence[Any], stored: Sequence[Any], now: str) -> None:
    known = {c.type: c for c in stored}
    for condition in conditions:
        condition.lastUpdateTime = condition.lastUpdateTime or now
        before = known.get(condition.type)
        if not condition.lastTransitionTime:
            same = before is not None and before.status == condition.status
            condition.lastTransitionTime = before.lastTransitionTime if before is not None and same else now


def validate(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    if fault := _request_fault(spec.request):
        errors.invalid(SPEC.child("request"), spec.request, fault)
    _validate_usages(spec.usages, errors, SPEC.child("usages"))
    validate_signer_name(spec.signerName, errors, SPEC.child("signerName"))
    seconds = spec.expirationSeconds
    if seconds is not None and seconds < SHORTEST:
        text = f"may not specify a duration less than {SHORTEST} seconds (10 minutes)"
        errors.invalid(SPEC.child("expirationSeconds"), seconds, text)
    _validate_conditions(obj.status.conditions or (), errors)


def _request_fault(request: bytes | None) -> str:
    if not request or BLOCK not in request:
        return "PEM block type must be CERTIFICATE REQUEST"
    from cryptography import x509

    try:
        parsed = x509.load_pem_x509_csr(request)
    except ValueError as fault:
        return str(fault)
    return "" if parsed.is_signature_valid else "x509: invalid signature"


def _validate_usages(usages: Sequence[str] | None, errors: Errors, path: Path) -> None:
    if not usages:
        errors.required(path)
    seen: set[str] = set()
    for i, usage in enumerate(usages or ()):
        if usage not in USAGES:
            errors.not_supported(path.index(i), usage, USAGES)
        elif usage in seen:
            errors.duplicate(path.index(i), usage)
        seen.add(usage)


def validate_signer_name(name: str, errors: Errors, path: Path) -> None:
    """`example.com/signer-name`."""
    if not name:
        errors.required(path)
        return
    domain, slash, rest = name.partition("/")
    if not slash or "/" in rest:
        errors.invalid(path, name, SIGNER_FORM)
        return
    if len(domain) > names.SUBDOMAIN_MAX:
        errors.too_long(path, names.SUBDOMAIN_MAX)
    labels = domain.split(".")
    for label in labels:
        names.add_all(errors, path, domain, [f'validating label "{label}": {f}' for f in names.dns1123_label(label)])
    if len(labels) < 2:
        errors.invalid(path, domain, "should be a domain with at least two segments separated by dots")
    for label in rest.split("."):
        names.add_all(errors, path, rest, [f'validating label "{label}": {f}' for f in names.dns1123_subdomain(label)])


def _validate_conditions(conditions: Sequence[Any], errors: Errors) -> None:
    seen: set[str] = set()
    for i, condition in enumerate(conditions):
        path = CONDITIONS.index(i)
        if not condition.type:
            errors.required(path.child("type"))
        allowed = ("True",) if condition.type in ONLY_TRUE else ("True", "False", "Unknown")
        if not condition.status:
            errors.required(path.child("status"))
        elif condition.status not in allowed:
            errors.not_supported(path.child("status"), condition.status, allowed)
        if condition.type in seen:
            errors.duplicate(path.child("type"), condition.type)
        seen.add(condition.type)
    if {"Approved", "Denied"} <= seen:
        errors.invalid(CONDITIONS, "Approved,Denied", "Approved and Denied conditions are mutually exclusive")


def _types(obj: Any) -> list[str]:
    return [c.type for c in obj.status.conditions or ()]


def _validate_kept(new: Any, old: Any, errors: Errors, guarded: Sequence[str]) -> None:
    """Conditions of these types neither come nor go on this path."""
    for kind in guarded:
        before, after = _types(old).count(kind), _types(new).count(kind)
        if after < before:
            errors.forbidden(CONDITIONS, f'updates may not remove a condition of type "{kind}"')
        elif after > before:
            errors.forbidden(CONDITIONS, f'updates may not add a condition of type "{kind}"')


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    """The signer answers once; it cannot approve or deny."""
    _validate_kept(new, old, errors, ("Approved", "Denied"))
    certificate = new.status.certificate
    if old.status.certificate and certificate != old.status.certificate:
        errors.forbidden(
            Path("status").child("certificate"),
            "updates may not set certificate content if existing certificate content is not empty",
        )
    elif certificate and b"-----BEGIN CERTIFICATE-----" not in certificate:
        text = "must contain at least one CERTIFICATE PEM block"
        errors.invalid(Path("status").child("certificate"), "<certificate data>", text)


def validate_approval(new: Any, old: Any, errors: Errors) -> None:
    """Approval and denial are for good, and nothing else happens here."""
    _validate_kept(new, old, errors, ("Failed",))
    for kind in ("Approved", "Denied"):
        if kind in _types(old) and kind not in _types(new):
            errors.forbidden(CONDITIONS, f'updates may not remove a condition of type "{kind}"')


def row(obj: Any, now: float) -> list[Any]:
    spec, types = obj.spec, _types(obj)
    status = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    status += ",Failed" if "Failed" in types else ""
    status += ",Issued" if obj.status.certificate else ""
    duration = human_duration(spec.expirationSeconds) if spec.expirationSeconds is not None else NONE
    created = age(obj.metadata.creationTimestamp, now)
    return [obj.metadata.name, created, spec.signerName or NONE, spec.username or "", duration, status]


KIND = Kind(
    group="certificates.k8s.io",
    version="v1",
    kind="CertificateSigningRequest",
    plural="certificatesigningrequests",
    namespaced=False,
    short_names=("csr",),
    subresources=(Subresource("approval"), Subresource("status")),
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_status_update=validate_status_update,
    validate_subresource={"approval": validate_approval},
    name_errors=names.name_path_segment,
    selectable={"spec.signerName": lambda obj: obj.spec.signerName or ""},
    columns=(
        NAME,
        AGE,
        Column("SignerName", field="CertificateSigningRequestSpec.signerName"),
        Column("Requestor", field="CertificateSigningRequestSpec.request"),
        Column("RequestedDuration", field="CertificateSigningRequestSpec.expirationSeconds"),
        Column("Condition", field="CertificateSigningRequestStatus.conditions"),
    ),
    row=row,
)
