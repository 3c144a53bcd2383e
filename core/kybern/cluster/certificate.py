"""Read the few fields of an X.509 certificate that every start and every request needs.

The full parser (`cryptography.x509`) costs a hundred milliseconds and 17 MB to import, which a
start-up with an existing PKI, and a server that only wants a verified client's name, can spare.
This reader trusts nothing: whatever is not the DER it expects raises ValueError. (RFC 5280, X.690.)
"""

from __future__ import annotations

import base64
import calendar
import ipaddress
import re
from collections.abc import Iterator
from functools import lru_cache

import attrs

__all__ = ["Certificate", "pem_to_der", "read_certificate"]

_SEQUENCE = 0x30
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_COMMON_NAME, _ORGANIZATION, _ALT_NAMES = b"\x55\x04\x03", b"\x55\x04\x0a", b"\x55\x1d\x11"
_ENCODINGS = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii", 0x14: "latin-1", 0x1E: "utf-16-be", 0x1C: "utf-32-be"}


@attrs.frozen
class Certificate:
    """What a certificate says of itself; whether it is to be believed is another question."""

    issuer: bytes
    """DER of the issuer's name."""
    subject: bytes
    """DER of the subject's name."""
    common_name: str
    organizations: tuple[str, ...]
    not_before: float
    """Seconds since the epoch."""
    not_after: float
    names: frozenset[str]
    """DNS names and IP addresses of the subject alternative name."""


def pem_to_der(pem: bytes) -> bytes:
    """The first certificate of a PEM text."""
    found = re.search(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", pem, re.DOTALL)
    if found is None:
        raise ValueError("no PEM certificate in this text")
    return base64.b64decode(b"".join(found.group(1).split()), validate=True)


@lru_cache(maxsize=1024)
def read_certificate(der: bytes) -> Certificate:
    """Take a DER certificate apart; ValueError when it is none."""
    try:
        return _read(der)
    except (IndexError, UnicodeDecodeError, OverflowError) as error:
        raise ValueError(f"malformed certificate: {error}") from error


def _read(der: bytes) -> Certificate:
    outer = list(_items(der))
    if len(outer) != 1 or outer[0][0] != _SEQUENCE:
        raise ValueError("a certificate is one DER sequence")
    fields = list(_items(_first(outer[0][1])))
    if fields[0][0] == 0xA0:
        fields = fields[1:]
    _serial, _algorithm, issuer, validity, subject = fields[:5]
    not_before, not_after = (_time(tag, value) for tag, value in _items(validity[1]))
    name = list(_attributes(subject[1]))
    return Certificate(
        issuer=issuer[1],
        subject=subject[1],
        common_name=next((text for oid, text in reversed(name) if oid == _COMMON_NAME), ""),
        organizations=tuple(text for oid, text in name if oid == _ORGANIZATION),
        not_before=not_before,
        not_after=not_after,
        names=frozenset(_alternative_names(fields[6:])),
    )


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each value in a DER sequence of values."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            if not 1 <= size <= 4:
                raise ValueError("malformed certificate: length")
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        if at + length > len(data):
            raise ValueError("malformed certificate: truncated")
        yield tag, data[at : at + length]
        at += length


def _first(data: bytes) -> bytes:
    """Content of the first of these values."""
    for _, content in _items(data):
        return content
    raise ValueError("malformed certificate: empty")


def _attributes(name: bytes) -> Iterator[tuple[bytes, str]]:
    """(object identifier, text) of each attribute of a distinguished name, in order."""
    for _, attributes in _items(name):
        for _, attribute in _items(attributes):
            (_, oid), (tag, value) = _items(attribute)
            if tag in _ENCODINGS:
                yield oid, value.decode(_ENCODINGS[tag])


def _time(tag: int, value: bytes) -> float:
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("malformed certificate: time")
    if not re.fullmatch(r"\d{14}Z", text):
        raise ValueError("malformed certificate: time")
    parts = [int(text[:4]), *(int(text[i : i + 2]) for i in range(4, 14, 2))]
    return float(calendar.timegm((*parts, 0, 0, 0)))


def _alternative_names(fields: list[tuple[int, bytes]]) -> Iterator[str]:
    for tag, content in fields:
        if tag != 0xA3:
            continue
        for _, extension in _items(_first(content)):
            parts = list(_items(extension))
            if parts[0][1] != _ALT_NAMES:
                continue
            for kind, value in _items(_first(parts[-1][1])):
                if kind == 0x82:
                    yield value.decode("ascii")
                elif kind == 0x87:
                    yield str(ipaddress.ip_address(value))
