"""Rules for IP addresses and CIDR blocks.

New values must be strict: no leading zeros, no IPv4-mapped IPv6 and, for blocks, no bits beyond
the prefix. Legacy fields are read loosely, as Kubernetes always has: leading zeros in IPv4 octets
are dropped.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache

from kybern.api.field import Errors, Path

__all__ = [
    "Address",
    "Network",
    "address_faults",
    "address_warnings",
    "canonical",
    "family",
    "parse_address",
    "parse_network",
    "strictly_within",
    "validate_address",
    "validate_endpoint_address",
    "validate_interface_address",
    "validate_network",
]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ADDRESS_TEXT = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NETWORK_TEXT = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
INTERFACE_TEXT = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
LEADING_ZEROS = "must not have leading 0s"
MAPPED = "must not be an IPv4-mapped IPv6 address"


_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_STRICT_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
"""What nearly every address is: told thirty times faster than by parsing it."""


def _drop_zeros(text: str) -> str:
    """IPv4 octets without leading zeros: `010.0.0.1` is `10.0.0.1`."""
    if "." not in text:
        return text
    head, colon, tail = text.rpartition(":")
    octets = [o.lstrip("0") or "0" if o.isascii() and o.isdigit() else o for o in tail.split(".")]
    return head + colon + ".".join(octets)


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address | None:
    """The address, read loosely; None when it is none. A mapped IPv6 address counts as IPv4."""
    if "%" in text:
        return None
    try:
        address = ipaddress.ip_address(_drop_zeros(text))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=8192)  # a block per node
def parse_network(text: str) -> Network | None:
    """The block, read loosely (host bits allowed); None when it is none."""
    head, slash, bits = text.partition("/")
    if not slash or not (bits.isascii() and bits.isdigit()) or "%" in head or len(bits) > 3:
        return None
    try:
        return ipaddress.ip_network(f"{_drop_zeros(head)}/{int(bits)}", strict=False)
    except ValueError:
        return None


def family(text: str) -> str:
    """`IPv4`, `IPv6`, or nothing when the text is no address."""
    address = parse_address(text)
    return f"IPv{address.version}" if address else ""


def canonical(text: str) -> str:
    """The address in its one normal spelling."""
    address = parse_address(text)
    return str(address) if address else text


def address_faults(text: str) -> list[str]:
    """What is wrong with a new value that must be a strict address."""
    if _STRICT_IPV4.fullmatch(text):
        return []
    address = parse_address(text)
    if address is None:
        return [ADDRESS_TEXT]
    faults = [LEADING_ZEROS] if _drop_zeros(text) != text else []
    if address.version == 4 and ":" in text:
        faults.append(MAPPED)
    return faults


def validate_address(errors: Errors, path: Path, text: str, strict: bool = True) -> None:
    """An IP address; `strict` False for values kept from before."""
    faults = address_faults(text) if strict else ([] if parse_address(text) else [ADDRESS_TEXT])
    for fault in faults:
        errors.invalid(path, text, fault)


def address_warnings(path: Path, text: str) -> list[str]:
    """What to say about an address that is accepted and not in its normal spelling."""
    address = parse_address(text)
    if address is None or (address.version == 6 and text == str(address)):
        return []
    if address.version == 6:
        return [f'{path}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{address}")']
    if text == str(address):
        return []
    why = "non-standard IP address"
    return [f'{path}: {why} "{text}" will be considered invalid in a future Kubernetes release: use "{address}"']


def network_faults(text: str) -> list[str]:
    """What is wrong with a new value that must be a strict block."""
    return list(_network_faults(text))


@lru_cache(maxsize=8192)
def _network_faults(text: str) -> Sequence[str]:
    network = parse_network(text)
    if network is None:
        return [NETWORK_TEXT]
    head, _, bits = text.partition("/")
    if _drop_zeros(head) != head or (len(bits) > 1 and bits.startswith("0")):
        return ["must not have leading 0s in IP or prefix length"]
    address = ipaddress.ip_address(head)
    if getattr(address, "ipv4_mapped", None) is not None:
        return ["must not have an IPv4-mapped IPv6 address"]
    if address != network.network_address:
        return ["must not have bits set beyond the prefix length"]
    return []


def validate_network(errors: Errors, path: Path, text: str, strict: bool = True) -> None:
    """A CIDR block; `strict` False for values kept from before."""
    faults = network_faults(text) if strict else ([] if parse_network(text) else [NETWORK_TEXT])
    for fault in faults:
        errors.invalid(path, text, fault)


def validate_interface_address(errors: Errors, path: Path, text: str) -> None:
    """An interface's own address together with its block's prefix, in the one way to write it."""
    try:
        address = ipaddress.ip_interface(text) if parse_network(text) else None
    except ValueError:
        address = None
    if address is None:
        errors.invalid(path, text, INTERFACE_TEXT)
    elif str(address) != text:
        errors.invalid(path, text, f'must be in canonical form ("{address}")')


def strictly_within(inner: Network, outer: Network) -> bool:
    """Whether every address of `inner` is in `outer`, which has more."""
    if inner.version != outer.version:
        return False
    return inner.network_address in outer and inner.prefixlen > outer.prefixlen


def validate_endpoint_address(errors: Errors, path: Path, text: str) -> None:
    """Endpoints may not point at addresses that would let a user reach the node or the cloud's metadata."""
    address = parse_address(text)
    if address is None:
        errors.invalid(path, text, "must be a valid IP address")
        return
    if address.is_unspecified:
        errors.invalid(path, text, f"may not be unspecified ({text})")
    if address.is_loopback:
        errors.invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        errors.invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if address in _LOCAL_MULTICAST[address.version]:
        errors.invalid(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


_LOCAL_MULTICAST: dict[int, Network] = {
    4: ipaddress.ip_network("224.0.0.0/24"),
    6: ipaddress.ip_network("ff02::/16"),
}
