"""How the clients of a double prove who they are (OpenID Connect Core section 9)."""

from __future__ import annotations

import base64
import time

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

import attrs

from aiohttp import web

from ...jose import verify_with_jwks

__all__ = ["OpenIDClient", "OpenIDClients"]


@attrs.frozen
class OpenIDClient:
    """Who may ask.  ``auth`` are the ways it may authenticate, all if empty."""

    secret: str = ""
    auth: tuple[str, ...] = ()
    jwks: Mapping[str, Any] | None = None


@attrs.define(eq=False)
class OpenIDClients:
    """Checks who calls the token endpoint, which is at the address *audience*."""

    audience: str
    known: dict[str, OpenIDClient] = attrs.field(factory=dict)
    _seen: set[str] = attrs.field(factory=set, init=False)

    def authenticated(
        self, request: web.Request, form: Mapping[str, str]
    ) -> str | None:
        """Return the client; it must authenticate in one of its ways, and only one."""
        ways = _ways(request, form)
        if len(ways) != 1:
            return None
        [(way, (client_id, proof))] = ways.items()
        client = self.known.get(client_id)
        if client is None or (client.auth and way not in client.auth):
            return None
        if way == "private_key_jwt":
            proven = self._asserted(client_id, client, proof)
        elif way == "none":
            proven = not client.secret and not client.jwks
        else:
            proven = bool(client.secret) and proof == client.secret
        return client_id if proven else None

    def _asserted(self, client_id: str, client: OpenIDClient, assertion: str) -> bool:
        algorithms = ("RS256", "ES256", "EdDSA")
        claims, _ = verify_with_jwks(assertion, client.jwks or {"keys": []}, algorithms)
        fresh = claims["exp"] > time.time() and claims["jti"] not in self._seen
        self._seen.add(claims["jti"])
        right = (client_id, client_id, self.audience)
        return fresh and (claims["iss"], claims["sub"], claims["aud"]) == right


def _ways(request: web.Request, form: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    ways = {}
    header = request.headers.get("Authorization", "")
    if header.startswith("Basic "):
        pair = base64.b64decode(header[6:]).decode()
        name, _, secret = pair.partition(":")
        ways["client_secret_basic"] = (unquote_plus(name), unquote_plus(secret))
    client_id = form.get("client_id", "")
    if "client_secret" in form:
        ways["client_secret_post"] = (client_id, form["client_secret"])
    if "client_assertion" in form:
        ways["private_key_jwt"] = (client_id, form["client_assertion"])
    return ways or {"none": (client_id, "")}
