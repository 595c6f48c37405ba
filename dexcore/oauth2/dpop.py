"""DPoP: a client proves with each request that it holds a key (RFC 9449)."""

from __future__ import annotations

import hashlib
import hmac
import math
import re

from typing import Any
from urllib.parse import urlsplit

import attrs

from ..errors import InvalidDPoPProof, InvalidRequest
from ..jose import ALGORITHMS, b64encode, verify_by_own_key

__all__ = [
    "HEADER",
    "NONCE_HEADER",
    "SCHEME",
    "SIGNING_ALGORITHMS",
    "Proof",
    "check_thumbprint",
    "parse",
]

HEADER = SCHEME = "DPoP"
NONCE_HEADER = "DPoP-Nonce"
SIGNING_ALGORITHMS = tuple(ALGORITHMS)

_TYPE = "dpop+jwt"
_LONGEST_ID = 512  # characters
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
_PORTS = {"http": 80, "https": 443}


@attrs.frozen
class Proof:
    """What a proof says (section 4.2), its signature checked and nothing else.

    ``jkt`` is the thumbprint of the key it was made with; ``iat`` in seconds; ``ath``
    and ``nonce`` are empty if it has none.
    """

    jkt: str
    jti: str
    htm: str
    htu: str
    iat: float
    ath: str = ""
    nonce: str = ""

    def check_request(self, method: str, url: str) -> None:
        """Raise ``InvalidDPoPProof`` unless it was made for this request."""
        if self.htm != method:
            raise InvalidDPoPProof("The proof is for another method.")
        if _address(self.htu) != _address(url):
            raise InvalidDPoPProof("The proof is for another address.")

    def check_token(self, access_token: str) -> None:
        """Raise ``InvalidDPoPProof`` unless it goes with *access_token*."""
        expected = b64encode(hashlib.sha256(access_token.encode()).digest())
        if not hmac.compare_digest(self.ath.encode(), expected.encode()):
            raise InvalidDPoPProof("The proof is for another access token.")


def parse(text: str) -> Proof:
    """Return the proof in a ``DPoP`` header; raise ``InvalidDPoPProof``."""
    try:
        claims, jkt = verify_by_own_key(text, _TYPE)
    except ValueError:
        raise InvalidDPoPProof("The DPoP header is not a proof.") from None
    iat: Any = claims.get("iat")
    if type(iat) not in (int, float) or not 0 <= iat < math.inf:
        raise InvalidDPoPProof("iat is not a time.")
    jti = _text(claims, "jti")
    if len(jti) > _LONGEST_ID:
        raise InvalidDPoPProof("The jti is too long.")
    return Proof(
        jkt,
        jti,
        _text(claims, "htm"),
        _text(claims, "htu"),
        iat,
        _text(claims, "ath", required=False),
        _text(claims, "nonce", required=False),
    )


def check_thumbprint(text: str) -> str:
    """Return the parameter ``dpop_jkt`` (section 10); raise ``InvalidRequest``."""
    if text and not _THUMBPRINT.fullmatch(text):
        raise InvalidRequest("dpop_jkt is not the SHA-256 thumbprint of a key.")
    return text


def _text(claims: dict[str, Any], name: str, *, required: bool = True) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str) or (required and not value):
        raise InvalidDPoPProof(f"The proof has no {name}.")
    return value


def _address(url: str) -> tuple[str, str, int | None, str]:
    """Return what counts of *url*: neither query nor fragment (section 4.3)."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        raise InvalidDPoPProof("htu is not an address.") from None
    return parts.scheme, (parts.hostname or "").rstrip("."), port, parts.path or "/"
