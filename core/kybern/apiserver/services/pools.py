"""Pools of numbers that are handed out once: the addresses of a network, the ports of a range.

The lower part of a pool is kept for those who ask for a number by name, as upstream does (KEP-3070,
KEP-3668), so that a fixed choice seldom meets a random one.
"""

from __future__ import annotations

import random
from ipaddress import IPv4Network, IPv6Network, ip_address
from itertools import chain

__all__ = ["Full", "NumberPool", "address_pool"]


class Full(Exception):
    """Nothing is left in the pool."""


class NumberPool:
    """Numbers from `first` to `last`; those below `dynamic` are given out last."""

    def __init__(self, first: int, last: int, dynamic: int) -> None:
        self.first, self.last, self._dynamic = first, last, min(dynamic, last + 1)
        self.used: set[int] = set()

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last

    def take(self, number: int) -> bool:
        """Take this number; False when somebody has it."""
        if number in self.used:
            return False
        self.used.add(number)
        return True

    def next(self) -> int:
        """Take any free number; raises Full."""
        if len(self.used) > self.last - self.first:
            raise Full
        for low, high in ((self._dynamic, self.last), (self.first, self._dynamic - 1)):
            number = self._free(low, high)
            if number is not None:
                self.used.add(number)
                return number
        raise Full

    def _free(self, low: int, high: int) -> int | None:
        if high < low:
            return None
        start = random.randint(low, high)
        return next((n for n in chain(range(start, high + 1), range(low, start)) if n not in self.used), None)

    def give_back(self, number: int) -> None:
        """Let others have the number."""
        self.used.discard(number)


def address_pool(network: IPv4Network | IPv6Network) -> NumberPool:
    """The host addresses of a network, without its own and the broadcast address."""
    size = network.num_addresses
    first = int(network.network_address) + 1
    last = first + min(size, 2**20) - 3
    static = min(max(16, size // 16), 256)
    return NumberPool(first, last, first + static)


def address_number(text: str) -> int:
    """An address as the pool counts it."""
    return int(ip_address(text))
