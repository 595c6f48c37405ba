"""Records to rows and back, with everything decided once per table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Generic, TypeVar

from dexcore.storage import StorageError

from .tables import Column, Table
from .values import Convert

R = TypeVar("R")


class RowCodec(Generic[R]):
    """Turns records of one table into rows, in the order of ``table.columns``."""

    def __init__(
        self,
        table: Table[R],
        writer: Callable[[Column], Convert],
        reader: Callable[[Column], Convert],
    ) -> None:
        self._table = table
        self._values = attrgetter(*(column.path for column in table.columns))
        self._writers = _conversions(table, writer)
        self._readers = _conversions(table, reader)
        # From the last to the first, so that the places before it stay what they are.
        self._groups = tuple(reversed(table.groups))
        self._writer_of = dict(self._writers)
        self._key = frozenset(
            place
            for place, column in enumerate(table.columns)
            if column.name in table.kind.key
        )

    def row(self, record: R) -> list[Any]:
        """Return what the columns hold."""
        values = list(self._values(record))
        for place, write in self._writers:
            values[place] = write(values[place])
        return values

    def record(self, row: Sequence[Any]) -> R:
        """Return the record of *row*; raise ``StorageError`` if it cannot be read."""
        values = list(row)
        try:
            for place, read in self._readers:
                values[place] = read(values[place])
        except ValueError as error:
            name = f"{self._table.name}.{self._table.columns[place].name}"
            raise StorageError(f"What {name} holds cannot be read: {error}") from error
        for group in self._groups:
            start, stop = group.start, group.stop
            values[start:stop] = [group.record(*values[start:stop])]
        return self._table.kind.record(*values)

    def changes(self, old: R, new: R) -> tuple[tuple[int, ...], list[Any]]:
        """Return the places of the columns that differ, and what *new* has there.

        Columns that do not differ keep what they hold, to the byte.  The key's are
        never among them.
        """
        values = self._values(new)
        places = tuple(
            place
            for place, (was, value) in enumerate(
                zip(self._values(old), values, strict=True)
            )
            if was is not value and was != value and place not in self._key
        )
        return places, [self._written(place, values[place]) for place in places]

    def _written(self, place: int, value: Any) -> Any:
        write = self._writer_of.get(place)
        return value if write is None else write(value)


def _conversions(
    table: Table[Any], convert: Callable[[Column], Convert]
) -> tuple[tuple[int, Callable[[Any], Any]], ...]:
    found = ((place, convert(column)) for place, column in enumerate(table.columns))
    return tuple((place, function) for place, function in found if function is not None)
