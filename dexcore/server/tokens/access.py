"""Reading an access token that somebody brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import attrs
import orjson

from ...errors import InvalidToken
from ...jose import InvalidJWS, b64decode
from ...signer import Signer
from .issuer import ACCESS_TOKEN_TYPE
from .revocations import Revocations

_REASON = "The access token is expired, revoked or not from here."


@attrs.frozen(eq=False)
class AccessTokens:
    """Checks access tokens: signature, issuer, expiry, revocation.  No query.

    With ``strict`` only what says in its header that it is an access token is one; else
    an ID token of ours does too, as clients of dex may rely on.
    """

    url: str
    signer: Signer
    revocations: Revocations
    now: Callable[[], datetime]
    strict: bool = False

    def check(self, token: str) -> tuple[dict[str, Any], bytes]:
        """Return the claims and the payload; raise ``InvalidToken``."""
        try:
            claims, payload = self.signer.key_set.verify(token)
        except InvalidJWS:
            raise InvalidToken(_REASON) from None
        expiry = claims.get("exp")
        if (
            claims.get("iss") != self.url
            or not isinstance(expiry, int)
            or expiry < self.now().timestamp()
            or "events" in claims  # a logout token is not an access token
            or self.revocations.covers(str(claims.get("jti", "")))
            or self.revocations.ended(_client_id(claims))
            or (self.strict and _type(token) != ACCESS_TOKEN_TYPE)
        ):
            raise InvalidToken(_REASON)
        return claims, payload


def _client_id(claims: Mapping[str, Any]) -> str:
    return str(claims.get("client_id") or claims.get("azp") or claims.get("aud"))


def _type(token: str) -> str:
    header = orjson.loads(b64decode(token.partition(".")[0]))
    return str(header.get("typ", ""))
