"""What is in a database, found by reading alone: what opening it would do, and find."""

from __future__ import annotations

import contextlib
import sqlite3

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs
import orjson

from dexcore.storage import (
    Inspection,
    Kind,
    Level,
    StorageError,
    StorageUnavailable,
    Unreadable,
    shown,
)
from dexcore.storage.codec import record_codec
from dexcore.storage.units import run_through

from .config import SQLite3
from .ddl import SQLITE, Dialect, quoted
from .migrations import is_current
from .schema import (
    AddColumns,
    Change,
    ChangeColumns,
    CreateIndex,
    CreateTable,
    DropTable,
    FillColumn,
    MendDefaults,
    Step,
    Utf8,
)
from .sqlite import SQLiteSession
from .tables import OWN, TABLES, Column, Holds, Table
from .values import Convert
from .verbs import Session

_PAGE = 1000  # rows that are looked at together
_COUNTS = ("migrations", "dexcore_migrations")
_COLUMNS = {
    "sqlite3": "SELECT name FROM pragma_table_info(?)",
    "postgres": "SELECT attname FROM pg_catalog.pg_attribute"
    " WHERE attrelid = to_regclass(quote_ident(?)) AND attnum > 0"
    " AND NOT attisdropped",
    "mysql": "SELECT column_name FROM information_schema.columns"
    " WHERE table_schema = database() AND table_name = ?",
}
_TYPES: dict[Holds, type[Any] | tuple[type[Any], ...]] = {
    Holds.TEXT: str,
    Holds.OPTIONAL_TEXT: str,
    Holds.BOOLEAN: bool,
    Holds.OPTIONAL_BOOLEAN: (bool, type(None)),
    Holds.INTEGER: int,
    Holds.TIME: datetime,
    Holds.BYTES: bytes,
    Holds.OPTIONAL_BYTES: bytes,
    Holds.JSON: object,
}


async def inspect(session: Session, dialect: Dialect, flavour: str) -> Inspection:
    """Return what *session* finds; every statement only reads.

    Raises ``StorageUnavailable`` if the database stops answering.
    """
    found = _Found(session, dialect, await _tables(session, dialect))
    levels, steps = await found.levels()
    try:
        await is_current(session, dialect)
        refusal = ""
    except StorageUnavailable:
        raise
    except StorageError as error:
        refusal = str(error)
    await found.look(sum(steps, ()))
    if not levels[0].found and not refusal:
        found.doubts.append("There is nothing of dex's here: dexcore begins anew.")
    return Inspection(
        flavour,
        found.counts,
        levels,
        tuple(found.unreadable),
        tuple(_words(change, found.counts) for step in steps for change in step),
        tuple(found.doubts),
        refusal,
    )


def inspect_file(config: SQLite3) -> Inspection:
    """Look into a SQLite file, which is opened for reading only.

    Raises ``StorageUnavailable`` if there is none, or it cannot be read.
    """
    with _opened(config.file) as (session, in_wal):
        flavour = f"SQLite {sqlite3.sqlite_version}"
        found = run_through(inspect(session, SQLITE, flavour))
    if found.refusal or in_wal == (config.journal_mode == "wal"):
        return found
    change = f"switch the file to journal_mode = {config.journal_mode}"
    return attrs.evolve(found, changes=(*found.changes, change))


# — a database -------------------------------------------------------------------------


