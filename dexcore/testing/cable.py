"""The way to a server, which a test can cut.

::

    with Cable("127.0.0.1", server.port) as cable:
        ...                # somebody connects to cable.port
        cable.cut()        # from now on packets vanish: nobody is told
        cable.mend()       # what was sent meanwhile arrives now
        cable.reset()      # every connection breaks, new ones are welcome
        cable.forget()     # nothing arrives any more on those there are; new ones work

While it is cut, connections stay open and new ones are accepted, and nothing arrives on
either side, as with a firewall that has begun to drop packets.  What was sent is
delivered after ``mend``, as TCP would by repeating it, even from those who have hung up
in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from collections.abc import Callable
from types import TracebackType

from .background import Background

__all__ = ["Cable"]

_PIECE = 65536  # bytes
# Closing does not wait for anything: the other end is sent a RST.
_AT_ONCE = struct.pack("ii", 1, 0)


class Cable:
    """Forwards a port of ours to *port* of *host*, in a thread of its own."""

    def __init__(self, host: str, port: int) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        #: How often somebody has begun to speak who was not speaking already: in a
        #: protocol of questions and answers, how many questions there were.
        self.turns = 0
        self._target = host, port
        self._background = Background("dexcore.testing.cable")
        self._whole = asyncio.Event()
        self._whole.set()
        self._forgotten: list[asyncio.Event] = []
        self._closing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[None] | None] = set()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Cable:
        self._background.call(self._open())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._background.call(self._close())
        self._background.close()

    def cut(self) -> None:
        """Let packets vanish from now on, in both directions."""
        self._call(self._whole.clear)

    def mend(self) -> None:
        """Deliver everything again, and what was sent meanwhile."""
        self._call(self._whole.set)

    def forget(self) -> None:
        """Let nothing arrive any more on the connections there are; new ones work.

        So do firewalls that have been restarted, or have not heard of one for long.
        """

        def begin_anew() -> None:
            self._forgotten.append(self._whole)
            self._whole.clear()
            self._whole = asyncio.Event()
            self._whole.set()

        self._call(begin_anew)

    def reset(self) -> None:
        """Break every connection; both ends are told at once."""
        self._call(self._abort)

    def _call(self, act: Callable[[], None]) -> None:
        async def there() -> None:
            act()

        self._background.call(there())

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accept, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._closing = True
        for whole in (self._whole, *self._forgotten):
            whole.set()
        self._abort()
        await asyncio.gather(*(task for task in self._carrying if task))

    def _abort(self) -> None:
        for writer in self._writers:
            with contextlib.suppress(OSError):  # it is closed already
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE
                )
            writer.transport.abort()

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        self._carrying.add(task)
        self._writers.add(writer)
        with contextlib.suppress(OSError):
            await self._whole.wait()
            if not self._closing:
                await self._connect(reader, writer)
        self._writers.discard(writer)
        self._carrying.discard(task)
        writer.close()

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection(*self._target)
        self._writers.add(back)
        # Whether the last word was the server's, which nobody has to answer at first.
        answered = [True]
        await asyncio.gather(
            self._carry(reader, back, self._whole, answered, asks=True),
            self._carry(there, writer, self._whole, answered, asks=False),
            return_exceptions=True,
        )
        self._writers.discard(back)

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        whole: asyncio.Event,
        answered: list[bool],
        *,
        asks: bool,
    ) -> None:
        try:
            while piece := await reader.read(_PIECE):
                await whole.wait()
                self.turns += asks and answered[0]
                answered[0] = not asks
                writer.write(piece)
                await writer.drain()
            await whole.wait()
        finally:
            writer.close()
