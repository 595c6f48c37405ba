"""How PostgreSQL spells it, and how it holds values: dex's encodings, to the byte."""

from __future__ import annotations

import itertools
import re

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from dexcore.storage import ZERO_TIME
from dexcore.storage.codec import json_codec

from .. import schema
from ..ddl import Dialect
from ..schema import Type
from ..tables import Column, Holds
from ..values import Convert

_2000 = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST = datetime.max.replace(tzinfo=UTC)
_ZERO = (ZERO_TIME - _2000) // _MICROSECOND
# dex's columns that came later begin with the epoch, in the zone of whoever added them.
_FIRST_DAY = (datetime(1970, 1, 2, tzinfo=UTC) - _2000) // _MICROSECOND


@cache
def spell(text: str) -> str:
    """Return *text* with its parameters numbered."""
    numbers = itertools.count(1)
    return re.sub(r"\?", lambda _: f"${next(numbers)}", text)


def write_time(time: datetime) -> int:
    """Return *time* as PostgreSQL has it: microseconds since the year 2000.

    The driver's own way takes year one, dex's zero time, for minus infinity.
    """
    return max((time - _2000) // _MICROSECOND, _ZERO)


def read_time(microseconds: int) -> datetime:
    """Return the time; what comes before the second day of 1970 is "not set"."""
    if microseconds < _FIRST_DAY:
        return ZERO_TIME
    try:
        return _2000 + timedelta(microseconds=microseconds)
    except OverflowError:
        return _LAST


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


def _read_optional_text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def _or_none(value: Any) -> Any:
    return value or None


def _or_no_bytes(value: bytes | None) -> bytes:
    return value or b""


_WRITERS: dict[Holds, Convert] = {
    Holds.TIME: write_time,
    Holds.OPTIONAL_BYTES: _or_none,
}
_READERS: dict[Holds, Convert] = {
    Holds.OPTIONAL_TEXT: _read_optional_text,
    Holds.TIME: read_time,
    Holds.OPTIONAL_BYTES: _or_no_bytes,
}

POSTGRES = Dialect(
    name="postgres",
    types={
        Type.TEXT: "text",
        Type.KEY: 'text COLLATE "C"',
        Type.LINE: "text",
        Type.STATE: "text",
        Type.BYTES: "bytea",
        Type.LONG_BYTES: "bytea",
        Type.BOOLEAN: "boolean",
        Type.TIME: "timestamptz",
        Type.INTEGER: "integer",
        Type.BIG_INTEGER: "bigint",
    },
    dex=schema.DEX,
    ours=schema.OURS_POSTGRES,
    tables="SELECT tablename FROM pg_catalog.pg_tables"
    " WHERE schemaname = ANY (current_schemas(false))",
    writer=_writer,
    reader=_reader,
    time=write_time,
    spell=spell,
    by_key=' COLLATE "C"',
    lock=" FOR UPDATE",
    skip=" FOR UPDATE SKIP LOCKED",
    bytes_literal="convert_to({0}, 'UTF8')",
)
