"""Keeps anybody from asking for too much of what is expensive or must not be guessed.

Token buckets in memory, one per key: a bucket holds at most ``burst`` tokens, gains
``rate`` a second, and what is asked for costs some.  Each process counts for itself.
"""

from __future__ import annotations

import ipaddress
import math
import time

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache

import attrs

from ..errors import TooManyRequests

#: More keys than this and the one seen longest ago is forgotten: 2 MB at most.
KEYS = 10_000

_Key = tuple[str, str]


@lru_cache(1000)
def network(address: str) -> str:
    """Return what of a client's address counts as one client.

    An IPv6 network of 64 bits is one household, and its owner chooses freely among its
    addresses (RFC 4291 section 2.5.1); an IPv4 address stands for itself, written as
    IPv4 or mapped into IPv6.  What is no address is returned unchanged.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(parsed) >> 64 << 64)}/64"


def account(connector_id: str, username: str) -> str:
    """Return what guesses of one account's password are about, for the guard."""
    return f"{connector_id} {username.lower()}"


@attrs.frozen
class Guard:
    """Token buckets of one kind: ``rate`` tokens a second, ``burst`` at most.

    A key is a client's address, of which :func:`network` counts, and perhaps *about*:
    what it is about that this client does.  ``clock`` returns seconds and never goes
    back.
    """

    rate: float
    burst: float
    keys: int = KEYS
    clock: Callable[[], float] = time.monotonic
    _buckets: OrderedDict[_Key, tuple[float, float]] = attrs.field(
        factory=OrderedDict, init=False, repr=False, eq=False
    )

    def allow(self, address: str, cost: float = 1, *, about: str = "") -> bool:
        """Take *cost* tokens out of the bucket, if they are there."""
        key = (network(address), about)
        tokens = self._tokens(key)
        if tokens < cost:
            return False
        self._keep(key, tokens - cost)
        return True

    def check(self, address: str, cost: float = 1, *, about: str = "") -> None:
        """Do as :meth:`allow`, or raise ``TooManyRequests``, which says when to retry.

        To count only failures, check before the attempt and :meth:`give_back` after a
        success: then parallel attempts cannot outrun the count.
        """
        if not self.allow(address, cost, about=about):
            raise TooManyRequests(
                "Too many requests. Try again later.",
                retry_after=self.wait(address, cost, about=about),
            )

    def wait(self, address: str, cost: float = 1, *, about: str = "") -> int:
        """Return in how many whole seconds *cost* tokens will be there."""
        missing = cost - self._tokens((network(address), about))
        return max(math.ceil(missing / self.rate), 0)

    def give_back(self, address: str, cost: float = 1, *, about: str = "") -> None:
        """Put *cost* tokens back into the bucket."""
        key = (network(address), about)
        self._keep(key, min(self._tokens(key) + cost, self.burst))

    def _tokens(self, key: _Key) -> float:
        tokens, at = self._buckets.get(key, (self.burst, 0.0))
        return min(tokens + (self.clock() - at) * self.rate, self.burst)

    def _keep(self, key: _Key, tokens: float) -> None:
        self._buckets[key] = (tokens, self.clock())
        self._buckets.move_to_end(key)
        if len(self._buckets) > self.keys:
            self._buckets.popitem(last=False)
