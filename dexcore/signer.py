"""What a signer is: it holds the keys that sign our tokens."""

from __future__ import annotations

import logging

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import attrs

from .jose import KeySet
from .storage import Collections

C = TypeVar("C")

#: How long clients may keep our JWKS, in seconds (``Cache-Control: max-age``).  A key
#: is published at least this long before it signs.
JWKS_MAX_AGE = 600


class Signer(ABC):
    """Signs tokens, and publishes what verifies them."""

    @property
    @abstractmethod
    def key_set(self) -> KeySet:
        """The keys as they are now: one immutable snapshot, swapped at rotation."""

    @property
    def algorithms(self) -> tuple[str, ...]:
        """What may be the ``alg`` of a token, now or later; that of now comes first.

        For discovery: many clients read it once, and refuse whatever is not in it for
        as long as they run.
        """
        return self.key_set.algorithms

    @abstractmethod
    async def sign(self, payload: bytes, *, typ: str | None = None) -> str:
        """Return *payload* as a compact JWS (RFC 7515 section 7.1) by the current key.

        That is the key of :attr:`key_set` at the moment of the call: the hashes in an
        ID token have been made for its algorithm.  The header has ``alg``, ``kid`` and,
        if given, ``typ``.
        """

    async def run(self) -> None:
        """Rotate and refresh keys until cancelled.  Never raises."""

    async def close(self) -> None:
        """Let go of connections."""


@attrs.frozen
class SignerContext:
    """What the server lends a signer while it opens.

    ``token_lifetime`` is how long a token lives that the signer signs; ``now`` tells
    the time.
    """

    storage: Collections
    token_lifetime: timedelta
    now: Callable[[], datetime]
    log: logging.Logger = logging.getLogger("dexcore.signer")


@attrs.frozen
class SignerType(Generic[C]):
    """One value of ``signer.type`` in the configuration file and how to open it.

    The opened signer can sign and verify at once.
    """

    name: str
    config: type[C]
    open: Callable[[C, SignerContext], Awaitable[Signer]]
