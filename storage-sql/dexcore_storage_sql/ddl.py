"""Changes of the schema as SQLite's SQL."""

from __future__ import annotations

from .schema import (
    AddColumns,
    Change,
    Column,
    CreateIndex,
    CreateTable,
    DropTable,
    Type,
)

_TYPES = {
    Type.TEXT: "text",
    Type.BYTES: "blob",
    Type.BOOLEAN: "integer",
    Type.TIME: "timestamp",
    Type.INTEGER: "integer",
    Type.BIG_INTEGER: "integer",
}


def statements(change: Change) -> list[str]:
    """Return the statements that make *change*."""
    if isinstance(change, CreateTable):
        return [_create(change)]
    if isinstance(change, AddColumns):
        table = quoted(change.table)
        return [f"ALTER TABLE {table} ADD COLUMN {_column(c)}" for c in change.columns]
    if isinstance(change, DropTable):
        return [f"DROP TABLE {quoted(change.table)}"]
    if isinstance(change, CreateIndex):
        columns = ", ".join(map(quoted, change.columns))
        return [f"CREATE INDEX {change.name} ON {quoted(change.table)} ({columns})"]
    table, column = quoted(change.table), quoted(change.column)
    return [
        f"UPDATE {table} SET {column} = CAST({column} AS BLOB)"  # noqa: S608 - our names
        f" WHERE typeof({column}) = 'text'"
    ]


def quoted(name: str) -> str:
    """Return *name* as an identifier: ``groups`` and ``keys`` are words of SQL."""
    return f'"{name}"'


def _create(change: CreateTable) -> str:
    parts = [_column(column) for column in change.columns]
    if change.key:
        parts.append(f"PRIMARY KEY ({', '.join(map(quoted, change.key))})")
    tail = " WITHOUT ROWID" if change.clustered else ""
    return f"CREATE TABLE {quoted(change.table)} ({', '.join(parts)}){tail}"


def _column(column: Column) -> str:
    words = [quoted(column.name), _TYPES[column.type]]
    if not column.null:
        words.append("NOT NULL")
    if column.default is not None:
        words.append(f"DEFAULT {_literal(column.default)}")
    return " ".join(words)


def _literal(value: str | int | bool) -> str:
    return f"'{value}'" if isinstance(value, str) else str(int(value))
