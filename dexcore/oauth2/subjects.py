"""Subjects, refresh tokens, session cookies and MACs, in dex's encoding.

Each is a protobuf message of strings in base64url without padding.  The messages are so
small that they are written by hand.
"""

from __future__ import annotations

import hashlib
import hmac

from ..jose import b64decode, b64encode

__all__ = [
    "decode_refresh",
    "decode_session_cookie",
    "decode_subject",
    "encode_refresh",
    "encode_session_cookie",
    "encode_subject",
    "hash_subject",
    "step_mac",
]

_VARINT, _FIXED64, _STRING, _FIXED32 = 0, 1, 2, 5
_MOST_VARINT = 10  # bytes


def encode_subject(user_id: str, connector_id: str) -> str:
    """Return ``sub`` of a user: the id at the connector, and the connector's id."""
    return _encode_pair(user_id, connector_id)


def decode_subject(sub: str) -> tuple[str, str]:
    """Return user id and connector id; raise ``ValueError``."""
    return _decode_pair(sub)


def hash_subject(salt: bytes, user_id: str, connector_id: str, sector: str = "") -> str:
    """Return a ``sub`` that says nothing to whoever does not know the *salt*.

    HMAC-SHA256, 43 characters.  With a *sector* it is a pairwise one, of that sector
    (OpenID Connect Core section 8.1).
    """
    message = (
        (_field(1, sector) if sector else b"")
        + _field(2, user_id)
        + _field(3, connector_id)
    )
    return b64encode(hmac.digest(salt, message, hashlib.sha256))


def encode_refresh(refresh_id: str, token: str) -> str:
    """Return a refresh token as the client gets it: the record's id, and the secret."""
    return _encode_pair(refresh_id, token)


def decode_refresh(wire: str) -> tuple[str, str]:
    """Return the record's id and the secret.

    What cannot be decoded is an id without a secret, as very old versions of dex gave
    out; whether it counts is not decided here.
    """
    try:
        found = _decode_pair(wire)
    except ValueError:
        return wire, ""
    # A token has one spelling; a message may also repeat its fields, or have others.
    return found if _encode_pair(*found) == wire else (wire, "")


def encode_session_cookie(session_id: str, secret: str) -> str:
    """Return the value of the session cookie."""
    return _encode_pair(session_id, secret)


def decode_session_cookie(value: str) -> tuple[str, str]:
    """Return session id and secret; raise ``ValueError``."""
    return _decode_pair(value)


def step_mac(key: bytes, *values: str) -> str:
    """Return the MAC of *values* that a link between two of our pages carries.

    HMAC-SHA256 over a message that keeps the values apart, empty ones included.
    """
    message = b"".join(_field(1, value) for value in values)
    return b64encode(hmac.digest(key, message, hashlib.sha256))


def _encode_pair(first: str, second: str) -> str:
    # proto3: an empty string is not written.
    return b64encode(
        (_field(1, first) if first else b"") + (_field(2, second) if second else b"")
    )


def _decode_pair(text: str) -> tuple[str, str]:
    found = {1: b"", 2: b""}
    for number, value in _fields(b64decode(text)):
        if number in found:
            found[number] = value
    return found[1].decode("utf-8"), found[2].decode("utf-8")


def _field(number: int, value: str) -> bytes:
    data = value.encode("utf-8")
    return bytes((number << 3 | _STRING,)) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _fields(message: bytes) -> list[tuple[int, bytes]]:
    """Return number and value of each string; pass over what is no string."""
    found, at = [], 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        number, wire_type = tag >> 3, tag & 7
        value, at = _read_value(message, at, wire_type)
        if number in (0,) or (number in (1, 2) and wire_type != _STRING):
            raise ValueError("This is not a message of ours.")
        found.append((number, value))
    return found


def _read_value(message: bytes, at: int, wire_type: int) -> tuple[bytes, int]:
    if wire_type == _VARINT:
        return b"", _read_varint(message, at)[1]
    if wire_type == _STRING:
        size, at = _read_varint(message, at)
    elif wire_type in (_FIXED64, _FIXED32):
        size = 8 if wire_type == _FIXED64 else 4
    else:
        raise ValueError("This is not a protobuf message.")
    if at + size > len(message):
        raise ValueError("The message is cut short.")
    return message[at : at + size], at + size


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift, byte in enumerate(message[at : at + _MOST_VARINT]):
        number |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return number, at + shift + 1
    raise ValueError("The message is cut short.")
