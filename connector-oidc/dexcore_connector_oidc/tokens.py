"""What an ID token must say before anybody is logged in by it.

Its signature has been checked before.  OpenID Connect Core section 3.1.3.7.
"""

from __future__ import annotations

import hmac

from collections.abc import Collection, Mapping
from typing import Any

from dexcore.jose import Verified, left_half_hash

__all__ = [
    "WrongToken",
    "check_access_token_hash",
    "check_age",
    "check_audience",
    "check_issuer",
    "check_nonce",
    "check_one_of",
    "check_subject",
    "check_times",
    "check_type",
]

#: Seconds a token is taken for longer than it says: clocks differ.
LEEWAY = 60

#: Seconds the provider's clock may be ahead of ours.
AHEAD = 300

# Google's tokens may leave the scheme out; it promises that both are Google.
_SHORT_ISSUERS = {"https://accounts.google.com": "accounts.google.com"}


class WrongToken(Exception):
    """The token is not for us, not for this login, or not any more."""


def check_type(verified: Verified, other: str = "") -> None:
    """The token is an ID token, or of the *other* type; raise ``WrongToken``.

    Providers call ID tokens what they like, but what they sign for another purpose has
    a media type of its own (RFC 8725 section 3.11), or events (Back-Channel Logout
    section 2.4).
    """
    typ = verified.typ
    if (typ.endswith("+jwt") and typ != other) or "events" in verified.claims:
        raise WrongToken(f"it is a token for something else ({typ})")


def check_issuer(claims: Mapping[str, Any], issuer: str) -> None:
    """The token is from *issuer*; raise ``WrongToken``."""
    said = claims.get("iss")
    if said != issuer and (said is None or said != _SHORT_ISSUERS.get(issuer)):
        raise WrongToken(f"it is from {said!r} and not from {issuer!r}")


def check_subject(claims: Mapping[str, Any]) -> None:
    """The token is about somebody; raise ``WrongToken``."""
    said = claims.get("sub")
    if not isinstance(said, str) or not said:
        raise WrongToken("it is about nobody (sub)")


def check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    """The token is for us, and was given to us; raise ``WrongToken``."""
    audience = audience_of(claims)
    if not client_id or client_id not in audience:
        raise WrongToken(f"it is for {audience} and not for us, {client_id!r}")
    party = claims.get("azp")
    if party is None and len(audience) > 1:
        raise WrongToken(f"it is for {audience} and does not say to whom it was given")
    if party is not None and party != client_id:
        raise WrongToken(f"it was given to {party!r} and not to us, {client_id!r}")


def check_one_of(claims: Mapping[str, Any], audiences: Collection[str]) -> None:
    """The token is for one of *audiences*; raise ``WrongToken``."""
    audience = audience_of(claims)
    if not any(each in audiences for each in audience):
        raise WrongToken(f"it is for {audience} and not for one of {[*audiences]}")


def check_times(claims: Mapping[str, Any], now: float) -> None:
    """The token is valid at *now*, in seconds since 1970; raise ``WrongToken``."""
    if "exp" not in claims or "iat" not in claims:
        raise WrongToken("it does not say when it was issued and when it expires")
    if claims["exp"] <= now - LEEWAY:
        raise WrongToken(f"it expired {now - claims['exp']:.0f} seconds ago")
    for name in ("iat", "nbf"):
        if claims.get(name, 0) > now + AHEAD:
            ahead = claims[name] - now
            raise WrongToken(f"its {name} is {ahead:.0f} seconds in the future")


def check_nonce(claims: Mapping[str, Any], nonce: str) -> None:
    """The token is of the login that *nonce* was made for; raise ``WrongToken``."""
    if not nonce:
        return
    said = claims.get("nonce")
    if said is None:
        raise WrongToken(
            "it has no nonce, though we sent one; if the provider knows no better, "
            "there is insecureSkipNonce"
        )
    if not isinstance(said, str) or not _same(said, nonce):
        raise WrongToken("its nonce is of another login")


def check_age(claims: Mapping[str, Any], max_age: int, now: float) -> None:
    """The end user proved who they are at most *max_age* seconds ago, if it says when.

    -1: whenever.  Raises ``WrongToken``.
    """
    said = claims.get("auth_time")
    if max_age < 0 or isinstance(said, bool) or not isinstance(said, int | float):
        return
    if said < now - max_age - LEEWAY:
        raise WrongToken(
            f"its end user logged in {now - said:.0f} seconds ago, and not at most "
            f"{max_age} (auth_time)"
        )


def check_access_token_hash(verified: Verified, access_token: str) -> None:
    """The token came with *access_token*, if it says so; raise ``WrongToken``.

    Section 3.1.3.8.
    """
    said = verified.claims.get("at_hash")
    if said is None:
        return
    try:
        right = left_half_hash(verified.algorithm, access_token)
    except UnicodeEncodeError:
        right = ""
    if not isinstance(said, str) or not _same(said, right):
        raise WrongToken("it came with another access token (at_hash)")


def audience_of(claims: Mapping[str, Any]) -> list[str]:
    """Return ``aud`` as a list (RFC 7519 section 4.1.3)."""
    said = claims.get("aud")
    listed = said if isinstance(said, list) else [said]
    return [each for each in listed if isinstance(each, str)]


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(
        one.encode("utf-8", "surrogatepass"), other.encode("utf-8")
    )