class _Found:
    """What was found so far in the tables that are *there*."""

    def __init__(self, session: Session, dialect: Dialect, there: set[str]) -> None:
        self.counts: dict[str, int] = {}
        self.unreadable: list[Unreadable] = []
        self.doubts: list[str] = []
        self._session = session
        self._dialect = dialect
        self._there = there

    async def levels(self) -> tuple[tuple[Level, ...], list[Step]]:
        """Return how far each count is, and the steps that are missing."""
        levels: list[Level] = []
        missing: list[Step] = []
        known = (self._dialect.dex, self._dialect.ours)
        for name, steps in zip(_COUNTS, known, strict=True):
            done = 0
            if name in self._there:
                text = f"SELECT max(num) FROM {quoted(name)}"  # noqa: S608 - our names
                ((number,),) = await self._fetch(text)
                done = int(number or 0)
            levels.append(Level(name, done, len(steps)))
            missing += steps[done:]
        return tuple(levels), missing

    async def look(self, pending: tuple[Change, ...]) -> None:
        """Read every record of every kind; what is *pending* may be missing."""
        added = _added(pending)
        for table in TABLES:
            if table.name in self._there:
                await self._look_at(table, added.get(table.name, set()))
            elif table.name not in added:
                self.doubts.append(f"The table {table.name} is missing.")
        if "dexcore_record" in self._there:
            for kind in OWN:
                await self._look_at_own(kind)

    async def _look_at(self, table: Table[Any], added: set[str]) -> None:
        names = {name for (name,) in await self._fetch(self._columns, table.name)}
        for column in table.columns:
            if column.name not in names | added:
                self.doubts.append(f"{table.name} has no column {column.name}.")
        columns = [column for column in table.columns if column.name in names]
        checks = [(one, self._dialect.reader(one)) for one in columns]
        keys = [
            place
            for place, one in enumerate(columns)
            if one.name in table.kind.key or one.name == table.only
        ]
        count = 0
        async for row in self._rows(table, [one.name for one in columns]):
            count += 1
            for value, (column, read) in zip(row, checks, strict=True):
                wrong = _wrong(column, read, value)
                if wrong:
                    key = shown(table.kind, tuple(row[place] for place in keys))
                    self._cannot_read(table.kind, key, f"{column.name}: {wrong}")
        self.counts[table.name] = count

    async def _look_at_own(self, kind: Kind[Any]) -> None:
        text = 'SELECT "key", "data" FROM "dexcore_record" WHERE "kind" = ?'
        rows = await self._fetch(text, kind.name)
        decode = record_codec(kind).decode
        for key, data in rows:
            try:
                decode(data)
            except (ValueError, TypeError) as error:
                self._cannot_read(kind, shown(kind, (key,)), f"data: {_why(error)}")
        self.counts[kind.name] = len(rows)

    async def _rows(self, table: Table[Any], names: list[str]) -> AsyncIterator[Any]:
        if not names:
            return
        listed = ", ".join(map(quoted, names))
        order = ", ".join(map(quoted, table.kind.key or ("id",)))
        text = (
            f"SELECT {listed} FROM {quoted(table.name)}"  # noqa: S608 - our names
            f" ORDER BY {order} LIMIT ? OFFSET ?"
        )
        start, rows = 0, await self._fetch(text, _PAGE, 0)
        while rows:
            for row in rows:
                yield row
            start += _PAGE
            rows = await self._fetch(text, _PAGE, start)

    @property
    def _columns(self) -> str:
        return _COLUMNS[self._dialect.name]

    async def _fetch(self, sql: str, *values: Any) -> list[Any]:
        return await self._session.fetch(self._dialect.spell(sql), values)

    def _cannot_read(self, kind: Kind[Any], key: str, reason: str) -> None:
        self.unreadable.append(Unreadable(kind.name, key, reason))


async def _tables(session: Session, dialect: Dialect) -> set[str]:
    return {name for (name,) in await session.fetch(dialect.spell(dialect.tables), ())}


def _wrong(column: Column, read: Convert, value: Any) -> str:
    """Return what is wrong with *value*, without a word of what it is."""
    try:
        value = value if read is None else read(value)
    except (ValueError, TypeError) as error:
        return _why(error)
    if isinstance(value, _TYPES[column.holds]):
        return ""
    return f"{type(value).__name__} instead of {column.holds.value.partition(',')[0]}"


def _why(error: BaseException) -> str:
    cause = error.__cause__ or error
    if isinstance(cause, orjson.JSONDecodeError):
        return f"no JSON (character {cause.pos})"
    if isinstance(cause, TypeError):
        return f"not the expected JSON ({cause})"
    # Errors of times and of base64 repeat what they were given.
    return "not the expected JSON"


def _added(pending: tuple[Change, ...]) -> dict[str, set[str]]:
    """Return the columns that *pending* adds, by table."""
    added: dict[str, set[str]] = {}
    for change in pending:
        if isinstance(change, CreateTable | AddColumns):
            names = added.setdefault(change.table, set())
            names.update(column.name for column in change.columns)
    return added


def _words(change: Change, counts: dict[str, int]) -> str:
    """Return what *change* does, as a person would say it."""
    match change:
        case CreateTable(table):
            return f"make the table {table}"
        case AddColumns(table, columns):
            names = ", ".join(column.name for column in columns)
            return f"add to {table}: {names}"
        case DropTable(table):
            return f"drop the table {table}, with {counts.get(table, 0)} records"
        case CreateIndex(name, table):
            return f"make the index {name} on {table}"
        case ChangeColumns(table, columns):
            names = ", ".join(column.name for column in columns)
            return f"change the type in {table} of: {names}"
        case Utf8(table):
            return f"let {table} hold every character, and compare exactly"
        case FillColumn(table, column):
            return f"fill {table}.{column} where it is empty"
        case MendDefaults(table, column):
            return f"turn text in {table}.{column} into bytes"


# — a SQLite file ----------------------------------------------------------------------


@contextlib.contextmanager
def _opened(file: str) -> Iterator[tuple[SQLiteSession, bool]]:
    """Open *file* for reading, and say whether it has a write-ahead log."""
    path = Path(file.removeprefix("file:").partition("?")[0])
    try:
        with path.open("rb") as head:
            in_wal = head.read(20)[18:20] == b"\2\2"
    except OSError as error:
        raise StorageUnavailable(f"Cannot open {path}: {error.strerror}") from error
    # Reading a file with a log makes files beside it, unless nobody else has it open.
    alone = in_wal and not path.with_name(f"{path.name}-wal").exists()
    options = "mode=ro&immutable=1" if alone else "mode=ro"
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?{options}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise StorageUnavailable(f"Cannot open {path}: {error}") from error
    connection.text_factory = _text
    with contextlib.closing(connection):
        yield SQLiteSession(connection), in_wal


def _text(data: bytes) -> str | bytes:
    """Return what SQLite calls text, though it may be none."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
