"""The server behind every double."""

from __future__ import annotations

import asyncio
import importlib
import json
import socket
import ssl

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self
from urllib.parse import parse_qsl

import attrs

from aiohttp import web
from multidict import CIMultiDictProxy, MultiDict, MultiDictProxy

from ...oauth2.redirect_uris import add_parameters
from ..background import Background
from . import trouble as troubles
from .trouble import Answering, Handler, Trouble

__all__ = ["Seen", "Upstream", "agree"]

_BODY_LIMIT = 16 << 20  # bytes

_TURNS = 5  # of the loop: more than a connection takes from its socket to its handler


@attrs.frozen
class Seen:
    """A request the double has received.

    ``form`` has the fields of a body that is a form.
    """

    method: str
    path: str
    query: MultiDictProxy[str]
    form: MultiDictProxy[str]
    headers: CIMultiDictProxy[str]
    body: bytes = b""


class Upstream:
    """A server on a free loopback port, or on *port*, in a thread of its own.

    *answers* says, by path, the JSON document it answers with, or a function that is
    given the request as it was :class:`Seen` and returns one (or a ``web.Response``).
    Whatever is neither there nor among :meth:`routes` is 404.  With *tls* its
    certificate is signed by ``ca``, the PEM text of an authority of its own.

    Use it as a context manager, or start and close it.  Its URL is known before.
    """

    def __init__(
        self,
        answers: Mapping[str, Any] | None = None,
        *,
        host: str = "localhost",
        port: int = 0,
        tls: bool = False,
    ) -> None:
        self.answers = dict(answers or {})
        self.requests: list[Seen] = []
        self.ca = ""
        self._ssl = self._certified(host) if tls else None
        self._troubles: list[Trouble] = []
        self._runner: web.AppRunner | None = None
        # It keeps the port ours while nobody listens there.
        self._place = _bound(port)
        self.port: int = self._place.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}"
        self._background = Background(f"upstream {type(self).__name__}")
        self._started = False

    # — for doubles to override --------------------------------------------------------

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Return what it serves beside ``answers``."""
        return ()

    # — what has happened --------------------------------------------------------------

    def asked(self, path: str) -> list[Seen]:
        """Return the requests for exactly this *path*, in their order."""
        return [seen for seen in self.requests if seen.path == path]

    # — what may happen ----------------------------------------------------------------
    # Each lasts until its ``with`` ends, or ``heal``.  *path* confines it to paths
    # that begin so.

    def down(self) -> Trouble:
        """Refuse connections, and cut those there are."""
        self._background.call(self._stop())
        return Trouble("", troubles.hang_up, lambda _: self.up())

    def up(self) -> None:
        """Listen again, on the same port."""
        self._background.call(self._serve())

    def slow(self, seconds: float = 60.0, *, path: str = "") -> Trouble:
        """Answer *seconds* later than usual."""
        return self._add(path, troubles.slow(seconds))

    def drip(self, *, path: str = "") -> Trouble:
        """Answer without an end, a byte now and then."""
        return self._add(path, troubles.drip)

    def status(self, status: int = 500, *, path: str = "") -> Trouble:
        """Answer this *status*, and a word."""
        return self._add(path, troubles.fixed(status, "text/plain", "trouble"))

    def saying(self, document: Any, *, path: str = "") -> Trouble:
        """Answer 200 with this *document*, as JSON."""
        text = json.dumps(document)
        return self._add(path, troubles.fixed(200, "application/json", text))

    def html(self, *, path: str = "") -> Trouble:
        """Answer 200 with a page for people, as proxies before an upstream do."""
        page = "<!doctype html><title>Sorry</title><p>We are back soon."
        return self._add(path, troubles.fixed(200, "text/html", page))

    def broken_json(self, *, path: str = "") -> Trouble:
        """Answer 200 with half a document."""
        half = '{"id": 1, "name": "ja'
        return self._add(path, troubles.fixed(200, "application/json", half))

    def empty(self, *, path: str = "") -> Trouble:
        """Answer 200 with nothing."""
        return self._add(path, troubles.fixed(200, "application/json", ""))

    def huge(self, size: int = troubles.HUGE, *, path: str = "") -> Trouble:
        """Answer as usual, followed by *size* blanks: valid, but for its size."""
        return self._add(path, troubles.huge(size))

    def bomb(self, size: int = troubles.HUGE, *, path: str = "") -> Trouble:
        """Answer the same compressed with gzip, which is small on the wire."""
        return self._add(path, troubles.bomb(size))

    def redirect_loop(self, *, path: str = "") -> Trouble:
        """Redirect every request to itself."""
        return self._add(path, troubles.redirect)

    def hang_up(self, *, path: str = "") -> Trouble:
        """Close the connection instead of an answer."""
        return self._add(path, troubles.hang_up)

    def heal(self) -> None:
        """Let every trouble be over."""
        self._troubles.clear()
        if self._started:
            self.up()

    # — its life -----------------------------------------------------------------------

    def start(self) -> Self:
        """Listen; nothing happens if it does already."""
        if not self._started:
            self._started = True
            self.up()
        return self

    def close(self) -> None:
        """Stop, and give the port back."""
        if self._place.fileno() < 0:
            return
        self._background.call(self._stop())
        self._background.close()
        self._place.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # — in the thread ------------------------------------------------------------------

    async def _serve(self) -> None:
        if self._runner is not None:
            return
        app = web.Application(
            middlewares=[self._watching()], client_max_size=_BODY_LIMIT
        )
        app.add_routes(self.routes())
        app.router.add_route("*", "/{path:.*}", self._table)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        listening = _bound(self.port)
        await web.SockSite(self._runner, listening, ssl_context=self._ssl).start()

    async def _stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is None:
            return
        # Whoever has been let in just now gets a handler first (asyncio loses who has
        # none when the server closes); then all are cut.  Who speaks TLS would else
        # wait for the other side to say good-bye as well.
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        for handler in list(runner.server.connections if runner.server else ()):
            if handler.transport is not None:
                handler.transport.abort()
        await runner.cleanup()
        await asyncio.sleep(0)

    def _watching(self) -> Callable[..., Any]:
        @web.middleware
        async def middleware(
            request: web.Request, handler: Handler
        ) -> web.StreamResponse:
            self.requests.append(await _seen(request))
            for trouble in list(self._troubles):
                if request.path.startswith(trouble.path):
                    return await trouble.answer(trouble, request, handler)
            return await handler(request)

        return middleware

    async def _table(self, request: web.Request) -> web.StreamResponse:
        if request.path not in self.answers:
            return web.json_response({"error": "not found"}, status=404)
        answer = self.answers[request.path]
        if callable(answer):
            answer = answer(await _seen(request))
        if isinstance(answer, web.StreamResponse):
            return answer
        return web.json_response(answer)

    def _add(self, path: str, answer: Answering) -> Trouble:
        trouble = Trouble(path, answer, self._remove)
        self._troubles.append(trouble)
        return trouble

    def _remove(self, trouble: Trouble) -> None:
        if trouble in self._troubles:
            self._troubles.remove(trouble)

    def _certified(self, host: str) -> ssl.SSLContext:
        # Only who asks for TLS needs it installed.
        trustme: Any = importlib.import_module("trustme")
        authority = trustme.CA()
        self.ca = authority.cert_pem.bytes().decode()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(host, "localhost", "127.0.0.1").configure_cert(context)
        return context


def agree(seen: Seen) -> web.StreamResponse:
    """Answer an authorization request with code ``c``, without asking anybody.

    RFC 6749 section 4.1.2; for the table of an :class:`Upstream`.
    """
    back = {"code": "c", "state": seen.query.get("state", "")}
    location = add_parameters(seen.query["redirect_uri"], back)
    return web.Response(status=303, headers={"Location": location})


def _bound(port: int) -> socket.socket:
    """Return a socket that is bound, and shares its *port* with others of ours."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(("127.0.0.1", port))
    return one


async def _seen(request: web.Request) -> Seen:
    body = await request.read()
    form: MultiDict[str] = MultiDict()
    if request.content_type == "application/x-www-form-urlencoded":
        text = body.decode("utf-8", "replace")
        form.extend(parse_qsl(text, keep_blank_values=True))
    return Seen(
        method=request.method,
        path=request.path,
        query=MultiDictProxy(MultiDict(request.query)),
        form=MultiDictProxy(form),
        headers=CIMultiDictProxy(request.headers.copy()),
        body=body,
    )
