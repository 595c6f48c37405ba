"""Looking into a SQLite file that somebody else made, without leaving a trace."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dexcore_storage_sql import (
    SQLite3,
    SQLiteStorage,
    dex_storage_types,
    mysql,
    open_storage,
    postgres,
)
from dexcore_storage_sql.postgres.dialect import POSTGRES
from dexcore_storage_sql.schema import COUNT, DEX, OURS, CreateTable

from dexcore.storage import (
    AuthCode,
    Client,
    Inspection,
    Level,
    SharedSecret,
    StorageContext,
    StorageUnavailable,
)


async def look(path: Path, **options: str) -> Inspection:
    [offer] = dex_storage_types()
    assert offer.inspect is not None
    return await offer.inspect(SQLite3(str(path), **options), StorageContext())


def everything_in(folder: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
    }


@pytest.mark.parametrize("steps", range(1, len(DEX) + 1))
async def test_any_file_of_dex_is_read_and_left_as_it_is(
    path: Path, made_by_dex: Callable[[int], None], steps: int
) -> None:
    made_by_dex(steps)
    before = everything_in(path.parent)
    found = await look(path)
    assert everything_in(path.parent) == before
    assert found.levels == (
        Level("migrations", steps, len(DEX)),
        Level("dexcore_migrations", 0, len(OURS)),
    )
    assert found.refusal == ""
    assert found.doubts == found.unreadable == ()
    assert "make the table dexcore_record" in found.changes
    assert found.changes[-1] == "switch the file to journal_mode = wal"


async def test_after_it_was_opened_nothing_is_left_to_change(
    path: Path, made_by_dex: Callable[[int], None]
) -> None:
    made_by_dex(3)
    await (await open_storage(SQLite3(str(path)))).close()
    found = await look(path)
    assert found.changes == ()
    assert {one.found - one.known for one in found.levels} == {0}


async def test_what_is_there_is_counted_while_somebody_serves(
    storage: SQLiteStorage, path: Path
) -> None:
    await storage.clients.create(Client("app"))
    await storage.clients.create(Client("web"))
    before = (await look(path)).counts
    await storage.clients.delete("app")
    after = (await look(path)).counts
    assert (before["client"], after["client"]) == (2, 1)
    assert before["auth_code"] == 0


async def test_broken_rows_are_named_and_their_secrets_are_not(
    storage: SQLiteStorage, path: Path, outside: sqlite3.Connection
) -> None:
    await storage.clients.create(Client("json", secret="s3cr3t"))
    await storage.clients.create(Client("list", secret="s3cr3t"))
    await storage.clients.create(Client("blob", secret="s3cr3t"))
    await storage.clients.create(Client("fine", secret="s3cr3t"))
    outside.execute("UPDATE client SET redirect_uris = '[s3cr3t' WHERE id = 'json'")
    outside.execute("UPDATE client SET trusted_peers = '\"s3cr3t\"' WHERE id = 'list'")
    outside.execute("UPDATE client SET secret = x'fffe' WHERE id = 'blob'")
    found = await look(path)
    assert found.counts["client"] == 4
    told = {one.key: one.reason for one in found.unreadable}
    assert set(told) == {"json", "list", "blob"}
    assert told["json"].startswith("redirect_uris: no JSON")
    assert told["list"] == (
        "trusted_peers: not the expected JSON (str instead of list)"
    )
    assert told["blob"] == "secret: bytes instead of text"
    assert "s3cr3t" not in str(found)


async def test_text_that_is_none_does_not_hide_the_rest(
    storage: SQLiteStorage, path: Path, outside: sqlite3.Connection
) -> None:
    await storage.clients.create(Client("bad"))
    await storage.clients.create(Client("good"))
    outside.execute("UPDATE client SET name = CAST(x'ff' AS TEXT) WHERE id = 'bad'")
    found = await look(path)
    assert found.counts["client"] == 2
    assert [one.key for one in found.unreadable] == ["bad"]


async def test_a_code_is_shown_by_its_beginning(
    storage: SQLiteStorage, path: Path, outside: sqlite3.Connection
) -> None:
    code = AuthCode("abcdefghijklmnop", "app")
    await storage.auth_codes.create(code)
    outside.execute("UPDATE auth_code SET scopes = '{'")
    [broken] = (await look(path)).unreadable
    assert broken.key == "abcd…"


async def test_our_own_records_are_looked_at_too(
    storage: SQLiteStorage, path: Path, outside: sqlite3.Connection
) -> None:
    await storage.shared_secrets.create(SharedSecret("server", b"s3cr3t"))
    outside.execute("UPDATE dexcore_record SET data = 'nothing'")
    found = await look(path)
    assert found.counts["shared_secret"] == 1
    [broken] = found.unreadable
    assert (broken.kind, broken.key) == ("shared_secret", "server")


async def test_what_a_step_should_have_added_is_missed(
    path: Path, made_by_dex: Callable[[int], None], outside: sqlite3.Connection
) -> None:
    made_by_dex(len(DEX))
    outside.execute("ALTER TABLE password DROP COLUMN groups")
    outside.execute("DROP TABLE device_token")
    assert (await look(path)).doubts == (
        "password has no column groups.",
        "The table device_token is missing.",
    )


async def test_a_table_that_will_be_dropped_is_counted_first(
    path: Path, made_by_dex: Callable[[int], None], outside: sqlite3.Connection
) -> None:
    steps = next(number for number, step in enumerate(DEX) if "DropTable" in str(step))
    made_by_dex(steps)
    names = [name for _, name, *_ in outside.execute("PRAGMA table_info(auth_session)")]
    marks = ", ".join("?" * len(names))
    outside.execute(f"INSERT INTO auth_session VALUES ({marks})", ["[]"] * len(names))
    changes = (await look(path)).changes
    assert "drop the table auth_session, with 1 records" in changes


async def test_a_newer_file_is_refused(
    path: Path, made_by_dex: Callable[[int], None], outside: sqlite3.Connection
) -> None:
    made_by_dex(len(DEX))
    outside.execute("INSERT INTO migrations VALUES (99, date('now'))")
    found = await look(path)
    assert "newer" in found.refusal
    assert found.levels[0].found == 99


def test_an_empty_file_is_worth_a_look(path: Path) -> None:
    path.touch()
    found = asyncio.run(look(path))
    assert found.doubts == ("There is nothing of dex's here: dexcore begins anew.",)
    assert path.read_bytes() == b""


def test_no_file_is_made(path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="No such file"):
        asyncio.run(look(path))
    assert not path.exists()


def test_what_is_no_database_cannot_be_opened(path: Path) -> None:
    path.write_text("no database at all, but quite a long text " * 100)
    with pytest.raises(StorageUnavailable):
        asyncio.run(look(path))


@pytest.mark.parametrize("name", ["with a space.db", "100%.db", "what?.db#1"])
async def test_names_of_files_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    path = tmp_path / name.partition("?")[0]
    await (await open_storage(SQLite3(str(path)))).close()
    assert (await look(path)).doubts == ()


# — PostgreSQL -------------------------------------------------------------------------


async def look_into_postgres(place: Any, database: str) -> Inspection:
    [offer] = postgres.dex_storage_types()
    assert offer.inspect is not None
    return await offer.inspect(place.config(database), StorageContext())


async def test_an_older_postgres_is_read_and_left_as_it_is(
    postgres_place: Any, postgres_empty: str
) -> None:
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    changes = (CreateTable("migrations", COUNT, ()), *sum(DEX[:5], ()))
    for change in changes:
        for statement in POSTGRES.statements(change):
            await postgres_place.run(statement, database=postgres_empty)
    await postgres_place.run(
        "INSERT INTO migrations SELECT n, now() FROM generate_series(1, 5) AS n",
        database=postgres_empty,
    )
    [[before]] = await postgres_place.run(tables, database=postgres_empty)
    found = await look_into_postgres(postgres_place, postgres_empty)
    [[after]] = await postgres_place.run(tables, database=postgres_empty)
    assert before == after
    assert found.flavour.startswith("PostgreSQL 1")
    assert found.levels[0] == Level("migrations", 5, len(DEX))
    assert found.doubts == found.unreadable == ()
    assert "make the table dexcore_record" in found.changes


async def test_broken_rows_in_postgres_are_named(
    postgres_place: Any, postgres_ready: str
) -> None:
    storage = await postgres.open_storage(postgres_place.config(postgres_ready))
    await storage.clients.create(Client("good"))
    await storage.clients.create(Client("bad", secret="s3cr3t"))
    await storage.close()
    await postgres_place.run(
        "UPDATE client SET redirect_uris = 's3cr3t' WHERE id = 'bad'",
        database=postgres_ready,
    )
    found = await look_into_postgres(postgres_place, postgres_ready)
    assert found.counts["client"] == 2
    assert found.changes == ()
    [broken] = found.unreadable
    assert (broken.kind, broken.key) == ("client", "bad")
    assert "s3cr3t" not in str(found)


# — MariaDB ----------------------------------------------------------------------------


async def test_mariadb_is_read_and_left_as_it_is(
    mysql_place: Any, mysql_empty: str
) -> None:
    [offer] = mysql.dex_storage_types()
    assert offer.inspect is not None
    config = mysql_place.config(mysql_empty)
    empty = await offer.inspect(config, StorageContext())
    assert empty.flavour.startswith("MariaDB ")
    assert empty.levels[0].found == 0
    assert len(empty.doubts) == 1
    storage = await mysql.open_storage(config)
    await storage.clients.create(Client("app"))
    await storage.close()
    found = await offer.inspect(config, StorageContext())
    assert found.levels[0].found == found.levels[0].known
    assert found.counts["client"] == 1
    assert found.doubts == found.unreadable == found.changes == ()
