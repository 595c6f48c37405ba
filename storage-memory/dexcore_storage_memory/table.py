"""One kind's records: by key, in the order of their keys, and by expiry."""

from __future__ import annotations

import bisect
import heapq

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import attrs

from dexcore.storage import AlreadyExists, Kind, NotFound, StorageError

R = TypeVar("R")
Key = tuple[str, ...]


class Table(Generic[R]):
    """Records of one kind.  Nothing here waits, so every method is atomic.

    While :attr:`undo` is a list, every change appends what would take it back.
    """

    def __init__(self, kind: Kind[R]) -> None:
        self.undo: list[Callable[[], None]] | None = None
        self._kind = kind
        self._records: dict[Key, R] = {}
        self._keys: list[Key] = []
        self._expiries: list[tuple[datetime, Key]] = []
        self._maps = _mapping_fields(kind.record)

    def create(self, record: R) -> None:
        """Store *record*; raise ``AlreadyExists``."""
        key = self._kind.key_of(record)
        if key in self._records:
            raise AlreadyExists(f"A {self._kind.name} with this key is already there.")
        self._put(key, self._sealed(record))

    def find(self, key: Key) -> R | None:
        """Return the record or ``None``."""
        return self._records.get(self._kind.fold(key))

    def get(self, key: Key) -> R:
        """Return the record; raise ``NotFound``."""
        record = self.find(key)
        if record is None:
            raise NotFound(f"There is no such {self._kind.name}.")
        return record

    def update(self, key: Key, change: Callable[[R], R]) -> R:
        """Replace the record by ``change(record)``; raise ``NotFound``."""
        old = self.get(key)
        new = change(old)
        if new is old:
            return old
        key = self._kind.fold(key)
        if self._kind.key_of(new) != key:
            raise StorageError(f"The key of a {self._kind.name} cannot change.")
        new = self._sealed(new)
        self._put(key, new)
        return new

    def take(self, key: Key) -> R:
        """Remove the record and return it; raise ``NotFound``."""
        record = self.get(key)
        self._remove(self._kind.fold(key))
        return record

    def page(self, after: Key | None, limit: int | None) -> list[R]:
        """Return records in the order of their keys."""
        first = 0
        if after is not None:
            first = bisect.bisect_right(self._keys, self._kind.fold(after))
        last = None if limit is None else first + limit
        return [self._records[key] for key in self._keys[first:last]]

    def sweep(self, now: datetime, limit: int) -> tuple[int, bool]:
        """Remove up to *limit* expired records; return how many, and whether all."""
        removed = 0
        while self._expiries and self._expiries[0][0] < now:
            if removed == limit:
                return removed, False
            _, key = heapq.heappop(self._expiries)
            record = self._records.get(key)
            if record is not None and self._expiry(record) < now:
                self._remove(key)
                removed += 1
        return removed, True

    def _put(self, key: Key, record: R) -> None:
        old = self._records.get(key)
        if old is None:
            bisect.insort(self._keys, key)
        self._records[key] = record
        if self._kind.expiry:
            expiry = self._expiry(record)
            if old is None or self._expiry(old) != expiry:
                heapq.heappush(self._expiries, (expiry, key))
        if self.undo is not None:
            self.undo.append(
                (lambda: self._remove(key))
                if old is None
                else (lambda: self._put(key, old))
            )

    def _remove(self, key: Key) -> None:
        record = self._records.pop(key)
        del self._keys[bisect.bisect_left(self._keys, key)]
        if self.undo is not None:
            self.undo.append(lambda: self._put(key, record))

    def _expiry(self, record: R) -> datetime:
        earliest: datetime = min(getattr(record, name) for name in self._kind.expiry)
        return earliest

    def _sealed(self, record: R) -> R:
        # Maps are copied and closed, so that nobody changes a stored record by hand.
        open_maps = {
            name: MappingProxyType(dict(given))
            for name in self._maps
            if (given := getattr(record, name)) is not None
            and not isinstance(given, MappingProxyType)
        }
        if not open_maps:
            return record
        sealed: Any = attrs.evolve(record, **open_maps)  # type: ignore[misc]
        return sealed  # type: ignore[no-any-return]


def _mapping_fields(record: type[Any]) -> tuple[str, ...]:
    return tuple(_names_of_mappings(record))


def _names_of_mappings(record: type[Any]) -> Iterator[str]:
    for field in attrs.fields(record):
        if str(field.type).startswith(Mapping.__name__):
            yield field.name
