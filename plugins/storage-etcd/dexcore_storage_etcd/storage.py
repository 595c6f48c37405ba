"""The five verbs on keys of etcd, and units that happen as a whole."""

from __future__ import annotations

import asyncio
import builtins
import heapq

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Generic, TypeVar

from dexcore.storage import (
    KINDS,
    AlreadyExists,
    Collection,
    Collections,
    Storage,
    StorageError,
    StorageUnavailable,
)

from .client import Client
from .config import Etcd
from .keys import Key, Span
from .shelves import Shelf
from .sweep import sweep
from .transactions import Transaction, Transactions, Write
from .wire import KeyValue

R = TypeVar("R")
T = TypeVar("T")

_PAGE = 500  # records a list reads at once


async def open_storage(config: Etcd) -> EtcdStorage:
    """Return the storage, if etcd answers; raise ``StorageUnavailable``."""
    storage = EtcdStorage(config)
    try:
        await storage.ping()
    except BaseException:
        await storage.close()
        raise
    return storage


class EtcdStorage(Storage):
    """State in etcd, shared by everybody who has the same endpoints and namespace."""

    def __init__(self, config: Etcd) -> None:
        self._client = Client(config)
        self._transactions = Transactions(self._client)
        self._work = _Work()
        self._shelves = {
            kind.collection: Shelf(kind, config.namespace) for kind in KINDS
        }
        for name, shelf in self._shelves.items():
            setattr(self, name, EtcdCollection(shelf, self._transactions, self._work))

    async def unit(self, work: Callable[[Collections], Awaitable[T]]) -> T:
        """Run *work*, and write all of it in one transaction.

        What a list inside it returned may have changed when it is written; all else
        that it read has not.
        """
        async with self._work.under_way():
            return await self._transactions.run(
                lambda transaction: work(_Inside(self._shelves, transaction))
            )

    async def view(self, work: Callable[[Collections], Awaitable[T]]) -> T:
        """Run *work*, which only reads, on one revision of everything."""
        return await self.unit(work)

    async def sweep(self, now: datetime) -> Mapping[str, int]:
        """Remove what expired before *now* and has no lease, or a longer one."""
        async with self._work.under_way():
            return {
                shelf.kind.name: await sweep(self._client, shelf, now)
                for shelf in self._shelves.values()
                if shelf.kind.expiry
            }

    async def ping(self) -> None:
        """Return if a majority of the cluster answers."""
        async with self._work.under_way():
            await self._client.range(self._shelves["keys"].keys.places(())[0])

    async def close(self) -> None:
        """Finish what was asked, then close the connections."""
        await self._work.finish()
        await self._client.close()


# — Inside a transaction ---------------------------------------------------------------


class _Inside(Collections):
    """The collections of a unit, made when they are needed."""

    def __init__(
        self, shelves: Mapping[str, Shelf[Any]], transaction: Transaction
    ) -> None:
        self._shelves = shelves
        self._transaction = transaction

    def __getattr__(self, name: str) -> InsideCollection[Any]:
        collection = InsideCollection(self._shelves[name], self._transaction)
        setattr(self, name, collection)
        return collection


