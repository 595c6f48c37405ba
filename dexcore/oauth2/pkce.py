"""Proof key for code exchange (RFC 7636)."""

from __future__ import annotations

import hashlib
import hmac
import re

from collections.abc import Container

import attrs

from ..errors import InvalidGrant, InvalidRequest
from ..jose import b64encode
from .words import quote

__all__ = ["PKCE", "check_challenge", "verify"]

# RFC 7636 sections 4.1 and 4.2: 43*128unreserved.
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]{43,128}")


@attrs.frozen
class PKCE:
    """RFC 7636: the challenge that came with the authorization request."""

    code_challenge: str = ""
    code_challenge_method: str = ""


def check_challenge(challenge: str, method: str, supported: Container[str]) -> PKCE:
    """Return the challenge of an authorization request, checked.

    Without a challenge both fields are empty (dex stores ``plain`` as the method even
    then; nobody reads it).  Without a method it is ``plain`` (RFC 7636 section 4.3).
    Raises ``InvalidRequest``.
    """
    if not challenge:
        return PKCE()
    method = method or "plain"
    if method not in supported:
        raise InvalidRequest(f"Unsupported PKCE challenge method ({quote(method)}).")
    if not _UNRESERVED.fullmatch(challenge):
        raise InvalidRequest("Invalid code_challenge.")
    return PKCE(challenge, method)


def verify(pkce: PKCE, verifier: str) -> None:
    """Check the ``code_verifier`` of a token request; raise ``InvalidGrant``.

    A verifier where there was no challenge is refused too: somebody may have removed
    the challenge on its way (RFC 9700 section 4.8.2).
    """
    if not pkce.code_challenge and not verifier:
        return
    if not pkce.code_challenge:
        raise InvalidGrant("No PKCE flow started. Cannot check code_verifier.")
    if not verifier:
        raise InvalidGrant("Expecting parameter code_verifier in PKCE flow.")
    if not _UNRESERVED.fullmatch(verifier) or not _answers(pkce, verifier):
        raise InvalidGrant("Invalid code_verifier.")


def _answers(pkce: PKCE, verifier: str) -> bool:
    if pkce.code_challenge_method == "S256":
        answer = b64encode(hashlib.sha256(verifier.encode("ascii")).digest())
    elif pkce.code_challenge_method in ("plain", ""):
        answer = verifier
    else:
        return False
    return hmac.compare_digest(
        answer.encode("ascii"), pkce.code_challenge.encode("utf-8")
    )
