"""A unit in as few round trips as it can be: read, decide, write all at once.

What the work writes is kept until it is done, and then goes to the server as one
statement, which commits by itself: every row must still be the version that was read
(PostgreSQL's ``xmin`` says which transaction wrote it), and what is new must not be
there; otherwise nothing happens, and the work runs again in a transaction that locks
what it touches.
"""

from __future__ import annotations

import builtins

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, NoReturn, TypeVar

import attrs

from dexcore.storage import (
    AlreadyExists,
    Collection,
    Collections,
    Kind,
    NotFound,
    StorageError,
)
from dexcore.storage.codec import record_codec

from ..remote import Conflict
from ..rows import RowCodec
from ..statements import Own, Statements
from ..tables import OWN, TABLES, Table
from ..verbs import expiry_of
from .connection import Overtaken, PostgresSession
from .dialect import POSTGRES, spell

R = TypeVar("R")
Key = tuple[str, ...]
#: A statement with ``?`` for its parameters, and these.
Write = tuple[str, Sequence[Any]]

_TOGETHER = 20  # writes in one statement; more are rare, and gain nothing
_REMEMBERED = 1024  # records between reading and writing them


class Access(ABC, Generic[R]):
    """How records of one kind are read with their version, and written."""

    def __init__(self, kind: Kind[R], statements: Statements | Own) -> None:
        self.kind = kind
        self.select = spell(statements.select.replace("SELECT", "SELECT xmin,", 1))
        self._insert = statements.insert
        self._delete = statements.delete

    @abstractmethod
    def record(self, row: Sequence[Any]) -> R:
        """Return the record of *row*, whose first column is its version."""

    @abstractmethod
    def insert(self, record: R) -> Write:
        """Return what writes a new row."""

    @abstractmethod
    def update(self, key: Key, old: R, new: R, version: int) -> Write | None:
        """Return what writes what differs; ``None``: nothing does."""

    def delete(self, key: Key, version: int | None) -> Write:
        """Return what removes the row, in this version or in any."""
        if version is None:
            return self._delete, self.where(key)
        return self._delete + _SAME_VERSION, (*self.where(key), version)

    def where(self, key: Key) -> Key:
        """Return the parameters that find the row of *key*."""
        return key


class TableAccess(Access[R], Generic[R]):
    """Records in a table of dex's."""

    def __init__(self, table: Table[R]) -> None:
        self._statements = Statements(table, _UNSPELLED)
        self._codec = RowCodec(table, POSTGRES.writer, POSTGRES.reader)
        super().__init__(table.kind, self._statements)

    def record(self, row: Sequence[Any]) -> R:
        """Return the record of *row*."""
        return self._codec.record(row[1:])

    def insert(self, record: R) -> Write:
        """Return what writes a new row."""
        return self._insert, self._codec.row(record)

    def update(self, key: Key, old: R, new: R, version: int) -> Write | None:
        """Return what writes the columns that differ."""
        places, values = self._codec.changes(old, new)
        if not places:
            return None
        text = self._statements.update(places) + _SAME_VERSION
        return text, (*values, *key, version)


class OwnAccess(Access[R], Generic[R]):
    """Records of our own, as JSON in ``dexcore_record``."""

    def __init__(self, kind: Kind[R], statements: Own) -> None:
        super().__init__(kind, statements)
        self._update = statements.update + _SAME_VERSION
        codec = record_codec(kind)
        self._encode, self._decode = codec.encode, codec.decode

    def record(self, row: Sequence[Any]) -> R:
        """Return the record of *row*."""
        try:
            return self._decode(row[1])
        except ValueError as error:
            raise StorageError(
                f"A stored {self.kind.name} cannot be read: {error}"
            ) from error

    def insert(self, record: R) -> Write:
        """Return what writes a new row."""
        key = self.where(self.kind.key_of(record))
        expiry = expiry_of(self.kind, record)
        return self._insert, (*key, self._encode(record), expiry)

    def update(self, key: Key, old: R, new: R, version: int) -> Write | None:
        """Return what writes the document."""
        expiry = expiry_of(self.kind, new)
        return self._update, (self._encode(new), expiry, *self.where(key), version)

    def where(self, key: Key) -> Key:
        """Return the parameters that find the row of *key*."""
        return (self.kind.name, *key)


