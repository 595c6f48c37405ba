"""Hashed passwords: bcrypt as dex stores it, and argon2id.

Hashing takes tens of milliseconds of a whole core, so it happens in a pool of its own:
as many threads as cores, each nicer than the event loop, and a queue that refuses what
it could not begin within about a second.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import re
import sys
import threading

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, TypeVar

import attrs

from .errors import TemporarilyUnavailable

__all__ = ["LONGEST", "CostOutOfRange", "MalformedHash", "Passwords", "check"]

T = TypeVar("T")
Scheme = Literal["bcrypt", "argon2id"]

#: Longer passwords, in bytes, are wrong without a look: a megabyte is no pass phrase.
LONGEST = 4096

#: bcrypt looks at no more than this, in bytes.
BCRYPT_LONGEST = 72

#: dex logs nobody in whose hash is weaker or dearer than this.
LEAST_COST, MOST_COST = 10, 16

_WAITING_PER_THREAD = 16
_NICER = 10

# Any minor version means the same to Go, $2x$ too; what follows the hash is ignored
# there, and only white space here.
_BCRYPT = re.compile(rb"\$2[abxy]\$(\d\d)\$([./A-Za-z0-9]{22})([./A-Za-z0-9]{31})\s*")
_BCRYPT_ALPHABET = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

_ARGON2ID = re.compile(
    rb"\$argon2id\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,9})"
    rb"\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})\s*"
)

# OWASP's second choice: 22 ms, and memory that a pool of it can afford.
_ARGON2ID_TIME, _ARGON2ID_KIB, _ARGON2ID_LANES = 2, 19 * 1024, 1
# From argon2-cffi's old default upwards; 256 MiB and 16 passes keep a thread a second.
_ARGON2ID_LEAST_KIB, _ARGON2ID_MOST_KIB = 4096, 256 * 1024
_ARGON2ID_MOST_TIME, _ARGON2ID_MOST_LANES = 16, 16

# Nobody's password: what unknown users are compared with, at any cost.
_NOBODY = b"$2b$%02d$c0mparedWithNobody...uKTm0h7G4WJcSxqYyU9vEoNpLdRzAib2"
_NOBODY_ARGON2ID = (
    b"$argon2id$v=19$m=%d,t=%d,p=%d"
    b"$Y29tcGFyZWR3aXRobm9i$b2R5cyBwYXNzd29yZCBoYXMgdGhpcyBoYXNoIGF0IGFsbCE"
) % (_ARGON2ID_KIB, _ARGON2ID_TIME, _ARGON2ID_LANES)


class MalformedHash(ValueError):
    """The text is no hash we know."""


class CostOutOfRange(ValueError):
    """The hash is well formed, but too weak or too dear to be used."""


def check(hash: bytes) -> None:
    """Raise :class:`MalformedHash` or :class:`CostOutOfRange` for a hash we refuse."""
    if found := _BCRYPT.fullmatch(hash):
        cost = int(found[1])
        if not LEAST_COST <= cost <= MOST_COST:
            raise CostOutOfRange(
                f"The bcrypt cost is {cost}; it must be {LEAST_COST} to {MOST_COST}."
            )
    elif found := _ARGON2ID.fullmatch(hash):
        _check_argon2id(*(int(number) for number in found.groups()[:3]))
    else:
        raise MalformedHash("This is no bcrypt or argon2id hash.")


@attrs.define(eq=False)
class Passwords:
    """Makes and verifies hashes, beside the event loop.

    *scheme* and *cost* are those of new hashes (the cost is bcrypt's); *threads* is how
    many hash at once, by default as many as there are cores.
    """

    scheme: Scheme = "bcrypt"
    cost: int = LEAST_COST
    threads: int = attrs.field(factory=lambda: os.cpu_count() or 1)
    _pool: ThreadPoolExecutor = attrs.field(init=False, repr=False)
    _room: threading.Semaphore = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(self.threads, "passwords", _be_nice)
        self._room = threading.Semaphore(self.threads * (1 + _WAITING_PER_THREAD))

    async def verify(self, hash: bytes, password: str) -> bool:
        """Return whether *hash* is the hash of *password*.

        bcrypt looks at the first 72 bytes only, as in dex.  Raises ``ValueError`` for a
        hash that :func:`check` refuses, ``TemporarilyUnavailable`` when too many wait.
        """
        check(hash)
        secret = _encoded(password)
        if len(secret) > LONGEST:
            return False
        return await self._run(lambda: _verify(hash.rstrip(), secret))

    async def waste(self, like: bytes | None = None, password: str = "") -> None:
        """Take as long as :meth:`verify` for a user who does not exist.

        *like* is the hash of a user who does, so that the cost is the same; without it,
        it is that of new hashes.  *password* is what was typed: too long costs nothing.
        """
        await self.verify(self._nobody(like), password)

    async def hash(
        self, password: str, scheme: Scheme | None = None, cost: int | None = None
    ) -> bytes:
        """Return a new hash of *password*, by default of our scheme and cost.

        Raises ``ValueError`` for one that bcrypt would cut off (more than 72 bytes) or
        that is longer than :data:`LONGEST`, and ``TemporarilyUnavailable``.
        """
        scheme, cost = scheme or self.scheme, cost or self.cost
        secret, longest = _encoded(password), longest_password(scheme)
        if len(secret) > longest:
            raise ValueError(f"The password is longer than {longest} bytes.")
        if scheme == "argon2id":
            return await self._run(lambda: _hash_argon2id(secret))
        return await self._run(lambda: _hash_bcrypt(secret, cost))

    def needs_rehash(self, hash: bytes) -> bool:
        """Return whether a hash made now would be stronger than *hash*.

        An argon2id hash is never made a bcrypt one again.
        """
        if found := _BCRYPT.fullmatch(hash):
            return self.scheme != "bcrypt" or int(found[1]) < self.cost
        found = _ARGON2ID.fullmatch(hash)
        if not found:
            return True
        weaker = int(found[1]) * int(found[2]) < _ARGON2ID_KIB * _ARGON2ID_TIME
        return self.scheme == "argon2id" and weaker

    def close(self) -> None:
        """Let the threads end; what waits is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _nobody(self, like: bytes | None) -> bytes:
        if like and (found := _BCRYPT.fullmatch(like)):
            return _NOBODY % min(max(int(found[1]), LEAST_COST), MOST_COST)
        if like and (found := _ARGON2ID.fullmatch(like)):
            return like[: found.start(4)] + _NOBODY_ARGON2ID.split(b"$", 4)[4]
        if self.scheme == "argon2id":
            return _NOBODY_ARGON2ID
        return _NOBODY % self.cost

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._room.acquire(blocking=False):
            raise TemporarilyUnavailable("Too many people are logging in just now.")
        try:
            future = self._pool.submit(work)
        except BaseException:
            self._room.release()
            raise
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def _leave(self, _: Future[T]) -> None:
        self._room.release()


def longest_password(scheme: Scheme) -> int:
    """Return how many bytes of a password *scheme* looks at."""
    return BCRYPT_LONGEST if scheme == "bcrypt" else LONGEST


def _encoded(password: str) -> bytes:
    # JSON can say half of a surrogate pair; that is a wrong password, not an error.
    return password.encode("utf-8", "surrogatepass")


def _check_argon2id(kib: int, time: int, lanes: int) -> None:
    if not _ARGON2ID_LEAST_KIB <= kib <= _ARGON2ID_MOST_KIB:
        raise CostOutOfRange(
            f"The argon2id memory is {kib} KiB; it must be {_ARGON2ID_LEAST_KIB} to "
            f"{_ARGON2ID_MOST_KIB}."
        )
    if not 1 <= time <= _ARGON2ID_MOST_TIME or not 1 <= lanes <= _ARGON2ID_MOST_LANES:
        raise CostOutOfRange(
            f"The argon2id parameters t={time}, p={lanes} are too large or zero."
        )


# — in a thread of the pool: the libraries load with the first password, not at start --


def _be_nice() -> None:
    if sys.platform == "linux":  # elsewhere a thread has no niceness of its own
        thread = threading.get_native_id()
        now = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(now + _NICER, 19))


