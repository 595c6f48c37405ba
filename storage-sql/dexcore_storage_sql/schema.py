"""What is in the database, as data: dex's numbered steps, and one of ours.

dex counts what it did to a database in its table ``migrations``; we do the same steps
under the same numbers, so that dex and dexcore can take turns.  What we need beyond
that has its own count, ``dexcore_migrations``, and names dex will not use.
"""

from __future__ import annotations

from enum import Enum

import attrs


class Type(Enum):
    """The types of columns; each dialect has its words for them."""

    TEXT = "text"
    KEY = "text of our own tables, compared and sorted byte by byte"
    LINE = "text of some 2000 characters"
    STATE = "text of some 4000 characters"
    BYTES = "bytes"
    LONG_BYTES = "bytes, megabytes of them"
    BOOLEAN = "boolean"
    TIME = "time"
    INTEGER = "integer"
    BIG_INTEGER = "big integer"


@attrs.frozen
class Column:
    """``default`` is the literal's value; ``None``: no default."""

    name: str
    type: Type
    null: bool = False
    default: str | int | bool | None = None


@attrs.frozen
class CreateTable:
    """Make a table.  ``clustered``: the rows live in the primary key's index."""

    table: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    clustered: bool = False


@attrs.frozen
class AddColumns:
    """Append columns to a table."""

    table: str
    columns: tuple[Column, ...]


@attrs.frozen
class DropTable:
    """Forget a table and what is in it."""

    table: str


@attrs.frozen
class CreateIndex:
    """Make an index.  ``by_key``: in the order of keys, whatever the database's is."""

    name: str
    table: str
    columns: tuple[str, ...]
    by_key: bool = False


@attrs.frozen
class ChangeColumns:
    """Give columns that are there another type."""

    table: str
    columns: tuple[Column, ...]


@attrs.frozen
class Utf8:
    """Let a table hold every character and compare exactly; change some columns."""

    table: str
    columns: tuple[Column, ...]


@attrs.frozen
class FillColumn:
    """Put a value where there is none."""

    table: str
    column: str
    value: str


@attrs.frozen
class MendDefaults:
    """Turn what a default left as text into bytes, as dex needs to read it."""

    table: str
    column: str


Change = (
    CreateTable
    | AddColumns
    | ChangeColumns
    | Utf8
    | DropTable
    | CreateIndex
    | FillColumn
    | MendDefaults
)
Step = tuple[Change, ...]

#: Both counting tables look like this.
COUNT = (Column("num", Type.INTEGER), Column("at", Type.TIME))
EPOCH = "1970-01-01 00:00:00"
YEAR_ONE = "0001-01-01 00:00:00 UTC"


def _text(*names: str, default: str | None = None) -> tuple[Column, ...]:
    return tuple(Column(name, Type.TEXT, default=default) for name in names)


def _bytes(*names: str, null: bool = False) -> tuple[Column, ...]:
    return tuple(Column(name, Type.BYTES, null=null) for name in names)


def _time(*names: str, default: str | None = None) -> tuple[Column, ...]:
    return tuple(Column(name, Type.TIME, default=default) for name in names)


def _boolean(
    name: str, *, null: bool = False, default: bool | None = None
) -> tuple[Column, ...]:
    return (Column(name, Type.BOOLEAN, null, default),)


def _integer(name: str, default: int | None = None) -> tuple[Column, ...]:
    return (Column(name, Type.INTEGER, default=default),)


_CLAIMS = (
    *_text("claims_user_id", "claims_username", "claims_email"),
    *_boolean("claims_email_verified"),
    *_bytes("claims_groups"),
)
_LOGIN = (*_CLAIMS, *_text("connector_id"), *_bytes("connector_data", null=True))
_PREFERRED_USERNAME = _text("claims_preferred_username", default="")
_CHALLENGE = _text("code_challenge", "code_challenge_method", default="")

_FIRST: Step = (
    CreateTable(
        "client",
        (
            *_text("id", "secret"),
            *_bytes("redirect_uris", "trusted_peers"),
            *_boolean("public"),
            *_text("name", "logo_url"),
        ),
        ("id",),
    ),
    CreateTable(
        "auth_request",
        (
            *_text("id", "client_id"),
            *_bytes("response_types", "scopes"),
            *_text("redirect_uri", "nonce", "state"),
            *_boolean("force_approval_prompt"),
            *_boolean("logged_in"),
            *_LOGIN,
            *_time("expiry"),
        ),
        ("id",),
    ),
    CreateTable(
        "auth_code",
        (
            *_text("id", "client_id"),
            *_bytes("scopes"),
            *_text("nonce", "redirect_uri"),
            *_LOGIN,
            *_time("expiry"),
        ),
        ("id",),
    ),
    CreateTable(
        "refresh_token",
        (
            *_text("id", "client_id"),
            *_bytes("scopes"),
            *_text("nonce"),
            *_LOGIN,
        ),
        ("id",),
    ),
    CreateTable(
        "password",
        (*_text("email"), *_bytes("hash"), *_text("username", "user_id")),
        ("email",),
    ),
    CreateTable(
        "keys",
        (
            *_text("id"),
            *_bytes("verification_keys", "signing_key", "signing_key_pub"),
            *_time("next_rotation"),
        ),
        ("id",),
    ),
)

