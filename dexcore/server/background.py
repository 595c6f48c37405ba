"""What runs beside the requests: rotation, sweeping, health checks, retries.

A loop that fails is a line in the log and another try a little later, never the end of
the server and never the end of that loop.
"""

from __future__ import annotations

import asyncio
import logging
import random

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import attrs

#: How long a loop that failed waits before it runs again (seconds).
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0

_log = logging.getLogger("dexcore.server")


@attrs.define(eq=False)
class Background:
    """Runs loops until :meth:`close`."""

    first_pause: float = FIRST_PAUSE
    longest_pause: float = LONGEST_PAUSE
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set)

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work()``, which loops by itself; again, after a pause, when it fails.

        Returning is not failing: then it has done what it had to.
        """
        self._spawn(name, self._keep_running(name, work))

    def every(
        self,
        seconds: float,
        work: Callable[[], Awaitable[object]],
        *,
        name: str = "",
        jitter: float = 0.1,
        at_once: bool = False,
    ) -> None:
        """Run ``work()`` every *seconds*, each time sooner or later by up to *jitter*.

        *jitter* is a part of *seconds*: it keeps replicas that started together from
        working together.  *at_once*: the first time without waiting.
        """
        name = name or getattr(work, "__qualname__", repr(work))

        async def loop() -> None:
            if at_once:
                await self._guarded(name, work)
            while True:
                factor = 1 + random.uniform(-jitter, jitter)  # noqa: S311  # no secret
                await asyncio.sleep(seconds * factor)
                await self._guarded(name, work)

        self._spawn(name, loop())

    def once(self, name: str, work: Coroutine[Any, Any, object]) -> None:
        """Run *work* to its end beside everything else; log it if it fails."""

        async def guarded() -> None:
            await self._guarded(name, lambda: work)

        self._spawn(name, guarded())

    async def close(self) -> None:
        """Cancel what runs and wait until it has stopped."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, name: str, work: Callable[[], Awaitable[object]]) -> bool:
        try:
            await work()
        except Exception:
            fields = {"task": name}
            _log.exception("background task failed", extra={"fields": fields})
            return False
        return True

    async def _keep_running(
        self, name: str, work: Callable[[], Awaitable[None]]
    ) -> None:
        pause = self.first_pause
        clock = asyncio.get_running_loop().time
        started = clock()
        while not await self._guarded(name, work):
            # It went well for a while: what failed is something new.
            if clock() - started > self.longest_pause:
                pause = self.first_pause
            await asyncio.sleep(pause)
            pause = min(pause * 2, self.longest_pause)
            started = clock()