def _verify(hash: bytes, secret: bytes) -> bool:
    if hash.startswith(b"$argon2id$"):
        return _verify_argon2id(hash, secret)
    import bcrypt

    made = bcrypt.hashpw(secret[:BCRYPT_LONGEST], _canonical_salt(hash))
    # The salt may be spelled in two ways, so only what follows it is compared.
    return hmac.compare_digest(made[29:], hash[29:])


def _canonical_salt(hash: bytes) -> bytes:
    """Return version, cost and salt, with the unused bits of the salt cleared.

    22 characters hold 132 bits and the salt has 128; Go ignores the other four, the
    library refuses them.
    """
    last = _BCRYPT_ALPHABET.index(hash[28])
    return hash[:28] + _BCRYPT_ALPHABET[last & 0b110000 :][:1]


def _verify_argon2id(hash: bytes, secret: bytes) -> bool:
    from argon2 import low_level
    from argon2.exceptions import VerificationError, VerifyMismatchError

    try:
        return low_level.verify_secret(hash, secret, low_level.Type.ID)
    except VerifyMismatchError:
        return False
    except VerificationError as error:
        raise MalformedHash(f"The argon2id hash cannot be verified: {error}.") from None


def _hash_bcrypt(secret: bytes, cost: int) -> bytes:
    import bcrypt

    # $2a$ is what dex writes.
    return bcrypt.hashpw(secret, bcrypt.gensalt(cost, prefix=b"2a"))


def _hash_argon2id(secret: bytes) -> bytes:
    from argon2 import low_level

    return low_level.hash_secret(
        secret,
        os.urandom(16),
        time_cost=_ARGON2ID_TIME,
        memory_cost=_ARGON2ID_KIB,
        parallelism=_ARGON2ID_LANES,
        hash_len=32,
        type=low_level.Type.ID,
    )
