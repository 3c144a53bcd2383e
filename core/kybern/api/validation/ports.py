"""Rules for port numbers, port names and the int-or-string values that stand for either."""

from __future__ import annotations

import re

from kybern.api.field import Errors, Path
from kybern.api.validation import names

__all__ = [
    "PROTOCOLS",
    "in_range",
    "port_name",
    "port_number",
    "validate_port_number",
    "validate_port_or_name",
    "validate_protocol",
]

PROTOCOLS = ("SCTP", "TCP", "UDP")
_charset = re.compile("[-a-z0-9]+").fullmatch
_letter = re.compile("[a-z]").search


def in_range(value: int, low: int, high: int) -> list[str]:
    """An integer within bounds, both included."""
    return [] if low <= value <= high else [f"must be between {low} and {high}, inclusive"]


def port_number(value: int) -> list[str]:
    """A TCP or UDP port other than 0."""
    return in_range(value, 1, 65535)


def port_name(value: str) -> list[str]:
    """A service name as IANA registers them (RFC 6335, section 5.1), in lower case."""
    faults = [names.too_long(15)] if len(value) > 15 else []
    if not _charset(value):
        faults.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not _letter(value):
        faults.append("must contain at least one letter (a-z)")
    if "--" in value:
        faults.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        faults.append("must not begin or end with a hyphen")
    return faults


def validate_port_number(errors: Errors, path: Path, value: int) -> None:
    """One Invalid error when the number is no port."""
    names.add_all(errors, path, value, port_number(value))


def validate_port_or_name(errors: Errors, path: Path, value: int | str | None) -> None:
    """A port given by number or by name."""
    value = 0 if value is None else value
    faults = port_number(value) if isinstance(value, int) else port_name(value)
    names.add_all(errors, path, value, faults)


def validate_protocol(errors: Errors, path: Path, value: str | None, supported: tuple[str, ...] = PROTOCOLS) -> None:
    """One of the transport protocols; must be given."""
    if not value:
        errors.required(path)
    elif value not in supported:
        errors.not_supported(path, value, supported)
