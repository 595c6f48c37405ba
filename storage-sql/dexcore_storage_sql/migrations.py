"""Bring a database to the schema of today, in one transaction."""

from __future__ import annotations

from dexcore.storage import StorageError

from .ddl import quoted, statements
from .schema import COUNT, DEX, OURS, CreateTable, Step
from .sqlite import SQLiteSession

_DEX_COUNT = "migrations"
_OUR_COUNT = "dexcore_migrations"


def migrate(session: SQLiteSession) -> None:
    """Do what is missing of dex's steps and of ours.

    Several processes may do this at once: the first does it.  Raises ``StorageError``
    for a database of a newer dex or dexcore, and for one of dex's other, ``ent``,
    schema.
    """
    if _is_current(session):
        return
    session.begin()
    try:
        _advance(session, _DEX_COUNT, DEX)
        _advance(session, _OUR_COUNT, OURS)
    except BaseException:
        session.rollback()
        raise
    session.commit()


def _is_current(session: SQLiteSession) -> bool:
    """Return whether nothing is to be done, without keeping others from writing."""
    tables = _tables(session)
    if _DEX_COUNT not in tables:
        if "oauth2clients" in tables:
            raise StorageError(
                "This database has the tables of dex's DEX_ENT_ENABLED, which dexcore"
                " does not read. Give another file."
            )
        return False
    done = _count(session, _DEX_COUNT)
    _check_known(_DEX_COUNT, done, DEX)
    if _OUR_COUNT not in tables:
        return False
    ours = _count(session, _OUR_COUNT)
    _check_known(_OUR_COUNT, ours, OURS)
    return done == len(DEX) and ours == len(OURS)


def _check_known(table: str, done: int, steps: tuple[Step, ...]) -> None:
    if done > len(steps):
        raise StorageError(
            f"This database was made by a newer version: its table {table} counts to"
            f" {done}, this version knows {len(steps)}. Use the newer version, or"
            " restore a backup."
        )


def _advance(session: SQLiteSession, table: str, steps: tuple[Step, ...]) -> None:
    if table not in _tables(session):
        for statement in statements(CreateTable(table, COUNT, ())):
            session.run(statement)
    done = _count(session, table)
    _check_known(table, done, steps)
    for number, step in enumerate(steps[done:], done + 1):
        for change in step:
            for statement in statements(change):
                session.run(statement)
        session.run(
            f"INSERT INTO {quoted(table)} (num, at) VALUES (?, date('now'))",  # noqa: S608
            (number,),
        )


def _count(session: SQLiteSession, table: str) -> int:
    (number,) = session.run(f"SELECT max(num) FROM {quoted(table)}").fetchone()  # noqa: S608
    return int(number or 0)


def _tables(session: SQLiteSession) -> set[str]:
    found = session.run("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name for (name,) in found}
