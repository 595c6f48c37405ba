"""Bring a database to the schema of today."""

from __future__ import annotations

from dexcore.storage import StorageError

from .ddl import Dialect, quoted
from .schema import (
    COUNT,
    AddColumns,
    Change,
    CreateIndex,
    CreateTable,
    Step,
)
from .verbs import Session

_DEX_COUNT = "migrations"
_OUR_COUNT = "dexcore_migrations"


async def is_current(session: Session, dialect: Dialect) -> bool:
    """Return whether nothing is to be done, without keeping others from writing.

    Raises ``StorageError`` for a database of a newer dex or dexcore, and for one of
    dex's other, ``ent``, schema.
    """
    tables = await _tables(session, dialect)
    if _DEX_COUNT not in tables:
        if "oauth2clients" in tables:
            raise StorageError(
                "This database has the tables of dex's DEX_ENT_ENABLED, which dexcore"
                " does not read. Give another one."
            )
        return False
    done = await _count(session, dialect, _DEX_COUNT)
    _check_known(_DEX_COUNT, done, dialect.dex)
    if _OUR_COUNT not in tables:
        return False
    ours = await _count(session, dialect, _OUR_COUNT)
    _check_known(_OUR_COUNT, ours, dialect.ours)
    return done == len(dialect.dex) and ours == len(dialect.ours)


async def advance(session: Session, dialect: Dialect) -> None:
    """Do what is missing of dex's steps and of ours, while nobody else does.

    Raises ``StorageError`` as :func:`is_current`.
    """
    await _advance(session, dialect, _DEX_COUNT, dialect.dex)
    await _advance(session, dialect, _OUR_COUNT, dialect.ours)


def _check_known(table: str, done: int, steps: tuple[Step, ...]) -> None:
    if done > len(steps):
        raise StorageError(
            f"This database was made by a newer version: its table {table} counts to"
            f" {done}, this version knows {len(steps)}. Use the newer version, or"
            " restore a backup."
        )


async def _advance(
    session: Session, dialect: Dialect, table: str, steps: tuple[Step, ...]
) -> None:
    if table not in await _tables(session, dialect):
        await _make(session, dialect, CreateTable(table, COUNT, ()))
    done = await _count(session, dialect, table)
    _check_known(table, done, steps)
    for number, step in enumerate(steps[done:], done + 1):
        for change in step:
            await _make(session, dialect, change)
        await session.execute(
            dialect.spell(
                f"INSERT INTO {quoted(table)} (num, at)"  # noqa: S608 - our names
                f" VALUES (?, {dialect.now})"
            ),
            (number,),
        )


async def _make(session: Session, dialect: Dialect, change: Change) -> None:
    if dialect.exists:
        # Without transactions, an earlier attempt may have come to its middle.
        left = await _left_of(session, dialect, change)
        if left is None:
            return
        change = left
    for statement in dialect.statements(change):
        await session.execute(statement, ())


async def _left_of(session: Session, dialect: Dialect, change: Change) -> Change | None:
    match change:
        case AddColumns(table, columns):
            there = await session.fetch(
                dialect.spell(
                    "SELECT column_name FROM information_schema.columns"
                    " WHERE table_schema = database() AND table_name = ?"
                ),
                (table,),
            )
            names = {name for (name,) in there}
            left = tuple(column for column in columns if column.name not in names)
            return AddColumns(table, left) if left else None
        case CreateIndex(name, table):
            there = await session.fetch(
                dialect.spell(
                    "SELECT 1 FROM information_schema.statistics WHERE table_schema ="
                    " database() AND table_name = ? AND index_name = ?"
                ),
                (table, name),
            )
            return None if there else change
    return change


async def _count(session: Session, dialect: Dialect, table: str) -> int:
    text = f"SELECT max(num) FROM {quoted(table)}"  # noqa: S608 - our names
    ((number,),) = await session.fetch(dialect.spell(text), ())
    return int(number or 0)


async def _tables(session: Session, dialect: Dialect) -> set[str]:
    return {name for (name,) in await session.fetch(dialect.spell(dialect.tables), ())}
