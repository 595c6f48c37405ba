"""How we prove at the token endpoint who we are (OpenID Connect Core section 9)."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote_plus

import attrs
import orjson

from dexcore.jose import SigningKey, jwk_of_pem, thumbprint
from dexcore.options import InvalidOption

from .config import Config
from .provider import Provider

__all__ = ["BASIC", "FORM", "JWT", "NONE", "ClientAuthentication", "Proof"]

BASIC, FORM = "client_secret_basic", "client_secret_post"
JWT, NONE = "private_key_jwt", "none"

_ASSERTION_SECONDS = 60
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@attrs.frozen
class Proof:
    """What goes with a request to prove who we are."""

    headers: dict[str, str] = attrs.field(repr=False)
    form: dict[str, str] = attrs.field(repr=False)


@attrs.frozen(eq=False)
class ClientAuthentication:
    """Knows our secret or our key."""

    config: Config
    key: SigningKey | None = None
    now: Callable[[], float] = time.time

    @classmethod
    async def open(cls, config: Config) -> ClientAuthentication:
        """Load the key, if there is one; raise ``InvalidOption``."""
        if not config.client_assertion_key:
            return cls(config)
        try:
            return cls(
                config, await asyncio.to_thread(_load_key, config.client_assertion_key)
            )
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidOption(
                f"clientAssertionKey cannot be used: {error}",
                key="clientAssertionKey",
                remedy="Name a file with an unencrypted private key, in PEM or a JWK.",
            ) from None

    def methods(self, provider: Provider) -> tuple[str, ...]:
        """Return the methods to try, in this order.

        A provider may advertise what it does not take from this client, so with a
        secret there are two, as long as nobody says otherwise.
        """
        if self.key is not None:
            return (JWT,)
        if not self.config.client_secret:
            return (NONE,)
        if self.config.secret_in_form:
            return (FORM,)
        # Discovery section 3: a provider that does not say takes the header.
        advertised = provider.auth_methods or (BASIC, FORM)
        return tuple(each for each in (BASIC, FORM) if each in advertised) or (
            BASIC,
            FORM,
        )

    def prove(self, method: str, provider: Provider) -> Proof:
        """Return the proof by *method* for the provider's token endpoint."""
        client_id = self.config.client_id
        if method == BASIC:
            # RFC 6749 section 2.3.1: both are form-encoded before.
            pair = f"{quote_plus(client_id)}:{quote_plus(self.config.client_secret)}"
            basic = base64.b64encode(pair.encode()).decode()
            return Proof({"Authorization": f"Basic {basic}"}, {})
        form = {"client_id": client_id}
        if method == FORM:
            form["client_secret"] = self.config.client_secret
        elif method == JWT:
            form["client_assertion_type"] = _ASSERTION_TYPE
            form["client_assertion"] = self._assertion(provider)
        return Proof({}, form)

    def _assertion(self, provider: Provider) -> str:
        """Return what RFC 7523 section 3 asks for."""
        assert self.key is not None  # noqa: S101 - there is no such method without one
        now = int(self.now())
        claims = {
            "iss": self.config.client_id,
            "sub": self.config.client_id,
            "aud": provider.endpoint("token_endpoint"),
            "jti": secrets.token_urlsafe(24),
            "iat": now,
            "exp": now + _ASSERTION_SECONDS,
        }
        return self.key.sign(orjson.dumps(claims))


def _load_key(written: str) -> SigningKey:
    try:
        text = Path(written).read_bytes()
    except (OSError, ValueError):  # it is no path, but the key
        text = written.encode()
    jwk = orjson.loads(text) if text.lstrip()[:1] == b"{" else jwk_of_pem(text)
    return SigningKey.load({**jwk, "kid": jwk.get("kid") or thumbprint(jwk)})
