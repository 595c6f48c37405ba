"""The cookie that says which session a browser is in: dex's own, byte for byte.

It holds the session's public id and its secret, which proves possession.  With a key it
is encrypted; without one it is no less safe from guessing, only readable to whoever
reads the browser's files.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta

import attrs

from aiohttp import hdrs, web
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...oauth2.ids import random_bytes
from ...oauth2.subjects import decode_session_cookie, encode_session_cookie
from ...storage import AuthSession
from ..urls import Issuer

_NONCE = 12
_LONGEST = 1024  # characters; ours have about 150


@attrs.frozen(eq=False)
class SessionCookie:
    """Writes the cookie, and reads it back.  ``lifetime`` is of a remembered one."""

    name: str
    key: bytes = attrs.field(repr=False)
    issuer: Issuer
    lifetime: timedelta

    def read(self, request: web.BaseRequest) -> tuple[tuple[str, str], ...]:
        """Return id and secret of each session the browser claims to be in.

        A neighbour domain can add a cookie of the same name to ours (RFC 6265 section
        8.6), so there may be several.  What is not a cookie of ours is left out.
        """
        wanted = f"{self.name}="
        found: dict[tuple[str, str], None] = {}
        for line in request.headers.getall(hdrs.COOKIE, ()):
            for pair in line.split(";"):
                stripped = pair.strip()
                if stripped.startswith(wanted):
                    proof = self._decoded(stripped[len(wanted) :])
                    if proof is not None:
                        found[proof] = None
        return tuple(found)

    def make(self, session: AuthSession, *, remember: bool) -> str:
        """Return the ``Set-Cookie`` of *session*.

        Unless it is to *remember*, the browser forgets it when it is closed.
        """
        age = int(self.lifetime.total_seconds())
        value = self._encoded(encode_session_cookie(session.id, session.secret))
        return self._header(value, f"; Max-Age={age}" if remember else "")

    def clear(self) -> str:
        """Return the ``Set-Cookie`` that makes the browser forget."""
        return self._header("", "; Max-Age=0")

    def _header(self, value: str, age: str) -> str:
        secure = "; Secure" if self.issuer.secure else ""
        return (
            f"{self.name}={value}; Path={self.issuer.cookie_path}{age}; "
            f"HttpOnly{secure}; SameSite=Lax"
        )

    def _encoded(self, value: str) -> str:
        if not self.key:
            return value
        nonce = random_bytes(_NONCE)
        sealed = nonce + AESGCM(self.key).encrypt(nonce, value.encode(), None)
        return urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def _decoded(self, value: str) -> tuple[str, str] | None:
        if len(value) > _LONGEST:
            return None
        try:
            if self.key:
                raw = urlsafe_b64decode(value + "=" * (-len(value) % 4))
                plain = AESGCM(self.key).decrypt(raw[:_NONCE], raw[_NONCE:], None)
                value = plain.decode()
            id, secret = decode_session_cookie(value)
        except (InvalidTag, ValueError):
            return None
        # A row that dex wrote long ago may have no secret: it proves nothing.
        return (id, secret) if id and secret else None


def named(name: str, issuer: Issuer, *, strict: bool) -> str:
    """Return the cookie's name; *strict*: with the strongest prefix that it can have.

    A neighbour domain cannot set a cookie with such a prefix, but dex does not know it
    by that name either (RFC 6265bis section 4.1.3).
    """
    if not strict or not issuer.secure or name.startswith("__"):
        return name
    return ("__Host-" if issuer.cookie_path == "/" else "__Secure-") + name
