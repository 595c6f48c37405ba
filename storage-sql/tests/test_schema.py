"""The schema is dex's, from whatever version of dex the file comes."""

from __future__ import annotations

import re
import sqlite3

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dexcore_storage_sql import SQLite3, SQLiteStorage, open_storage
from dexcore_storage_sql.ddl import SQLITE
from dexcore_storage_sql.statements import Own, Statements
from dexcore_storage_sql.tables import TABLES

from dexcore.storage import StorageError

# Name, type, ``!`` for NOT NULL, default; the key after the colon.
DEX_SCHEMA = """
migrations:
    num integer!; at timestamp!
client: id
    id text!; secret text!; redirect_uris blob!; trusted_peers blob!; public integer!;
    name text!; logo_url text!; allowed_connectors blob; mfa_chain blob;
    post_logout_redirect_uris blob; sso_shared_with blob;
    backchannel_logout_uri text! ''; refresh_token_lifetime text! ''
auth_request: id
    id text!; client_id text!; response_types blob!; scopes blob!; redirect_uri text!;
    nonce text!; state text!; force_approval_prompt integer!; logged_in integer!;
    claims_user_id text!; claims_username text!; claims_email text!;
    claims_email_verified integer!; claims_groups blob!; connector_id text!;
    connector_data blob; expiry timestamp!; claims_preferred_username text! '';
    code_challenge text! ''; code_challenge_method text! ''; hmac_key blob;
    mfa_validated integer! 0; prompt text! ''; max_age integer! -1;
    auth_time timestamp! '1970-01-01 00:00:00'; webauthn_session_data blob
auth_code: id
    id text!; client_id text!; scopes blob!; nonce text!; redirect_uri text!;
    claims_user_id text!; claims_username text!; claims_email text!;
    claims_email_verified integer!; claims_groups blob!; connector_id text!;
    connector_data blob; expiry timestamp!; claims_preferred_username text! '';
    code_challenge text! ''; code_challenge_method text! '';
    auth_time timestamp! '1970-01-01 00:00:00'; session_id text! ''
refresh_token: id
    id text!; client_id text!; scopes blob!; nonce text!; claims_user_id text!;
    claims_username text!; claims_email text!; claims_email_verified integer!;
    claims_groups blob!; connector_id text!; connector_data blob; token text! '';
    created_at timestamp! '0001-01-01 00:00:00 UTC';
    last_used timestamp! '0001-01-01 00:00:00 UTC';
    claims_preferred_username text! ''; obsolete_token text ''
password: email
    email text!; hash blob!; username text!; user_id text!;
    preferred_username text! ''; groups blob! '[]'; name text! '';
    email_verified integer
keys: id
    id text!; verification_keys blob!; signing_key blob!; signing_key_pub blob!;
    next_rotation timestamp!
offline_session: user_id, conn_id
    user_id text!; conn_id text!; refresh blob!; connector_data blob
connector: id
    id text!; type text!; name text!; resource_version text!; config blob;
    grant_types blob
device_request: user_code
    user_code text!; device_code text!; client_id text!; client_secret text;
    scopes blob!; expiry timestamp!
device_token: device_code
    device_code text!; status text!; token blob; expiry timestamp!;
    last_request timestamp!; poll_interval integer!; code_challenge text! '';
    code_challenge_method text! ''
user_identity: user_id, connector_id
    user_id text!; connector_id text!; claims_user_id text!; claims_username text!;
    claims_preferred_username text! ''; claims_email text!;
    claims_email_verified integer!; claims_groups blob!; consents blob!;
    created_at timestamp!; last_login timestamp!; blocked_until timestamp!;
    mfa_secrets blob; webauthn_credentials blob
auth_session: id
    id text!; secret text! ''; user_id text!; connector_id text!; client_states blob!;
    created_at timestamp!; last_activity timestamp!; ip_address text! '';
    user_agent text! ''; absolute_expiry timestamp! '1970-01-01 00:00:00';
    idle_expiry timestamp! '1970-01-01 00:00:00'; logout_state blob
"""
OURS = {"dexcore_migrations", "dexcore_record"}
EXPECTED = {
    name: (key.split(", ") if key else [], re.split(r";\s+", columns.strip()))
    for name, key, columns in re.findall(
        r"^(\w+): ?(.*)\n((?:    .*\n)+)", DEX_SCHEMA, re.MULTILINE
    )
}


def described(outside: sqlite3.Connection, table: str) -> tuple[list[str], list[str]]:
    columns, keys = [], {}
    for _, name, type_, required, default, key in outside.execute(
        f"PRAGMA table_info({table})"
    ):
        words = [name, type_.lower() + "!" * required]
        columns.append(" ".join(words if default is None else [*words, default]))
        if key:
            keys[key] = name
    return [keys[place] for place in sorted(keys)], columns


def content(path: Path) -> bytes:
    return path.read_bytes()


