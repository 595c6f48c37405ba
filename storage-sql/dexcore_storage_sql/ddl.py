"""How each database spells what all of them understand: types, changes, statements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import attrs

from . import schema, values
from .schema import (
    AddColumns,
    Change,
    ChangeColumns,
    Column,
    CreateIndex,
    CreateTable,
    DropTable,
    FillColumn,
    MendDefaults,
    Type,
    Utf8,
)
from .tables import Column as Field
from .values import Convert


@attrs.frozen
class Dialect:
    """What differs from database to database.

    Statements are written with ``?`` for values and ``"`` around names; ``spell``
    writes them as the driver wants them.  ``by_key`` is added to a key's column where
    its order counts, ``lock`` to reading what is about to be written, ``skip`` to
    reading what others may be removing, ``unless_there`` to inserting;
    ``everything`` is the limit that is none.  ``exists``: a step may have been cut in
    its middle.  ``returning``: DELETE can return what it removes.  ``inner_limit``: it
    can be told by a SELECT what to remove, and how much.
    """

    name: str
    types: Mapping[Type, str]
    dex: tuple[schema.Step, ...]
    ours: tuple[schema.Step, ...]
    tables: str
    writer: Callable[[Field], Convert]
    reader: Callable[[Field], Convert]
    time: Callable[[datetime], Any]
    spell: Callable[[str], str] = str
    now: str = "now()"
    by_key: str = ""
    lock: str = ""
    skip: str = ""
    unless_there: str = " ON CONFLICT DO NOTHING"
    everything: int | None = None
    booleans: tuple[str, str] = ("false", "true")
    bytes_literal: str = "{0}"
    year_one: str = schema.YEAR_ONE
    exists: bool = False
    returning: bool = True
    inner_limit: bool = True
    collation: str = ""

    def statements(self, change: Change) -> list[str]:
        """Return the statements that make *change*."""
        return [self.spell(text) for text in self._statements(change)]

    def _statements(self, change: Change) -> list[str]:
        match change:
            case CreateTable():
                return [self._create(change)]
            case AddColumns(table, columns):
                alter = f"ALTER TABLE {quoted(table)} ADD COLUMN"
                return [f"{alter} {self._column(column)}" for column in columns]
            case ChangeColumns(table, columns):
                changes = [f"MODIFY {self._column(column)}" for column in columns]
                return [f"ALTER TABLE {quoted(table)} {', '.join(changes)}"]
            case Utf8(table, columns):
                changes = [f"MODIFY {self._column(column)}" for column in columns]
                words = f"CONVERT TO CHARACTER SET utf8mb4 COLLATE {self.collation}"
                changes = [words, *changes, "ROW_FORMAT=DYNAMIC"]
                return [f"ALTER TABLE {quoted(table)} {', '.join(changes)}"]
            case DropTable(table):
                return [f"DROP TABLE {'IF EXISTS ' * self.exists}{quoted(table)}"]
            case CreateIndex(name, table, columns, by_key):
                order = self.by_key if by_key else ""
                names = ", ".join(f"{quoted(column)}{order}" for column in columns)
                return [f"CREATE INDEX {name} ON {quoted(table)} ({names})"]
            case FillColumn(table, column, value):
                return [
                    f"UPDATE {quoted(table)} SET {quoted(column)} = '{value}'"  # noqa: S608 - our names
                    f" WHERE {quoted(column)} IS NULL"
                ]
            case MendDefaults(table, column):
                return [
                    f"UPDATE {quoted(table)} SET {quoted(column)} ="  # noqa: S608
                    f" CAST({quoted(column)} AS BLOB)"
                    f" WHERE typeof({quoted(column)}) = 'text'"
                ]

    def _create(self, change: CreateTable) -> str:
        parts = [self._column(column) for column in change.columns]
        if change.key:
            parts.append(f"PRIMARY KEY ({', '.join(map(quoted, change.key))})")
        unless = "IF NOT EXISTS " if self.exists else ""
        tail = " WITHOUT ROWID" if change.clustered and self.name == "sqlite3" else ""
        return f"CREATE TABLE {unless}{quoted(change.table)} ({', '.join(parts)}){tail}"

    def _column(self, column: Column) -> str:
        words = [quoted(column.name), self.types[column.type]]
        if not column.null:
            words.append("NOT NULL")
        if column.default is not None:
            words.append(f"DEFAULT {self._literal(column)}")
        return " ".join(words)

    def _literal(self, column: Column) -> str:
        value = column.default
        if isinstance(value, bool):
            return self.booleans[value]
        if isinstance(value, str):
            text = self.year_one if value == schema.YEAR_ONE else value
            literal = self.bytes_literal if column.type is Type.BYTES else "{0}"
            return literal.format(f"'{text}'")
        return str(value)


def quoted(name: str) -> str:
    """Return *name* as an identifier: ``groups`` and ``keys`` are words of SQL."""
    return f'"{name}"'


SQLITE = Dialect(
    name="sqlite3",
    types={
        Type.TEXT: "text",
        Type.KEY: "text",
        Type.LINE: "text",
        Type.STATE: "text",
        Type.BYTES: "blob",
        Type.LONG_BYTES: "blob",
        Type.BOOLEAN: "integer",
        Type.TIME: "timestamp",
        Type.INTEGER: "integer",
        Type.BIG_INTEGER: "integer",
    },
    dex=schema.DEX,
    ours=schema.OURS,
    tables="SELECT name FROM sqlite_master WHERE type = 'table'",
    writer=values.writer,
    reader=values.reader,
    time=values.write_time,
    now="date('now')",
    everything=-1,
    booleans=("0", "1"),
)
