"""Which column holds what: derived from the records, named as dex names them.

A table's columns are listed in the order of its record's fields, so that a row read in
this order is the record's arguments.  Where the columns are in the database, and what
their types are there, is :mod:`.schema`'s.
"""

from __future__ import annotations

import typing

from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from typing import Any, Generic, TypeVar

import attrs

from dexcore.storage import KINDS, PKCE, Claims, Kind

R = TypeVar("R")


class Holds(Enum):
    """What a column holds; each dialect has its way to write it."""

    TEXT = "text"
    OPTIONAL_TEXT = "text, and NULL for the empty one; or the same as bytes"
    BOOLEAN = "boolean"
    OPTIONAL_BOOLEAN = "boolean, and NULL for unknown"
    INTEGER = "integer"
    TIME = "time"
    BYTES = "bytes"
    OPTIONAL_BYTES = "bytes, and NULL for none"
    JSON = "JSON"


@attrs.frozen
class Column:
    """A column, the path from a record to its value, and the type of that value.

    ``folded``: stored in lower case.
    """

    name: str
    path: str
    holds: Holds
    shape: Any
    folded: bool = False


@attrs.frozen
class Group:
    """Columns ``start`` to ``stop`` are together one structure in the record."""

    start: int
    stop: int
    record: type[Any]


@attrs.frozen
class Table(Generic[R]):
    """One kind's table.  ``only``: the one row's ``id``, if the kind has no key."""

    kind: Kind[R]
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    only: str = ""

    @property
    def name(self) -> str:
        """The name in the database."""
        return self.kind.name


# Where a column is not named as its field.
_NAMES = {
    "device_token.poll_interval_seconds": "poll_interval",
    "client.client_credentials_claims": "dexcore_client_credentials_claims",
}
# Where the type of the field does not say it.
_HOLDS = {
    "password.hash": Holds.BYTES,
    "device_token.token": Holds.OPTIONAL_TEXT,
    "device_request.client_secret": Holds.OPTIONAL_TEXT,
    "refresh_token.obsolete_token": Holds.OPTIONAL_TEXT,
}
_BY_TYPE: dict[Any, Holds] = {
    str: Holds.TEXT,
    bool: Holds.BOOLEAN,
    bool | None: Holds.OPTIONAL_BOOLEAN,
    int: Holds.INTEGER,
    datetime: Holds.TIME,
    bytes: Holds.OPTIONAL_BYTES,
}
# Claims and PKCE are columns of their own, with these prefixes.
_PREFIXES: dict[Any, str] = {Claims: "claims_", PKCE: ""}


def _table(kind: Kind[R]) -> Table[R]:
    columns: list[Column] = []
    groups: list[Group] = []
    for name, shape in _fields(kind.record):
        start = len(columns)
        if shape in _PREFIXES:
            columns += (
                _column(kind, _PREFIXES[shape] + inner, f"{name}.{inner}", of)
                for inner, of in _fields(shape)
            )
            groups.append(Group(start, len(columns), shape))
        else:
            columns.append(_column(kind, name, name, shape))
    only = "" if kind.key else kind.name
    return Table(kind, tuple(columns), tuple(groups), only)


def _column(kind: Kind[Any], name: str, path: str, shape: Any) -> Column:
    full = f"{kind.name}.{name}"
    holds = _HOLDS.get(full) or _BY_TYPE.get(shape, Holds.JSON)
    folded = kind.folded and name in kind.key
    return Column(_NAMES.get(full, name), path, holds, shape, folded)


def _fields(record: type[Any]) -> Iterator[tuple[str, Any]]:
    hints = typing.get_type_hints(record)
    for field in attrs.fields(record):
        yield field.name, hints[field.name]


#: dex's tables.  Our own kinds share one table, ``dexcore_record``.
TABLES: tuple[Table[Any], ...] = tuple(_table(kind) for kind in KINDS if not kind.own)
OWN: tuple[Kind[Any], ...] = tuple(kind for kind in KINDS if kind.own)
