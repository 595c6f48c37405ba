"""A storage on PostgreSQL: a connection for each call, one commit for each write."""

from __future__ import annotations

import asyncio
import builtins
import random

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Any, Generic, TypeVar

import attrs

from dexcore.storage import (
    KINDS,
    Collection,
    Collections,
    Kind,
    Storage,
    StorageError,
    StorageUnavailable,
)

from ..migrations import advance, is_current
from ..network import MIGRATION_SECONDS
from ..pool import Limits, Pool
from . import Postgres
from .connection import Conflict, Counts, PostgresSession, connect
from .dialect import POSTGRES
from .plan import Plan, Remembered

R = TypeVar("R")
T = TypeVar("T")
Work = Callable[[Collections], Awaitable[T]]

_STOP = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)
_SWEPT_AT_ONCE = 1000  # rows: some ten milliseconds
_TRIES = 10  # of a unit that others come in between
_PAUSE = 0.02  # seconds before the second try; it grows
_LOCK = 0x646578636F7265  # "dexcore": who holds it migrates


async def open_storage(config: Postgres) -> PostgresStorage:
    """Connect, and bring the schema up to date; any number may do so at once."""
    counts = Counts()
    session = await connect(config, counts)
    try:
        if not await is_current(session, POSTGRES):
            await _migrate(session)
    except BaseException:
        session.drop()
        raise
    limits = Limits(
        config.max_open_conns or 5,
        config.max_idle_conns or 5,
        config.conn_max_lifetime,
    )
    pool = Pool(partial(connect, config, counts), limits)
    pool.adopt(session)
    return PostgresStorage(pool, counts)


class PostgresStorage(Storage):
    """State in PostgreSQL."""

    def __init__(self, pool: Pool[PostgresSession], counts: Counts) -> None:
        self._pool = pool
        self._counts = counts
        self._remembered = Remembered()
        for kind in KINDS:
            setattr(self, kind.collection, PostgresCollection(kind, self))

    @property
    def statistics(self) -> Counts:
        """What was done so far.

        ``transactions`` that wrote, ``statements``, ``round_trips`` to the server, and
        ``retries`` of units that others came in between.
        """
        return attrs.evolve(self._counts)

    async def run(self, work: Work[T]) -> T:
        """Run *work*, a single verb, which is a transaction of its own."""
        async with self._pool.connection() as session:
            return await work(session.collections)

    async def unit(self, work: Work[T]) -> T:
        """Run *work* in one transaction, planned if that is possible."""
        async with self._pool.connection() as session:
            plan = Plan(session, self._remembered)
            try:
                result = await work(plan)
            except BaseException as error:
                # Whatever else it says may be wrong: nothing was written yet.
                if plan.clean or isinstance(error, _STOP) or not session.usable:
                    raise
            else:
                if await plan.carry_out():
                    return result
            return await self._transaction(session, work)

    async def view(self, work: Work[T]) -> T:
        """Run *work*, which only reads; what it finds may be changed next."""
        async with self._pool.connection() as session:
            plan = Plan(session, None)
            result = await work(plan)
        if not plan.clean:
            raise StorageError("A view only reads.")
        self._remembered.note(plan.entries.values())
        return result

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

    async def _transaction(self, session: PostgresSession, work: Work[T]) -> T:
        for attempt in range(_TRIES):
            self._counts.retries += 1
            if not session.usable:
                raise StorageUnavailable("The connection to PostgreSQL is gone.")
            try:
                return await session.transaction(work)
            except Conflict:
                # Jitter, so that those who collided do not collide again.
                await asyncio.sleep(random.uniform(0, _PAUSE * 2 ** min(attempt, 5)))  # noqa: S311
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


class PostgresCollection(Collection[R], Generic[R]):
    """A collection whose verbs are one statement each, apart from update."""

    def __init__(self, kind: Kind[R], storage: PostgresStorage) -> None:
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

    async def update(self, *key: str, change: Callable[[R], R]) -> R:
        """Replace the record by ``change(record)``."""
        return await self._storage.unit(
            lambda all: self._own(all).update(*key, change=change)
        )

    async def take(self, *key: str) -> R:
        """Remove the record and return it."""
        return await self._storage.run(lambda all: self._own(all).take(*key))

    async def delete(self, *key: str) -> None:
        """Remove the record."""
        await self._storage.run(lambda all: self._own(all).delete(*key))


async def _migrate(session: PostgresSession) -> None:
    """Bring the schema up to date in one transaction, one replica at a time."""

    async def work(_: Collections) -> None:
        await session.execute("SET LOCAL statement_timeout = 0", ())
        # Until the transaction ends; the others wait here, and find nothing to do.
        await session.fetch("SELECT pg_advisory_xact_lock($1)", (_LOCK,))
        await advance(session, POSTGRES)

    seconds, session.seconds = session.seconds, MIGRATION_SECONDS
    await session.transaction(work)
    session.seconds = seconds
