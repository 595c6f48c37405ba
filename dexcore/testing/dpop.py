"""A key that a client holds, and its proofs (RFC 9449).

::

    key = ProofKey()
    proof = key.proof("POST", f"{issuer}/token", iat=clock.now().timestamp())
    headers = {"DPoP": proof}
"""

from __future__ import annotations

import hashlib
import secrets

from typing import Any

import orjson

from ..jose import b64encode, generate, thumbprint
from ..jose.keys import private_key_of, signer

__all__ = ["ProofKey"]

_PUBLIC = ("kty", "crv", "x", "y", "n", "e")


class ProofKey:
    """A new key for *algorithm*; ``jkt`` is its thumbprint."""

    def __init__(self, algorithm: str = "ES256") -> None:
        jwk = generate(algorithm)
        self.algorithm = algorithm
        self.public = {name: jwk[name] for name in _PUBLIC if name in jwk}
        self.jkt = thumbprint(self.public)
        self._sign = signer(algorithm, private_key_of(jwk))

    def proof(
        self, method: str, url: str, *, access_token: str = "", **claims: Any
    ) -> str:
        """Return a proof for one request; *claims* replace what it says.

        *access_token* is the one that goes with the request; ``iat`` must be given, in
        seconds.
        """
        header = {"typ": "dpop+jwt", "alg": self.algorithm, "jwk": self.public}
        said: dict[str, Any] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": url,
        }
        if access_token:
            digest = hashlib.sha256(access_token.encode()).digest()
            said["ath"] = b64encode(digest)
        parts = (header, said | claims)
        signed = ".".join(b64encode(orjson.dumps(part)) for part in parts)
        return f"{signed}.{b64encode(self._sign(signed.encode()))}"
