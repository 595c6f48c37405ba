"""``/userinfo``: what the access token says (OpenID Connect Core section 5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import orjson

from aiohttp import hdrs, web

from ..errors import InvalidDPoPProof, InvalidToken, MethodNotAllowed, MissingToken
from .channels import read_form
from .dpop import Proofs, challenged
from .tokens.access import AccessTokens
from .tokens.resources import is_for_resources

_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}

# With ``compat: strict``, only what is about the end user.
_OF_THE_TOKEN = frozenset(
    (
        *("iss", "aud", "azp", "client_id", "scope", "exp", "iat", "jti"),
        *("nonce", "at_hash", "c_hash", "sid", "cnf"),
    )
)
_SCHEMES = ("bearer", "dpop")


@attrs.frozen(eq=False)
class UserinfoEndpoint:
    """No query: the token carries the claims.

    dex answers with the whole payload, and clients may have come to rely on that; with
    ``strict`` the answer leaves out what is about the token.
    """

    access_tokens: AccessTokens
    proofs: Proofs
    strict: bool

    async def answer(self, request: web.Request) -> web.Response:
        """Answer with the claims of the access token in the header or the form."""
        scheme, token = await _token(request)
        claims, payload = self._checked(scheme, token)
        if "cnf" in claims or scheme != "bearer":
            await self._check_key(request, scheme, token, claims)
        if is_for_resources(claims) and not _is_ours(claims, self.access_tokens.url):
            # RFC 9068 section 4: whoever is not in the audience refuses the token.
            raise InvalidToken("The access token is not for userinfo.")
        if self.strict:
            payload = orjson.dumps(
                {k: v for k, v in claims.items() if k not in _OF_THE_TOKEN}
            )
        answer = web.Response(body=payload, headers=_HEADERS)
        if scheme != "bearer":
            answer.headers.update(self.proofs.headers())
        return answer

    def _checked(self, scheme: str, token: str) -> tuple[dict[str, Any], bytes]:
        try:
            return self.access_tokens.check(token)
        except InvalidToken as refusal:
            raise (refusal if scheme == "bearer" else challenged(refusal)) from None

    async def _check_key(
        self, request: web.Request, scheme: str, token: str, claims: Mapping[str, Any]
    ) -> None:
        """Raise unless the token is bound to a key, and whoever asks has that key.

        RFC 9449 section 7.1: neither scheme accepts the other's tokens.
        """
        jkt = claims.get("cnf", {}).get("jkt", "")
        if not jkt:
            raise challenged(InvalidToken("The access token is a bearer token."))
        if scheme == "bearer":
            raise challenged(InvalidToken("The access token is bound to a key."))
        try:
            await self.proofs.check(request, token, jkt)
        except InvalidDPoPProof as refusal:
            raise challenged(refusal) from None


def _is_ours(claims: Mapping[str, Any], issuer: str) -> bool:
    audience = claims.get("aud")
    return audience == issuer or (isinstance(audience, list) and issuer in audience)


async def _token(request: web.Request) -> tuple[str, str]:
    """Return how the access token comes, and the token itself.

    RFC 6750 sections 2.1 and 2.2, RFC 9449 section 7.1.
    """
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    scheme, token = scheme.lower(), token.strip()
    if scheme in _SCHEMES and token:
        return scheme, token
    if request.method == "POST":
        form = await read_form(request)
        if form.get("access_token"):
            return "bearer", form["access_token"]
    elif request.method not in ("GET", "HEAD"):
        raise MethodNotAllowed("Use GET or POST.")
    missing = MissingToken("An access token is required.")
    # Who knows of keys is asked for one; who does not hears what it always has.
    raise challenged(missing) if scheme == "dpop" else missing
