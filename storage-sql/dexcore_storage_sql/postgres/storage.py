"""A storage on PostgreSQL: a connection for each call, one commit for each write."""

from __future__ import annotations

import asyncio

from functools import partial
from typing import TypeVar

from dexcore.storage import Collections, StorageError

from ..migrations import advance, is_current
from ..network import MIGRATION_SECONDS
from ..pool import Pool
from ..remote import Counts, RemoteStorage, Work, limits_of
from . import Postgres
from .connection import PostgresSession, connect
from .dialect import POSTGRES
from .plan import Plan, Remembered

T = TypeVar("T")

_STOP = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)
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
    pool = Pool(partial(connect, config, counts), limits_of(config))
    pool.adopt(session)
    return PostgresStorage(pool, counts)


class PostgresStorage(RemoteStorage):
    """State in PostgreSQL."""

    def __init__(self, pool: Pool[PostgresSession], counts: Counts) -> None:
        super().__init__(pool, counts)
        self._remembered = Remembered()

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
            self._counts.retries += 1
            return await self._again(session, lambda: session.transaction(work))

    async def view(self, work: Work[T]) -> T:
        """Run *work*, which only reads; what it finds may be changed next."""
        async with self._pool.connection() as session:
            plan = Plan(session, None)
            result = await work(plan)
        if not plan.clean:
            raise StorageError("A view only reads.")
        self._remembered.note(plan.entries.values())
        return result


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
