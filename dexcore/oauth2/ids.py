"""Making ids and codes that nobody can guess (RFC 6749 section 10.10)."""

from __future__ import annotations

import base64
import re
import secrets

__all__ = [
    "is_id",
    "new_device_code",
    "new_hmac_key",
    "new_id",
    "new_user_code",
]

#: RFC 8628 section 6.1: no vowels, so no words; nothing that looks like something else.
_USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"

# Ours have 160 bits, dex's 75 to 80; what dex has stored stays readable.
_ID = re.compile(r"[a-z](?:[a-z2-7]{32}|[a-z2-7]{24})")


def new_id() -> str:
    """Return a new id of 33 characters: a letter, then 20 random bytes in base32."""
    return _random_id(20)


def is_id(text: str) -> bool:
    """Say whether *text* looks like an id that we, or dex, have made."""
    return _ID.fullmatch(text) is not None


def new_device_code() -> str:
    """Return a new device code of 51 characters (RFC 8628 section 3.2)."""
    return _random_id(31)


def new_user_code() -> str:
    """Return a new user code, ``XXXX-XXXX`` (RFC 8628 section 6.1)."""
    letters = "".join(secrets.choice(_USER_CODE_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def new_hmac_key() -> bytes:
    """Return a new key for the MACs of an authorization request: 51 ASCII bytes."""
    return _random_id(31).encode("ascii")


def _random_id(size: int) -> str:
    first, *_ = data = secrets.token_bytes(size + 1)
    tail = base64.b32encode(data[1:]).decode("ascii").rstrip("=").lower()
    return f"{chr(ord('a') + first % 26)}{tail}"
