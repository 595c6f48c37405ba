"""One connection of a client: how long it may take, how much it may send.

aiohttp speaks HTTP; what it has no clock for is a client that sends a request's head a
byte at a time.
"""

from __future__ import annotations

import asyncio
import functools
import logging

from collections.abc import Callable
from typing import Any

import attrs

from aiohttp import hdrs, web

from ..errors import TooSlow

_log = logging.getLogger("dexcore.server")


@attrs.frozen
class Limits:
    """Seconds and bytes; the deadline of a body is the middleware's."""

    #: From the first moment of a connection, or the first byte of a later request.
    head_seconds: float = 10.0
    #: Between two requests.  Longer than the 60 seconds of most proxies, so that it is
    #: they who close.
    idle_seconds: float = 75.0
    handshake_seconds: float = 10.0
    #: How long we read what is left of a refused body, so that the client can read why.
    lingering_seconds: float = 2.0
    #: The request line: an authorization request with a state of kilobytes.
    line_bytes: int = 32 * 1024
    #: One header: Cookie, with all that other applications of the host left there.
    header_bytes: int = 16 * 1024
    headers: int = 128


def connections(runner: web.AppRunner, limits: Limits) -> Callable[[], Connection]:
    """Return what makes the protocol of each connection to *runner*'s application."""
    return functools.partial(
        Connection,
        runner.server,
        head_seconds=limits.head_seconds,
        loop=asyncio.get_running_loop(),
        keepalive_timeout=limits.idle_seconds,
        lingering_time=limits.lingering_seconds,
        max_line_size=limits.line_bytes,
        max_field_size=limits.header_bytes,
        max_headers=limits.headers,
        # A small compressed body can be a large one; none of our clients sends any.
        auto_decompress=False,
        access_log=None,
        logger=_log,
    )


class Connection(web.RequestHandler):
    """Closes a connection whose request does not arrive in time."""

    def __init__(self, *args: Any, head_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None
        self._retired: asyncio.Future[None] | None = None

    def retire(self) -> asyncio.Future[None] | None:
        """Close once the request under way is answered; now, if there is none.

        Returns what is done when the connection is gone, or ``None`` if it is.
        """
        if not self._request_in_progress:
            self.force_close()
            return None
        self._retired = self._loop.create_future()
        return self._retired

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock: a head must come."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Read on; a head that is complete stops the clock, a new one starts it."""
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            self._stop()
        elif self._head_timer is None and not self._request_in_progress:
            self._expect_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the clock."""
        self._stop()
        super().connection_lost(exc)
        if self._retired is not None and not self._retired.done():
            self._retired.set_result(None)

    async def finish_response(
        self,
        request: web.BaseRequest,
        resp: web.StreamResponse,
        start_time: float | None,
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer; the last one says that it is the last."""
        if not resp.prepared:
            # What no handler of ours has answered would tell aiohttp's version.
            resp.headers.setdefault(hdrs.SERVER, "dexcore")
            if self._retired is not None:
                resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, without repeating it and without a traceback."""
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        # Only the kind of error: the message quotes the request, with its secrets.
        fields = {"client_remote_addr": request.remote, "err": type(exc).__name__}
        _log.info("bad request", extra={"fields": fields})
        response = web.Response(status=status, text=f"{status} bad request\n")
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """Log what aiohttp did not expect; a slow body has had its line already."""
        if not isinstance(kwargs.get("exc_info"), TooSlow):
            super().log_exception(*args, **kwargs)

    def _expect_head(self) -> None:
        self._head_timer = self._loop.call_later(self._head_seconds, self._too_late)

    def _stop(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_late(self) -> None:
        self._head_timer = None
        # What came was the rest of a request that is being answered.
        if not self._request_in_progress:
            self.force_close()
