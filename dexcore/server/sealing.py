"""Values that travel through the browser, sealed so that only we can read them.

AES-256-GCM with a key of its own for every value (derived from the shared key and the
value's name), so that no number of values wears the key out.
"""

from __future__ import annotations

import binascii
import hashlib
import secrets
import zlib

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime

import attrs

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import AlreadyExists
from ..oauth2.ids import random_bytes
from ..storage import Collections, SharedSecret

_NONCE = 12
_PLAIN, _PACKED = b"\0", b"\1"
_WORTH_PACKING = 1000  # bytes: below, zlib costs more than the cookie saves
_MOST_UNPACKED = 64 * 1024


async def shared_key(storage: Collections, name: str, now: datetime) -> bytes:
    """Return the secret all replicas share under *name*; the first one makes it."""
    found = await storage.shared_secrets.find(name)
    if found is None:
        mine = SharedSecret(name, secrets.token_bytes(32), now)
        try:
            await storage.shared_secrets.create(mine)
        except AlreadyExists:
            found = await storage.shared_secrets.get(name)
        else:
            found = mine
    return found.value


def derive(key: bytes, purpose: str) -> bytes:
    """Return the key for one *purpose*, 32 bytes (RFC 7693: keyed BLAKE2b)."""
    return hashlib.blake2b(purpose.encode(), key=key, digest_size=32).digest()


@attrs.frozen(eq=False)
class Sealer:
    """Seals and opens values by their name."""

    key: bytes = attrs.field(repr=False)

    def seal(self, name: str, value: bytes) -> str:
        """Return *value* sealed under *name*, as text fit for a cookie."""
        packed = (
            _PACKED + zlib.compress(value, 6)
            if len(value) > _WORTH_PACKING
            else _PLAIN + value
        )
        nonce = random_bytes(_NONCE)
        sealed = AESGCM(derive(self.key, name)).encrypt(nonce, packed, None)
        return urlsafe_b64encode(nonce + sealed).rstrip(b"=").decode()

    def open(self, name: str, text: str) -> bytes | None:
        """Return the value sealed under *name*, or ``None`` if it is not one."""
        try:
            raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            packed = AESGCM(derive(self.key, name)).decrypt(
                raw[:_NONCE], raw[_NONCE:], None
            )
            if packed[:1] == _PLAIN:
                return packed[1:]
            return zlib.decompressobj().decompress(packed[1:], _MOST_UNPACKED)
        except (InvalidTag, ValueError, binascii.Error, zlib.error):
            return None
