"""Databases the tests look into from outside, as dex would; and real servers."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import asyncmy
import asyncpg
import pytest
import trustme

from dexcore_storage_sql import (
    SQLite3,
    SQLiteStorage,
    mysql,
    open_storage,
    postgres,
)
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


# — MariaDB ----------------------------------------------------------------------------

MYSQL_8 = (
    "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
)


class MySQLPlace:
    """Databases on a server, made, looked into and emptied from outside."""

    def __init__(self, server: servers.Server) -> None:
        self.server = server
        self.ready = ""
        self.clear: list[str] = []
        self._names = (f"d{number}" for number in count())

    def config(self, database: str, **options: Any) -> mysql.MySQL:
        defaults: dict[str, Any] = {
            "host": self.server.host,
            "port": self.server.port,
            "user": "dex",
            "password": "pä'ss",
            "database": database,
            "ssl": mysql.SSL("false"),
        }
        return mysql.MySQL(**{**defaults, **options})

    async def run(self, *statements: str, database: str | None = None) -> Any:
        """Run statements as ``root`` and return the rows of the last."""
        connection = await asyncmy.connect(
            unix_socket=str(self.server.socket),
            user="root",
            database=database,
            charset="utf8mb4",
            autocommit=True,
        )
        try:
            cursor = connection.cursor()
            for statement in statements:
                await cursor.execute(statement)
            return list(await cursor.fetchall())
        finally:
            await connection.ensure_closed()

    async def make(self, words: str = "CHARACTER SET utf8mb4") -> str:
        """Make an empty database and return its name."""
        name = next(self._names)
        await self.run(f"CREATE DATABASE {name} {words}")
        return name

    async def drop(self, name: str) -> None:
        await self.run(f"DROP DATABASE {name}")

    async def emptied(self) -> str:
        """Return the name of a database with its tables, and nothing in them."""
        if not self.ready:
            name = await self.make()
            await (await mysql.open_storage(self.config(name))).close()
            tables = await self.run("SHOW TABLES", database=name)
            self.clear = [
                f"DELETE FROM `{table}`"
                for (table,) in tables
                if not table.endswith("migrations")
            ]
            self.ready = name
        await self.run(*self.clear, database=self.ready)
        return self.ready


def prepare_users(server: servers.Server) -> MySQLPlace:
    place = MySQLPlace(server)
    grant = "GRANT ALL ON *.* TO 'dex'@'{0}' IDENTIFIED BY 'pä\\'ss'"
    asyncio.run(place.run(*(grant.format(host) for host in ("127.0.0.1", "localhost"))))
    return place


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def mysql_server(authority: trustme.CA) -> Iterator[servers.Server]:
    """A server that speaks TLS to who wants it."""
    certificate = authority.issue_cert("localhost", common_name="localhost")
    # Not among pytest's own: the server runs as somebody else.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "cert").write_bytes(certificate.cert_chain_pems[0].bytes())
        (folder / "key").write_bytes(certificate.private_key_pem.bytes())
        (folder / "ca").write_bytes(authority.cert_pem.bytes())
        options = [f"--ssl-{name}={folder / name}" for name in ("cert", "key", "ca")]
        with running(lambda: servers.mariadb(*options), "mariadb-server") as server:
            yield server


@pytest.fixture(scope="session")
def mysql_place(mysql_server: servers.Server) -> MySQLPlace:
    place = MySQLPlace(mysql_server)
    users = [("dex", ""), ("tls", "REQUIRE SSL"), ("certified", "REQUIRE X509")]
    grants = [
        f"GRANT ALL ON *.* TO '{user}'@'{host}' IDENTIFIED BY 'pä\\'ss' {words}"
        for user, words in users
        for host in ("127.0.0.1", "localhost")
    ]
    asyncio.run(place.run(*grants))
    return place


@pytest.fixture
async def as_strict_as_mysql_8(mysql_place: MySQLPlace) -> AsyncIterator[None]:
    """New connections begin with the mode that MySQL 8 has by default."""
    ((before,),) = await mysql_place.run("SELECT @@global.sql_mode")
    await mysql_place.run(f"SET GLOBAL sql_mode = '{MYSQL_8}'")
    yield
    await mysql_place.run(f"SET GLOBAL sql_mode = '{before}'")


@pytest.fixture
async def mysql_empty(mysql_place: MySQLPlace) -> AsyncIterator[str]:
    """A database without tables, which takes ``a`` for ``A``."""
    name = await mysql_place.make("CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
    yield name
    await mysql_place.drop(name)


@pytest.fixture
async def mysql_ready(mysql_place: MySQLPlace) -> str:
    """A database with its tables, and nothing in them."""
    return await mysql_place.emptied()
