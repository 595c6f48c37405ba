"""What is special about MySQL: collations, short columns, zero dates, half-done DDL."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme

from dexcore_storage_sql.mysql import SSL, MySQL, dex_storage_types, open_storage
from dexcore_storage_sql.mysql.dialect import dialect
from dexcore_storage_sql.mysql.storage import MySQLStorage
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
    UserIdentity,
)
from dexcore.testing import servers
from dexcore.testing.storage import SAMPLES

LATER = datetime(2126, 1, 1, tzinfo=UTC)
DIALECT = dialect("utf8mb4_nopad_bin", returning=True)


@pytest.fixture
async def storage(mysql_place: Any, mysql_ready: str) -> AsyncIterator[MySQLStorage]:
    storage = await open_storage(mysql_place.config(mysql_ready))
    yield storage  # type: ignore[misc]
    await storage.close()


@pytest.fixture
async def replicas(
    mysql_place: Any, mysql_ready: str
) -> AsyncIterator[list[MySQLStorage]]:
    """The second has to do without ``DELETE … RETURNING``."""
    config = mysql_place.config(mysql_ready)
    both = [await open_storage(config), await open_storage(config, returning=False)]
    yield both  # type: ignore[misc]
    for replica in both:
        await replica.close()


@pytest.fixture(scope="module")
def own_server(mysql_server: servers.Server) -> Iterator[servers.Server]:
    """A server that a test may stop; it speaks no TLS."""
    with servers.mariadb() as server:
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


# — Several replicas -------------------------------------------------------------------


async def test_an_exchange_is_one_commit(storage: MySQLStorage) -> None:
    await storage.auth_codes.create(AuthCode("code", "c", expiry=LATER))
    before = storage.statistics
    await storage.unit(exchange())
    after = storage.statistics
    assert after.transactions - before.transactions == 1
    assert after.round_trips - before.round_trips <= 9
    assert await storage.auth_codes.find("code") is None


async def test_of_a_hundred_exchanges_on_two_replicas_one_succeeds(
    replicas: list[MySQLStorage],
) -> None:
    await replicas[0].auth_codes.create(AuthCode("code", "c", expiry=LATER))
    work = exchange()
    done = await asyncio.gather(
        *(replica.unit(work) for replica in replicas for _ in range(50)),
        return_exceptions=True,
    )
    assert [type(one) for one in done if one is not None] == [NotFound] * 99
    assert len(await replicas[0].refresh_tokens.list()) == 1


async def test_one_users_logins_at_the_same_time_all_succeed(
    replicas: list[MySQLStorage],
) -> None:
    for number in range(72):
        code = AuthCode(f"code{number}", "c", expiry=LATER)
        await replicas[0].auth_codes.create(code)
    await asyncio.gather(*(replicas[n % 2].unit(exchange(f"{n}")) for n in range(72)))
    (token,) = await replicas[0].refresh_tokens.list()
    session = await replicas[1].offline_sessions.get("u", "ldap")
    assert session.refresh["c"].id == token.id


async def test_of_a_hundred_updates_on_two_replicas_none_is_lost(
    replicas: list[MySQLStorage],
) -> None:
    await replicas[0].refresh_tokens.create(RefreshToken("r", "c", token="0"))

    def longer(old: RefreshToken) -> RefreshToken:
        return attrs.evolve(old, token=f"{int(old.token) + 1}")

    await asyncio.gather(
        *(replicas[n % 2].refresh_tokens.update("r", change=longer) for n in range(100))
    )
    assert (await replicas[0].refresh_tokens.get("r")).token == "100"


async def test_two_that_lock_each_others_records_both_succeed(
    replicas: list[MySQLStorage],
) -> None:
    for name in "ab":
        await replicas[0].refresh_tokens.create(RefreshToken(name, "c", token="0"))

    def count(old: RefreshToken) -> RefreshToken:
        return attrs.evolve(old, token=f"{int(old.token) + 1}")

    def both(names: str) -> Callable[[Collections], Awaitable[None]]:
        async def work(inside: Collections) -> None:
            for name in names:
                await inside.refresh_tokens.update(name, change=count)

        return work

    await asyncio.gather(
        *(replicas[n % 2].unit(both("ab" if n % 2 else "ba")) for n in range(20))
    )
    tokens = await replicas[0].refresh_tokens.list()
    assert [token.token for token in tokens] == ["20", "20"]


# — Text -------------------------------------------------------------------------------


async def test_ids_are_compared_exactly_whatever_the_database_does(
    mysql_place: Any, mysql_empty: str
) -> None:
    """The database takes ``a`` for ``A``, and for ``a`` with a blank behind it."""
    storage = await open_storage(mysql_place.config(mysql_empty))
    names = ["a", "A", "a ", "ä", "Ä"]
    for name in names:
        await storage.clients.create(Client(name, name=name))
        await storage.user_identities.create(UserIdentity(name, "ldap"))
    assert [client.id for client in await storage.clients.list()] == sorted(names)
    assert (await storage.clients.take("A")).name == "A"
    await storage.clients.delete("a ")
    await storage.clients.update("Ä", change=lambda old: attrs.evolve(old, name="x"))
    found = {client.id: client.name for client in await storage.clients.list()}
    assert found == {"a": "a", "ä": "ä", "Ä": "x"}
    await storage.close()


@pytest.mark.parametrize("words", ["CHARACTER SET latin1", "CHARACTER SET utf8mb3"])
async def test_databases_of_other_alphabets_hold_everything(
    mysql_place: Any, words: str
) -> None:
    name = await mysql_place.make(words)
    storage = await open_storage(mysql_place.config(name))
    await storage.clients.create(Client("\U0001f600", name="\U0001f600"))
    assert (await storage.clients.get("\U0001f600")).name == "\U0001f600"
    await storage.close()
    await mysql_place.drop(name)


async def test_what_is_too_long_is_refused_and_not_cut(storage: MySQLStorage) -> None:
    for client in (Client("c" * 385), Client("c", name="n" * 385)):
        with pytest.raises(StorageError, match="too long") as refused:
            await storage.clients.create(client)
        assert not isinstance(refused.value, StorageUnavailable)
    assert await storage.clients.find("c" * 1000) is None
    assert await storage.clients.list() == []
    await storage.clients.create(Client("c" * 384))


async def test_no_text_escapes_from_its_quotes(storage: MySQLStorage) -> None:
    texts = ["'", "\\", "\\'", "' OR '1'='1", '"', "`", "%s", "%(a)s", "\x00", "\x1a"]
    for text in texts:
        await storage.clients.create(Client(text, name=text))
        await storage.parked_forms.list(after=(text,))
    found = {client.id: client.name for client in await storage.clients.list()}
    assert found == {text: text for text in texts}
    assert await storage.clients.find("\udcc3'") is None
    with pytest.raises(StorageError):
        await storage.clients.create(Client("x", name="\udcc3'"))


# — Schema -----------------------------------------------------------------------------

# As dex leaves it, but for the types we made longer: name, type, ``!`` for NOT NULL.
COLUMNS = """
migrations: num int!; at datetime(3)!
client: id varchar(384)!; secret varchar(384)!; redirect_uris mediumblob!;
 trusted_peers mediumblob!; public tinyint(1)!; name varchar(384)!;
 logo_url varchar(2048)!; allowed_connectors mediumblob; mfa_chain mediumblob;
 post_logout_redirect_uris mediumblob; sso_shared_with mediumblob;
 backchannel_logout_uri varchar(2048)! ''; refresh_token_lifetime varchar(384)! ''
