"""Something slow, a little at a time, so that everybody else gets a turn in between."""

from __future__ import annotations

import asyncio

from collections import deque


class Turns:
    """Lets *at_once* callers through per turn of the event loop, first come first."""

    def __init__(self, at_once: int) -> None:
        self._at_once = self._left = at_once
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._counting = False

    async def mine(self) -> None:
        """Return when it is the caller's turn: at once, if few have asked."""
        loop = asyncio.get_running_loop()
        if not self._counting:
            self._counting = True
            loop.call_soon(self._next, loop)
        if self._left:
            self._left -= 1
        else:
            turn = loop.create_future()
            self._waiting.append(turn)
            await turn

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._left = self._at_once
        while self._left and self._waiting:
            turn = self._waiting.popleft()
            # One that is done was cancelled: who waited has gone.
            if not turn.done():
                turn.set_result(None)
                self._left -= 1
        self._counting = self._left < self._at_once
        if self._counting:
            loop.call_soon(self._next, loop)
