"""The five verbs, as statements on a connection somebody else opened a transaction on.

They are coroutines, because other drivers wait for their server.  On SQLite they never
suspend: the thread that owns the connection runs them through.
"""

from __future__ import annotations

import builtins

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from dexcore.storage import (
    AlreadyExists,
    Collection,
    Collections,
    Kind,
    NotFound,
    StorageError,
)
from dexcore.storage.codec import record_codec

from .ddl import SQLITE, Dialect
from .rows import RowCodec
from .statements import Own, Statements
from .tables import OWN, TABLES, Table

R = TypeVar("R")
Key = tuple[str, ...]


class Session(ABC):
    """A connection inside a transaction."""

    @abstractmethod
    async def fetch(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        """Run a statement and return all its rows."""

    @abstractmethod
    async def execute(self, sql: str, parameters: Sequence[Any]) -> int:
        """Run a statement and return how many rows it changed."""


class SQLCollection(Collection[R], Generic[R]):
    """The verbs both sorts of tables have in common."""

    def __init__(self, session: Session, kind: Kind[R]) -> None:
        self._session = session
        self._kind = kind

    async def get(self, *key: str) -> R:
        """Return the record."""
        record = await self.find(*key)
        if record is None:
            raise self._missing()
        return record

    async def update(self, *key: str, change: Callable[[R], R]) -> R:
        """Replace the record by ``change(record)``."""
        key = self._kind.fold(key)
        old = await self._locked(key)
        if old is None:
            raise self._missing()
        new = change(old)
        if new is old:
            return old
        if self._kind.key_of(new) != self._kind.key_of(old):
            raise StorageError(f"The key of a {self._kind.name} cannot change.")
        await self._replace(key, old, new)
        return new

    @abstractmethod
    async def sweep(self, now: datetime, limit: int) -> int:
        """Remove up to *limit* records that expired before *now*; return how many."""

    @abstractmethod
    async def _locked(self, key: Key) -> R | None:
        """Return the record, which nobody else writes until the transaction ends."""

    @abstractmethod
    async def _replace(self, key: Key, old: R, new: R) -> None:
        """Write what differs."""

    async def _take_locked(self, key: Key) -> R:
        """Remove the record in two statements."""
        record = await self._locked(key)
        if record is None:
            raise self._missing()
        await self.delete(*key)
        return record

    def _missing(self) -> NotFound:
        return NotFound(f"There is no such {self._kind.name}.")

    def _there(self) -> AlreadyExists:
        return AlreadyExists(f"A {self._kind.name} with this key is already there.")


class TableCollection(SQLCollection[R], Generic[R]):
    """Records in a table of dex's."""

    def __init__(
        self,
        session: Session,
        table: Table[R],
        statements: Statements,
        codec: RowCodec[R],
    ) -> None:
        super().__init__(session, table.kind)
        self._sql = statements
        self._codec = codec

    async def create(self, record: R) -> None:
        """Store *record*."""
        if not await self._session.execute(self._sql.insert, self._codec.row(record)):
            raise self._there()

    async def find(self, *key: str) -> R | None:
        """Return the record, or ``None``."""
        rows = await self._session.fetch(self._sql.select, self._kind.fold(key))
        return self._codec.record(rows[0]) if rows else None

    async def list(
        self, *, after: Key | None = None, limit: int | None = None
    ) -> builtins.list[R]:
        """Return records in the order of their keys."""
        most = self._sql.dialect.everything if limit is None else limit
        if after is None:
            rows = await self._session.fetch(self._sql.first_page, (most,))
        elif self._kind.key:
            parameters = (*self._kind.fold(after), most)
            rows = await self._session.fetch(self._sql.next_page, parameters)
        else:
            rows = []  # there is nothing after the only one
        return [self._codec.record(row) for row in rows]

    async def matching(self, **fields: str) -> builtins.list[R]:
        """Return the records whose *fields* have these values."""
        sql = self._sql.matching(tuple(fields))
        found = map(
            self._codec.record, await self._session.fetch(sql, (*fields.values(),))
        )
        # A database that folds letters finds more than was asked for.
        return [
            record
            for record in found
            if all(getattr(record, name) == fields[name] for name in fields)
        ]

    async def take(self, *key: str) -> R:
        """Remove the record and return it."""
        if not self._sql.dialect.returning:
            return await self._take_locked(self._kind.fold(key))
        rows = await self._session.fetch(self._sql.take, self._kind.fold(key))
        if not rows:
            raise self._missing()
        return self._codec.record(rows[0])

    async def delete(self, *key: str) -> None:
        """Remove the record."""
        if not await self._session.execute(self._sql.delete, self._kind.fold(key)):
            raise self._missing()

    async def sweep(self, now: datetime, limit: int) -> int:
        """Remove some of what expired."""
        times = [self._sql.dialect.time(now)] * len(self._kind.expiry)
        return await self._session.execute(self._sql.sweep, (*times, limit))

    async def _locked(self, key: Key) -> R | None:
        rows = await self._session.fetch(self._sql.lock, key)
        return self._codec.record(rows[0]) if rows else None

    async def _replace(self, key: Key, old: R, new: R) -> None:
        places, values = self._codec.changes(old, new)
        if places:
            await self._session.execute(self._sql.update(places), (*values, *key))


class OwnCollection(SQLCollection[R], Generic[R]):
    """Records of our own, as JSON in ``dexcore_record``."""

    def __init__(
        self, session: Session, kind: Kind[R], statements: Own, dialect: Dialect
    ) -> None:
        super().__init__(session, kind)
        self._sql = statements
        self._everything = dialect.everything
        self._returning = dialect.returning
        codec = record_codec(kind)
        self._encode, self._decode = codec.encode, codec.decode

    async def create(self, record: R) -> None:
        """Store *record*."""
        (key,) = self._kind.key_of(record)
        parameters = (
            self._kind.name,
            key,
            self._encode(record),
            expiry_of(self._kind, record),
        )
        if not await self._session.execute(self._sql.insert, parameters):
            raise self._there()

    async def find(self, *key: str) -> R | None:
        """Return the record, or ``None``."""
        rows = await self._session.fetch(self._sql.select, (self._kind.name, *key))
        return self._record(rows[0]) if rows else None

    async def list(
        self, *, after: Key | None = None, limit: int | None = None
    ) -> builtins.list[R]:
        """Return records in the order of their keys."""
        most = self._everything if limit is None else limit
        sql = self._sql.first_page if after is None else self._sql.next_page
        parameters = (self._kind.name, *(after or ()), most)
        rows = await self._session.fetch(sql, parameters)
        return [self._record(row) for row in rows]

    async def take(self, *key: str) -> R:
        """Remove the record and return it."""
        if not self._returning:
            return await self._take_locked(key)
        rows = await self._session.fetch(self._sql.take, (self._kind.name, *key))
        if not rows:
            raise self._missing()
        return self._record(rows[0])

    async def delete(self, *key: str) -> None:
        """Remove the record."""
        if not await self._session.execute(self._sql.delete, (self._kind.name, *key)):
            raise self._missing()

    async def sweep(self, now: datetime, limit: int) -> int:
        """Remove some of what expired."""
        parameters = (self._kind.name, _microseconds(now), limit)
        return await self._session.execute(self._sql.sweep, parameters)

    async def _locked(self, key: Key) -> R | None:
        rows = await self._session.fetch(self._sql.lock, (self._kind.name, *key))
        return self._record(rows[0]) if rows else None

    async def _replace(self, key: Key, old: R, new: R) -> None:
        expiry = expiry_of(self._kind, new)
        parameters = (self._encode(new), expiry, self._kind.name, *key)
        await self._session.execute(self._sql.update, parameters)

    def _record(self, row: Sequence[Any]) -> R:
        try:
            return self._decode(row[0])
        except ValueError as error:
            raise StorageError(
                f"A stored {self._kind.name} cannot be read: {error}"
            ) from error


class Prepared:
    """Statements and codecs of all tables, made once and used by every connection."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._own = Own(dialect)
        self._tables = [
            (
                table,
                Statements(table, dialect),
                RowCodec(table, dialect.writer, dialect.reader),
            )
            for table in TABLES
        ]

    def on(self, session: Session) -> Collections:
        """Return the collections whose verbs run on *session*."""
        collections = Collections()
        for table, statements, codec in self._tables:
            collection = TableCollection(session, table, statements, codec)
            setattr(collections, table.kind.collection, collection)
        for kind in OWN:
            own = OwnCollection(session, kind, self._own, self._dialect)
            setattr(collections, kind.collection, own)
        return collections


PREPARED = Prepared(SQLITE)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def expiry_of(kind: Kind[Any], record: Any) -> int | None:
    """Return when *record*'s life ends, in microseconds; ``None``: never."""
    if not kind.expiry:
        return None
    return _microseconds(min(getattr(record, name) for name in kind.expiry))


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
