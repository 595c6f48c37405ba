"""A real OpenID Connect provider for any app's tests, as a pytest fixture.

Opt in, with the storage it needs installed (``dexcore-storage-memory``)::

    pytest_plugins = ["dexcore.testing.oidc_provider"]

    def test_my_app_lets_admins_in(oidc_provider):
        oidc_provider.add_user("jane@example.com", groups=["admins"])
        tokens = oidc_provider.token(email="jane@example.com")
        assert my_app_accepts(tokens.id_token)

It is the server itself, on a loopback port, in a thread of its own; every test gets a
new one with nothing in it.  All methods are plain functions that wait, so that they can
be called from sync and async tests alike.
"""

from __future__ import annotations

import asyncio
import socket

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import attrs
import orjson
import pytest

from aiohttp import ClientSession, web
from aiohttp.typedefs import Handler

from ..config import Config, ConnectorEntry, OAuth2, Plugged
from ..errors import PluginError
from ..oauth2.ids import new_id
from ..oauth2.times import utcnow
from ..plugins import Plugins, find
from ..server.app import Server, open_server
from ..server.listen import open_runner
from ..storage import Client, NotFound
from .background import Background
from .browser import Browser, Landing
from .keys import TestOnlySigner
from .people import NAME, PASSWORD, People, TestingPlugin, User
from .tokens import TokenError, Tokens, proof_of

__all__ = ["Clock", "OIDCProvider", "Tokens", "User", "oidc_provider", "oidc_providers"]

CLIENT_ID = "app"
CLIENT_SECRET = "secret"
REDIRECT_URI = "http://127.0.0.1/callback"
EMAIL = "jane@example.com"
SCOPES = "openid email profile groups offline_access"


class Clock:
    """The provider's clock: it goes on by itself, and can be moved."""

    def __init__(self) -> None:
        self.offset = timedelta(0)

    def now(self) -> datetime:
        """Return what time the provider believes it is."""
        return utcnow() + self.offset

    def advance(self, seconds: float) -> None:
        """Move the clock by *seconds*, back if negative."""
        self.offset += timedelta(seconds=seconds)


@attrs.frozen
class _Failure:
    """What goes wrong at paths that begin with ``path``."""

    path: str = ""
    slow: float = 0.0
    status: int = 0

    def concerns(self, path: str) -> bool:
        return path.startswith(self.path)


