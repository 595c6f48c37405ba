"""Threads in which the directory is waited for: few, and with a short queue.

A directory that hangs fills these and no others; whoever comes when the queue is full
is told at once.
"""

from __future__ import annotations

import asyncio
import threading
import time

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dexcore.errors import UpstreamUnavailable

T = TypeVar("T")

#: How many ask the directory at once.  Each holds one connection at a time.
THREADS = 16

#: How many may wait for one of them.
QUEUE = 240


class Workers:
    """Runs what blocks, for one connector.

    *timeout* is how many seconds a call may take, waiting for a thread included.
    """

    def __init__(
        self, name: str, timeout: float, threads: int = THREADS, queue: int = QUEUE
    ) -> None:
        self._timeout = timeout
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"ldap-{name}")
        self._places = threading.BoundedSemaphore(threads + queue)

    async def run(self, job: Callable[[float], T]) -> T:
        """Return what *job* returns, given the moment at which it must be done.

        Raises ``UpstreamUnavailable`` if there is no place in the queue, or if its
        turn came too late.
        """
        until = time.monotonic() + self._timeout

        def timely() -> T:
            if time.monotonic() >= until:
                raise UpstreamUnavailable(
                    "The directory is slow, and others were asking it for too long."
                )
            return job(until)

        if not self._places.acquire(blocking=False):
            raise UpstreamUnavailable("Too many are waiting for the directory already.")
        try:
            future = self._pool.submit(timely)
        except RuntimeError:
            self._places.release()
            raise UpstreamUnavailable("The connector has been closed.") from None
        # When it is really done: whoever hangs up does not free the thread.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Start nothing more; what runs ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
