"""Databases the tests look into from outside, as dex would; and real servers."""

from __future__ import annotations

import os
import sqlite3

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from dexcore_storage_sql import SQLite3, SQLiteStorage, open_storage, postgres
from dexcore_storage_sql.ddl import SQLITE
from dexcore_storage_sql.schema import COUNT, DEX, CreateTable

from dexcore.testing import servers


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


# — PostgreSQL -------------------------------------------------------------------------


@contextmanager
def running(
    start: Callable[[], AbstractContextManager[servers.Server]], package: str
) -> Iterator[servers.Server]:
    """Start a server; where it is not installed, say what to install."""
    try:
        server = start()
        with server as running:
            yield running
    except FileNotFoundError as error:
        reason = f"Not run: {error} To install it: apt-get install {package}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[servers.Server]:
    with running(servers.postgres, "postgresql") as server:
        yield server


class PostgresPlace:
    """Databases on a server, made, looked into and emptied from outside."""

    def __init__(self, server: servers.Server) -> None:
        self.server = server
        self.ready = self.clear = ""
        self._names = (f"d{number}" for number in count())

    def config(self, database: str, **options: Any) -> postgres.Postgres:
        defaults: dict[str, Any] = {
            "host": self.server.host,
            "port": self.server.port,
            "user": "postgres",
            "database": database,
            "ssl": postgres.SSL("disable"),
        }
        return postgres.Postgres(**{**defaults, **options})

    async def connect(self, database: str = "postgres") -> Any:
        return await asyncpg.connect(
            host=str(self.server.folder),
            port=self.server.port,
            user="postgres",
            database=database,
            ssl=False,
        )

    async def run(self, sql: str, *values: Any, database: str = "postgres") -> Any:
        connection = await self.connect(database)
        try:
            if values:
                return await connection.fetch(sql, *values)
            if sql.startswith("SELECT"):
                return await connection.fetch(sql)
            return await connection.execute(sql)
        finally:
            await connection.close()

    async def make(self, *, icu: str = "") -> str:
        """Make an empty database and return its name."""
        name = next(self._names)
        tail = f" LOCALE_PROVIDER icu ICU_LOCALE '{icu}'" if icu else ""
        await self.run(f"CREATE DATABASE {name} TEMPLATE template0{tail}")
        return name

    async def drop(self, name: str) -> None:
        await self.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_place(postgres_server: servers.Server) -> PostgresPlace:
    return PostgresPlace(postgres_server)


@pytest.fixture
async def postgres_empty(postgres_place: PostgresPlace) -> AsyncIterator[str]:
    """A database without tables."""
    name = await postgres_place.make()
    yield name
    await postgres_place.drop(name)


@pytest.fixture
async def postgres_ready(postgres_place: PostgresPlace) -> str:
    """A database with its tables, and nothing in them."""
    place = postgres_place
    if not place.ready:
        # Sorted by a language's rules, as most are.
        name = await place.make(icu="en-US")
        await (await postgres.open_storage(place.config(name))).close()
        place.ready = name
        tables = await place.run(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            " AND tablename NOT LIKE '%migrations'",
            database=name,
        )
        place.clear = "; ".join(f"DELETE FROM {table}" for (table,) in tables)
    await place.run(place.clear, database=place.ready)
    return place.ready