def tables(outside: sqlite3.Connection) -> set[str]:
    found = outside.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name for (name,) in found}


@pytest.mark.parametrize("table", EXPECTED)
async def test_a_new_database_has_dexs_tables(
    storage: SQLiteStorage, outside: sqlite3.Connection, table: str
) -> None:
    key, columns = described(outside, table)
    # Ours come after dex's, may be empty, and have names dex will not use.
    dexs = [column for column in columns if not column.startswith("dexcore_")]
    assert (key, dexs) == EXPECTED[table]
    assert all(column.endswith(" blob") for column in columns[len(dexs) :])


async def test_a_new_database_has_no_other_tables(
    storage: SQLiteStorage, outside: sqlite3.Connection
) -> None:
    assert tables(outside) == {*EXPECTED, *OURS}
    assert len(EXPECTED) == 13


async def test_dexs_steps_are_counted_as_dex_counts_them(
    storage: SQLiteStorage, outside: sqlite3.Connection
) -> None:
    rows = outside.execute("SELECT num, at FROM migrations ORDER BY num").fetchall()
    assert [number for number, _ in rows] == [*range(1, 24)]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", at) for _, at in rows)


@pytest.mark.parametrize("steps", [0, 1, 6, 9, 11, 13, 22, 23])
async def test_a_database_of_an_older_dex_is_brought_up_to_date(
    made_by_dex: Callable[[int], None],
    path: Path,
    outside: sqlite3.Connection,
    steps: int,
) -> None:
    made_by_dex(steps)
    storage = await open_storage(SQLite3(str(path)))
    await storage.close()
    for table in EXPECTED:
        key, columns = described(outside, table)
        dexs = [column for column in columns if not column.startswith("dexcore_")]
        assert (key, dexs) == EXPECTED[table]
    numbers = outside.execute("SELECT num FROM migrations ORDER BY num").fetchall()
    assert numbers == [(number,) for number in range(1, 24)]


async def test_users_of_an_older_dex_can_still_be_read_by_both(
    made_by_dex: Callable[[int], None], path: Path, outside: sqlite3.Connection
) -> None:
    made_by_dex(11)
    outside.execute(
        "INSERT INTO password VALUES (?, ?, ?, ?)", ("a@b.c", b"$2y$", "a", "1")
    )
    storage = await open_storage(SQLite3(str(path)))
    user = await storage.passwords.get("a@b.c")
    await storage.close()
    assert (user.groups, user.email_verified, user.name) == ((), None, "")
    # dex cannot read text here.
    (kind,) = outside.execute("SELECT typeof(groups) FROM password").fetchone()
    assert kind == "blob"


@pytest.mark.parametrize("table", ["migrations", "dexcore_migrations"])
async def test_a_database_of_a_newer_version_is_refused_and_not_touched(
    path: Path, table: str
) -> None:
    await (await open_storage(SQLite3(str(path)))).close()
    with closing(sqlite3.connect(path)) as newer, newer:
        newer.execute(f"INSERT INTO {table} VALUES (24, date('now'))")
    before = content(path)
    with pytest.raises(StorageError, match="made by a newer version"):
        await open_storage(SQLite3(str(path)))
    assert content(path) == before


async def test_a_database_of_dexs_other_schema_is_refused(
    path: Path, outside: sqlite3.Connection
) -> None:
    outside.execute("CREATE TABLE oauth2clients (id text)")
    with pytest.raises(StorageError, match="DEX_ENT_ENABLED"):
        await open_storage(SQLite3(str(path)))
    assert tables(outside) == {"oauth2clients"}


def every_statement() -> dict[str, str]:
    found = {}
    for table in TABLES:
        sql = Statements(table, SQLITE)
        for name in ("insert", "select", "take", "delete", "first_page", "next_page"):
            found[f"{table.name}.{name}"] = getattr(sql, name)
        found[f"{table.name}.update"] = sql.update((len(table.columns) - 1,))
        if table.kind.expiry:
            found[f"{table.name}.sweep"] = sql.sweep
    for name, text in vars(Own(SQLITE)).items():
        found[f"dexcore_record.{name}"] = text
    return found


@pytest.mark.parametrize("name", every_statement())
async def test_no_statement_looks_at_every_row(
    storage: SQLiteStorage, outside: sqlite3.Connection, name: str
) -> None:
    """So that nothing becomes slower as the tables grow."""
    text = every_statement()[name]
    plan = outside.execute(f"EXPLAIN QUERY PLAN {text}", ("",) * text.count("?"))
    steps = [detail for *_, detail in plan]
    assert not [step for step in steps if "TEMP B-TREE" in step]
    scans = [step for step in steps if step.startswith("SCAN")]
    # A first page starts at the beginning and stops when it is full.
    assert not scans or (name.endswith("first_page") and "USING INDEX" in scans[0])
