"""What is special about PostgreSQL: round trips, replicas, schema, outages, TLS."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import threading

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import attrs
import pytest
import trustme

from dexcore_storage_sql import postgres
from dexcore_storage_sql.postgres import SSL, Postgres, dex_storage_types, open_storage
from dexcore_storage_sql.postgres.dialect import POSTGRES
from dexcore_storage_sql.postgres.storage import PostgresStorage
from dexcore_storage_sql.schema import COUNT, CreateTable

from dexcore.options import InvalidOption
from dexcore.storage import (
    KINDS,
    ZERO_TIME,
    AlreadyExists,
    AuthCode,
    AuthRequest,
    Client,
    Collections,
    NotFound,
    OfflineSessions,
    Password,
    RefreshToken,
    RefreshTokenRef,
    SpentCode,
    StorageContext,
    StorageError,
    StorageUnavailable,
)
from dexcore.testing import servers
from dexcore.testing.storage import SAMPLES

LATER = datetime(2126, 1, 1, tzinfo=UTC)


@pytest.fixture
async def storage(
    postgres_place: Any, postgres_ready: str
) -> AsyncIterator[PostgresStorage]:
    storage = await open_storage(postgres_place.config(postgres_ready))
    yield storage  # type: ignore[misc]
    await storage.close()


@pytest.fixture
async def replicas(
    postgres_place: Any, postgres_ready: str
) -> AsyncIterator[list[PostgresStorage]]:
    config = postgres_place.config(postgres_ready)
    both = [await open_storage(config), await open_storage(config)]
    yield both  # type: ignore[misc]
    for replica in both:
        await replica.close()


@pytest.fixture(scope="module")
def own_server(postgres_server: servers.Server) -> Iterator[servers.Server]:
    """A server that a test may stop."""
    with servers.postgres("synchronous_commit=on") as server:
        yield server


def exchange(number: str = "") -> Callable[[Collections], Awaitable[None]]:
    """Return what happens when a code becomes tokens."""

    async def work(inside: Collections) -> None:
        code = await inside.auth_codes.get(f"code{number}")
        await inside.auth_codes.take(code.id)
        await inside.spent_codes.create(SpentCode(code.id, "c", "h", expiry=LATER))
        await inside.refresh_tokens.create(RefreshToken(f"r{number}", "c"))
        ref = RefreshTokenRef(f"r{number}", "c")
        before = ""

        def enter(old: OfflineSessions) -> OfflineSessions:
            nonlocal before
            before = old.refresh["c"].id if "c" in old.refresh else ""
            return attrs.evolve(old, refresh={**old.refresh, "c": ref})

        await inside.offline_sessions.update_or_create(
            "u", "ldap", change=enter, first=OfflineSessions("u", "ldap", {"c": ref})
        )
        if before:
            await inside.refresh_tokens.delete(before)

    return work


# — Round trips ------------------------------------------------------------------------


async def warmed_up(storage: PostgresStorage) -> None:
    """Let the server know the statements, on the one connection in use."""
    for number in ("-1", "-2", "-3"):
        await storage.auth_codes.create(AuthCode(f"code{number}", "c", expiry=LATER))
        await storage.unit(exchange(number))


async def test_an_exchange_is_three_round_trips_and_one_commit(
    storage: PostgresStorage,
) -> None:
    await warmed_up(storage)
    await storage.auth_codes.create(AuthCode("code", "c", expiry=LATER))
    before = storage.statistics
    await storage.unit(exchange())
    after = storage.statistics
    assert after.round_trips - before.round_trips == 3
    assert after.transactions - before.transactions == 1
    assert await storage.auth_codes.find("code") is None
    assert [token.id for token in await storage.refresh_tokens.list()] == ["r"]
    session = await storage.offline_sessions.get("u", "ldap")
    assert session.refresh["c"].id == "r"


async def test_a_refresh_is_three_round_trips_and_one_commit(
    storage: PostgresStorage,
) -> None:
    await storage.refresh_tokens.create(RefreshToken("r", "c", token="0"))
    await storage.offline_sessions.create(OfflineSessions("u", "ldap"))

    async def read(inside: Collections) -> RefreshToken:
        token = await inside.refresh_tokens.get("r")
        await inside.offline_sessions.find("u", "ldap")
        return token

    async def rotate(inside: Collections) -> RefreshToken:
        await inside.offline_sessions.update(
            "u", "ldap", change=lambda old: attrs.evolve(old, connector_data=new)
        )
        return await inside.refresh_tokens.update(
            "r", change=lambda old: attrs.evolve(old, token=new.decode())
        )

    for number in range(3):
        new = b"%d" % (number + 1)
        before = storage.statistics
        await storage.view(read)
        await storage.unit(rotate)
        after = storage.statistics
    assert after.round_trips - before.round_trips == 3
    assert after.transactions - before.transactions == 1
    assert after.retries == 0
    assert (await storage.refresh_tokens.get("r")).token == "3"


async def test_single_verbs_are_one_round_trip_and_updates_two(
    storage: PostgresStorage,
) -> None:
    for name in "ab":
        before = storage.statistics
        await storage.clients.create(Client(name))
        await storage.clients.get(name)
        await storage.clients.update(
            name, change=lambda old: attrs.evolve(old, name="x")
        )
        await storage.clients.take(name)
        after = storage.statistics
    assert after.round_trips - before.round_trips == 5


# — Who comes in between ---------------------------------------------------------------


async def test_what_a_view_saw_is_not_written_over_when_it_has_changed(
    replicas: list[PostgresStorage],
) -> None:
    mine, theirs = replicas
    await mine.refresh_tokens.create(RefreshToken("r", "c", token="0"))

    async def read(inside: Collections) -> str:
        return (await inside.refresh_tokens.get("r")).token

    def longer(old: RefreshToken) -> RefreshToken:
        return attrs.evolve(old, token=old.token + "1")

    assert await mine.view(read) == "0"
    await theirs.refresh_tokens.update("r", change=longer)
    assert (await mine.refresh_tokens.update("r", change=longer)).token == "011"
    assert await mine.view(read) == "011"
    await theirs.refresh_tokens.delete("r")
    with pytest.raises(NotFound):
        await mine.refresh_tokens.update("r", change=longer)


async def test_a_refusal_of_what_a_view_saw_is_asked_again(
    replicas: list[PostgresStorage],
) -> None:
    mine, theirs = replicas
    await mine.refresh_tokens.create(RefreshToken("r", "c", token="old"))

    async def read(inside: Collections) -> None:
        await inside.refresh_tokens.get("r")

    def change(old: RefreshToken) -> RefreshToken:
        if old.token == "old":
            raise ZeroDivisionError
        return old

    await mine.view(read)
    await theirs.refresh_tokens.update(
        "r", change=lambda old: attrs.evolve(old, token="new")
    )
    assert (await mine.refresh_tokens.update("r", change=change)).token == "new"


async def test_of_a_hundred_exchanges_on_two_replicas_one_succeeds(
    replicas: list[PostgresStorage],
) -> None:
    await replicas[0].auth_codes.create(AuthCode("code", "c", expiry=LATER))
    work = exchange()
    done = await asyncio.gather(
        *(replica.unit(work) for replica in replicas for _ in range(50)),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in done)[:1] == ["NoneType"]
    assert [type(one) for one in done if one is not None] == [NotFound] * 99
    assert len(await replicas[0].refresh_tokens.list()) == 1


async def test_one_users_logins_at_the_same_time_all_succeed(
    replicas: list[PostgresStorage],
) -> None:
    for number in range(72):
        code = AuthCode(f"code{number}", "c", expiry=LATER)
        await replicas[0].auth_codes.create(code)
    await asyncio.gather(
        *(replicas[n % 2].unit(exchange(f"{n}")) for n in range(72)),
    )
    (token,) = await replicas[0].refresh_tokens.list()
    session = await replicas[1].offline_sessions.get("u", "ldap")
    assert session.refresh["c"].id == token.id


async def test_two_that_lock_each_others_records_both_succeed(
    replicas: list[PostgresStorage],
) -> None:
    for name in "ab":
        await replicas[0].refresh_tokens.create(RefreshToken(name, "c", token="0"))

    def count(old: RefreshToken) -> RefreshToken:
        return attrs.evolve(old, token=f"{int(old.token) + 1}")

    def both(names: str) -> Callable[[Collections], Awaitable[None]]:
        async def work(inside: Collections) -> None:
            for name in names:
                await inside.refresh_tokens.update(name, change=count)
                await inside.refresh_tokens.list()  # so that it is not planned

        return work

    await asyncio.gather(
        *(replicas[n % 2].unit(both("ab" if n % 2 else "ba")) for n in range(2))
    )
    tokens = await replicas[0].refresh_tokens.list()
    assert [token.token for token in tokens] == ["2", "2"]


async def test_a_unit_may_remove_and_make_the_same_record(
    storage: PostgresStorage,
) -> None:
    await storage.clients.create(Client("c", name="old"))

    async def work(inside: Collections) -> list[str]:
        await inside.clients.take("c")
        await inside.clients.create(Client("c", name="new"))
        await inside.clients.create(Client("d"))
        await inside.clients.delete("d")
        return [client.name for client in await inside.clients.list()]

    assert await storage.unit(work) == ["new"]
    assert [client.name for client in await storage.clients.list()] == ["new"]


async def test_what_was_there_already_undoes_the_whole_unit(
    storage: PostgresStorage,
) -> None:
    await storage.refresh_tokens.create(RefreshToken("r", "c", token="first"))
    await storage.auth_codes.create(AuthCode("code", "c", expiry=LATER))
    with pytest.raises(AlreadyExists):
        await storage.unit(exchange())
    assert (await storage.auth_codes.get("code")).client_id == "c"
    assert await storage.spent_codes.list() == []
    assert await storage.offline_sessions.list() == []


async def test_keys_and_texts_no_database_can_hold_are_refused(
    storage: PostgresStorage,
) -> None:
    for name in ("\x00", "a\x00b", "\ud800"):
        assert await storage.clients.find(name) is None
        with pytest.raises(StorageError) as refused:
            await storage.clients.create(Client("c", name=name))
        assert not isinstance(refused.value, StorageUnavailable)
        with pytest.raises(NotFound):
            await storage.clients.update(name, change=lambda old: old)
        with pytest.raises(NotFound):
            await storage.clients.take(name)
    assert await storage.clients.list() == []


# — Schema -----------------------------------------------------------------------------

# As dex leaves it: name, type, ``!`` for NOT NULL, default.
COLUMNS = """
migrations: num integer!; at timestamptz!
client: id text!; secret text!; redirect_uris bytea!; trusted_peers bytea!;
 public boolean!; name text!; logo_url text!; allowed_connectors bytea;
 mfa_chain bytea; post_logout_redirect_uris bytea; sso_shared_with bytea;
 backchannel_logout_uri text! ''; refresh_token_lifetime text! ''
