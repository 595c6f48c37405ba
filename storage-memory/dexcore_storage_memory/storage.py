"""The five verbs on tables in memory, and units that roll back."""

from __future__ import annotations

import asyncio
import builtins

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from dexcore.storage import KINDS, Collection, Collections, Storage, StorageUnavailable
from dexcore.storage.units import run_through

from .table import Table

R = TypeVar("R")
T = TypeVar("T")

_SWEPT_AT_ONCE = 500  # about a millisecond, then others have their turn


class MemoryStorage(Storage):
    """State that lives as long as the process, for one process."""

    shared = False

    def __init__(self) -> None:
        self._closed = False
        self._tables: dict[str, Table[Any]] = {}
        self._collections = Collections()
        for kind in KINDS:
            table = self._tables[kind.name] = Table(kind)
            collection = MemoryCollection(table, self._check_open)
            setattr(self, kind.collection, collection)
            setattr(self._collections, kind.collection, collection)

    async def unit(self, work: Callable[[Collections], Awaitable[T]]) -> T:
        """Run *work*; nothing of it remains if it raises."""
        undo: list[Callable[[], None]] = []
        self._record_changes(undo)
        try:
            return run_through(work(self._collections))
        except BaseException:
            self._record_changes(None)  # taking back is not a change of its own
            for take_back in reversed(undo):
                take_back()
            raise
        finally:
            self._record_changes(None)

    async def sweep(self, now: datetime) -> Mapping[str, int]:
        """Remove what expired before *now*."""
        self._check_open()
        counts = {}
        for kind in KINDS:
            if kind.expiry:
                counts[kind.name] = await _sweep(self._tables[kind.name], now)
        return counts

    async def ping(self) -> None:
        """Return: memory is there until it is closed."""
        self._check_open()

    async def close(self) -> None:
        """Refuse everything from now on."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise StorageUnavailable("The storage is closed.")

    def _record_changes(self, undo: list[Callable[[], None]] | None) -> None:
        for table in self._tables.values():
            table.undo = undo


class MemoryCollection(Collection[R], Generic[R]):
    """A table as callers see it."""

    def __init__(self, table: Table[R], check_open: Callable[[], None]) -> None:
        self._table = table
        self._check_open = check_open

    async def create(self, record: R) -> None:
        """Store *record*."""
        self._check_open()
        self._table.create(record)

    async def get(self, *key: str) -> R:
        """Return the record."""
        self._check_open()
        return self._table.get(key)

    async def find(self, *key: str) -> R | None:
        """Return the record, or ``None``."""
        self._check_open()
        return self._table.find(key)

    async def list(
        self, *, after: tuple[str, ...] | None = None, limit: int | None = None
    ) -> builtins.list[R]:
        """Return records in the order of their keys."""
        self._check_open()
        return self._table.page(after, limit)

    async def update(self, *key: str, change: Callable[[R], R]) -> R:
        """Replace the record by ``change(record)``."""
        self._check_open()
        return self._table.update(key, change)

    async def take(self, *key: str) -> R:
        """Remove the record and return it."""
        self._check_open()
        return self._table.take(key)

    async def delete(self, *key: str) -> None:
        """Remove the record."""
        self._check_open()
        self._table.take(key)


async def _sweep(table: Table[Any], now: datetime) -> int:
    total, done = 0, False
    while not done:
        removed, done = table.sweep(now, _SWEPT_AT_ONCE)
        total += removed
        await asyncio.sleep(0)
    return total
