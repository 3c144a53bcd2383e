"""Pod addresses of one fake node, out of its pod range: the next free one after the last, so that reuse is late."""

from __future__ import annotations

from ipaddress import ip_network
from itertools import chain

from kybern.node.runtime import RuntimeFault

__all__ = ["Addresses"]


class Addresses:
    """One range. The first address is the gateway's."""

    __slots__ = ("_first", "_last", "_next", "_taken", "cidr")

    def __init__(self, cidr: str, start: float = 0.0) -> None:
        """`start`: where in the range to begin, 0 to 1."""
        network = ip_network(cidr, strict=False)
        self.cidr = cidr
        self._first = int(network.network_address) + 2
        self._last = int(network.broadcast_address) - (1 if network.version == 4 else 0)
        self._next = self._first + int(start * max(self._last - self._first, 0))
        self._taken: set[int] = set()

    def take(self) -> str:
        """A free address."""
        for candidate in chain(range(self._next, self._last + 1), range(self._first, self._next)):
            if candidate not in self._taken:
                self._taken.add(candidate)
                self._next = candidate + 1 if candidate < self._last else self._first
                return _text(candidate)
        raise RuntimeFault(
            "Unknown", f"failed to allocate for range 0: no IP addresses available in range set: {self.cidr}"
        )

    def hold(self, address: str) -> None:
        """An address is in use already."""
        self._taken.add(_number(address))

    def give_back(self, address: str) -> None:
        """An address is free again."""
        self._taken.discard(_number(address))


def _text(number: int) -> str:
    if number < 2**32:
        return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    from ipaddress import IPv6Address

    return str(IPv6Address(number))


def _number(address: str) -> int:
    if ":" not in address:
        a, b, c, d = address.split(".")
        return int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d)
    from ipaddress import IPv6Address

    return int(IPv6Address(address))
