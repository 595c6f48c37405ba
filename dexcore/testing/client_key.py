"""What a client signs with, in tests: assertions, and whatever else it has to sign."""

from __future__ import annotations

import secrets
import time

from typing import Any

import attrs
import orjson

from ..jose import b64encode, generate, public
from ..jose.keys import private_key_of, signer

__all__ = ["ASSERTION_TYPE", "ClientKey"]

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@attrs.frozen(eq=False)
class ClientKey:
    """A key of a client; ``jwk`` is its private JWK."""

    algorithm: str = "ES256"
    jwk: dict[str, Any] = attrs.field(
        default=attrs.Factory(lambda self: generate(self.algorithm), takes_self=True),
        repr=False,
    )

    @property
    def jwks(self) -> dict[str, Any]:
        """The JWK set that verifies what it signs."""
        return {"keys": [public({**self.jwk, "alg": self.algorithm, "use": "sig"})]}

    def sign(self, claims: Any, **header: Any) -> str:
        """Return *claims* as a compact JWS; a *header* of ``None`` is left out."""
        first = {"alg": self.algorithm, "kid": self.jwk["kid"], **header}
        sent = {name: value for name, value in first.items() if value is not None}
        signed = f"{_part(sent)}.{_part(claims)}"
        sign = signer(self.algorithm, private_key_of(self.jwk))
        return f"{signed}.{b64encode(sign(signed.encode()))}"

    def assertion(
        self, client_id: str, audience: Any, *, now: float = 0, **changes: Any
    ) -> str:
        """Return a client assertion (RFC 7523 section 3) with some *changes*.

        *now* is the time in seconds, if it is not the system's; what changes to
        ``None`` is left out.
        """
        issued = int(now or time.time())
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "iat": issued,
            "exp": issued + 60,
            "jti": secrets.token_urlsafe(16),
            **changes,
        }
        return self.sign({k: v for k, v in claims.items() if v is not None})

    def proof(self, client_id: str, audience: str, **changes: Any) -> dict[str, str]:
        """Return the form fields that prove the client (RFC 7523 section 2.2)."""
        return {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion(client_id, audience, **changes),
        }


def _part(value: Any) -> str:
    return b64encode(value if isinstance(value, bytes) else orjson.dumps(value))
