"""Records from the configuration file, laid over a storage.

What the file says wins and cannot be changed; everything else goes through to the
storage.
"""

from __future__ import annotations

import builtins
import logging

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, NoReturn, TypeVar

from ..errors import ReadOnly
from .interface import Collection, Collections, Storage
from .kinds import KINDS, Kind, kind_of
from .records import Client, Connector, Password

R = TypeVar("R")
T = TypeVar("T")
Key = tuple[str, ...]

_log = logging.getLogger("dexcore.storage")


def overlay(
    storage: Storage,
    *,
    clients: Iterable[Client] = (),
    passwords: Iterable[Password] = (),
    connectors: Iterable[Connector] = (),
) -> Storage:
    """Return *storage* with these records in it, read-only.

    Of two records with the same key the last one counts, and the log says so.  Changing
    one of them raises :class:`~dexcore.errors.ReadOnly`.  Without any, *storage* itself
    is returned.
    """
    entries = {
        "clients": _by_key(Client, clients),
        "passwords": _by_key(Password, passwords),
        "connectors": _by_key(Connector, connectors),
    }
    entries = {name: records for name, records in entries.items() if records}
    return OverlaidStorage(storage, entries) if entries else storage


class OverlaidStorage(Storage):
    """A storage in which some collections hold records from the file.

    ``backing`` is the storage underneath.
    """

    def __init__(
        self, backing: Storage, entries: Mapping[str, Mapping[Key, Any]]
    ) -> None:
        self.backing = backing
        self.shared = backing.shared
        self.atomic = backing.atomic
        self._entries = entries
        for kind in KINDS:
            below = getattr(backing, kind.collection)
            setattr(self, kind.collection, _laid_over(below, kind, entries))

    async def unit(self, work: Callable[[Collections], Awaitable[T]]) -> T:
        """Run *work* on collections that hold the file's records too."""
        return await self.backing.unit(
            lambda below: work(_OverlaidCollections(below, self._entries))
        )

    async def view(self, work: Callable[[Collections], Awaitable[T]]) -> T:
        """Run *work* on collections that hold the file's records too."""
        return await self.backing.view(
            lambda below: work(_OverlaidCollections(below, self._entries))
        )

    async def sweep(self, now: datetime) -> Mapping[str, int]:
        """Sweep the storage underneath; nothing of the file expires."""
        return await self.backing.sweep(now)

    async def ping(self) -> None:
        """Ping the storage underneath."""
        await self.backing.ping()

    async def close(self) -> None:
        """Close the storage underneath."""
        await self.backing.close()


class _OverlaidCollections(Collections):
    """The collections of a unit; those without records from the file cost nothing."""

    def __init__(
        self, below: Collections, entries: Mapping[str, Mapping[Key, Any]]
    ) -> None:
        self._below = below
        for kind in _OVERLAID:
            if kind.collection in entries:
                collection = getattr(below, kind.collection)
                setattr(self, kind.collection, _laid_over(collection, kind, entries))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)


class StaticCollection(Collection[R], Generic[R]):
    """A collection with records of the file laid over it."""

    def __init__(
        self, below: Collection[R], kind: Kind[R], entries: Mapping[Key, R]
    ) -> None:
        self._below = below
        self._kind = kind
        self._entries = entries

    async def create(self, record: R) -> None:
        """Store *record*, unless the file has its key."""
        self._check_not_ours(self._kind.key_of(record), "create")
        await self._below.create(record)

    async def get(self, *key: str) -> R:
        """Return the file's record, or else the storage's."""
        found = self._entries.get(self._kind.fold(key))
        return await self._below.get(*key) if found is None else found

    async def find(self, *key: str) -> R | None:
        """Return the file's record, or else the storage's, or ``None``."""
        found = self._entries.get(self._kind.fold(key))
        return await self._below.find(*key) if found is None else found

    async def list(
        self, *, after: Key | None = None, limit: int | None = None
    ) -> builtins.list[R]:
        """Return the records of both in the order of their keys.

        A page of the storage is enough for a page of both: where the file's record
        hides one of the storage's, it takes its place.
        """
        first = None if after is None else self._kind.fold(after)
        page = {
            key: record
            for key, record in self._entries.items()
            if first is None or key > first
        }
        for record in await self._below.list(after=after, limit=limit):
            page.setdefault(self._kind.key_of(record), record)
        return [page[key] for key in sorted(page)[:limit]]

    async def update(self, *key: str, change: Callable[[R], R]) -> R:
        """Replace a record of the storage."""
        self._check_not_ours(self._kind.fold(key), "update")
        return await self._below.update(*key, change=change)

    async def take(self, *key: str) -> R:
        """Remove a record of the storage and return it."""
        self._check_not_ours(self._kind.fold(key), "delete")
        return await self._below.take(*key)

    async def delete(self, *key: str) -> None:
        """Remove a record of the storage."""
        self._check_not_ours(self._kind.fold(key), "delete")
        await self._below.delete(*key)

    def _check_not_ours(self, key: Key, verb: str) -> None:
        if key in self._entries:
            _refuse(self._kind, verb)


_OVERLAID: tuple[Kind[Any], ...] = tuple(map(kind_of, (Client, Password, Connector)))


def _refuse(kind: Kind[Any], verb: str) -> NoReturn:
    # The sentence is dex's: the gRPC API hands it out.
    raise ReadOnly(f"static {kind.collection}: read-only cannot {verb} {kind.name}")


def _by_key(record: type[R], records: Iterable[R]) -> Mapping[Key, R]:
    kind = kind_of(record)
    found: dict[Key, R] = {}
    for one in records:
        key = kind.key_of(one)
        if key in found:
            _log.error("static %s: %s is there twice", kind.collection, *key)
        found[key] = one
    return found


def _laid_over(
    below: Collection[R], kind: Kind[R], entries: Mapping[str, Mapping[Key, Any]]
) -> Collection[R]:
    records = entries.get(kind.collection)
    return below if records is None else StaticCollection(below, kind, records)