_DEVICES: Step = (
    CreateTable(
        "device_request",
        (
            *_text("user_code", "device_code", "client_id"),
            Column("client_secret", Type.TEXT, null=True),
            *_bytes("scopes"),
            *_time("expiry"),
        ),
        ("user_code",),
    ),
    CreateTable(
        "device_token",
        (
            *_text("device_code", "status"),
            *_bytes("token", null=True),
            *_time("expiry", "last_request"),
            *_integer("poll_interval"),
        ),
        ("device_code",),
    ),
)

_IDENTITIES: Step = (
    CreateTable(
        "user_identity",
        (
            *_text("user_id", "connector_id", "claims_user_id", "claims_username"),
            *_PREFERRED_USERNAME,
            *_text("claims_email"),
            *_boolean("claims_email_verified"),
            *_bytes("claims_groups", "consents"),
            *_time("created_at", "last_login", "blocked_until"),
        ),
        ("user_id", "connector_id"),
    ),
)

_OLD_SESSIONS: Step = (
    CreateTable(
        "auth_session",
        (
            *_text("user_id", "connector_id", "nonce"),
            *_bytes("client_states"),
            *_time("created_at", "last_activity"),
            *_text("ip_address", "user_agent", default=""),
        ),
        ("user_id", "connector_id"),
    ),
)

_SESSIONS: Step = (
    DropTable("auth_session"),
    CreateTable(
        "auth_session",
        (
            *_text("id"),
            *_text("secret", default=""),
            *_text("user_id", "connector_id"),
            *_bytes("client_states"),
            *_time("created_at", "last_activity"),
            *_text("ip_address", "user_agent", default=""),
            *_time("absolute_expiry", "idle_expiry", default=EPOCH),
            *_bytes("logout_state", null=True),
        ),
        ("id",),
    ),
    CreateIndex("auth_session_user_idx", "auth_session", ("user_id", "connector_id")),
    AddColumns("auth_code", _text("session_id", default="")),
)

#: dex's steps, the first is number 1.
DEX: tuple[Step, ...] = (
    _FIRST,
    (
        AddColumns("refresh_token", _text("token", default="")),
        AddColumns("refresh_token", _time("created_at", "last_used", default=YEAR_ONE)),
    ),
    (
        CreateTable(
            "offline_session",
            (*_text("user_id", "conn_id"), *_bytes("refresh")),
            ("user_id", "conn_id"),
        ),
    ),
    (
        CreateTable(
            "connector",
            (
                *_text("id", "type", "name", "resource_version"),
                *_bytes("config", null=True),
            ),
            ("id",),
        ),
    ),
    tuple(
        AddColumns(table, _PREFERRED_USERNAME)
        for table in ("auth_code", "auth_request", "refresh_token")
    ),
    (AddColumns("offline_session", _bytes("connector_data", null=True)),),
    _DEVICES,
    (AddColumns("auth_request", _CHALLENGE), AddColumns("auth_code", _CHALLENGE)),
    (
        AddColumns(
            "refresh_token",
            (Column("obsolete_token", Type.TEXT, null=True, default=""),),
        ),
    ),
    (AddColumns("device_token", _CHALLENGE),),
    (AddColumns("auth_request", _bytes("hmac_key", null=True)),),
    (
        AddColumns("password", _text("preferred_username", default="")),
        AddColumns("password", (Column("groups", Type.BYTES, default="[]"),)),
    ),
    (
        AddColumns("password", _text("name", default="")),
        AddColumns("password", _boolean("email_verified", null=True)),
    ),
    (AddColumns("connector", _bytes("grant_types", null=True)),),
    (AddColumns("client", _bytes("allowed_connectors", null=True)),),
    _IDENTITIES,
    _OLD_SESSIONS,
    (
        AddColumns("auth_request", _boolean("mfa_validated", default=False)),
        AddColumns("auth_request", _text("prompt", default="")),
        AddColumns("auth_request", _integer("max_age", default=-1)),
        AddColumns("auth_request", _time("auth_time", default=EPOCH)),
        AddColumns("user_identity", _bytes("mfa_secrets", null=True)),
        AddColumns("client", _bytes("mfa_chain", null=True)),
        AddColumns("auth_code", _time("auth_time", default=EPOCH)),
    ),
    (
        AddColumns(
            "auth_session", _time("absolute_expiry", "idle_expiry", default=EPOCH)
        ),
        AddColumns("auth_session", _bytes("logout_state", null=True)),
        AddColumns("client", _bytes("post_logout_redirect_uris", null=True)),
    ),
    (
        AddColumns("auth_request", _bytes("webauthn_session_data", null=True)),
        AddColumns("user_identity", _bytes("webauthn_credentials", null=True)),
    ),
    (AddColumns("client", _bytes("sso_shared_with", null=True)),),
    (
        AddColumns(
            "client",
            _text("backchannel_logout_uri", "refresh_token_lifetime", default=""),
        ),
    ),
    _SESSIONS,
)

