"""What may go wrong with an upstream, each as what its server then answers."""

from __future__ import annotations

import asyncio
import gzip

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs

from aiohttp import web

__all__ = ["TROUBLES", "Trouble"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answering = Callable[["Trouble", web.Request, Handler], Awaitable[web.StreamResponse]]

#: Every trouble by the name of the method of an ``Upstream`` that makes it.
TROUBLES = (
    "down",
    "hang_up",
    "status",
    "html",
    "broken_json",
    "empty",
    "slow",
    "drip",
    "huge",
    "bomb",
    "redirect_loop",
)

#: Far more than any answer has, and than the sockets between us hold (bytes).
HUGE = 64 << 20

_CHUNK = b" " * (64 << 10)
_PAUSE = 0.02


@attrs.define(eq=False)
class Trouble:
    """Something that goes wrong until it is healed, or its ``with`` ends.

    ``path``: where; everything that begins with it.  ``sent`` counts the bytes that
    were sent in vain.
    """

    path: str
    answer: Answering
    undo: Callable[[Trouble], None]
    sent: int = 0

    def heal(self) -> None:
        """Let it be over."""
        self.undo(self)

    def __enter__(self) -> Trouble:
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()


def slow(seconds: float) -> Answering:
    """Return what answers after *seconds*."""

    async def answer(
        trouble: Trouble, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await handler(request)

    return answer


def fixed(status: int, content_type: str, body: str) -> Answering:
    """Return what always answers the same."""

    async def answer(
        trouble: Trouble, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        return web.Response(status=status, content_type=content_type, text=body)

    return answer


async def hang_up(
    trouble: Trouble, request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Read the request and close the connection."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def redirect(
    trouble: Trouble, request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Send whoever comes here back here."""
    return web.Response(status=302, headers={"Location": str(request.rel_url)})


async def drip(
    trouble: Trouble, request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Answer a byte, and another one, and never come to an end."""

    async def spaces() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(_PAUSE)

    return await _streamed(trouble, request, await handler(request), spaces())


def huge(size: int) -> Answering:
    """Return what answers rightly, and then goes on with *size* blanks."""

    async def answer(
        trouble: Trouble, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        usual = await handler(request)

        async def padded() -> AsyncIterator[bytes]:
            yield _body(usual)
            for _ in range(size // len(_CHUNK)):
                yield _CHUNK

        return await _streamed(trouble, request, usual, padded())

    return answer


def bomb(size: int) -> Answering:
    """Return the same, compressed to a thousandth."""

    async def answer(
        trouble: Trouble, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        usual = await handler(request)
        packed = await asyncio.to_thread(gzip.compress, _body(usual) + b" " * size, 1)

        async def whole() -> AsyncIterator[bytes]:
            yield packed

        return await _streamed(
            trouble, request, usual, whole(), {"Content-Encoding": "gzip"}
        )

    return answer


def _body(usual: web.StreamResponse) -> bytes:
    body: Any = getattr(usual, "body", None)
    return bytes(body) if isinstance(body, (bytes, bytearray)) else b"{}"


async def _streamed(
    trouble: Trouble,
    request: web.Request,
    usual: web.StreamResponse,
    chunks: AsyncIterator[bytes],
    headers: dict[str, str] | None = None,
) -> web.StreamResponse:
    response = web.StreamResponse(status=usual.status, headers=headers)
    response.content_type = usual.content_type
    await response.prepare(request)
    async for chunk in chunks:
        await response.write(chunk)
        trouble.sent += len(chunk)
    await response.write_eof()
    return response
