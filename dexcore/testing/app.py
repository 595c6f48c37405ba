"""What an application and its user do with one of several replicas.

The replicas share an issuer, and a load balancer would choose between them; ``App``
speaks to the one at *origin*.
"""

from __future__ import annotations

import json

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import attrs

__all__ = ["REDIRECT_URI", "Answer", "App", "static_client"]

REDIRECT_URI = "http://127.0.0.1:1/callback"


def static_client() -> dict[str, Any]:
    """Return the client to put into the configuration's ``staticClients``."""
    uris = [REDIRECT_URI]
    return {"id": "app", "name": "App", "secret": "secret", "redirectURIs": uris}


@attrs.frozen
class Answer:
    """A response, read."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body, as JSON."""
        return json.loads(self.text)


class App:
    """The client ``app``, at the replica that listens at *origin*."""

    def __init__(self, issuer: str, origin: str) -> None:
        self.issuer = issuer
        self.origin = origin

    async def send(
        self, http: aiohttp.ClientSession, method: str, path: str, **options: Any
    ) -> Answer:
        """Send a request to a path, or to an address of the issuer's."""
        url = path if "://" in path else self.origin + path
        # Addresses are the issuer's; behind it any replica may answer.
        url = url.replace(self.issuer.removesuffix("/dex"), self.origin, 1)
        async with http.request(
            method, url, allow_redirects=False, **options
        ) as answer:
            text = await answer.text()
            return Answer(answer.status, answer.headers, text)

    # — logging in ---------------------------------------------------------------------

    async def begin(self, http: aiohttp.ClientSession, path: str = "/dex/auth") -> str:
        """Begin a login; return the address of the form."""
        query = {
            "client_id": "app",
            "redirect_uri": REDIRECT_URI,
            "response_type": "code",
            "scope": "openid email offline_access",
            "state": "a state",
        }
        answer = await self.send(http, "GET", f"{path}?{urlencode(query)}")
        assert answer.status == 302, answer.text
        return answer.headers["Location"]

    async def finish(
        self,
        http: aiohttp.ClientSession,
        form: str,
        user: str,
        password: str = "password",
    ) -> str:
        """Fill in the form; return the code."""
        answer = await self.enter(http, form, user, password)
        assert answer.status == 303, (answer.status, answer.text)
        return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))["code"]

    async def enter(
        self, http: aiohttp.ClientSession, form: str, user: str, password: str
    ) -> Answer:
        """Fill in the form; return what the browser is answered."""
        typed = {"login": user, "password": password}
        return await self.send(http, "POST", form, data=typed)

    async def code(self, user: str, path: str = "/dex/auth") -> str:
        """Log in with a new browser; return the code."""
        async with aiohttp.ClientSession(cookie_jar=jar()) as http:
            return await self.finish(http, await self.begin(http, path), user)

    # — what clients do ----------------------------------------------------------------

    async def client(
        self, http: aiohttp.ClientSession, path: str, **form: str
    ) -> Answer:
        """Post *form* as the client."""
        auth = {"Authorization": aiohttp.encode_basic_auth("app", "secret")}
        return await self.send(http, "POST", f"/dex{path}", data=form, headers=auth)

    async def exchange(self, http: aiohttp.ClientSession, code: str) -> Answer:
        """Trade a code."""
        return await self.client(
            http,
            "/token",
            grant_type="authorization_code",
            code=code,
            redirect_uri=REDIRECT_URI,
        )

    async def refresh(self, http: aiohttp.ClientSession, token: str) -> Answer:
        """Trade a refresh token."""
        return await self.client(
            http, "/token", grant_type="refresh_token", refresh_token=token
        )

    async def tokens(self, http: aiohttp.ClientSession, user: str) -> Any:
        """Log in and trade the code; return the token response."""
        answer = await self.exchange(http, await self.code(user))
        assert answer.status == 200, answer.text
        return answer.json

    async def revoke(self, http: aiohttp.ClientSession, token: str) -> Answer:
        """Revoke a token."""
        return await self.client(http, "/token/revoke", token=token)

    async def userinfo(self, http: aiohttp.ClientSession, token: str) -> Answer:
        """Ask who an access token is of."""
        headers = {"Authorization": f"Bearer {token}"}
        return await self.send(http, "GET", "/dex/userinfo", headers=headers)

    async def keys(self, http: aiohttp.ClientSession) -> Any:
        """Return the key set."""
        return (await self.send(http, "GET", "/dex/keys")).json

    async def sign_up(self, http: aiohttp.ClientSession, email: str) -> Answer:
        """Sign up, with the password ``password``."""
        name = email.partition("@")[0]
        sent = {"email": email, "username": name, "password": "password"}
        return await self.send(http, "POST", "/dex/signup", json=sent)


def jar() -> aiohttp.CookieJar:
    """Return the cookies of a browser on the loopback."""
    return aiohttp.CookieJar(unsafe=True, quote_cookie=False)
