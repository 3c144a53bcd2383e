"""Secret: bytes that only some may see. What must be in it depends on its `type`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kybern.api.core.configmap import DATA_MAX, IMMUTABLE
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, WriteContext
from kybern.api.table import AGE, NAME, age
from kybern.api.validation import names
from kybern.api.validation.metadata import validate_immutable

SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"
SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"
TLS = "kubernetes.io/tls"
DOCKER_FILES = {"kubernetes.io/dockercfg": ".dockercfg", "kubernetes.io/dockerconfigjson": ".dockerconfigjson"}
DATA = Path("data")


def default(obj: Any) -> None:
    """`stringData` is write-only: it becomes part of `data`."""
    if obj.stringData:
        obj.data = {**(obj.data or {}), **{key: text.encode() for key, text in obj.stringData.items()}}
    obj.stringData = None
    if not obj.type:
        obj.type = "Opaque"


def prepare_update(new: Any, old: Any, context: WriteContext) -> None:
    if not new.type:
        new.type = old.type


def validate(obj: Any, errors: Errors) -> None:
    data = obj.data or {}
    for key in data:
        names.add_all(errors, DATA.key(key), key, names.config_map_key(key))
    if sum(map(len, data.values())) > DATA_MAX:
        errors.too_long(DATA, DATA_MAX)
    _validate_type(obj, data, errors)


def _validate_type(obj: Any, data: dict[str, bytes], errors: Errors) -> None:
    if obj.type == SERVICE_ACCOUNT_TOKEN:
        if not (obj.metadata.annotations or {}).get(SERVICE_ACCOUNT_NAME):
            errors.required(Path("metadata").child("annotations").key(SERVICE_ACCOUNT_NAME))
    elif obj.type in DOCKER_FILES:
        _validate_docker_file(DOCKER_FILES[obj.type], data, errors)
    elif obj.type == "kubernetes.io/basic-auth":
        if "username" not in data and "password" not in data:
            _require(("username", "password"), data, errors)
    elif obj.type == "kubernetes.io/ssh-auth":
        if not data.get("ssh-privatekey"):
            errors.required(DATA.key("ssh-privatekey"))
    elif obj.type == TLS:
        _require(("tls.crt", "tls.key"), data, errors)


def _require(keys: Sequence[str], data: dict[str, bytes], errors: Errors) -> None:
    for key in keys:
        if key not in data:
            errors.required(DATA.key(key))


def _validate_docker_file(name: str, data: dict[str, bytes], errors: Errors) -> None:
    if name not in data:
        errors.required(DATA.key(name))
        return
    try:
        content = json.loads(data[name])
    except ValueError as fault:
        errors.invalid(DATA.key(name), "<secret contents redacted>", _json_fault(data[name], fault))
        return
    if content is not None and not isinstance(content, dict):
        kind = {list: "array", str: "string", bool: "bool"}.get(type(content), "number")
        fault_text = f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        errors.invalid(DATA.key(name), "<secret contents redacted>", fault_text)


def _json_fault(text: bytes, fault: ValueError) -> str:
    """The parser's complaint in the words that API users know."""
    position = getattr(fault, "pos", len(text))
    if position >= len(text.rstrip()):
        return "unexpected end of JSON input"
    return f"invalid character '{chr(text[position])}' looking for beginning of value"


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    validate_immutable(errors, Path("type"), new.type, old.type)
    if not old.immutable:
        return
    if not new.immutable:
        errors.forbidden("immutable", IMMUTABLE)
    if new.data != old.data:
        errors.forbidden("data", IMMUTABLE)


def warn(new: Any, old: Any | None) -> list[str]:
    """A TLS secret whose certificate and key are no pair is accepted, with a warning."""
    if new.type != TLS:
        return []
    data = new.data or {}
    fault = _pair_fault(data.get("tls.crt", b""), data.get("tls.key", b""))
    return [f"tls: {fault}"] if fault else []


def _pair_fault(certificate: bytes, key: bytes) -> str:
    if b"-----BEGIN " not in certificate:
        return "failed to find any PEM data in certificate input"
    if b"-----BEGIN " not in key:
        return "failed to find any PEM data in key input"
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        public = x509.load_pem_x509_certificate(certificate).public_key()
    except ValueError:
        return "failed to parse certificate"
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError):
        return "failed to parse private key"
    return "" if private.public_key() == public else "private key does not match public key"


def row(obj: Any, now: float) -> list[Any]:
    return [obj.metadata.name, obj.type, str(len(obj.data or ())), age(obj.metadata.creationTimestamp, now)]


KIND = Kind(
    group="",
    version="v1",
    kind="Secret",
    plural="secrets",
    namespaced=True,
    default=default,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    warn=warn,
    selectable={"type": lambda obj: obj.type or ""},
    columns=(NAME, Column("Type", field="Secret.type"), Column("Data", field="Secret.data"), AGE),
    row=row,
)
