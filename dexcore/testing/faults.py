"""A storage that says where it is, so that a test can let it fail exactly there.

Wrap the type of a storage and offer it under a name of its own::

    def reached(point):
        if point == "auth_codes.take:after":
            raise StorageUnavailable("pulled the plug")

    StorageType("faulty", SQLite3, faulty(open_sqlite, reached))

Points are ``collection.verb:before`` and ``:after``; around a whole transaction
``unit:before``, ``unit:commit`` (its work is done, nothing is durable) and
``unit:after`` (it is durable, nobody has been told), and ``view:before``.  What
*reached* raises is what the storage raises; it may as well copy the database file, to
see what a process killed at this point would have left behind.
"""

from __future__ import annotations

import builtins

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from ..storage import KINDS, Collection, Collections, Storage, StorageContext

__all__ = ["FaultyStorage", "faulty"]

C = TypeVar("C")
R = TypeVar("R")
T = TypeVar("T")

Reached = Callable[[str], None]


def faulty(
    open: Callable[[C, StorageContext], Awaitable[Storage]], reached: Reached
) -> Callable[[C, StorageContext], Awaitable[Storage]]:
    """Return what opens the same storage, faulty."""

    async def open_faulty(config: C, context: StorageContext) -> Storage:
        return FaultyStorage(await open(config, context), reached)

    return open_faulty


class FaultyStorage(Storage):
    """``inner``, calling *reached* at every point; inside a unit in its thread."""

    def __init__(self, inner: Storage, reached: Reached) -> None:
        self.inner = inner
        self.shared = inner.shared
        self.atomic = inner.atomic
        self._reached = reached
        _watch(self, inner, reached)

    async def unit(self, work: Callable[[Collections], Awaitable[T]]) -> T:
        """Run *work* in one transaction, with points in it."""

        async def watched(collections: Collections) -> T:
            result = await work(_Watched(collections, self._reached))
            self._reached("unit:commit")
            return result

        self._reached("unit:before")
        result = await self.inner.unit(watched)
        self._reached("unit:after")
        return result

    async def view(self, work: Callable[[Collections], Awaitable[T]]) -> T:
        """Run *work*, which only reads."""
        self._reached("view:before")
        return await self.inner.view(work)

    async def sweep(self, now: datetime) -> Mapping[str, int]:
        """Remove what expired before *now*."""
        self._reached("sweep:before")
        return await self.inner.sweep(now)

    async def ping(self) -> None:
        """Return if the storage can be read."""
        self._reached("ping:before")
        await self.inner.ping()

    async def close(self) -> None:
        """Close the inner storage, without a point."""
        await self.inner.close()


class _Watched(Collections):
    def __init__(self, inner: Collections, reached: Reached) -> None:
        _watch(self, inner, reached)


def _watch(outer: Collections, inner: Collections, reached: Reached) -> None:
    for kind in KINDS:
        name = kind.collection
        setattr(outer, name, _WatchedCollection(getattr(inner, name), name, reached))


class _WatchedCollection(Collection[R], Generic[R]):
    def __init__(self, inner: Collection[R], name: str, reached: Reached) -> None:
        self._inner = inner
        self._name = name
        self._reached = reached

    async def create(self, record: R) -> None:
        await self._between("create", self._inner.create, record)

    async def get(self, *key: str) -> R:
        return await self._between("get", self._inner.get, *key)

    async def find(self, *key: str) -> R | None:
        return await self._between("find", self._inner.find, *key)

    async def list(
        self, *, after: tuple[str, ...] | None = None, limit: int | None = None
    ) -> builtins.list[R]:
        return await self._between("list", self._inner.list, after=after, limit=limit)

    async def update(self, *key: str, change: Callable[[R], R]) -> R:
        return await self._between("update", self._inner.update, *key, change=change)

    async def update_or_create(
        self, *key: str, change: Callable[[R], R], first: R
    ) -> R:
        return await self._between(
            "update_or_create",
            self._inner.update_or_create,
            *key,
            change=change,
            first=first,
        )

    async def take(self, *key: str) -> R:
        return await self._between("take", self._inner.take, *key)

    async def delete(self, *key: str) -> None:
        await self._between("delete", self._inner.delete, *key)

    async def _between(
        self,
        verb: str,
        call: Callable[..., Awaitable[T]],
        *arguments: Any,
        **options: Any,
    ) -> T:
        self._reached(f"{self._name}.{verb}:before")
        result = await call(*arguments, **options)
        self._reached(f"{self._name}.{verb}:after")
        return result
