"""A storage on one SQLite file: every call is one hop to the thread that owns it."""

from __future__ import annotations

import asyncio
import builtins

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Any, Generic, TypeVar

from dexcore.storage import (
    KINDS,
    Collection,
    Collections,
    Kind,
    Storage,
    StorageUnavailable,
)
from dexcore.storage.units import run_through

from .config import SQLite3
from .ddl import SQLITE
from .engine import Owner, Statistics
from .migrations import advance, is_current
from .sqlite import SQLiteSession, connect, is_memory, use_journal

R = TypeVar("R")
T = TypeVar("T")

_SWEPT_AT_ONCE = 100  # rows: a few milliseconds, then others have their turn
_PING_TIMEOUT = 5.0  # seconds; a disk that hangs longer is not there


async def open_storage(config: SQLite3) -> SQLiteStorage:
    """Open the file, bring its schema up to date and start its threads.

    Raises ``StorageUnavailable`` if it cannot be opened, ``StorageError`` if it was
    made by a newer version.
    """
    session, beside = await asyncio.to_thread(_open, config)
    reopen = partial(_connect, config)
    writer = Owner("dexcore-sqlite", session, reopen)
    if beside is None:
        return SQLiteStorage(writer, writer, shared=not is_memory(config.file))
    return SQLiteStorage(writer, Owner("dexcore-sqlite-read", beside, reopen))


class SQLiteStorage(Storage):
    """State in a SQLite file.

    ``writer`` and ``reader`` are one and the same where readers would have to wait for
    the writer anyway: in memory, and without write-ahead log.
    """

    def __init__(self, writer: Owner, reader: Owner, *, shared: bool = True) -> None:
        self.shared = shared
        self._writer = writer
        self._reader = reader
        for kind in KINDS:
            setattr(self, kind.collection, HoppingCollection(kind, writer, reader))

    @property
    def statistics(self) -> Statistics:
        """What was done so far: transactions, commits, reads, statements."""
        owners = {self._writer, self._reader}
        return Statistics(
            transactions=self._writer.transactions,
            commits=self._writer.commits,
            reads=sum(owner.reads for owner in owners),
            statements=sum(owner.statements for owner in owners),
        )

    async def unit(self, work: Callable[[Collections], Awaitable[T]]) -> T:
        """Run *work* in one transaction, in one hop."""
        return await self._writer.write(work)

    async def view(self, work: Callable[[Collections], Awaitable[T]]) -> T:
        """Run *work*, which only reads, in one hop, beside the writer."""
        return await self._reader.read(work)

    async def sweep(self, now: datetime) -> Mapping[str, int]:
        """Remove what expired before *now*, some at a time."""
        return {
            kind.name: await self._sweep(kind, now) for kind in KINDS if kind.expiry
        }

    async def ping(self) -> None:
        """Return if the file can be read."""
        try:
            async with asyncio.timeout(_PING_TIMEOUT):
                await self.shared_secrets.list(limit=1)
        except TimeoutError as error:
            raise StorageUnavailable("The disk does not answer.") from error

    async def close(self) -> None:
        """Finish what was asked, then close the file."""
        # The writer last: whoever closes last folds the log into the file.
        await self._reader.close()
        await self._writer.close()

    async def _sweep(self, kind: Kind[Any], now: datetime) -> int:
        collection = attrgetter(kind.collection)
        loop = asyncio.get_running_loop()
        total, removed = 0, _SWEPT_AT_ONCE
        while removed == _SWEPT_AT_ONCE:
            started = loop.time()
            removed = await self._writer.write(
                lambda own: collection(own).sweep(now, _SWEPT_AT_ONCE)
            )
            total += removed
            # At least half of the time is everybody else's.
            await asyncio.sleep(loop.time() - started)
        return total


class HoppingCollection(Collection[R], Generic[R]):
    """A collection whose verbs run in the thread that owns the connection."""

    def __init__(self, kind: Kind[R], writer: Owner, reader: Owner) -> None:
        self._own: Callable[[Collections], Collection[R]] = attrgetter(kind.collection)
        self._write = writer.write
        self._read = reader.read

    async def create(self, record: R) -> None:
        """Store *record*."""
        await self._write(lambda all: self._own(all).create(record))

    async def get(self, *key: str) -> R:
        """Return the record."""
        return await self._read(lambda all: self._own(all).get(*key))

    async def find(self, *key: str) -> R | None:
        """Return the record, or ``None``."""
        return await self._read(lambda all: self._own(all).find(*key))

    async def list(
        self, *, after: tuple[str, ...] | None = None, limit: int | None = None
    ) -> builtins.list[R]:
        """Return records in the order of their keys."""
        return await self._read(
            lambda all: self._own(all).list(after=after, limit=limit)
        )

    async def matching(self, **fields: str) -> builtins.list[R]:
        """Return the records whose *fields* have these values."""
        return await self._read(lambda all: self._own(all).matching(**fields))

    async def update(self, *key: str, change: Callable[[R], R]) -> R:
        """Replace the record by ``change(record)``."""
        return await self._write(lambda all: self._own(all).update(*key, change=change))

    async def take(self, *key: str) -> R:
        """Remove the record and return it."""
        return await self._write(lambda all: self._own(all).take(*key))

    async def delete(self, *key: str) -> None:
        """Remove the record."""
        await self._write(lambda all: self._own(all).delete(*key))


def _open(config: SQLite3) -> tuple[SQLiteSession, SQLiteSession | None]:
    session = _connect(config)
    try:
        _migrate(session)
        if not use_journal(session, config.journal_mode) or is_memory(config.file):
            return session, None
        beside = _connect(config)
        beside.run("PRAGMA query_only = 1")
    except BaseException:
        session.close()
        raise
    return session, beside


def _migrate(session: SQLiteSession) -> None:
    """Bring the schema up to date in one transaction; the first of many does it."""
    if run_through(is_current(session, SQLITE)):
        return
    session.begin()
    try:
        run_through(advance(session, SQLITE))
    except BaseException:
        session.rollback()
        raise
    session.commit()


def _connect(config: SQLite3) -> SQLiteSession:
    return connect(config.file, synchronous=config.synchronous)