auth_code: id text!; client_id text!; scopes bytea!; nonce text!; redirect_uri text!;
 claims_user_id text!; claims_username text!; claims_email text!;
 claims_email_verified boolean!; claims_groups bytea!; connector_id text!;
 connector_data bytea; expiry timestamptz!; claims_preferred_username text! '';
 code_challenge text! ''; code_challenge_method text! '';
 auth_time timestamptz! '1970-01-01 00:00:00+00'; session_id text! ''
refresh_token: id text!; client_id text!; scopes bytea!; nonce text!;
 claims_user_id text!; claims_username text!; claims_email text!;
 claims_email_verified boolean!; claims_groups bytea!; connector_id text!;
 connector_data bytea; token text! ''; created_at timestamptz! '0001-01-01 00:00:00+00';
 last_used timestamptz! '0001-01-01 00:00:00+00'; claims_preferred_username text! '';
 obsolete_token text ''
password: email text!; hash bytea!; username text!; user_id text!;
 preferred_username text! ''; groups bytea! convert_to('[]', 'UTF8'); name text! '';
 email_verified boolean
auth_session: id text!; secret text! ''; user_id text!; connector_id text!;
 client_states bytea!; created_at timestamptz!; last_activity timestamptz!;
 ip_address text! ''; user_agent text! '';
 absolute_expiry timestamptz! '1970-01-01 00:00:00+00';
 idle_expiry timestamptz! '1970-01-01 00:00:00+00'; logout_state bytea
