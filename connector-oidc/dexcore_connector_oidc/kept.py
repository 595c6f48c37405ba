"""What several callers need at once, and need again: fetched once, kept for a while."""

from __future__ import annotations

import asyncio
import logging
import time

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeAlias, TypeVar

import attrs

from dexcore.errors import UpstreamError

__all__ = ["Kept", "Log", "Shared"]

T = TypeVar("T")

#: A log whose every record says which connector it is about.
Log: TypeAlias = "logging.LoggerAdapter[logging.Logger]"

#: Seconds we wait for a new one while an old one would do.
PATIENCE = 3.0

#: Seconds until an old one that could not be renewed is tried again.
PAUSE = 30.0

#: How many renewals strangers can make us do, and in how many seconds.
MOST_RENEWALS, IN_SECONDS = 5, 60.0


@attrs.define(eq=False)
class Shared(Generic[T]):
    """Work that is done once for all who ask for it while it is under way.

    It goes on when one of them, or all, give up waiting.
    """

    _running: dict[Any, asyncio.Task[T]] = attrs.field(factory=dict, init=False)

    async def run(self, key: Any, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what *work* returns, or what it returns to others with this *key*."""
        task = self._running.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(work())
            self._running[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Cancel what is under way."""
        running = [*self._running.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, key: Any, task: asyncio.Task[T]) -> None:
        del self._running[key]
        if not task.cancelled():
            # Who waited has had it; if nobody did, it is nobody's.
            task.exception()


@attrs.define(eq=False)
class Kept(Generic[T]):
    """A document of the provider: fetched at first use, renewed when it is old.

    A renewal that fails leaves the old one in place.  ``lifetime`` is in seconds.
    """

    fetch: Callable[[], Awaitable[T]]
    lifetime: float
    log: Log
    clock: Callable[[], float] = time.monotonic
    _value: T | None = attrs.field(default=None, init=False)
    _renew_at: float = attrs.field(default=0.0, init=False)
    _renewals: deque[float] = attrs.field(factory=deque, init=False)
    _shared: Shared[T] = attrs.field(factory=Shared, init=False)

    async def get(self) -> T:
        """Return it; raise ``UpstreamError`` if it could never be fetched."""
        old = self._value
        if old is None:
            return await self._fetched()
        if self.clock() < self._renew_at:
            return old
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._fetched()
        except (UpstreamError, TimeoutError) as error:
            self._postpone(error)
            return old

    async def newer_than(self, value: T) -> T:
        """Return a newer one than *value*, if it can be had now, else *value*.

        Whoever we serve can make us ask for it, so there is a limit to it.
        """
        if self._value is not None and self._value is not value:
            return self._value
        now = self.clock()
        while self._renewals and self._renewals[0] <= now - IN_SECONDS:
            self._renewals.popleft()
        if len(self._renewals) >= MOST_RENEWALS:
            return value
        self._renewals.append(now)
        try:
            return await self._fetched()
        except UpstreamError as error:
            self._postpone(error)
            return value

    async def close(self) -> None:
        """Cancel what is under way."""
        await self._shared.close()

    async def _fetched(self) -> T:
        return await self._shared.run("it", self._fetch)

    async def _fetch(self) -> T:
        value = await self.fetch()
        self._value, self._renew_at = value, self.clock() + self.lifetime
        return value

    def _postpone(self, error: BaseException) -> None:
        self._renew_at = self.clock() + PAUSE
        self.log.warning("could not renew what the provider says: %s", error)
