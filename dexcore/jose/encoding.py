"""How tokens are written: base64url, JSON, and half hashes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math

from typing import Any

__all__ = ["b64decode", "b64encode", "left_half_hash", "load_strictly"]


def b64encode(data: bytes) -> str:
    """Return *data* in base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64decode(text: str) -> bytes:
    """Return what :func:`b64encode` made *text* of; raise ``ValueError`` for the rest.

    Padding, foreign characters and stray bits at the end are all refused: one value has
    one spelling.
    """
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if b64encode(data) != text:
        raise ValueError("This is not base64url without padding.")
    return data


def left_half_hash(algorithm: str, text: str) -> str:
    """Return ``at_hash`` or ``c_hash`` (OpenID Connect Core section 3.1.3.6).

    Ed25519 hashes with SHA-512 inside, so EdDSA does here too.
    """
    digest = _HASHES[algorithm[-3:]](text.encode("ascii")).digest()
    return b64encode(digest[: len(digest) // 2])


_HASHES = {
    "256": hashlib.sha256,
    "384": hashlib.sha384,
    "512": hashlib.sha512,
    "DSA": hashlib.sha512,
}


def load_strictly(text: bytes) -> dict[str, Any]:
    """Return the JSON object in *text*; raise ``ValueError``.

    Names that come twice, ``NaN`` and numbers out of range are refused.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        # RFC 7515 section 4, RFC 7519 section 4: no name comes twice.
        if len(found) != len(pairs):
            raise ValueError("a member comes twice")
        return found

    def finite(text: str) -> float:
        number = float(text)
        if not math.isfinite(number):
            raise ValueError("a number is too large")
        return number

    def never(text: str) -> None:
        raise ValueError(f"{text} is not JSON")

    found = json.loads(
        text.decode("utf-8"),
        object_pairs_hook=once,
        parse_float=finite,
        parse_constant=never,
    )
    if not isinstance(found, dict):
        raise ValueError("this is not an object")
    return found
