"""Connections that are kept, shared and replaced."""

from __future__ import annotations

import asyncio
import contextlib

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

import attrs

from dexcore.storage import StorageUnavailable

_PATIENCE = 10.0  # seconds to wait for a connection that somebody else has


class Pooled(ABC):
    """A connection that a pool can keep."""

    #: When it was made, in seconds of the loop's clock.
    born: float = 0.0
    #: Whether the server could not be heard on it any more.
    lost: bool = False

    @property
    @abstractmethod
    def usable(self) -> bool:
        """Whether it is open, and nothing is under way on it."""

    @abstractmethod
    async def close(self) -> None:
        """Say goodbye."""

    @abstractmethod
    def drop(self) -> None:
        """Cut the connection."""


C = TypeVar("C", bound=Pooled)


@attrs.frozen
class Limits:
    """``most`` connections, of which ``idle`` are kept for ``lifetime`` seconds.

    ``lifetime`` 0 is for ever.
    """

    most: int = 5
    idle: int = 5
    lifetime: float = 0.0


class Pool(Generic[C]):
    """Up to so many connections; who finds none free waits for the next in turn."""

    def __init__(self, connect: Callable[[], Awaitable[C]], limits: Limits) -> None:
        self._connect = connect
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._idle: list[C] = []
        self._open = 0
        self._waiting: deque[asyncio.Future[C | None]] = deque()
        self._closed = False
        self._all_back = asyncio.Event()
        self._goodbyes: set[asyncio.Task[None]] = set()

    def adopt(self, connection: C) -> None:
        """Take in a connection that was made elsewhere."""
        connection.born = self._loop.time()
        self._open += 1
        self.give(connection)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[C]:
        """Lend a connection.

        Raises ``StorageUnavailable`` if there is none for ten seconds, if it cannot be
        made, and after :meth:`close`.
        """
        connection = await self.take()
        try:
            yield connection
        finally:
            self.give(connection)

    async def take(self) -> C:
        """Return a connection, which must be given back."""
        if self._closed:
            raise StorageUnavailable("The storage is closed.")
        while self._idle:
            # The one used last: the others may grow old and go.
            connection = self._idle.pop()
            if connection.usable and not self._is_old(connection):
                return connection
            self._open -= 1
            self._dismiss(connection)
        if self._open < self._limits.most:
            self._open += 1
            return await self._made()
        waiter: asyncio.Future[C | None] = self._loop.create_future()
        self._waiting.append(waiter)
        return await self._awaited(waiter) or await self._made()

    def give(self, connection: C) -> None:
        """Take a connection back."""
        if connection.lost:
            # So are the others, or else little is lost: a new one costs milliseconds.
            self._dismiss_idle()
        if not connection.usable or self._is_old(connection):
            self._dismiss(connection)
            self._free()
        elif not self._hand_on(connection):
            if len(self._idle) < self._limits.idle and not self._closed:
                self._idle.append(connection)
            else:
                self._dismiss(connection)
                self._open -= 1
        self._check_all_back()

    async def close(self) -> None:
        """Wait for those who have or want a connection, then say goodbye."""
        self._closed = True
        self._check_all_back()
        await self._all_back.wait()
        self._dismiss_idle()
        if self._goodbyes:
            await asyncio.wait(self._goodbyes)

    async def _made(self) -> C:
        try:
            connection = await self._connect()
        except BaseException:
            self._free()
            self._check_all_back()
            raise
        connection.born = self._loop.time()
        return connection

    async def _awaited(self, waiter: asyncio.Future[C | None]) -> C | None:
        """Return what somebody gives back, or ``None``: then there is room for one."""
        try:
            async with asyncio.timeout(_PATIENCE):
                return await waiter
        except TimeoutError:
            self._return(waiter)
            raise StorageUnavailable(
                f"All {self._limits.most} connections are busy; storage.config"
                ".maxOpenConns says how many there are."
            ) from None
        except BaseException:
            self._return(waiter)
            raise

    def _return(self, waiter: asyncio.Future[C | None]) -> None:
        """Give back what somebody got who does not wait any more."""
        if waiter.done() and not waiter.cancelled():
            connection = waiter.result()
            if connection is None:
                self._free()
            else:
                self.give(connection)
        else:
            waiter.cancel()
        self._check_all_back()

    def _hand_on(self, connection: C | None) -> bool:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def _free(self) -> None:
        """Let the next in turn make a connection."""
        if not self._hand_on(None):
            self._open -= 1

    def _is_old(self, connection: C) -> bool:
        lifetime = self._limits.lifetime
        return bool(lifetime) and self._loop.time() > connection.born + lifetime

    def _dismiss_idle(self) -> None:
        while self._idle:
            self._open -= 1
            self._dismiss(self._idle.pop())

    def _dismiss(self, connection: C) -> None:
        if not connection.usable:
            connection.drop()
            return
        task = self._loop.create_task(_goodbye(connection))
        self._goodbyes.add(task)
        task.add_done_callback(self._goodbyes.discard)

    def _check_all_back(self) -> None:
        if self._closed and self._open == len(self._idle):
            self._all_back.set()


async def _goodbye(connection: Pooled) -> None:
    try:
        async with asyncio.timeout(2):
            await connection.close()
    except Exception:
        connection.drop()
