"""Names of objects: what Kubernetes accepts, made from keys, as dex makes them."""

from __future__ import annotations

import base64
import hashlib
import re

from collections.abc import Callable

Names = Callable[..., tuple[str, ...]]

# RFC 1123 section 2.1, as Kubernetes reads it: a DNS subdomain.
_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST = 253

_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3

#: Own names longer than this many bytes are cut and end in a digest.
_WHOLE = 150
_CUT = 100


def is_name(name: str) -> bool:
    """Return whether an object may have this name."""
    return len(name) <= _LONGEST and _NAME.fullmatch(name) is not None


# — dex's names ------------------------------------------------------------------------


def verbatim(id: str) -> tuple[str, ...]:
    """Name an object after its id, as it is."""
    return (id,)


def lowered(id: str) -> tuple[str, ...]:
    """Name an object after its id in lower case."""
    return (id.lower(),)


def constant(name: str) -> Names:
    """Name the only object of its kind."""
    return lambda: (name,)


def of_id(id: str) -> tuple[str, ...]:
    """Name an object after an id of any characters.

    dex means to append a hash of the id and appends the hash of nothing, so names can
    be read backwards and never collide.
    """
    return (_base32(_bytes(id) + _FNV_OFFSET.to_bytes(8, "big")),)


def of_pair(first: str, second: str) -> tuple[str, ...]:
    """Name an object after two ids: dex's name, and ours where dex's is taken.

    dex runs the two together and keeps 64 bits, so different pairs can have one name.
    """
    name = _base32(_fnv1(_bytes(first + second)).to_bytes(8, "big"))
    parted = b"%d %b%b" % (len(_bytes(first)), _bytes(first), _bytes(second))
    return name, f"{name}-{_base32(hashlib.sha256(parted).digest())}"


# — Ours -------------------------------------------------------------------------------


def ordered(id: str) -> tuple[str, ...]:
    """Name an object after an id of any characters, in the order of the ids."""
    data = _bytes(id)
    if len(data) <= _WHOLE:
        return (_base32hex(data),)
    digest = hashlib.sha256(data).digest()
    return (f"{_base32hex(data[:_CUT])}-{_base32hex(digest)}",)


def _bytes(text: str) -> bytes:
    # What cannot be a key may still be asked for.
    return text.encode("utf-8", "surrogatepass")


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().lower().rstrip("=")


def _base32hex(data: bytes) -> str:
    return base64.b32hexencode(data).decode().lower().rstrip("=")


def _fnv1(data: bytes) -> int:
    # FNV-1, which multiplies first; not FNV-1a.
    hashed = _FNV_OFFSET
    for byte in data:
        hashed = (hashed * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF ^ byte
    return hashed