class OIDCProvider:
    """A provider on a loopback port.  There is a client ``app`` from the start.

    ``requests`` lists what was asked of it, as ``"GET /keys"``.
    """

    def __init__(self, background: Background, settings: Mapping[str, Any]) -> None:
        self.clock = Clock()
        self.requests: list[str] = []
        self.users: dict[str, User] = {}
        self.issuer = ""
        self._background = background
        self._signer = TestOnlySigner()
        self._failures: list[_Failure] = []
        self._server: Server | None = None
        self._runner: web.AppRunner | None = None
        self._session: ClientSession | None = None
        background.call(self._open(settings))

    # — who there is -------------------------------------------------------------------

    def add_user(
        self,
        email: str = EMAIL,
        *,
        groups: Iterable[str] = (),
        password: str = PASSWORD,
        username: str = "",
        user_id: str = "",
        email_verified: bool = True,
    ) -> User:
        """Let somebody log in; somebody of that email before is replaced."""
        user = User(email, password, username, tuple(groups), user_id, email_verified)
        self.users[email.lower()] = user
        return user

    def add_client(
        self,
        client_id: str,
        *,
        secret: str = CLIENT_SECRET,
        redirect_uris: Iterable[str] = (REDIRECT_URI,),
        public: bool = False,
        trusted_peers: Iterable[str] = (),
    ) -> Client:
        """Register a client; one of that id before is replaced."""
        client = Client(
            id=client_id,
            secret="" if public else secret,
            redirect_uris=tuple(redirect_uris),
            public=public,
            trusted_peers=tuple(trusted_peers),
            name=client_id,
        )
        self._background.call(self._add_client(client))
        return client

    # — tokens -------------------------------------------------------------------------

    def token(
        self,
        *,
        email: str = EMAIL,
        scopes: str | Iterable[str] = SCOPES,
        client_id: str = CLIENT_ID,
        nonce: str = "",
    ) -> Tokens:
        """Log *email* in and return the tokens *client_id* gets.

        Somebody unknown is added first.  Raises ``BrowserError`` if the login is
        refused, ``TokenError`` if the token endpoint refuses.
        """
        asked = scopes if isinstance(scopes, str) else " ".join(scopes)
        return self._background.call(self._token(email, asked, client_id, nonce))

    def refresh(self, tokens: Tokens, *, client_id: str = CLIENT_ID) -> Tokens:
        """Return the tokens that the refresh token of *tokens* is good for."""
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
        return self._background.call(self._ask_for_tokens(form, client_id))

    def login(self, url: str, *, email: str = EMAIL, approve: bool = True) -> Landing:
        """Log *email* in at an app's authorization request *url*.

        Returns where the browser is sent back to: ``landing.url``, ``landing.params``.
        """
        return self._background.call(self._login(url, email, approve))

    @property
    def discovery(self) -> dict[str, Any]:
        """What the provider says about itself (OpenID Connect Discovery section 4)."""
        return self._background.call(
            self._get("/.well-known/openid-configuration"),
        )

    @property
    def jwks(self) -> dict[str, Any]:
        """The keys it publishes (RFC 7517 section 5)."""
        return self._background.call(self._get("/keys"))

    # — what may happen ----------------------------------------------------------------

    def rotate_keys(self, *, forget: bool = False) -> None:
        """Sign with another key; publish the old one too, unless it is forgotten."""
        self._signer.rotate(forget=forget)

    @contextmanager
    def failing(
        self,
        *,
        slow: float = 0.0,
        status: int = 0,
        path: str = "",
        expired_key: bool = False,
        wrong_aud: str | None = None,
    ) -> Iterator[None]:
        """Let things go wrong while the ``with`` lasts.

        *slow*: every answer takes so many seconds longer.  *status*: every answer is
        this error.  Both can be confined to a *path*, ``"/token"``.  *expired_key*:
        tokens are signed with a key that is no longer published.  *wrong_aud*: tokens
        are for this audience.
        """
        failure, signer = _Failure(path, slow, status), self._signer
        before = signer.withdrawn, signer.wrong_aud
        self._failures.append(failure)
        signer.withdrawn = expired_key or signer.withdrawn
        signer.wrong_aud = wrong_aud or signer.wrong_aud
        try:
            yield
        finally:
            self._failures.remove(failure)
            signer.withdrawn, signer.wrong_aud = before

    def close(self) -> None:
        """Stop serving."""
        self._background.call(self._close())

    def __enter__(self) -> OIDCProvider:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # — in the thread ------------------------------------------------------------------

    async def _open(self, settings: Mapping[str, Any]) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.issuer = f"http://127.0.0.1:{listening.getsockname()[1]}"
        plugin = TestingPlugin(self._signer, People(self.users))
        config = attrs.evolve(_config(self.issuer), **settings)
        try:
            self._server = await _opened(config, find(plugin), self.clock.now)
        except BaseException:
            listening.close()
            raise
        self._server.web.middlewares.insert(0, self._going_wrong())
        self._runner = await open_runner(self._server.web)
        await web.SockSite(self._runner, listening).start()
        await self._server.start()
        await self._add_client(
            Client(CLIENT_ID, CLIENT_SECRET, (REDIRECT_URI,), name=CLIENT_ID)
        )

    def _going_wrong(self) -> Callable[..., Any]:
        @web.middleware
        async def middleware(
            request: web.Request, handler: Handler
        ) -> web.StreamResponse:
            self.requests.append(f"{request.method} {request.path}")
            for failure in [f for f in self._failures if f.concerns(request.path)]:
                await asyncio.sleep(failure.slow)
                if failure.status:
                    return web.Response(status=failure.status)
            return await handler(request)

        return middleware

    async def _close(self) -> None:
        if self._session:
            await self._session.close()
        if self._runner:
            await self._runner.cleanup()
        if self._server:
            await self._server.close()

    @property
    def _clients(self) -> Any:
        assert self._server is not None
        return self._server.parts.storage.clients

    async def _add_client(self, client: Client) -> None:
        await self._clients.update_or_create(
            client.id, change=lambda _: client, first=client
        )

    def _user(self, email: str) -> User:
        return self.users.get(email.lower()) or self.add_user(email)

    async def _login(self, url: str, email: str, approve: bool) -> Landing:
        user = self._user(email)
        async with Browser() as browser:
            return await browser.log_in(url, user.email, user.password, approve=approve)

    async def _token(
        self, email: str, scopes: str, client_id: str, nonce: str
    ) -> Tokens:
        client = await self._client(client_id)
        query = {
            "client_id": client_id,
            "redirect_uri": client.redirect_uris[0],
            "response_type": "code",
            "scope": scopes,
            "state": new_id(),
        }
        if nonce:
            query["nonce"] = nonce
        landing = await self._login(
            f"{self.issuer}/auth?{urlencode(query)}", email, approve=True
        )
        if "code" not in landing.params:
            raise TokenError(f"The login ended without a code: {landing.params}")
        return await self._ask_for_tokens(
            {
                "grant_type": "authorization_code",
                "code": landing.params["code"],
                "redirect_uri": client.redirect_uris[0],
            },
            client_id,
        )

    async def _client(self, client_id: str) -> Client:
        try:
            client: Client = await self._clients.get(client_id)
        except NotFound:
            raise LookupError(f"No client is called {client_id!r}: add it.") from None
        return client

    async def _ask_for_tokens(self, form: dict[str, str], client_id: str) -> Tokens:
        client = await self._client(client_id)
        headers, proof = proof_of(client)
        async with self._opened_session().post(
            f"{self.issuer}/token", data={**form, **proof}, headers=headers
        ) as response:
            body = await response.read()
        return Tokens.of(response.status, body)

    async def _get(self, path: str) -> dict[str, Any]:
        async with self._opened_session().get(self.issuer + path) as response:
            response.raise_for_status()
            found: dict[str, Any] = orjson.loads(await response.read())
            return found

    def _opened_session(self) -> ClientSession:
        if self._session is None:
            self._session = ClientSession()
        return self._session


