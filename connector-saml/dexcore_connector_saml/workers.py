"""Threads that verify, so that the event loop does not: few, for all connectors."""

from __future__ import annotations

import asyncio
import threading

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import attrs

from dexcore.errors import TemporarilyUnavailable

__all__ = ["SHARED", "Workers"]

T = TypeVar("T")

#: Verifying holds the interpreter most of the time: more threads would not be faster.
THREADS = 2

#: How many may wait.  Each needs some milliseconds, so the last one waits a second.
WAITING = 100


@attrs.define(eq=False)
class Workers:
    """At most ``threads`` at work and ``waiting`` before them."""

    threads: int = THREADS
    waiting: int = WAITING
    _pool: ThreadPoolExecutor | None = attrs.field(default=None, init=False)
    _room: threading.Semaphore = attrs.field(init=False)

    @_room.default
    def _all_of_it(self) -> threading.Semaphore:
        return threading.Semaphore(self.threads + self.waiting)

    async def run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Return what *function* returns; raise ``TemporarilyUnavailable`` if full."""
        if not self._room.acquire(blocking=False):
            raise TemporarilyUnavailable("Too many logins at once. Try again.")
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, "dexcore-saml")
        work = self._pool.submit(function, *args, **kwargs)
        # When the work is over, not when nobody waits for it any more.
        work.add_done_callback(lambda _: self._room.release())
        return await asyncio.wrap_future(work)


#: The ones of this distribution.
SHARED = Workers()