class InsideCollection(Collection[R], Generic[R]):
    """The verbs, as reads and writes of a transaction somebody else commits."""

    def __init__(self, shelf: Shelf[R], transaction: Transaction) -> None:
        self._shelf = shelf
        self._transaction = transaction

    async def create(self, record: R) -> None:
        """Store *record*."""
        shelf, transaction = self._shelf, self._transaction
        key = tuple(getattr(record, name) for name in shelf.kind.key)
        places = shelf.keys.places(key)
        if transaction.blind and not any(map(transaction.knows, places)):
            transaction.assume_absent(*places)
            free = places[0]
        else:
            free = await self._free(places, key)
        await self._write(free, record)

    async def get(self, *key: str) -> R:
        """Return the record."""
        _, record = await self._found(key)
        return record

    async def find(self, *key: str) -> R | None:
        """Return the record, or ``None``."""
        places = self._shelf.keys.places(key)
        for entry in await self._transaction.read(*places):
            record = self._shelf.read(entry, key)
            if record is not None:
                return record
        return None

    async def list(
        self, *, after: Key | None = None, limit: int | None = None
    ) -> builtins.list[R]:
        """Return records in the order of their keys."""
        if limit == 0 or (after is not None and not self._shelf.kind.key):
            return []
        if self._shelf.keys.paired:
            return await self._list_pairs(after, limit)
        keys = self._shelf.keys
        span = keys.spans[0] if after is None else keys.after(after)
        found: builtins.list[R] = []
        async for record in self._scan(span, limit):
            found.append(record)
            if len(found) == limit:
                break
        return found

    async def update(self, *key: str, change: Callable[[R], R]) -> R:
        """Replace the record by ``change(record)``."""
        entry, old = await self._found(key)
        new = change(old)
        if new is old:
            return old
        kind = self._shelf.kind
        if kind.key_of(new) != kind.key_of(old):
            raise StorageError(f"The key of a {kind.name} cannot change.")
        lasting = self._shelf.expiry(new) == self._shelf.expiry(old)
        await self._write(entry.key, new, entry, lease=entry.lease if lasting else 0)
        return new

    async def take(self, *key: str) -> R:
        """Remove the record and return it."""
        entry, record = await self._found(key)
        self._transaction.write(entry.key, Write(None))
        return record

    async def delete(self, *key: str) -> None:
        """Remove the record."""
        await self.take(*key)

    async def _found(self, key: Key) -> tuple[KeyValue, R]:
        places = self._shelf.keys.places(key)
        for entry in await self._transaction.read(*places):
            record = self._shelf.read(entry, key)
            if entry is not None and record is not None:
                return entry, record
        raise self._shelf.missing()

    async def _free(self, places: tuple[bytes, ...], key: Key) -> bytes:
        """Return the first place that is free, unless the record is there already."""
        entries = await self._transaction.read(*places)
        free = [
            place for place, one in zip(places, entries, strict=True) if one is None
        ]
        if not free or any(self._shelf.read(one, key) is not None for one in entries):
            raise AlreadyExists(
                f"A {self._shelf.kind.name} with this key is already there."
            )
        return free[0]

    async def _write(
        self, place: bytes, record: R, old: KeyValue | None = None, lease: int = 0
    ) -> None:
        expiry = self._shelf.expiry(record)
        if expiry is not None and not lease:
            lease = await self._transaction.leases.until(expiry)
        value = self._shelf.codec.encode(record, old.value if old else b"")
        self._transaction.write(place, Write(value, lease))

    async def _list_pairs(
        self, after: Key | None, limit: int | None
    ) -> builtins.list[R]:
        # Lower-case keys are in another order than the pairs, so all are looked at.
        key_of = self._shelf.kind.key_of
        found: builtins.list[R] = []
        for span in self._shelf.keys.spans:
            async for record in self._scan(span, None):
                if after is None or key_of(record) > after:
                    found.append(record)
            if limit is not None:
                found = heapq.nsmallest(limit, found, key=key_of)
        return sorted(found, key=key_of)

    async def _scan(self, span: Span, limit: int | None) -> AsyncIterator[R]:
        page = _PAGE if limit is None else limit
        async for entry in self._transaction.scan(span.start, span.end, page):
            record = self._shelf.in_its_place(entry)
            if record is not None:
                yield record


# — Outside ----------------------------------------------------------------------------


class EtcdCollection(Collection[R], Generic[R]):
    """A collection each verb of which is a transaction of its own."""

    def __init__(
        self, shelf: Shelf[R], transactions: Transactions, work: _Work
    ) -> None:
        self._shelf = shelf
        self._transactions = transactions
        self._work = work

    async def create(self, record: R) -> None:
        """Store *record*."""
        await self._run(lambda inside: inside.create(record))

    async def get(self, *key: str) -> R:
        """Return the record."""
        return await self._run(lambda inside: inside.get(*key))

    async def find(self, *key: str) -> R | None:
        """Return the record, or ``None``."""
        return await self._run(lambda inside: inside.find(*key))

    async def list(
        self, *, after: Key | None = None, limit: int | None = None
    ) -> builtins.list[R]:
        """Return records in the order of their keys, all at one revision."""
        return await self._run(lambda inside: inside.list(after=after, limit=limit))

    async def update(self, *key: str, change: Callable[[R], R]) -> R:
        """Replace the record by ``change(record)``."""
        places = self._shelf.keys.places(key)
        return await self._run(
            lambda inside: inside.update(*key, change=change), *places
        )

    async def take(self, *key: str) -> R:
        """Remove the record and return it."""
        places = self._shelf.keys.places(key)
        if len(places) > 1:
            return await self._run(lambda inside: inside.take(*key), *places)
        async with self._work.under_way():
            record = self._shelf.read(await self._transactions.take(*places), key)
        if record is None:
            raise self._shelf.missing()
        return record

    async def delete(self, *key: str) -> None:
        """Remove the record."""
        await self.take(*key)

    async def _run(
        self, verb: Callable[[InsideCollection[R]], Awaitable[T]], *places: bytes
    ) -> T:
        async with self._work.under_way():
            return await self._transactions.run(
                lambda transaction: verb(InsideCollection(self._shelf, transaction)),
                *places,
            )


class _Work:
    """What was asked and is not done yet; closing waits for it."""

    def __init__(self) -> None:
        self._closed = False
        self._count = 0
        self._done = asyncio.Event()
        self._done.set()

    @asynccontextmanager
    async def under_way(self) -> AsyncIterator[None]:
        """Count something as under way; raise if nothing more is taken."""
        if self._closed:
            raise StorageUnavailable("The storage is closed.")
        self._count += 1
        self._done.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._done.set()

    async def finish(self) -> None:
        """Take nothing more, and wait until all is done."""
        self._closed = True
        await self._done.wait()