refresh_token: id varchar(384)!; client_id varchar(384)!; scopes mediumblob!;
 nonce varchar(2048)!; claims_user_id varchar(384)!; claims_username varchar(384)!;
 claims_email varchar(384)!; claims_email_verified tinyint(1)!;
 claims_groups mediumblob!; connector_id varchar(384)!; connector_data mediumblob;
 token varchar(384)! ''; created_at datetime(3)! '1000-01-01 00:00:00.000';
 last_used datetime(3)! '1000-01-01 00:00:00.000';
 claims_preferred_username varchar(384)! ''; obsolete_token varchar(384) ''
password: email varchar(384)!; hash mediumblob!; username varchar(384)!;
 user_id varchar(384)!; preferred_username varchar(384)! ''; groups mediumblob!;
 name varchar(384)! ''; email_verified tinyint(1)
auth_session: id varchar(384)!; secret varchar(384)! ''; user_id varchar(384)!;
 connector_id varchar(384)!; client_states mediumblob!; created_at datetime(3)!;
 last_activity datetime(3)!; ip_address varchar(384)! ''; user_agent varchar(2048)! '';
 absolute_expiry datetime(3)! '1970-01-01 00:00:00.000';
 idle_expiry datetime(3)! '1970-01-01 00:00:00.000'; logout_state mediumblob
