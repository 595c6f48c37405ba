"""What a script may know of a session: that it is still the same, and no more.

OpenID Connect Session Management 1.0.  A cookie that scripts of ours can read holds the
*browser state*: another value when somebody has logged in or out.  A client gets a
salted hash of it with every response, good for its own origin only; our frame compares.
"""

from __future__ import annotations

import hashlib
import hmac

from datetime import timedelta
from urllib.parse import urlsplit

import attrs

from aiohttp import web

from ...jose import b64encode
from ...oauth2.ids import random_bytes
from ..urls import Issuer

_NOBODY = "0"  # for all browsers the same: nobody can be followed by it
_SALT = 16
_LONGEST = 64  # characters; ours have 43
_PORTS = {"http": 80, "https": 443}


@attrs.frozen(eq=False)
class BrowserStates:
    """Writes the cookie, and what clients get of it.

    ``lifetime`` is of the cookie of a session that is remembered.
    """

    name: str
    key: bytes = attrs.field(repr=False)
    issuer: Issuer
    lifetime: timedelta

    def of(self, session_id: str) -> str:
        """Return the browser state of a session; it tells nothing about it."""
        message = b"dexcore browser state\0" + session_id.encode()
        return b64encode(hmac.digest(self.key, message, hashlib.sha256))

    def read(self, request: web.BaseRequest) -> str:
        """Return what the browser holds, ``""`` if nothing that we can have written."""
        value = request.cookies.get(self.name, "")
        plain = value.isascii() and value.replace("-", "").replace("_", "").isalnum()
        return value if plain and len(value) <= _LONGEST else ""

    def make(self, session_id: str, *, remember: bool = False) -> str:
        """Return the ``Set-Cookie`` of a session that is there."""
        age = f"; Max-Age={int(self.lifetime.total_seconds())}" if remember else ""
        return self._header(self.of(session_id), age)

    def leave(self) -> str:
        """Return the ``Set-Cookie`` that says that nobody is logged in.

        Not an empty one: a frame that finds no cookie cannot tell whether the browser
        withholds it.
        """
        return self._header(_NOBODY, "")

    def session_state(self, client_id: str, redirect_uri: str, state: str) -> str:
        """Return ``session_state`` (section 2) for browser state *state*.

        ``""`` if there is none, or if *redirect_uri* is of no page with an origin.
        """
        origin = origin_of(redirect_uri)
        if not state or not origin:
            return ""
        salt = random_bytes(_SALT).hex()
        text = f"{client_id} {origin} {state} {salt}"
        return f"{hashlib.sha256(text.encode()).hexdigest()}.{salt}"

    def _header(self, value: str, age: str) -> str:
        # For frames of other sites, as far as browsers let them have cookies at all.
        site = "; Secure; SameSite=None" if self.issuer.secure else "; SameSite=Lax"
        return f"{self.name}={value}; Path={self.issuer.cookie_path}{age}{site}"


def origin_of(url: str) -> str:
    """Return the origin of *url*, as browsers write it, ``""`` if it has none.

    RFC 6454 section 6.2.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    if scheme not in _PORTS or not host or not host.isascii():
        return ""
    if ":" in host:
        host = f"[{host}]"
    ending = "" if port in (None, _PORTS[scheme]) else f":{port}"
    return f"{scheme}://{host}{ending}"
