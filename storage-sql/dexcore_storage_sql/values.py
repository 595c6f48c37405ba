"""How SQLite holds a value: dex's encodings, to the byte."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from dexcore.storage import ZERO_TIME
from dexcore.storage.codec import json_codec, parse_time, time_text

from .tables import Column, Holds

#: From a record's value to a column's, or back; ``None``: it is the same.
Convert = Callable[[Any], Any] | None

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def writer(column: Column) -> Convert:
    """Return what turns a field's value into what the column holds."""
    if column.holds is Holds.JSON:
        # Bytes, so that the storage class is BLOB: dex cannot read TEXT here.
        return json_codec(column.shape).encode
    if column.folded:
        return str.lower
    return _WRITERS.get(column.holds)


def reader(column: Column) -> Convert:
    """Return what turns what the column holds into a field's value."""
    if column.holds is Holds.JSON:
        decode = json_codec(column.shape).decode
        return lambda data: decode(b"null" if data is None else data)
    return _READERS.get(column.holds)


def write_time(time: datetime) -> str:
    """Return *time* as dex writes it; such texts sort as their times do."""
    return time_text(time, " ")


def read_time(text: str | None) -> datetime:
    """Return the time in *text*; what dex cannot read, and the epoch, is "not set"."""
    try:
        time = parse_time(text or "")
    except ValueError:
        return ZERO_TIME
    return ZERO_TIME if time == _EPOCH else time


def _read_optional_text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def _read_bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def _read_optional_boolean(value: int | None) -> bool | None:
    return None if value is None else bool(value)


_WRITERS: dict[Holds, Convert] = {
    Holds.TIME: write_time,
    Holds.OPTIONAL_BYTES: lambda value: value or None,
}
_READERS: dict[Holds, Convert] = {
    Holds.OPTIONAL_TEXT: _read_optional_text,
    Holds.BOOLEAN: bool,
    Holds.OPTIONAL_BOOLEAN: _read_optional_boolean,
    Holds.TIME: read_time,
    Holds.BYTES: _read_bytes,
    Holds.OPTIONAL_BYTES: _read_bytes,
}