"""
EXPECTED = {
    name: re.split(r";\s+", re.sub(r"\n ", " ", columns))
    for name, columns in re.findall(r"^(\w+): (.*(?:\n .*)*)", COLUMNS, re.MULTILINE)
}


async def described(place: Any, database: str, table: str) -> list[str]:
    rows = await place.run(
        "SELECT column_name, column_type, is_nullable, column_default"
        f" FROM information_schema.columns WHERE table_name = '{table}'"
        f" AND table_schema = '{database}' ORDER BY ordinal_position"
    )
    found = []
    for name, type_, null, default in rows:
        words = [name, re.sub(r"^int\(\d+\)", "int", type_) + "!" * (null == "NO")]
        if default not in (None, "NULL"):
            words.append(default)
        found.append(" ".join(words))
    return found


async def make_as_dex(place: Any, database: str, steps: int) -> None:
    """Make the database as a dex left it that knew so many steps."""
    changes = (CreateTable("migrations", COUNT, ()), *sum(DIALECT.dex[:steps], ()))
    texts = [text for change in changes for text in DIALECT.statements(change)]
    texts += [
        f"INSERT INTO migrations VALUES ({n}, now())" for n in range(1, steps + 1)
    ]
    await place.run(*texts, database=database)


async def check_schema(place: Any, database: str) -> None:
    for table, expected in EXPECTED.items():
        columns = await described(place, database, table)
        dexs = [column for column in columns if not column.startswith("dexcore_")]
        assert dexs == expected
    numbers = await place.run(
        "SELECT num FROM migrations ORDER BY num", database=database
    )
    assert [number for (number,) in numbers] == [*range(1, 25)]
    collations = await place.run(
        "SELECT DISTINCT collation_name FROM information_schema.columns"
        f" WHERE table_schema = '{database}' AND collation_name IS NOT NULL"
    )
    assert [*collations] == [("utf8mb4_nopad_bin",)]


@pytest.mark.parametrize("steps", [0, 7, 10, 14, 24])
async def test_databases_of_any_dex_are_brought_up_to_date(
    mysql_place: Any, mysql_empty: str, steps: int
) -> None:
    if steps:
        await make_as_dex(mysql_place, mysql_empty, steps)
    storage = await open_storage(mysql_place.config(mysql_empty))
    await check_schema(mysql_place, mysql_empty)
    for kind in KINDS:
        await getattr(storage, kind.collection).create(SAMPLES[kind.name].first)
    await storage.close()


@pytest.mark.parametrize("steps", [0, 10])
async def test_replicas_may_all_start_at_once(
    mysql_place: Any, mysql_empty: str, steps: int
) -> None:
    if steps:
        await make_as_dex(mysql_place, mysql_empty, steps)
    config = mysql_place.config(mysql_empty)
    replicas = await asyncio.gather(*(open_storage(config) for _ in range(5)))
    await check_schema(mysql_place, mysql_empty)
    for number, replica in enumerate(replicas):
        await replica.clients.create(Client(f"{number}"))
        assert len(await replica.clients.list()) == number + 1
    for replica in replicas:
        await replica.close()


@pytest.mark.parametrize("cut", [1, 9, 25, 44])
async def test_a_start_that_was_cut_anywhere_is_finished_by_the_next(
    mysql_place: Any, mysql_empty: str, cut: int
) -> None:
    """There is no transaction around changes of the schema; dex would stay stuck."""
    count = DIALECT.statements(CreateTable("migrations", COUNT, ()))
    texts = [*count]
    for number, step in enumerate(DIALECT.dex, 1):
        texts += [text for change in step for text in DIALECT.statements(change)]
        texts.append(f"INSERT INTO migrations VALUES ({number}, now())")
    await mysql_place.run(*texts[:cut], database=mysql_empty)
    storage = await open_storage(mysql_place.config(mysql_empty))
    await check_schema(mysql_place, mysql_empty)
    await storage.close()


async def test_users_of_an_older_dex_are_still_there(
    mysql_place: Any, mysql_empty: str
) -> None:
    await make_as_dex(mysql_place, mysql_empty, 12)
    await mysql_place.run(
        "INSERT INTO password VALUES ('a@b.c', '$2y$', 'a', '1')", database=mysql_empty
    )
    storage = await open_storage(mysql_place.config(mysql_empty))
    user = await storage.passwords.get("A@B.C")
    await storage.close()
    assert user == Password("a@b.c", b"$2y$", "a", user_id="1")


@pytest.mark.parametrize("table", ["migrations", "dexcore_migrations"])
async def test_a_database_of_a_newer_version_is_refused(
    mysql_place: Any, mysql_empty: str, table: str
) -> None:
    config = mysql_place.config(mysql_empty)
    await (await open_storage(config)).close()
    await mysql_place.run(
        f"INSERT INTO {table} VALUES (25, now())", database=mysql_empty
    )
    with pytest.raises(StorageError, match="made by a newer version"):
        await open_storage(config)


async def test_a_database_of_dexs_other_schema_is_refused(
    mysql_place: Any, mysql_empty: str
) -> None:
    await mysql_place.run("CREATE TABLE oauth2clients (id int)", database=mysql_empty)
    with pytest.raises(StorageError, match="DEX_ENT_ENABLED"):
        await open_storage(mysql_place.config(mysql_empty))


# — Rows as dex writes them ------------------------------------------------------------

REF = (
    b'{"c1":{"ID":"r1","ClientID":"c1","CreatedAt":"2026-08-06T12:30:45.123456789Z",'
    b'"LastUsed":"2026-08-06T12:30:45.123456789Z","SessionID":"s1"}}'
)


async def test_what_dex_wrote_comes_back_byte_for_byte(
    storage: MySQLStorage, mysql_place: Any, mysql_ready: str
) -> None:
    async def stored() -> list[Any]:
        rows = await mysql_place.run(
            "SELECT user_id, conn_id, refresh, connector_data FROM offline_session",
            "SELECT * FROM (SELECT user_id, conn_id, refresh, connector_data"
            " FROM offline_session) AS them",
            database=mysql_ready,
        )
        return [*rows]

    await mysql_place.run(
        "INSERT INTO offline_session (user_id, conn_id, refresh, connector_data)"
        f" VALUES ('u', 'ldap', '{REF.decode()}', NULL)",
        database=mysql_ready,
    )
    before = await stored()
    record = await storage.offline_sessions.take("u", "ldap")
    await storage.offline_sessions.create(record)
    assert before == await stored() == [("u", "ldap", REF, None)]


async def test_zero_dates_of_dex_are_not_set_and_never_written(
    mysql_place: Any, mysql_empty: str
) -> None:
    """And do not keep a database from being brought up to date."""
    await make_as_dex(mysql_place, mysql_empty, 24)
    columns = ["id", "client_id", "response_types", "scopes", "redirect_uri"]
    columns += ["nonce", "state"]
    columns += ["claims_user_id", "claims_username", "claims_email", "claims_groups"]
    columns += ["connector_id", "expiry", "auth_time"]
    values = ", ".join(["'x'"] * (len(columns) - 2))
    await mysql_place.run(
        "SET SESSION sql_mode = ''",
        f"INSERT INTO auth_request ({', '.join(columns)}, force_approval_prompt,"
        f" logged_in, claims_email_verified) VALUES ({values}, '2126-01-01 00:00:00',"
        " '0000-00-00 00:00:00', 0, 0, 0)",
        "UPDATE auth_request SET response_types = '[]', scopes = '[]',"
        " claims_groups = 'null', state = NULL",
        database=mysql_empty,
    )
    storage = await open_storage(mysql_place.config(mysql_empty))
    old = await storage.auth_requests.get("x")
    assert (old.auth_time, old.expiry, old.state) == (ZERO_TIME, LATER, "")
    await storage.auth_requests.create(AuthRequest("new", "c", expiry=LATER))
    assert (await storage.auth_requests.get("new")).auth_time == ZERO_TIME
    rows = await mysql_place.run(
        "SELECT CAST(auth_time AS CHAR) FROM auth_request WHERE id = 'new'",
        database=mysql_empty,
    )
    assert rows == [("1970-01-01 00:00:00.000",)]
    await storage.close()


# — What breaks ------------------------------------------------------------------------


def config_of(server: servers.Server, **options: Any) -> MySQL:
    defaults: dict[str, Any] = {"ssl": SSL("false"), "connection_timeout": 1}
    given = {
        "host": server.host,
        "port": server.port,
        "user": "root",
        "database": "dex",
    }
    return MySQL(**{**given, **defaults, **options})


def sql(server: servers.Server, text: str) -> None:
    """Run statements from outside, in a loop of its own."""

    async def run() -> None:
        import asyncmy

        connection = await asyncmy.connect(
            unix_socket=str(server.socket), user="root", autocommit=True
        )
        for statement in text.split("; "):
            await connection.query(statement)
        await connection.ensure_closed()

    asyncio.run(run())


async def test_a_restart_is_unavailable_and_then_all_goes_on(
    own_server: servers.Server,
) -> None:
    await asyncio.to_thread(sql, own_server, "CREATE DATABASE IF NOT EXISTS dex")
    storage = await open_storage(config_of(own_server, host=str(own_server.socket)))
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

    loop = asyncio.get_running_loop()
    own_server.send(signal.SIGSTOP)
    started = loop.time()
    try:
        taken = await storage._pool.take()  # type: ignore[attr-defined]
        with pytest.raises(StorageUnavailable, match="does not answer"):
            await asyncio.gather(*(storage.clients.get("c") for _ in range(6)))
        assert loop.time() - started < 14
    finally:
        own_server.send(signal.SIGCONT)
    storage._pool.give(taken)  # type: ignore[attr-defined]
    assert (await storage.clients.get("0")).name == "x"
    await storage.close()


async def test_who_waits_too_long_for_a_lock_gives_up(
    mysql_place: Any, mysql_ready: str
) -> None:
    config = mysql_place.config(mysql_ready, statement_timeout=2)
    storage = await open_storage(config)
    other = await open_storage(mysql_place.config(mysql_ready))
    await storage.clients.create(Client("c"))
    await storage.clients.create(Client("d"))
    released = asyncio.Event()
    locked = asyncio.Event()

    async def holding(inside: Collections) -> None:
        await inside.clients.update("c", change=lambda old: attrs.evolve(old, name="x"))
        locked.set()
        await released.wait()

    holder = asyncio.create_task(other.unit(holding))
    await locked.wait()
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(StorageUnavailable):
        await storage.clients.delete("c")
    assert 0.9 < loop.time() - started < 6
    await storage.clients.delete("d")
    released.set()
    await holder
    assert (await storage.clients.take("c")).name == "x"
    await storage.close()
    await other.close()


async def test_who_stops_waiting_takes_nobody_along(storage: MySQLStorage) -> None:
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


async def test_a_failing_unit_leaves_nothing(storage: MySQLStorage) -> None:
    await storage.refresh_tokens.create(RefreshToken("r", "c", token="first"))
    await storage.auth_codes.create(AuthCode("code", "c", expiry=LATER))
    with pytest.raises(AlreadyExists):
        await storage.unit(exchange())
    assert (await storage.auth_codes.get("code")).client_id == "c"
    assert await storage.spent_codes.list() == []


async def test_a_long_sweep_removes_everything_that_expired(
    replicas: list[MySQLStorage],
) -> None:
    past = datetime(2026, 1, 1, tzinfo=UTC)

    async def fill(inside: Collections) -> None:
        for number in range(2500):
            await inside.auth_codes.create(AuthCode(f"{number}", "c", expiry=past))

    await replicas[0].unit(fill)
    swept = await asyncio.gather(
        *(replica.sweep(past + timedelta(days=1)) for replica in replicas)
    )
    assert sum(one["auth_code"] for one in swept) == 2500


# — Configuration ----------------------------------------------------------------------


async def test_the_plugin_offers_the_type_mysql(
    mysql_place: Any, mysql_ready: str
) -> None:
    (offer,) = dex_storage_types()
    assert (offer.name, offer.config) == ("mysql", MySQL)
    storage = await offer.open(mysql_place.config(mysql_ready), StorageContext())
    assert storage.shared
    await storage.close()


async def test_naming_the_type_does_not_import_the_driver() -> None:
    code = (
        "import sys, dexcore_storage_sql.mysql as m; m.dex_storage_types();"
        "print('asyncmy' in sys.modules)"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await child.communicate()
    assert printed.strip() == b"False"


@pytest.mark.parametrize("where", ["socket", "host:port", "host and port"])
async def test_servers_are_named_as_dex_names_them(
    mysql_place: Any, mysql_ready: str, where: str
) -> None:
    server = mysql_place.server
    options: dict[str, Any] = {
        "socket": {"host": str(server.socket), "port": 0, "ssl": SSL()},
        "host:port": {"host": f"127.0.0.1:{server.port}", "port": 1},
        "host and port": {"host": "127.0.0.1", "port": server.port},
    }[where]
    storage = await open_storage(mysql_place.config(mysql_ready, **options))
    await storage.ping()
    await storage.close()


async def test_a_closed_storage_is_unavailable(
    mysql_place: Any, mysql_ready: str
) -> None:
    storage = await open_storage(mysql_place.config(mysql_ready))
    await storage.close()
    with pytest.raises(StorageUnavailable):
        await storage.ping()


async def test_what_cannot_be_reached_is_unavailable(
    mysql_place: Any, mysql_ready: str
) -> None:
    for options in ({"port": 1}, {"host": "/nowhere"}, {"password": "wrong"}):
        with pytest.raises(StorageUnavailable):
            await open_storage(mysql_place.config(mysql_ready, **options))
    with pytest.raises(StorageUnavailable, match="Unknown database"):
        await open_storage(mysql_place.config("other"))


@pytest.mark.parametrize(
    "options",
    [
        {"ssl": SSL("verify-full")},
        {"ssl": SSL(cert_file="/x")},
        {"port": 65536},
        {"statement_timeout": 0},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        MySQL(**options)


# — TLS --------------------------------------------------------------------------------


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    mine = authority.issue_cert("dex", common_name="dex")
    for name, text in (
        ("ca", authority.cert_pem.bytes()),
        ("cert", mine.cert_chain_pems[0].bytes()),
        ("key", mine.private_key_pem.bytes()),
        ("other", trustme.CA().cert_pem.bytes()),
    ):
        (tmp_path / name).write_bytes(text)
    return {name: str(tmp_path / name) for name in ("ca", "cert", "key", "other")}


@pytest.mark.parametrize(
    ("user", "mode", "authority_file", "host", "works"),
    [
        ("certified", "", "ca", "localhost", True),
        ("certified", "", "ca", "127.0.0.1", False),
        ("certified", "", "other", "localhost", False),
        ("tls", "true", "", "localhost", False),
        ("tls", "", "", "localhost", False),
        ("tls", "skip-verify", "", "localhost", True),
        ("tls", "preferred", "", "localhost", True),
        ("tls", "false", "", "localhost", False),
    ],
)
async def test_each_mode_asks_what_it_says_of_the_servers_certificate(
    mysql_place: Any,
    mysql_ready: str,
    files: dict[str, str],
    user: str,
    mode: str,
    authority_file: str,
    host: str,
    works: bool,
) -> None:
    tls = SSL(mode)
    if authority_file:
        tls = SSL(mode, files[authority_file], files["key"], files["cert"])
    config = mysql_place.config(mysql_ready, user=user, host=host, ssl=tls)
    if not works:
        with pytest.raises(StorageUnavailable):
            await open_storage(config)
        return
    storage = await open_storage(config)
    await storage.ping()
    await storage.close()


@pytest.mark.parametrize(
    ("mode", "works"),
    [("preferred", True), ("false", True), ("skip-verify", False), ("true", False)],
)
async def test_only_modes_that_do_not_insist_do_without_tls(
    own_server: servers.Server, mode: str, works: bool
) -> None:
    await asyncio.to_thread(
        sql,
        own_server,
        "CREATE DATABASE IF NOT EXISTS dex; CREATE USER IF NOT EXISTS dex@localhost;"
        " CREATE USER IF NOT EXISTS dex@127.0.0.1; GRANT ALL ON dex.* TO dex@localhost;"
        " GRANT ALL ON dex.* TO dex@127.0.0.1",
    )
    config = config_of(own_server, user="dex", ssl=SSL(mode), connection_timeout=5)
    if works:
        storage = await open_storage(config)
        await storage.ping()
        await storage.close()
        return
    with pytest.raises(StorageUnavailable):
        await open_storage(config)


def test_a_server_that_is_not_root_runs_beside_the_tests(mysql_place: Any) -> None:
    """Its folder belongs to who runs it, and is gone afterwards."""
    folder = mysql_place.server.folder
    assert folder.is_dir()
    assert os.geteuid() != 0 or folder.stat().st_uid != 0
