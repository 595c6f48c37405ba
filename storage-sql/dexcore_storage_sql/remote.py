"""What storages on servers have in common: a connection for each call."""

from __future__ import annotations

import asyncio
import builtins
import random

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any, Generic, TypeVar

import attrs

from dexcore.storage import (
    KINDS,
    Collection,
    Collections,
    Kind,
    Storage,
    StorageUnavailable,
)

from .network import Network
from .pool import Limits, Pool, Pooled
from .verbs import Session

R = TypeVar("R")
T = TypeVar("T")
Work = Callable[[Collections], Awaitable[T]]

_SWEPT_AT_ONCE = 1000  # rows: some ten milliseconds
_TRIES = 10  # of work that others come in between
_PAUSE = 0.02  # seconds before the second try; it grows


class Conflict(StorageUnavailable):
    """Somebody else was in the way; it is worth trying again."""


@attrs.define
class Counts:
    """What all connections of a storage did.

    ``transactions`` that wrote, ``statements``, ``round_trips`` to the server, and
    ``retries`` of work that others came in between.
    """

    transactions: int = 0
    statements: int = 0
    round_trips: int = 0
    retries: int = 0


class RemoteSession(Session, Pooled):
    """A connection to a server; ``seconds`` is what a statement may take."""

    collections: Collections
    counts: Counts
    seconds: float

    @abstractmethod
    async def begin(self) -> None:
        """Start a transaction."""

    @abstractmethod
    async def commit(self) -> None:
        """Make it durable."""

    @abstractmethod
    async def rollback(self) -> None:
        """Undo it."""

    async def transaction(self, work: Work[T]) -> T:
        """Run *work* in a transaction; what it raises undoes it.

        Raises :class:`Conflict` if it is worth trying again.
        """
        await self.begin()
        try:
            result = await work(self.collections)
        except BaseException:
            if self.usable:
                await self.rollback()
            raise
        await self.commit()
        self.counts.transactions += 1
        return result


class RemoteStorage(Storage):
    """State on a server.

    ``takes_alone``: taking a record is a single statement.
    """

    takes_alone = True

    def __init__(self, pool: Pool[Any], counts: Counts) -> None:
        self._pool = pool
        self._counts = counts
        for kind in KINDS:
            setattr(self, kind.collection, RemoteCollection(kind, self))

    @property
    def statistics(self) -> Counts:
        """What was done so far."""
        return attrs.evolve(self._counts)

    async def run(self, work: Work[T]) -> T:
        """Run *work*, a single statement, which is a transaction of its own."""
        async with self._pool.connection() as session:
            return await self._again(session, lambda: work(session.collections))

    async def unit(self, work: Work[T]) -> T:
        """Run *work* in one transaction."""
        async with self._pool.connection() as session:
            return await self._again(session, lambda: session.transaction(work))

    async def sweep(self, now: datetime) -> Mapping[str, int]:
        """Remove what expired before *now*, some at a time."""
        return {
            kind.name: await self._sweep(kind, now) for kind in KINDS if kind.expiry
        }

    async def ping(self) -> None:
        """Return if the server answers."""
        await self.shared_secrets.list(limit=1)

    async def close(self) -> None:
        """Finish what was asked, then close the connections."""
        await self._pool.close()

    async def _again(
        self, session: RemoteSession, attempt: Callable[[], Awaitable[T]]
    ) -> T:
        """Return what an attempt returns that nobody comes in between."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + session.seconds
        for number in range(_TRIES):
            try:
                return await attempt()
            except Conflict:
                if not session.usable or loop.time() > deadline:
                    raise
            self._counts.retries += 1
            # Jitter, so that those who collided do not collide again.
            await asyncio.sleep(random.uniform(0, _PAUSE * 2 ** min(number, 5)))  # noqa: S311
        raise StorageUnavailable("Others write the same records all the time.")

    async def _sweep(self, kind: Kind[Any], now: datetime) -> int:
        collection = attrgetter(kind.collection)
        total, removed = 0, _SWEPT_AT_ONCE
        while removed == _SWEPT_AT_ONCE:
            removed = await self.run(
                lambda own: collection(own).sweep(now, _SWEPT_AT_ONCE)
            )
            total += removed
        return total


class RemoteCollection(Collection[R], Generic[R]):
    """A collection whose verbs are one statement each, if they can be."""

    def __init__(self, kind: Kind[R], storage: RemoteStorage) -> None:
        self._own: Callable[[Collections], Collection[R]] = attrgetter(kind.collection)
        self._storage = storage

    async def create(self, record: R) -> None:
        """Store *record*."""
        await self._storage.run(lambda all: self._own(all).create(record))

    async def get(self, *key: str) -> R:
        """Return the record."""
        return await self._storage.run(lambda all: self._own(all).get(*key))

    async def find(self, *key: str) -> R | None:
        """Return the record, or ``None``."""
        return await self._storage.run(lambda all: self._own(all).find(*key))

    async def list(
        self, *, after: tuple[str, ...] | None = None, limit: int | None = None
    ) -> builtins.list[R]:
        """Return records in the order of their keys."""
        return await self._storage.run(
            lambda all: self._own(all).list(after=after, limit=limit)
        )

    async def matching(self, **fields: str) -> builtins.list[R]:
        """Return the records whose *fields* have these values."""
        return await self._storage.run(lambda all: self._own(all).matching(**fields))

    async def update(self, *key: str, change: Callable[[R], R]) -> R:
        """Replace the record by ``change(record)``."""
        return await self._storage.unit(
            lambda all: self._own(all).update(*key, change=change)
        )

    async def take(self, *key: str) -> R:
        """Remove the record and return it."""
        run = self._storage.run if self._storage.takes_alone else self._storage.unit
        return await run(lambda all: self._own(all).take(*key))

    async def delete(self, *key: str) -> None:
        """Remove the record."""
        await self._storage.run(lambda all: self._own(all).delete(*key))


def limits_of(config: Network) -> Limits:
    """Return how many connections there may be."""
    return Limits(
        config.max_open_conns or 5,
        config.max_idle_conns or 5,
        config.conn_max_lifetime,
    )
