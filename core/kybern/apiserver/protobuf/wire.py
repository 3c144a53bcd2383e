"""The protobuf wire format: field numbers and raw values of one message."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["Malformed", "fields", "signed"]


class Malformed(ValueError):
    """These bytes are no protobuf message."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        if at >= len(data):
            raise Malformed("unexpected EOF")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise Malformed("proto: integer overflow")


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value): an int for varints, bytes for everything else."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire_type = key >> 3, key & 7
        if not number:
            raise Malformed("proto: illegal tag 0")
        if wire_type == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire_type == 2:
            length, at = _varint(data, at)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise Malformed(f"proto: illegal wireType {wire_type}")
        if at + length > end:
            raise Malformed("unexpected EOF")
        yield number, data[at : at + length]
        at += length


def signed(value: int) -> int:
    """A varint as the two's complement number that it stands for."""
    return value - (1 << 64) if value >> 63 else value