_RECORD = CreateTable(
    "dexcore_record",
    (
        Column("kind", Type.KEY),
        Column("key", Type.KEY),
        Column("data", Type.LONG_BYTES),
        Column("expiry", Type.BIG_INTEGER, null=True),
    ),
    ("kind", "key"),
    clustered=True,
)
# dex writes and reads columns by name, so it does not notice one more.
_CLAIMS_OF_CLIENTS = AddColumns(
    "client",
    (Column("dexcore_client_credentials_claims", Type.LONG_BYTES, null=True),),
)
_INDEXES = (
    CreateIndex("dexcore_record_expiry", "dexcore_record", ("kind", "expiry")),
    CreateIndex("dexcore_auth_request_expiry", "auth_request", ("expiry",)),
    CreateIndex("dexcore_auth_code_expiry", "auth_code", ("expiry",)),
    CreateIndex("dexcore_device_request_expiry", "device_request", ("expiry",)),
    CreateIndex("dexcore_device_token_expiry", "device_token", ("expiry",)),
    CreateIndex("dexcore_auth_session_absolute", "auth_session", ("absolute_expiry",)),
    CreateIndex("dexcore_auth_session_idle", "auth_session", ("idle_expiry",)),
)

#: Our own steps.
OURS: tuple[Step, ...] = (
    (MendDefaults("password", "groups"), _CLAIMS_OF_CLIENTS, _RECORD, *_INDEXES),
)
#: On PostgreSQL, whose order of text is the operator's choice: what is listed page by
#: page and may be long has an index in the order of keys.
OURS_POSTGRES: tuple[Step, ...] = (
    (
        _CLAIMS_OF_CLIENTS,
        _RECORD,
        *_INDEXES,
        CreateIndex("dexcore_refresh_token_key", "refresh_token", ("id",), True),
        CreateIndex("dexcore_auth_session_key", "auth_session", ("id",), True),
        CreateIndex(
            "dexcore_user_identity_key",
            "user_identity",
            ("user_id", "connector_id"),
            True,
        ),
    ),
)

# — MySQL ------------------------------------------------------------------------------

# Its words for bytes have no defaults: the column comes empty, and is filled.
_GROUPS: Step = (
    AddColumns("password", _text("preferred_username", default="")),
    AddColumns("password", _bytes("groups", null=True)),
    FillColumn("password", "groups", "[]"),
    ChangeColumns("password", _bytes("groups")),
)
_LONG_STATE: Step = (
    ChangeColumns("auth_request", (Column("state", Type.STATE, null=True),)),
)

#: dex's steps on MySQL: one more, the seventh.
DEX_MYSQL: tuple[Step, ...] = (*DEX[:6], _LONG_STATE, *DEX[6:11], _GROUPS, *DEX[12:])

# What comes from clients, browsers and their operators, and is no key.
_LINES = {
    "auth_request": {"redirect_uri", "nonce"},
    "auth_code": {"redirect_uri", "nonce"},
    "refresh_token": {"nonce"},
    "client": {"logo_url", "backchannel_logout_uri"},
    "auth_session": {"user_agent"},
}


def _final_columns(steps: tuple[Step, ...]) -> dict[str, list[Column]]:
    """Return the columns of every table after *steps*."""
    tables: dict[str, list[Column]] = {}
    for change in (change for step in steps for change in step):
        match change:
            case CreateTable(table, columns):
                tables[table] = [*columns]
            case AddColumns(table, columns):
                tables[table] += columns
            case ChangeColumns(table, columns):
                changed = {column.name: column for column in columns}
                old = tables[table]
                tables[table] = [changed.get(one.name, one) for one in old]
    return tables


def _roomier(table: str, columns: list[Column]) -> Utf8:
    """Return the change that lets *table* hold what the others hold."""
    lines = _LINES.get(table, set())
    return Utf8(
        table,
        tuple(
            attrs.evolve(
                column,
                type=Type.LINE if column.name in lines else Type.LONG_BYTES,
            )
            for column in columns
            if column.name in lines or column.type is Type.BYTES
        ),
    )


#: On MySQL, where dex's columns end after 384 characters, and which takes ``a`` for
#: ``A``: dex does not notice that they are longer, and exact.
OURS_MYSQL: tuple[Step, ...] = (
    (
        *(_roomier(*each) for each in _final_columns(DEX_MYSQL).items()),
        _CLAIMS_OF_CLIENTS,
        _RECORD,
        *_INDEXES,
    ),
)
