"""``/userinfo``: what the access token says (OpenID Connect Core section 5.3)."""

from __future__ import annotations

import attrs
import orjson

from aiohttp import hdrs, web

from ..errors import MethodNotAllowed, MissingToken
from .channels import read_form
from .tokens.access import AccessTokens

_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}

# With ``compat: strict``, only what is about the end user.
_OF_THE_TOKEN = frozenset(
    (
        *("iss", "aud", "azp", "client_id", "scope", "exp", "iat", "jti"),
        *("nonce", "at_hash", "c_hash", "sid"),
    )
)


@attrs.frozen(eq=False)
class UserinfoEndpoint:
    """No query: the token carries the claims.

    dex answers with the whole payload, and clients may have come to rely on that; with
    ``strict`` the answer leaves out what is about the token.
    """

    access_tokens: AccessTokens
    strict: bool

    async def answer(self, request: web.Request) -> web.Response:
        """Answer with the claims of the access token in the header or the form."""
        claims, payload = self.access_tokens.check(await _token(request))
        if self.strict:
            payload = orjson.dumps(
                {k: v for k, v in claims.items() if k not in _OF_THE_TOKEN}
            )
        return web.Response(body=payload, headers=_HEADERS)


async def _token(request: web.Request) -> str:
    """Return the access token (RFC 6750 sections 2.1 and 2.2)."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if request.method == "POST":
        form = await read_form(request)
        if form.get("access_token"):
            return form["access_token"]
    elif request.method not in ("GET", "HEAD"):
        raise MethodNotAllowed("Use GET or POST.")
    raise MissingToken("An access token is required.")
