"""By which name a client knows a browser session: ``sid`` (Back-Channel Logout 2.1).

It is the session's id; only clients with pairwise subjects have a name each, or else it
would tell them that they have the same user.  Whoever has the key can read it.
"""

from __future__ import annotations

import hashlib
import hmac

import attrs

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from ...jose import b64decode, b64encode
from ...oauth2.subject_types import PAIRWISE
from ...storage import Client
from .subjects import Subjects

__all__ = ["SessionNames"]


@attrs.frozen(eq=False)
class SessionNames:
    """Names sessions, always the same way (RFC 5297), and finds out which is meant."""

    subjects: Subjects
    _sealed: AESSIV = attrs.field(init=False, repr=False)

    @_sealed.default
    def _made(self) -> AESSIV:
        # 64 bytes: AES-256 (RFC 5297 section 2.2).
        key = hmac.digest(self.subjects.salt, b"session names", hashlib.sha512)
        return AESSIV(key)

    def name(self, client: Client, session_id: str) -> str:
        """Return the ``sid`` that *client* is told."""
        # While its subjects change it goes by what it was told first.
        if self.subjects.rule(client).types[-1] != PAIRWISE:
            return session_id
        beside = [client.id.encode()]
        return b64encode(self._sealed.encrypt(session_id.encode(), beside))

    def session_id(self, client: Client, name: str) -> str:
        """Return the session that *client* means; a name that is none is no session."""
        if PAIRWISE not in self.subjects.rule(client).types:
            return name
        try:
            return self._sealed.decrypt(b64decode(name), [client.id.encode()]).decode()
        except (InvalidTag, ValueError):
            # Told when its subjects were not pairwise.
            return name
