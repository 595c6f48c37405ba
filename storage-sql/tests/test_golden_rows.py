"""Rows dex wrote are read, and written back byte for byte."""

from __future__ import annotations

import sqlite3

from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from dexcore_storage_sql import SQLiteStorage

from dexcore.storage import (
    ZERO_TIME,
    AuthCode,
    Client,
    ClientAuthState,
    LogoutState,
    Password,
    RefreshTokenRef,
    Storage,
    StorageError,
)

TIME = "2026-08-06 12:30:45.123456789+00:00"
JSON_TIME = b"2026-08-06T12:30:45.123456789Z"
MOMENT = datetime(2026, 8, 6, 12, 30, 45, 123456, tzinfo=UTC)

C1 = dict(
    id="c1", secret="sec", redirect_uris=b'["https://a/cb?x=1\\u0026y=2"]',
    trusted_peers=b"null", public=0, name="App", logo_url="",
    allowed_connectors=b"null", mfa_chain=b"null", post_logout_redirect_uris=b"null",
    sso_shared_with=b"null", backchannel_logout_uri="", refresh_token_lifetime="",
)  # fmt: skip
C2 = dict(
    id="c2", secret="", redirect_uris=b"null", trusted_peers=b"null", public=1,
    name="Pub", logo_url="", allowed_connectors=b'["x"]', mfa_chain=b"[]",
    post_logout_redirect_uris=b"null", sso_shared_with=b"[]",
    backchannel_logout_uri="", refresh_token_lifetime="session",
)  # fmt: skip
REQUEST = dict(
    id="a1", client_id="c1", response_types=b'["code"]', scopes=b'["openid"]',
    redirect_uri="https://a/cb", nonce="n", state="s", force_approval_prompt=0,
    logged_in=1, claims_user_id="u", claims_username="n", claims_email="e",
    claims_email_verified=1, claims_groups=b"null", connector_id="ldap",
    connector_data=b"{}", expiry="2126-08-06 12:30:45+00:00",
    claims_preferred_username="p", code_challenge="", code_challenge_method="",
    hmac_key=b"k", mfa_validated=0, prompt="", max_age=-1, auth_time=TIME,
    webauthn_session_data=None,
)  # fmt: skip
NEW_REQUEST = {
    **REQUEST,
    "id": "a2",
    "auth_time": "0001-01-01 00:00:00+00:00",
    "claims_groups": b'["a\\u003cb\\u003e"]',
    "connector_data": None,
    "hmac_key": None,
}
TOKEN = dict(
    id="r1", client_id="c1", scopes=b'["openid","offline_access"]', nonce="",
    claims_user_id="u", claims_username="n", claims_email="e",
    claims_email_verified=0, claims_groups=b'["g"]', connector_id="ldap",
    connector_data=None, token="t", created_at=TIME, last_used=TIME,
    claims_preferred_username="", obsolete_token="",
)  # fmt: skip
OFFLINE = dict(
    user_id="u", conn_id="ldap", connector_data=None,
    refresh=b'{"c1":{"ID":"r1","ClientID":"c1","CreatedAt":"' + JSON_TIME
    + b'","LastUsed":"' + JSON_TIME + b'","SessionID":"s1"}}',
)  # fmt: skip
IDENTITY = dict(
    user_id="u", connector_id="ldap", claims_user_id="u", claims_username="n",
    claims_preferred_username="", claims_email="e", claims_email_verified=1,
    claims_groups=b"null", consents=b'{"c1":["openid","email"]}', created_at=TIME,
    last_login=TIME, blocked_until="0001-01-01 00:00:00+00:00",
    mfa_secrets=b'{"totp-1":{"authenticatorID":"totp-1","type":"TOTP",'
    b'"secret":"otpauth://totp/x","confirmed":false,"createdAt":"' + JSON_TIME
    + b'"}}',
    webauthn_credentials=b'{"wa":[{"credentialID":"AQL/","publicKey":"Aw==",'
    b'"attestationType":"none","aaguid":"AAAAAAAAAAAAAAAAAAAAAA==","signCount":5,'
    b'"cloneWarning":false,"transport":["usb"],"backupEligible":false,'
    b'"backupState":false,"displayName":"Security Key","createdAt":"' + JSON_TIME
    + b'"}]}',
)  # fmt: skip
SESSION = dict(
    id="s1", secret="x", user_id="u", connector_id="ldap",
    client_states=b'{"c1":{"AuthenticatedAt":"' + JSON_TIME + b'","LastActivity":"'
    + JSON_TIME + b'","LastTokenIssuedAt":"0001-01-01T00:00:00Z","ViaSSO":false}}',
    created_at=TIME, last_activity="2026-08-06 12:30:45.12+00:00", ip_address="::1",
    user_agent="B", absolute_expiry="2126-08-06 12:30:45+00:00", idle_expiry=TIME,
    logout_state=b'{"PostLogoutRedirectURI":"https://x","State":"st",'
    b'"ClientID":"c1","ConnectorID":"ldap"}',
)  # fmt: skip
KEYS = dict(
    id="keys",
    verification_keys=b'[{"publicKey":{"use":"sig","kty":"EC","kid":"kid1",'
    b'"crv":"P-256","alg":"ES256","x":"QQ","y":"Qg"},'
    b'"expiry":"2126-08-06T12:30:45Z"}]',
    signing_key=b'{"use":"sig","kty":"EC","kid":"k","crv":"P-256","d":"Qw"}',
    signing_key_pub=b'{"use":"sig","kty":"EC","kid":"k","crv":"P-256"}',
    next_rotation=TIME,
)  # fmt: skip
DEVICE = dict(
    device_code="d", status="complete", token='{\n  "access_token": "x"\n}',
    expiry=TIME, last_request=TIME, poll_interval=5, code_challenge="",
    code_challenge_method="plain",
)  # fmt: skip

