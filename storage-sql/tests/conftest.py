"""Databases the tests look into from outside, as dex would."""

from __future__ import annotations

import sqlite3

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dexcore_storage_sql import SQLite3, SQLiteStorage, open_storage
from dexcore_storage_sql.ddl import SQLITE
from dexcore_storage_sql.schema import COUNT, DEX, CreateTable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dex.db"


@pytest.fixture
async def storage(path: Path) -> AsyncIterator[SQLiteStorage]:
    storage = await open_storage(SQLite3(str(path)))
    yield storage
    await storage.close()


@pytest.fixture
def outside(path: Path) -> Iterator[sqlite3.Connection]:
    """A second connection, as another program would have it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def made_by_dex(path: Path) -> Callable[[int], None]:
    """Make the file as a dex left it that knew so many steps."""

    def make(steps: int) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            for change in (CreateTable("migrations", COUNT, ()), *sum(DEX[:steps], ())):
                for statement in SQLITE.statements(change):
                    connection.execute(statement)
            for number in range(1, steps + 1):
                connection.execute(
                    "INSERT INTO migrations VALUES (?, date('now'))", (number,)
                )

    return make
