"""How MySQL and MariaDB spell it, and how they hold values."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from dexcore.storage import ZERO_TIME
from dexcore.storage.codec import json_codec

from .. import schema
from ..ddl import Dialect
from ..schema import Type
from ..tables import Column, Holds
from ..values import Convert

_FIRST_DAY = datetime(1970, 1, 2, tzinfo=UTC)
_NOT_SET = "1970-01-01 00:00:00"


@cache
def spell(text: str) -> str:
    """Return *text* with backticks around names and the driver's marks for values."""
    return text.replace("%", "%%").replace("?", "%s").replace('"', "`")


def write_time(time: datetime) -> str:
    """Return *time* to the millisecond; what is not set as the epoch.

    dex would write ``0000-00-00``, which servers refuse by default.
    """
    if time < _FIRST_DAY:
        return _NOT_SET
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def read_time(text: str | None) -> datetime:
    """Return the time; ``0000-00-00`` and all before 1970 is "not set"."""
    try:
        time = datetime.fromisoformat(text or "").replace(tzinfo=UTC)
    except ValueError:
        return ZERO_TIME
    return ZERO_TIME if time < _FIRST_DAY else time


def _writer(column: Column) -> Convert:
    if column.holds is Holds.JSON:
        return json_codec(column.shape).encode
    if column.folded:
        return str.lower
    if column.name == "token" and column.holds is Holds.OPTIONAL_TEXT:
        return str.encode  # device_token.token
    return _WRITERS.get(column.holds)


def _reader(column: Column) -> Convert:
    if column.holds is Holds.JSON:
        decode = json_codec(column.shape).decode
        return lambda data: decode(b"null" if data is None else data)
    return _READERS.get(column.holds)


def _read_text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def _read_bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def _read_optional_boolean(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _or_none(value: Any) -> Any:
    return value or None


_WRITERS: dict[Holds, Convert] = {
    Holds.TIME: write_time,
    Holds.OPTIONAL_BYTES: _or_none,
}
_READERS: dict[Holds, Convert] = {
    Holds.TEXT: _read_text,  # auth_request.state may be NULL
    Holds.OPTIONAL_TEXT: _read_text,
    Holds.BOOLEAN: bool,
    Holds.OPTIONAL_BOOLEAN: _read_optional_boolean,
    Holds.TIME: read_time,
    Holds.BYTES: _read_bytes,
    Holds.OPTIONAL_BYTES: _read_bytes,
}


def dialect(collation: str, *, returning: bool) -> Dialect:
    """Return the dialect of a server that compares exactly by *collation*."""
    return Dialect(
        name="mysql",
        types={
            Type.TEXT: "varchar(384)",
            Type.KEY: f"varchar(384) CHARACTER SET utf8mb4 COLLATE {collation}",
            Type.LINE: "varchar(2048)",
            Type.STATE: "varchar(4096)",
            Type.BYTES: "blob",
            Type.LONG_BYTES: "mediumblob",
            Type.BOOLEAN: "boolean",
            Type.TIME: "datetime(3)",
            Type.INTEGER: "int",
            Type.BIG_INTEGER: "bigint",
        },
        dex=schema.DEX_MYSQL,
        ours=schema.OURS_MYSQL,
        tables="SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = database()",
        writer=_writer,
        reader=_reader,
        time=write_time,
        spell=spell,
        lock=" FOR UPDATE",
        unless_there="",
        everything=2**63 - 1,
        year_one="1000-01-01 00:00:00",
        exists=True,
        returning=returning,
        inner_limit=False,
        collation=collation,
    )