"""
EXPECTED = {
    name: re.split(r";\s+", re.sub(r"\n ", " ", columns))
    for name, columns in re.findall(r"^(\w+): (.*(?:\n .*)*)", COLUMNS, re.MULTILINE)
}


async def described(place: Any, database: str, table: str) -> list[str]:
    rows = await place.run(
        "SELECT column_name, udt_name, is_nullable, column_default"
        " FROM information_schema.columns WHERE table_name = $1"
        " ORDER BY ordinal_position",
        table,
        database=database,
    )
    types = {"int4": "integer", "bool": "boolean"}
    found = []
    for name, type_, null, default in rows:
        words = [name, types.get(type_, type_) + "!" * (null == "NO")]
        if default is not None:
            text = re.sub(
                r"::(text|timestamp with time zone|name|integer)", "", default
            )
            words.append(text)
        found.append(" ".join(words))
    return found


async def make_as_dex(place: Any, database: str, steps: int) -> None:
    """Make the database as a dex left it that knew so many steps."""
    changes = (CreateTable("migrations", COUNT, ()), *sum(POSTGRES.dex[:steps], ()))
    texts = [text for change in changes for text in POSTGRES.statements(change)]
    texts += [
        f"INSERT INTO migrations VALUES ({n}, now())" for n in range(1, steps + 1)
    ]
    await place.run("; ".join(["SET timezone = 'UTC'", *texts]), database=database)


async def check_schema(place: Any, database: str) -> None:
    for table, expected in EXPECTED.items():
        columns = await described(place, database, table)
        dexs = [column for column in columns if not column.startswith("dexcore_")]
        assert dexs == expected
    numbers = await place.run(
        "SELECT num FROM migrations ORDER BY num", database=database
    )
    assert [number for (number,) in numbers] == [*range(1, 24)]


@pytest.mark.parametrize("steps", [0, 6, 9, 13, 22, 23])
async def test_databases_of_any_dex_are_brought_up_to_date(
    postgres_place: Any, postgres_empty: str, steps: int
) -> None:
    if steps:
        await make_as_dex(postgres_place, postgres_empty, steps)
    storage = await open_storage(postgres_place.config(postgres_empty))
    await check_schema(postgres_place, postgres_empty)
    for kind in KINDS:
        await getattr(storage, kind.collection).create(SAMPLES[kind.name].first)
    await storage.close()


@pytest.mark.parametrize("steps", [0, 9])
async def test_replicas_may_all_start_at_once(
    postgres_place: Any, postgres_empty: str, steps: int
) -> None:
    if steps:
        await make_as_dex(postgres_place, postgres_empty, steps)
    config = postgres_place.config(postgres_empty)
    replicas = await asyncio.gather(*(open_storage(config) for _ in range(5)))
    await check_schema(postgres_place, postgres_empty)
    for number, replica in enumerate(replicas):
        await replica.clients.create(Client(f"{number}"))
        assert len(await replica.clients.list()) == number + 1
    for replica in replicas:
        await replica.close()


async def test_users_of_an_older_dex_are_still_there(
    postgres_place: Any, postgres_empty: str
) -> None:
    await make_as_dex(postgres_place, postgres_empty, 11)
    await postgres_place.run(
        "INSERT INTO password VALUES ('a@b.c', '$2y$', 'a', '1')",
        database=postgres_empty,
    )
    storage = await open_storage(postgres_place.config(postgres_empty))
    user = await storage.passwords.get("A@B.C")
    await storage.close()
    assert user == Password("a@b.c", b"$2y$", "a", user_id="1")


@pytest.mark.parametrize("table", ["migrations", "dexcore_migrations"])
async def test_a_database_of_a_newer_version_is_refused(
    postgres_place: Any, postgres_empty: str, table: str
) -> None:
    config = postgres_place.config(postgres_empty)
    await (await open_storage(config)).close()
    await postgres_place.run(
        f"INSERT INTO {table} VALUES (24, now())", database=postgres_empty
    )
    with pytest.raises(StorageError, match="made by a newer version"):
        await open_storage(config)


async def test_a_database_of_dexs_other_schema_is_refused(
    postgres_place: Any, postgres_empty: str
) -> None:
    await postgres_place.run(
        "CREATE TABLE oauth2clients (id text)", database=postgres_empty
    )
    with pytest.raises(StorageError, match="DEX_ENT_ENABLED"):
        await open_storage(postgres_place.config(postgres_empty))


# — Rows as dex writes them ------------------------------------------------------------

REF = (
    b'{"c1":{"ID":"r1","ClientID":"c1","CreatedAt":"2026-08-06T12:30:45.123456789Z",'
    b'"LastUsed":"2026-08-06T12:30:45.123456789Z","SessionID":"s1"}}'
)


async def test_what_dex_wrote_comes_back_byte_for_byte(
    storage: PostgresStorage, postgres_place: Any, postgres_ready: str
) -> None:
    rows: dict[str, dict[str, Any]] = {
        "client": {
            "id": "c1", "secret": "s", "redirect_uris": b'["https://a/?x=1\\u0026y=2"]',
            "trusted_peers": b"null", "public": False, "name": "App", "logo_url": "",
            "allowed_connectors": b"null", "mfa_chain": b"[]",
            "sso_shared_with": b"null", "post_logout_redirect_uris": b"null",
        },
        "offline_session": {
            "user_id": "u", "conn_id": "ldap", "refresh": REF, "connector_data": None,
        },
        "device_token": {
            "device_code": "d", "status": "complete", "token": b"\xc3\xa9",
            "expiry": LATER, "last_request": LATER, "poll_interval": 5,
        },
    }  # fmt: skip
    keys = {"client": ("c1",), "offline_session": ("u", "ldap"), "device_token": ("d",)}

    async def stored(table: str) -> dict[str, Any]:
        columns = ", ".join(f'"{name}"' for name in rows[table])
        (found,) = await postgres_place.run(
            f"SELECT {columns} FROM {table}", database=postgres_ready
        )
        return dict(found)

    for table, row in rows.items():
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        await postgres_place.run(
            f"INSERT INTO {table} ({names}) VALUES ({marks}) RETURNING 1",
            *row.values(),
            database=postgres_ready,
        )
        collection: Any = getattr(storage, f"{table}s")
        record = await collection.take(*keys[table])
        await collection.create(record)
        assert await stored(table) == row
    await storage.clients.update("c1", change=lambda old: attrs.evolve(old, name="x"))
    assert await stored("client") == {**rows["client"], "name": "x"}


async def test_times_that_are_not_set_are_year_one(
    storage: PostgresStorage, postgres_place: Any, postgres_ready: str
) -> None:
    await storage.auth_requests.create(AuthRequest("a", "c", expiry=LATER))
    ((text,),) = await postgres_place.run(
        "SELECT (auth_time AT TIME ZONE 'UTC')::text FROM auth_request",
        database=postgres_ready,
    )
    assert text == "0001-01-01 00:00:00"


@pytest.mark.parametrize(
    "text",
    ["1970-01-01 00:00:00+00", "1970-01-01 00:00:00+08", "1970-01-01 00:00:00-07",
     "0001-01-01 00:00:00+00", "0001-01-01 00:00:00+08", "-infinity", "0044-01-01 BC"],
)  # fmt: skip
async def test_all_that_means_not_set_is_read_so(
    storage: PostgresStorage, postgres_place: Any, postgres_ready: str, text: str
) -> None:
    await storage.auth_requests.create(AuthRequest("a", "c", expiry=LATER))
    await postgres_place.run(
        f"UPDATE auth_request SET auth_time = '{text}'", database=postgres_ready
    )
    assert (await storage.auth_requests.get("a")).auth_time == ZERO_TIME


async def test_no_statement_looks_at_every_row(
    storage: PostgresStorage, postgres_place: Any, postgres_ready: str
) -> None:
    """Sweeping and paging through what may be long use their indexes."""
    sweep = "SELECT id FROM {} WHERE {} < now() LIMIT 10"
    page = (
        'SELECT id FROM {} WHERE id COLLATE "C" > $$x$$ ORDER BY id COLLATE "C" LIMIT 9'
    )
    texts = [
        *(
            sweep.format(table, column)
            for table, column in [
                ("auth_request", "expiry"),
                ("auth_code", "expiry"),
                ("auth_session", "idle_expiry"),
                ("auth_session", "absolute_expiry"),
            ]
        ),
        *(page.format(table) for table in ("refresh_token", "auth_session")),
    ]
    connection = await postgres_place.connect(postgres_ready)
    await connection.execute("SET enable_seqscan = off; SET enable_sort = off")
    for text in texts:
        plan = await connection.fetch(f"EXPLAIN {text}")
        lines = " ".join(line for (line,) in plan)
        assert "Index" in lines
        assert "Seq Scan" not in lines
        assert "Sort" not in lines
    await connection.close()


# — What breaks ------------------------------------------------------------------------


def config_of(server: servers.Server, **options: Any) -> Postgres:
    """Return the configuration of a new database."""
    run_sql(server, "DROP DATABASE IF EXISTS dex WITH (FORCE)")
    run_sql(server, "CREATE DATABASE dex")
    defaults: dict[str, Any] = {"ssl": SSL("disable"), "connection_timeout": 1}
    given = {"host": server.host, "port": server.port, "user": "postgres"}
    return Postgres(database="dex", **{**given, **defaults, **options})


def run_sql(server: servers.Server, sql: str) -> None:
    """Run a statement from outside, in a thread and a loop of its own."""

    async def run() -> None:
        connection = await asyncpg.connect(
            host=str(server.folder), port=server.port, user="postgres", ssl=False
        )
        await connection.execute(sql)
        await connection.close()

    thread = threading.Thread(target=asyncio.run, args=[run()])
    thread.start()
    thread.join()


async def test_a_restart_is_unavailable_and_then_all_goes_on(
    own_server: servers.Server,
) -> None:
    storage = await open_storage(config_of(own_server))
    await asyncio.gather(*(storage.clients.create(Client(f"{n}")) for n in range(10)))
    await asyncio.to_thread(own_server.stop)
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            await storage.clients.get("0")
        with pytest.raises(StorageUnavailable):
            await storage.ping()
    await asyncio.to_thread(own_server.start)
    assert len(await storage.clients.list()) == 10
    await storage.clients.update("0", change=lambda old: attrs.evolve(old, name="x"))
    await storage.close()


async def test_a_crash_under_load_loses_nothing_that_was_acknowledged(
    own_server: servers.Server,
) -> None:
    done: list[str] = []

    async def write(worker: int) -> None:
        for number in range(100_000):
            name = f"{worker}-{number}"
            try:
                await storage.clients.create(Client(name))
            except StorageUnavailable:
                return
            done.append(name)

    storage = await open_storage(config_of(own_server))
    writing = asyncio.gather(*(write(n) for n in range(8)))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(own_server.kill)
    async with asyncio.timeout(10):
        await writing
    await asyncio.to_thread(own_server.start)
    assert {client.id for client in await storage.clients.list()} >= {*done}
    assert len(done) > 20
    await storage.close()


async def test_a_server_that_hangs_is_unavailable_within_bounds(
    own_server: servers.Server,
) -> None:
    """New connections wait for the time the file gives them."""
    storage = await open_storage(config_of(own_server, max_idle_conns=1))
    own_server.send(signal.SIGSTOP)
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        taken = await storage._pool.take()  # type: ignore[attr-defined]
        with pytest.raises(StorageUnavailable, match="does not answer"):
            await storage.clients.get("c")
        assert loop.time() - started < 5
    finally:
        own_server.send(signal.SIGCONT)
    storage._pool.give(taken)  # type: ignore[attr-defined]
    await storage.clients.create(Client("c"))
    await storage.close()


async def test_a_statement_that_takes_too_long_is_given_up(
    postgres_place: Any, postgres_ready: str
) -> None:
    """Somebody locks a row and goes to lunch; others are served meanwhile."""
    config = postgres_place.config(postgres_ready, statement_timeout=1)
    storage = await open_storage(config)
    await storage.clients.create(Client("c"))
    await storage.clients.create(Client("d"))
    locker = await postgres_place.connect(postgres_ready)
    await locker.execute("BEGIN; SELECT 1 FROM client WHERE id = 'c' FOR UPDATE")
    loop = asyncio.get_running_loop()
    started = loop.time()
    waiting = asyncio.gather(
        *(storage.clients.delete("c") for _ in range(2)), return_exceptions=True
    )
    assert (await storage.clients.get("d")).id == "d"
    done = await waiting
    assert [type(one) for one in done] == [StorageUnavailable] * 2
    assert 0.9 < loop.time() - started < 3
    await locker.execute("ROLLBACK")
    await locker.close()
    assert (await storage.clients.take("c")).id == "c"
    await storage.close()


async def test_who_stops_waiting_takes_nobody_along(
    storage: PostgresStorage,
) -> None:
    waiting = [
        asyncio.create_task(storage.clients.create(Client(f"{n}"))) for n in range(40)
    ]
    await asyncio.sleep(0.002)
    for task in waiting[::2]:
        task.cancel()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert [one for one in done[1::2] if one is not None] == []
    stored = {client.id for client in await storage.clients.list()}
    assert stored >= {f"{n}" for n in range(1, 40, 2)}


async def test_more_callers_than_connections_wait_their_turn(
    postgres_place: Any, postgres_ready: str
) -> None:
    config = postgres_place.config(postgres_ready, max_open_conns=2)
    storage = await open_storage(config)
    await asyncio.gather(*(storage.clients.create(Client(f"{n}")) for n in range(200)))
    rows = await postgres_place.run(
        "SELECT count(*) FROM pg_stat_activity"
        f" WHERE datname = '{postgres_ready}' AND application_name = 'dexcore'"
    )
    assert rows[0][0] <= 2
    assert len(await storage.clients.list()) == 200
    await storage.close()


async def test_connections_are_replaced_when_they_are_old(
    postgres_place: Any, postgres_ready: str
) -> None:
    config = postgres_place.config(postgres_ready, conn_max_lifetime=1)
    storage = await open_storage(config)
    pids = "SELECT pid FROM pg_stat_activity WHERE application_name = 'dexcore'"
    before = await postgres_place.run(f"{pids} AND datname = '{postgres_ready}'")
    await asyncio.sleep(1.1)
    await storage.ping()
    after = await postgres_place.run(f"{pids} AND datname = '{postgres_ready}'")
    assert not {pid for (pid,) in before} & {pid for (pid,) in after}
    await storage.close()


async def test_a_closed_storage_is_unavailable(
    postgres_place: Any, postgres_ready: str
) -> None:
    storage = await open_storage(postgres_place.config(postgres_ready))
    await storage.close()
    await storage.close()
    with pytest.raises(StorageUnavailable):
        await storage.ping()


async def test_a_long_sweep_removes_everything_that_expired(
    storage: PostgresStorage,
) -> None:
    past = datetime(2026, 1, 1, tzinfo=UTC)

    async def fill(inside: Collections) -> None:
        await inside.clients.list()
        for number in range(2500):
            await inside.auth_codes.create(AuthCode(f"{number}", "c", expiry=past))

    await storage.unit(fill)
    swept = await asyncio.gather(
        *(storage.sweep(past + timedelta(days=1)) for _ in range(3))
    )
    assert sum(one["auth_code"] for one in swept) == 2500


# — Configuration ----------------------------------------------------------------------


async def test_the_plugin_offers_the_type_postgres(
    postgres_place: Any, postgres_ready: str
) -> None:
    (offer,) = dex_storage_types()
    assert (offer.name, offer.config) == ("postgres", Postgres)
    storage = await offer.open(postgres_place.config(postgres_ready), StorageContext())
    assert storage.shared
    await storage.close()


async def test_naming_the_type_does_not_import_the_driver() -> None:
    code = (
        "import sys, dexcore_storage_sql.postgres as p; p.dex_storage_types();"
        "print('asyncpg' in sys.modules)"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await child.communicate()
    assert printed.strip() == b"False"


@pytest.mark.parametrize("where", ["socket", "host:port", "host and port", "PG*"])
async def test_servers_are_named_as_dex_names_them(
    postgres_server: servers.Server,
    postgres_ready: str,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    server = postgres_server
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGSSLMODE"):
        monkeypatch.delenv(name, raising=False)
    given: dict[str, Any] = {"user": "postgres", "database": postgres_ready}
    off = SSL("disable")
    config = {
        "socket": Postgres(host=str(server.folder), port=server.port, **given),
        "host:port": Postgres(
            host=f"127.0.0.1:{server.port}", port=1, ssl=off, **given
        ),
        "host and port": Postgres(host="127.0.0.1", port=server.port, ssl=off, **given),
        "PG*": Postgres(),
    }[where]
    if where == "PG*":
        monkeypatch.setenv("PGHOST", "127.0.0.1")
        monkeypatch.setenv("PGPORT", str(server.port))
        monkeypatch.setenv("PGUSER", "postgres")
        monkeypatch.setenv("PGDATABASE", postgres_ready)
        monkeypatch.setenv("PGSSLMODE", "disable")
    storage = await open_storage(config)
    await storage.ping()
    await storage.close()


@pytest.mark.parametrize("known", [True, False])
async def test_statements_need_not_be_prepared(
    postgres_place: Any, postgres_ready: str, known: bool
) -> None:
    config = postgres_place.config(postgres_ready, prepared_statements=known)
    storage = await open_storage(config)
    for number in range(3):
        await storage.auth_codes.create(AuthCode(f"code{number}", "c", expiry=LATER))
        await storage.unit(exchange(f"{number}"))
    assert len(await storage.refresh_tokens.list()) == 1
    await storage.close()


async def test_a_password_with_every_character_is_accepted(
    own_server: servers.Server,
) -> None:
    password = """a'b\\c" d$e"""
    await asyncio.to_thread(
        run_sql,
        own_server,
        "SET password_encryption = 'scram-sha-256'; CREATE ROLE \"o'neil\\\" LOGIN"
        f" SUPERUSER PASSWORD '{password.replace(chr(39), chr(39) * 2)}'",
    )
    hba = own_server.folder / "data" / "pg_hba.conf"
    hba.write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    await asyncio.to_thread(own_server.restart)
    config = config_of(own_server, user="o'neil\\", password=password)
    storage = await open_storage(config)
    await storage.ping()
    await storage.close()
    with pytest.raises(StorageUnavailable, match="password"):
        await open_storage(attrs.evolve(config, password="wrong"))
    hba.write_text("local all all trust\nhost all all 127.0.0.1/32 trust\n")
    await asyncio.to_thread(own_server.restart)


