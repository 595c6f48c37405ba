"""What a client checks of the tokens it gets (OpenID Connect Core section 3.1.3.7).

With jwcrypto alone and none of our own code: what signs must not vouch for itself.
"""

from __future__ import annotations

import base64
import hashlib
import json

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jwcrypto.jwk import JWKSet
from jwcrypto.jws import JWS

from .tokens import TokenError, Tokens

__all__ = ["header", "verified"]

_HASHES = {"RS256": "sha256", "ES256": "sha256", "EdDSA": "sha512"}


def verified(
    tokens: Tokens,
    *,
    issuer: str,
    jwks: Mapping[str, Any],
    audience: str,
    now: datetime,
    nonce: str | None = None,
) -> Tokens:
    """Return *tokens* if the ID token is right in every way.

    Signature, ``iss``, ``aud``, ``exp`` and ``iat``, ``nonce`` if one was sent, and
    ``at_hash``.  Raises :class:`TokenError`, which says what is wrong.
    """
    header, claims = _signed(tokens.id_token, jwks)
    _check(claims.get("iss") == issuer, "iss", claims, issuer)
    audiences = claims.get("aud")
    audiences = audiences if isinstance(audiences, list) else [audiences]
    _check(audience in audiences, "aud", claims, audience)
    moment = now.timestamp()
    _check(claims.get("exp", 0) > moment, "exp", claims, f"after {moment}")
    _check(claims.get("iat", moment + 1) <= moment, "iat", claims, f"up to {moment}")
    _check(bool(claims.get("sub")), "sub", claims, "not empty")
    if nonce is not None:
        _check(claims.get("nonce") == nonce, "nonce", claims, nonce)
    wanted = _half_hash(tokens.access_token, header["alg"])
    _check(claims.get("at_hash") == wanted, "at_hash", claims, wanted)
    return tokens


def header(token: str) -> dict[str, Any]:
    """Return the header of a token, as it is written there."""
    encoded = token.partition(".")[0]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(encoded + "=="))
    return found


def _signed(token: str, jwks: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    if not token:
        raise TokenError("There is no ID token.")
    jws = JWS()
    jws.deserialize(token)
    header = jws.jose_header
    key = JWKSet.from_json(json.dumps(jwks)).get_key(header.get("kid"))
    if key is None or header["alg"] not in _HASHES:
        raise TokenError(f"No published key verifies this ID token: {header}")
    jws.verify(key, header["alg"])
    return header, json.loads(jws.payload)


def _half_hash(access_token: str, algorithm: str) -> str:
    """Return what ``at_hash`` must be (OpenID Connect Core section 3.1.3.6)."""
    digest = hashlib.new(_HASHES[algorithm], access_token.encode()).digest()
    half = digest[: len(digest) // 2]
    return base64.urlsafe_b64encode(half).rstrip(b"=").decode()


def _check(right: bool, name: str, claims: Mapping[str, Any], wanted: str) -> None:
    if not right:
        raise TokenError(
            f"The ID token's {name} is {claims.get(name)!r}; it should be {wanted!r}."
        )