#: Table, row, and a change of one column: its name, the field's value, the column's.
GOLDEN: list[tuple[str, dict[str, Any], tuple[str, Any, Any]]] = [
    ("client", C1, ("logo_url", "x", "x")),
    ("client", C2, ("mfa_chain", None, b"null")),
    ("auth_request", REQUEST, ("logged_in", False, 0)),
    ("auth_request", NEW_REQUEST, ("nonce", "x", "x")),
    ("refresh_token", TOKEN, ("token", "x", "x")),
    ("offline_session", OFFLINE, ("connector_data", b"x", b"x")),
    ("user_identity", IDENTITY, ("consents", {}, b"{}")),
    ("auth_session", SESSION, ("logout_state", None, b"null")),
    ("keys", KEYS, ("signing_key", None, b"null")),
    ("device_token", DEVICE, ("status", "x", "x")),
]
COLLECTIONS = {"client": "clients", "user_identity": "user_identities", "keys": "keys"}
golden = pytest.mark.parametrize(
    ("table", "row", "change"),
    GOLDEN,
    ids=[f"{table}-{next(iter(row.values()))}" for table, row, _ in GOLDEN],
)


def insert(outside: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    columns = ", ".join(f'"{name}"' for name in row)
    marks = ", ".join("?" * len(row))
    outside.execute(
        f"INSERT INTO {table} ({columns}) VALUES ({marks})", [*row.values()]
    )


def stored(
    outside: sqlite3.Connection, table: str, row: dict[str, Any]
) -> dict[str, Any]:
    columns = ", ".join(f'"{name}"' for name in row)
    (found,) = outside.execute(f"SELECT {columns} FROM {table}").fetchall()
    return dict(zip(row, found, strict=True))


def records(storage: Storage, table: str) -> Any:
    return getattr(storage, COLLECTIONS.get(table, f"{table}s"))


def key_of(table: str, row: dict[str, Any]) -> tuple[str, ...]:
    if table == "keys":
        return ()
    return tuple([*row.values()][: 1 + (table in ("offline_session", "user_identity"))])


@golden
async def test_a_row_moved_from_place_to_place_is_the_same(
    storage: SQLiteStorage,
    outside: sqlite3.Connection,
    table: str,
    row: dict[str, Any],
    change: tuple[str, Any, Any],
) -> None:
    insert(outside, table, row)
    record = await records(storage, table).take(*key_of(table, row))
    assert outside.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    await records(storage, table).create(record)
    assert stored(outside, table, row) == row


@golden
async def test_a_change_writes_its_own_columns_only(
    storage: SQLiteStorage,
    outside: sqlite3.Connection,
    table: str,
    row: dict[str, Any],
    change: tuple[str, Any, Any],
) -> None:
    insert(outside, table, row)
    field, value, held = change
    await records(storage, table).update(
        *key_of(table, row), change=lambda old: attrs.evolve(old, **{field: value})
    )
    assert stored(outside, table, row) == {**row, field: held}


async def test_a_new_entry_leaves_the_others_in_the_column_as_they_were(
    storage: SQLiteStorage, outside: sqlite3.Connection
) -> None:
    insert(outside, "offline_session", OFFLINE)
    reference = RefreshTokenRef("r2", "a&b", MOMENT.replace(microsecond=120000))
    await storage.offline_sessions.update(
        "u",
        "ldap",
        change=lambda old: attrs.evolve(old, refresh={**old.refresh, "a&b": reference}),
    )
    assert stored(outside, "offline_session", OFFLINE)["refresh"] == (
        b'{"a\\u0026b":{"ID":"r2","ClientID":"a\\u0026b",'
        b'"CreatedAt":"2026-08-06T12:30:45.12Z","LastUsed":"0001-01-01T00:00:00Z",'
        b'"SessionID":""},' + OFFLINE["refresh"].lstrip(b"{")  # type: ignore[attr-defined]
    )


async def test_what_dex_wrote_is_understood(
    storage: SQLiteStorage, outside: sqlite3.Connection
) -> None:
    for table, row, _ in GOLDEN:
        insert(outside, table, row)
    assert await storage.clients.get("c1") == Client(
        "c1", "sec", ("https://a/cb?x=1&y=2",), name="App"
    )
    public = await storage.clients.get("c2")
    assert (public.public, public.mfa_chain, public.sso_shared_with) == (True, (), ())
    request = await storage.auth_requests.get("a1")
    assert request.auth_time == MOMENT
    assert request.expiry == datetime(2126, 8, 6, 12, 30, 45, tzinfo=UTC)
    assert (await storage.auth_requests.get("a2")).auth_time == ZERO_TIME
    offline = await storage.offline_sessions.get("u", "ldap")
    assert offline.refresh == {"c1": RefreshTokenRef("r1", "c1", MOMENT, MOMENT, "s1")}
    identity = await storage.user_identities.get("u", "ldap")
    assert identity.mfa_secrets["totp-1"].created_at == MOMENT
    assert identity.webauthn_credentials["wa"][0].credential_id == b"\x01\x02\xff"
    session = await storage.auth_sessions.get("s1")
    assert session.client_states == {"c1": ClientAuthState(MOMENT, MOMENT)}
    assert session.logout_state == LogoutState("https://x", "st", "c1", "ldap")
    keys = await storage.keys.get()
    assert keys.verification_keys[0].public_key["kid"] == "kid1"


async def test_a_new_user_is_written_as_dex_expects(
    storage: SQLiteStorage, outside: sqlite3.Connection
) -> None:
    await storage.passwords.create(Password("Jane@Example.com", b"$2y$", "jane"))
    row = outside.execute(
        "SELECT email, hash, groups, typeof(groups), email_verified FROM password"
    ).fetchone()
    assert row == ("jane@example.com", b"$2y$", b"null", "blob", None)


async def test_times_are_written_in_utc_and_sort_as_text(
    storage: SQLiteStorage, outside: sqlite3.Connection
) -> None:
    moment = datetime.fromisoformat("2026-08-06T14:30:45.120000+02:00")
    await storage.auth_codes.create(AuthCode("c", "c", expiry=moment))
    row = outside.execute("SELECT expiry, auth_time FROM auth_code").fetchone()
    assert row == ("2026-08-06 12:30:45.12+00:00", "0001-01-01 00:00:00+00:00")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-08-06 12:30:45+00:00", datetime(2026, 8, 6, 12, 30, 45, tzinfo=UTC)),
        ("2026-08-06T12:30:45Z", datetime(2026, 8, 6, 12, 30, 45, tzinfo=UTC)),
        ("2026-08-06 12:30:45.5", datetime(2026, 8, 6, 12, 30, 45, 500000, UTC)),
        ("2026-08-06 14:30+02:00", datetime(2026, 8, 6, 12, 30, tzinfo=UTC)),
        ("2026-08-06 12:30", datetime(2026, 8, 6, 12, 30, tzinfo=UTC)),
        ("2026-08-06", datetime(2026, 8, 6, tzinfo=UTC)),
        ("0001-01-01 00:00:00+00:00", ZERO_TIME),
        ("0001-01-01 00:00:00 UTC", ZERO_TIME),
        ("0001-01-01 00:00:00+02:00", ZERO_TIME),
        ("1970-01-01 00:00:00", ZERO_TIME),
        ("yesterday", ZERO_TIME),
        ("", ZERO_TIME),
    ],
)
async def test_times_are_read_as_leniently_as_dex_does(
    storage: SQLiteStorage, outside: sqlite3.Connection, text: str, time: datetime
) -> None:
    insert(outside, "refresh_token", {**TOKEN, "last_used": text})
    assert (await storage.refresh_tokens.get("r1")).last_used == time