class OIDCProviders:
    """Opens providers, all in one thread."""

    def __init__(self) -> None:
        self._background = Background("dexcore.testing.oidc_provider")

    def open(self, **settings: Any) -> OIDCProvider:
        """Open a provider; *settings* replace sections of its ``Config``."""
        return OIDCProvider(self._background, settings)

    def close(self) -> None:
        """End the thread."""
        self._background.close()


def _config(issuer: str) -> Config:
    return Config(
        issuer=issuer,
        storage=Plugged("memory"),
        signer=Plugged(NAME),
        connectors=(ConnectorEntry(NAME, "people", "People"),),
        oauth2=OAuth2(skip_approval_screen=True),
    )


async def _opened(
    config: Config, plugins: Plugins, now: Callable[[], datetime]
) -> Server:
    try:
        return await open_server(config, plugins, now=now, environ={})
    except PluginError as error:
        if config.storage.type != "memory":
            raise
        raise PluginError(
            f"{error} (The fixture oidc_provider needs dexcore-storage-memory.)"
        ) from error


@pytest.fixture(scope="session")
def oidc_providers() -> Iterator[OIDCProviders]:
    """Providers to open yourself: several, with settings, or for a whole session."""
    providers = OIDCProviders()
    yield providers
    providers.close()


@pytest.fixture
def oidc_provider(oidc_providers: OIDCProviders) -> Iterator[OIDCProvider]:
    """A provider with nothing in it but the client ``app``, for one test."""
    with oidc_providers.open() as provider:
        yield provider
