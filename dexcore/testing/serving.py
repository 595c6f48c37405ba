"""The whole server on a loopback port, in a thread of its own, for tests."""

from __future__ import annotations

import asyncio
import socket

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Self

import attrs
import orjson

from aiohttp import ClientSession, web
from aiohttp.test_utils import make_mocked_request
from aiohttp.typedefs import Handler

from ..config import Config
from ..errors import PluginError
from ..oauth2.times import utcnow
from ..plugins import find
from ..server.app import Server, open_server
from ..server.listen import open_runner
from ..storage import Client, NotFound
from .background import Background
from .tokens import Tokens, proof_of

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "Clock", "Served"]

#: The client that is registered from the start.
CLIENT_ID = "app"
CLIENT_SECRET = "secret"


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
class Failure:
    """What goes wrong at paths that begin with ``path``."""

    path: str = ""
    slow: float = 0.0
    status: int = 0

    def concerns(self, path: str) -> bool:
        """Return whether it is about a request for *path*."""
        return path.startswith(self.path)


class Served:
    """A provider on a loopback port.

    *configure* is given the issuer, whose path is *base*, and returns what to serve;
    *plugins* are hook implementations beside those installed.  ``requests`` lists what
    was asked of it, as ``"GET /keys"``; ``failures`` what goes wrong.

    All methods are plain functions that wait, for tests with and without an event loop.
    A test must not let it call anything that runs in the test's own event loop, which
    stands still meanwhile.
    """

    def __init__(
        self,
        background: Background,
        configure: Callable[[str], Config],
        plugins: Iterable[object],
        *,
        redirect_uri: str,
        base: str = "",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.clock = Clock()
        self.requests: list[str] = []
        self.failures: list[Failure] = []
        self.issuer = ""
        self._background = background
        self._server: Server | None = None
        self._runner: web.AppRunner | None = None
        self._session: ClientSession | None = None
        background.call(self._open(configure, plugins, base, environ or {}))
        self.add_client(CLIENT_ID, redirect_uris=(redirect_uri,))

    @property
    def server(self) -> Server:
        """The server itself; its parts live in another thread."""
        assert self._server is not None
        return self._server

    def add_client(
        self,
        client_id: str,
        *,
        secret: str = CLIENT_SECRET,
        redirect_uris: Iterable[str],
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

    def refresh(self, tokens: Tokens, *, client_id: str = CLIENT_ID) -> Tokens:
        """Return the tokens that the refresh token of *tokens* is good for."""
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
        return self._background.call(self._ask_for_tokens(form, client_id))

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

    @property
    def readiness(self) -> dict[str, Any]:
        """What ``/healthz/ready`` says, for whoever is on call."""
        asked = make_mocked_request("GET", "/healthz/ready")
        answer = self._background.call(self.server.health.readiness(asked))
        assert isinstance(answer.body, bytes)
        found: dict[str, Any] = orjson.loads(answer.body)
        return found

    def close(self) -> None:
        """Stop serving."""
        self._background.call(self._close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # — in the thread ------------------------------------------------------------------

    async def _open(
        self,
        configure: Callable[[str], Config],
        plugins: Iterable[object],
        base: str,
        environ: Mapping[str, str],
    ) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.issuer = f"http://127.0.0.1:{listening.getsockname()[1]}{base}"
        environ = {"ISSUER": self.issuer, **environ}
        try:
            config = configure(self.issuer)
            self._server = await _opened(config, plugins, self.clock.now, environ)
        except BaseException:
            listening.close()
            raise
        self._server.web.middlewares.insert(0, self._going_wrong())
        self._runner = await open_runner(self._server.web)
        await web.SockSite(self._runner, listening).start()
        await self._server.start()

    def _going_wrong(self) -> Callable[..., Any]:
        @web.middleware
        async def middleware(
            request: web.Request, handler: Handler
        ) -> web.StreamResponse:
            self.requests.append(f"{request.method} {request.path}")
            for failure in [f for f in self.failures if f.concerns(request.path)]:
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

    async def _add_client(self, client: Client) -> None:
        await self.server.parts.storage.clients.update_or_create(
            client.id, change=lambda _: client, first=client
        )

    async def _client(self, client_id: str) -> Client:
        try:
            return await self.server.parts.storage.clients.get(client_id)
        except NotFound:
            raise LookupError(f"No client is called {client_id!r}: add it.") from None

    async def _ask_for_tokens(self, form: dict[str, str], client_id: str) -> Tokens:
        client = await self._client(client_id)
        headers, proof = proof_of(client)
        async with self._opened_session().post(
            f"{self.issuer}/token", data={**form, **proof}, headers=headers
        ) as response:
            body = await response.read()
        return Tokens.of(response.status, body)

    async def _get(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        url = self.issuer + path
        async with self._opened_session().get(url, headers=headers) as response:
            response.raise_for_status()
            found: dict[str, Any] = orjson.loads(await response.read())
            return found

    def _opened_session(self) -> ClientSession:
        if self._session is None:
            self._session = ClientSession()
        return self._session


async def _opened(
    config: Config,
    plugins: Iterable[object],
    now: Callable[[], datetime],
    environ: Mapping[str, str],
) -> Server:
    try:
        return await open_server(config, find(*plugins), now=now, environ=environ)
    except PluginError as error:
        if config.storage.type != "memory":
            raise
        raise PluginError(
            f"{error} (Served from memory, it needs dexcore-storage-memory.)"
        ) from error