async def test_json_is_read_from_text_and_null_too(
    storage: SQLiteStorage, outside: sqlite3.Connection
) -> None:
    insert(outside, "client", {**C1, "redirect_uris": '["https://a/"]'})
    insert(outside, "client", {**C2, "mfa_chain": None, "sso_shared_with": "null"})
    insert(outside, "device_token", {**DEVICE, "token": b"\xc3\xa9"})
    insert(outside, "refresh_token", {**TOKEN, "obsolete_token": None})
    assert (await storage.clients.get("c1")).redirect_uris == ("https://a/",)
    other = await storage.clients.get("c2")
    assert (other.mfa_chain, other.sso_shared_with) == (None, None)
    assert (await storage.device_tokens.get("d")).token == "é"
    assert (await storage.refresh_tokens.get("r1")).obsolete_token == ""


@pytest.mark.parametrize("garbage", [b"{", b"[1", b'"text"', b'{"c1":1}'])
async def test_a_row_that_cannot_be_read_names_its_column(
    storage: SQLiteStorage, outside: sqlite3.Connection, garbage: bytes
) -> None:
    insert(outside, "offline_session", {**OFFLINE, "refresh": garbage})
    with pytest.raises(StorageError, match=r"offline_session\.refresh"):
        await storage.offline_sessions.get("u", "ldap")
