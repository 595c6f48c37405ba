"""A whole login through a connector: from an app to its verified ID token.

::

    CONNECTOR = {"type": "toy", "config": {"redirectURI": "$ISSUER/callback"}}

    def test_jane_gets_in():
        with Journey(CONNECTOR) as journey:
            tokens = journey.log_in("jane", "secret")
            assert tokens.claims["email"] == "jane@example.com"
            assert journey.refresh(tokens).claims["groups"] == ["staff"]
            assert journey.userinfo(tokens)["name"] == "Jane"

It is the whole server, in memory, on a loopback port, with an app that is registered as
client ``app``, and a browser that does what pages ask.  Every ID token is verified as a
client must, with the keys the server publishes.  ``$ISSUER`` in the configuration of a
connector is the issuer.

In another browser, open ``journey.authorization_url()``; once it is back at
``journey.redirect_uri``, give its address to ``journey.landed()``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs

from aiohttp import web

from ..config import Config, loads
from .background import Background
from .browser import Browser
from .keys import TestOnlySigner
from .people import NAME, People, TestingPlugin
from .serving import CLIENT_ID, Served
from .tokens import TokenError, Tokens
from .upstreams import Seen, Upstream
from .verification import verified

__all__ = ["SCOPES", "Journey"]

SCOPES = "openid email profile groups offline_access"


@attrs.frozen
class _Asked:
    """What the app remembers of a login it has begun."""

    nonce: str
    verifier: str


class Journey(Served):
    """A server with these *connectors*, as the configuration file describes them.

    ``id`` and ``name`` may be left out: they are the type.  *settings* replace other
    sections of the file, *environ* is what it may name; *plugins* are hook
    implementations beside those that are installed; *ca* is the authority its browser
    trusts, of a double with a certificate.
    """

    def __init__(
        self,
        *connectors: Mapping[str, Any],
        plugins: Iterable[object] = (),
        settings: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        ca: str = "",
    ) -> None:
        self.ca = ca
        self.app = Upstream({"/callback": _arrived})
        self.redirect_uri = f"{self.app.url}/callback"
        self._asked: dict[str, _Asked] = {}
        background = Background("dexcore.testing.journey")
        self.app.start()

        def configure(issuer: str) -> Config:
            known = {"ISSUER": issuer, **(environ or {})}
            document = {**_document(issuer, connectors), **(settings or {})}
            return loads(json.dumps(document), environ=known)

        try:
            super().__init__(
                background,
                configure,
                [TestingPlugin(TestOnlySigner(), People({})), *plugins],
                redirect_uri=self.redirect_uri,
                base="/dex",
                environ=environ,
            )
        except BaseException:
            background.close()
            self.app.close()
            raise

    # — the whole way ------------------------------------------------------------------

    def log_in(
        self,
        username: str = "",
        password: str = "",
        *,
        connector: str | None = None,
        scopes: str = SCOPES,
        approve: bool = True,
    ) -> Tokens:
        """Log somebody in, here or upstream, and return the tokens of the app.

        *connector* is a name or an id, to choose where there is a choice.  Raises
        ``BrowserError``, whose ``page`` is where it ended, or ``TokenError``.
        """
        url = self.authorization_url(scopes=scopes)

        async def walk() -> str:
            async with Browser(stop_at=self.redirect_uri, ca=self.ca) as browser:
                landing = await browser.log_in(
                    url, username, password, connector, approve=approve
                )
                return landing.url

        return self.landed(self._background.call(walk()))

    def authorization_url(self, *, scopes: str = SCOPES, **more: str) -> str:
        """Return where the app sends a browser; *more* are further parameters."""
        state = secrets.token_urlsafe(8)
        asked = _Asked(secrets.token_urlsafe(8), secrets.token_urlsafe(32))
        self._asked[state] = asked
        digest = hashlib.sha256(asked.verifier.encode()).digest()
        query = {
            "client_id": CLIENT_ID,
            "redirect_uri": self.redirect_uri,
            "response_type": "code",
            "scope": scopes,
            "state": state,
            "nonce": asked.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            **more,
        }
        return f"{self.issuer}/auth?{urlencode(query)}"

    def landed(self, url: str) -> Tokens:
        """Return the tokens for the code in *url*, where the browser came back to."""
        found = dict(parse_qsl(urlsplit(url).query))
        asked = self._asked.pop(found.get("state", ""), None)
        if asked is None:
            raise TokenError(f"The app has asked for no such login: {url}")
        if "code" not in found:
            raise TokenError(f"The login ended without a code: {found}")
        form = {
            "grant_type": "authorization_code",
            "code": found["code"],
            "redirect_uri": self.redirect_uri,
            "code_verifier": asked.verifier,
        }
        tokens = self._background.call(self._ask_for_tokens(form, CLIENT_ID))
        return self._verified(tokens, asked.nonce)

    def refresh(self, tokens: Tokens, *, client_id: str = CLIENT_ID) -> Tokens:
        """Return what the refresh token is good for: of the same user, verified."""
        fresh = self._verified(super().refresh(tokens, client_id=client_id), None)
        # OpenID Connect Core section 12.2.
        for name in ("iss", "sub", "aud"):
            assert fresh.claims[name] == tokens.claims[name], f"{name} has changed"
        return fresh

    def userinfo(self, tokens: Tokens) -> dict[str, Any]:
        """Return what ``/userinfo`` says: of the same user."""
        bearer = {"Authorization": f"Bearer {tokens.access_token}"}
        found = self._background.call(self._get("/userinfo", bearer))
        assert found["sub"] == tokens.claims["sub"], found  # Core section 5.3.2
        return found

    @property
    def states(self) -> Mapping[str, str]:
        """Why each connector could not be opened, by its id; "" if it is open."""
        return self.server.parts.connectors.states()

    def close(self) -> None:
        """Stop serving."""
        super().close()
        self._background.close()
        self.app.close()

    def _verified(self, tokens: Tokens, nonce: str | None) -> Tokens:
        return verified(
            tokens,
            issuer=self.issuer,
            jwks=self.jwks,
            audience=CLIENT_ID,
            now=self.clock.now(),
            nonce=nonce,
        )


def _document(issuer: str, connectors: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "storage": {"type": "memory"},
        "web": {"http": urlsplit(issuer).netloc},
        "signer": {"type": NAME},
        "oauth2": {"skipApprovalScreen": True},
        "connectors": [
            {"id": each["type"], "name": each["type"], **each} for each in connectors
        ],
    }


def _arrived(seen: Seen) -> web.Response:
    page = (
        '<!doctype html><link rel="icon" href="data:,"><title>Back at the app</title>'
        "<h1>Back at the app</h1>"
    )
    return web.Response(text=page, content_type="text/html")