_UNSPELLED = attrs.evolve(POSTGRES, spell=str)
_SAME_VERSION = " AND xmin = ?"
_OWN = Own(_UNSPELLED)

ACCESS: Mapping[str, Access[Any]] = {
    **{table.kind.collection: TableAccess(table) for table in TABLES},
    **{kind.collection: OwnAccess(kind, _OWN) for kind in OWN},
}


@attrs.define(eq=False)
class Entry:
    """What is known of one row: what was there, and what shall be.

    ``version`` is of what was there; ``guessed``: it was read some time ago; ``blind``:
    it shall go, whatever it is.
    """

    access: Access[Any]
    key: Key
    old: Any = None
    version: int | None = None
    guessed: bool = False
    blind: bool = False
    now: Any = None
    written: bool = False

    def write(self) -> Write | None:
        """Return the statement that makes it so, if one is needed."""
        if not self.written:
            return None
        if self.version is None:
            if self.blind:
                return self.access.delete(self.key, None)
            return self.access.insert(self.now)
        if self.now is None:
            return self.access.delete(self.key, self.version)
        return self.access.update(self.key, self.old, self.now, self.version)


class Remembered:
    """Records that were just read, for who is about to change them.

    A unit may begin with one of them: if it is not the newest, the write finds out.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[str, Key], Entry] = {}

    def note(self, entries: Iterable[Entry]) -> None:
        """Keep what was found."""
        for entry in entries:
            if entry.version is not None:
                if len(self._entries) >= _REMEMBERED:
                    del self._entries[next(iter(self._entries))]
                self._entries[entry.access.kind.collection, entry.key] = entry

    def take(self, collection: str, key: Key) -> Entry | None:
        """Return what was found, once."""
        return self._entries.pop((collection, key), None)


class Unplanned(Exception):
    """The work needs a transaction."""


class Plan(Collections):
    """The collections of a unit; what is written to them waits for :meth:`carry_out`.

    ``clean``: whatever the work says now, it says of what is stored.
    """

    def __init__(self, session: PostgresSession, remembered: Remembered | None) -> None:
        self.session = session
        self.entries: dict[tuple[str, Key], Entry] = {}
        self._remembered = remembered
        self._unplanned = False

    def __getattr__(self, name: str) -> Any:
        access = ACCESS.get(name)
        if access is None:
            raise AttributeError(name)
        collection: PlannedCollection[Any] = PlannedCollection(self, access)
        self.__dict__[name] = collection
        return collection

    @property
    def clean(self) -> bool:
        """Whether nothing was guessed or waits to be written."""
        return not self._unplanned and not any(
            entry.guessed or entry.written for entry in self.entries.values()
        )

    def unplanned(self) -> NoReturn:
        """Give up planning."""
        self._unplanned = True
        raise Unplanned

    async def entry(self, access: Access[R], key: Key, *, guess: bool = False) -> Entry:
        """Return what is known of a row; read it if nothing is."""
        place = (access.kind.collection, key)
        entry = self.entries.get(place)
        if entry is not None:
            return entry
        if guess and self._remembered is not None:
            before = self._remembered.take(*place)
            if before is not None:
                entry = Entry(
                    access,
                    key,
                    before.old,
                    before.version,
                    guessed=True,
                    now=before.old,
                )
        if entry is None:
            rows = await self.session.fetch(access.select, access.where(key))
            entry = Entry(access, key)
            if rows:
                entry.old = entry.now = access.record(rows[0])
                entry.version = rows[0][0]
        self.entries[place] = entry
        return entry

    async def carry_out(self) -> bool:
        """Write everything at once; return whether all was as it had to be."""
        if self._unplanned:
            return False
        writes: list[Write] = []
        for entry in self.entries.values():
            write = entry.write()
            if write is not None:
                writes.append(write)
            elif entry.guessed:
                return False
        if len(writes) > _TOGETHER:
            return False
        try:
            if len(writes) == 1:
                ((text, parameters),) = writes
                done = await self.session.execute(spell(text), parameters) == 1
            else:
                done = not writes or await self._write_together(writes)
        except (Conflict, Overtaken):
            return False
        self.session.counts.transactions += done and bool(writes)
        return done

    async def _write_together(self, writes: Sequence[Write]) -> bool:
        text = _together(tuple(text for text, _ in writes))
        parameters = [one for _, parameters in writes for one in parameters]
        await self.session.fetch(text, parameters)
        return True


@lru_cache(maxsize=256)
def _together(texts: tuple[str, ...]) -> str:
    """Return one statement that does all, or fails if one finds nothing to do."""
    parts = ", ".join(f"w{n} AS ({text} RETURNING 1)" for n, text in enumerate(texts))
    # Statements, not tables, are counted: each changes one row or none.
    done = " + ".join(f"(SELECT count(*) FROM w{n})" for n in range(len(texts)))  # noqa: S608
    return spell(
        f"WITH {parts}, done AS (SELECT {done} AS n) SELECT CASE WHEN n ="  # noqa: S608
        f" {len(texts)} THEN 1 ELSE ('somebody else was faster: ' || n)::int END"
        " FROM done"
    )


class PlannedCollection(Collection[R], Generic[R]):
    """The verbs, as far as they can be done before anything is written."""

    def __init__(self, plan: Plan, access: Access[R]) -> None:
        self._plan = plan
        self._access = access
        self._kind = access.kind

    async def create(self, record: R) -> None:
        """Store *record*; that its key is there may only be found out at the end."""
        key = self._kind.key_of(record)
        place = (self._kind.collection, key)
        entry = self._plan.entries.get(place)
        if entry is None:
            entry = Entry(self._access, key)
            self._plan.entries[place] = entry
        elif entry.now is not None:
            raise AlreadyExists(f"A {self._kind.name} with this key is already there.")
        elif entry.written:
            self._plan.unplanned()
        entry.now, entry.written = record, True

    async def get(self, *key: str) -> R:
        """Return the record."""
        entry = await self._plan.entry(self._access, self._kind.fold(key))
        return self._there(entry)

    async def find(self, *key: str) -> R | None:
        """Return the record, or ``None``."""
        entry = await self._plan.entry(self._access, self._kind.fold(key))
        found: R | None = entry.now
        return found

    async def list(
        self, *, after: Key | None = None, limit: int | None = None
    ) -> builtins.list[R]:
        """Return records, if none is about to change."""
        if any(entry.written for entry in self._plan.entries.values()):
            self._plan.unplanned()
        collection: Collection[R] = getattr(
            self._plan.session.collections, self._kind.collection
        )
        return await collection.list(after=after, limit=limit)

    async def update(self, *key: str, change: Callable[[R], R]) -> R:
        """Replace the record by ``change(record)``."""
        key = self._kind.fold(key)
        entry = await self._plan.entry(self._access, key, guess=True)
        old = self._there(entry)
        new = change(old)
        if new is not old:
            if self._kind.key_of(new) != key:
                raise StorageError(f"The key of a {self._kind.name} cannot change.")
            entry.now, entry.written = new, True
        return new

    async def take(self, *key: str) -> R:
        """Remove the record and return it."""
        entry = await self._plan.entry(self._access, self._kind.fold(key))
        record = self._there(entry)
        self._remove(entry)
        return record

    async def delete(self, *key: str) -> None:
        """Remove the record, unread if it was not read before."""
        key = self._kind.fold(key)
        place = (self._kind.collection, key)
        entry = self._plan.entries.get(place)
        if entry is None:
            entry = Entry(self._access, key, blind=True)
            self._plan.entries[place] = entry
        else:
            self._there(entry)
        self._remove(entry)

    def _there(self, entry: Entry) -> R:
        if entry.now is None:
            raise NotFound(f"There is no such {self._kind.name}.")
        record: R = entry.now
        return record

    def _remove(self, entry: Entry) -> None:
        if entry.version is None and not entry.blind:
            self._plan.unplanned()  # it was made in this very unit
        entry.now, entry.written = None, True
