"""Making ids and codes that nobody can guess (RFC 6749 section 10.10)."""

from __future__ import annotations

import hashlib
import os
import re
import secrets

from io import BytesIO

__all__ = [
    "bare_id",
    "derived_id",
    "is_id",
    "is_supplemented",
    "new_device_code",
    "new_hmac_key",
    "new_id",
    "new_user_code",
    "parse_user_code",
    "random_bytes",
]

#: RFC 8628 section 6.1: no vowels, so no words; nothing that looks like something else.
_USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"

# Ours have 160 bits, dex's 75 to 80; what dex has stored stays readable.
_ID = re.compile(r"[a-z](?:[a-z2-7]{32}1?|[a-z2-7]{24})")

# 256 is a multiple of 32: each letter is as likely as the others.
_BASE32 = b"abcdefghijklmnopqrstuvwxyz234567" * 8

# No letter of base32, so that no other id ends like this.
_SUPPLEMENTED = "1"

_AT_ONCE = 4096  # bytes


class _Noise:
    """Random bytes of the operating system, asked for many at a time.

    A call of the system lets go of the interpreter, and getting it back from a thread
    that works takes a hundred times as long as the bytes do.
    """

    def __init__(self) -> None:
        self.forget()
        # Two processes must never hand out the same bytes.
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self._rest = BytesIO()

    def take(self, size: int) -> bytes:
        # Reading is one step of the interpreter, so no two threads get the same bytes.
        data = self._rest.read(size)
        if len(data) < size:
            self._rest = fresh = BytesIO(os.urandom(_AT_ONCE + size))
            data = fresh.read(size)
        return data


#: ``random_bytes(size)``: bytes nobody can guess, good for keys, nonces and ids.
random_bytes = _Noise().take


def new_id(*, supplemented: bool = False) -> str:
    """Return a new id of 33 characters: a letter, then 160 random bits in base32.

    With *supplemented* it says, by one character more, that there is a supplement to
    the record it names; so nobody looks for one where there is none.
    """
    return _random_id(32) + (_SUPPLEMENTED if supplemented else "")


def derived_id(origin: str, *, supplemented: bool = False) -> str:
    """Return the id, like those of :func:`new_id`, that belongs to *origin*.

    It is always the same one, and does not tell what *origin* is.
    """
    noise = hashlib.sha512(origin.encode()).digest()[:33]
    return _spelled(noise) + (_SUPPLEMENTED if supplemented else "")


def bare_id(text: str) -> str:
    """Return the id *text* without what says that there is a supplement."""
    return text[:-1] if is_supplemented(text) else text


def is_supplemented(text: str) -> bool:
    """Say whether there is a supplement to the record with the id *text*."""
    return len(text) in (34, 52) and text.endswith(_SUPPLEMENTED)


def is_id(text: str) -> bool:
    """Say whether *text* looks like an id that we, or dex, have made."""
    return _ID.fullmatch(text) is not None


def new_device_code(*, supplemented: bool = False) -> str:
    """Return a new device code of 51 characters (RFC 8628 section 3.2).

    With *supplemented* it has one more, as with :func:`new_id`.
    """
    return _random_id(50) + (_SUPPLEMENTED if supplemented else "")


def new_user_code() -> str:
    """Return a new user code, ``XXXX-XXXX`` (RFC 8628 section 6.1)."""
    letters = "".join(secrets.choice(_USER_CODE_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def parse_user_code(text: str) -> str:
    """Return the user code that somebody has typed, or "" if it cannot be one.

    Case, spaces and punctuation do not count (RFC 8628 section 6.1).
    """
    letters = "".join(character for character in text.upper() if character.isalnum())
    if len(letters) != 8 or not set(letters) <= set(_USER_CODE_LETTERS):
        return ""
    return f"{letters[:4]}-{letters[4:]}"


def new_hmac_key() -> bytes:
    """Return a new key for the MACs of an authorization request: 51 ASCII bytes."""
    return _random_id(50).encode("ascii")


def _random_id(length: int) -> str:
    """Return a letter, then *length* characters of base32: five random bits each."""
    return _spelled(random_bytes(1 + length))


def _spelled(noise: bytes) -> str:
    first = chr(ord("a") + noise[0] % 26)
    return first + noise[1:].translate(_BASE32).decode("ascii")