async def test_what_cannot_be_reached_is_unavailable() -> None:
    config = Postgres(host="127.0.0.1", port=1, user="postgres", ssl=SSL("disable"))
    with pytest.raises(StorageUnavailable):
        await open_storage(config)
    with pytest.raises(StorageUnavailable):
        await open_storage(Postgres(host="/nowhere", user="postgres"))


@pytest.mark.parametrize(
    "options",
    [{"ssl": SSL("on")}, {"port": 65536}, {"port": -1}, {"max_open_conns": -1}],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        Postgres(**options)


# — TLS --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls_server(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[servers.Server]:
    """A server that takes clients with a certificate only, over TLS only."""
    with servers.postgres() as server:
        certificate = authority.issue_cert("localhost", common_name="localhost")
        data = server.folder / "data"
        owner = data.stat()
        for name, text in (
            ("server.crt", certificate.cert_chain_pems[0].bytes()),
            ("server.key", certificate.private_key_pem.bytes()),
            ("ca.crt", authority.cert_pem.bytes()),
            (
                "pg_hba.conf",
                b"local all all trust\nhostssl all all 127.0.0.1/32 cert\n",
            ),
        ):
            (data / name).write_bytes(text)
            (data / name).chmod(0o600)
            os.chown(data / name, owner.st_uid, owner.st_gid)
        with (data / "postgresql.conf").open("a") as settings:
            settings.write("ssl = on\nssl_ca_file = 'ca.crt'\n")
        server.restart()
        yield server


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    mine = authority.issue_cert("postgres", common_name="postgres")
    for name, text in (
        ("ca", authority.cert_pem.bytes()),
        ("cert", mine.cert_chain_pems[0].bytes()),
        ("key", mine.private_key_pem.bytes()),
        ("other", trustme.CA().cert_pem.bytes()),
    ):
        (tmp_path / name).write_bytes(text)
        (tmp_path / name).chmod(0o600)
    return {name: str(tmp_path / name) for name in ("ca", "cert", "key", "other")}


@pytest.mark.parametrize(
    ("mode", "authority_file", "host", "works"),
    [
        ("verify-full", "ca", "localhost", True),
        ("", "ca", "localhost", True),
        ("verify-full", "ca", "127.0.0.1", False),
        ("verify-full", "other", "localhost", False),
        ("verify-full", "", "localhost", False),
        ("verify-ca", "ca", "127.0.0.1", True),
        ("verify-ca", "other", "127.0.0.1", False),
        ("require", "", "127.0.0.1", True),
        ("require", "other", "127.0.0.1", False),
        ("prefer", "", "127.0.0.1", True),
        ("allow", "", "127.0.0.1", True),
        ("disable", "", "127.0.0.1", False),
    ],
)
async def test_each_mode_asks_what_it_says_of_the_servers_certificate(
    tls_server: servers.Server,
    files: dict[str, str],
    mode: str,
    authority_file: str,
    host: str,
    works: bool,
) -> None:
    tls = SSL(mode, files.get(authority_file, ""), files["key"], files["cert"])
    config = config_of(tls_server, host=host, ssl=tls, connection_timeout=5)
    if not works:
        with pytest.raises(StorageUnavailable):
            await open_storage(config)
        return
    storage = await open_storage(config)
    await storage.ping()
    await storage.close()


@pytest.mark.parametrize("mode", ["prefer", "allow", "disable"])
async def test_modes_that_do_not_insist_do_without_tls(
    postgres_place: Any, postgres_ready: str, mode: str
) -> None:
    storage = await open_storage(postgres_place.config(postgres_ready, ssl=SSL(mode)))
    await storage.ping()
    await storage.close()


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full", ""])
async def test_modes_that_insist_do_not_do_without_tls(
    postgres_place: Any, postgres_ready: str, mode: str
) -> None:
    with pytest.raises(StorageUnavailable):
        await open_storage(postgres_place.config(postgres_ready, ssl=SSL(mode)))


async def test_a_certificate_that_is_not_there_is_named(postgres_place: Any) -> None:
    config = postgres_place.config("postgres", ssl=SSL("verify-full", "/no/ca.pem"))
    with pytest.raises(StorageError, match=r"/no/ca\.pem"):
        await postgres.open_storage(config)
