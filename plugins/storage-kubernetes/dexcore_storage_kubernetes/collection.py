"""The five verbs on the objects of one resource."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import random
import time

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Generic, TypeVar

import orjson

from dexcore.storage import (
    AlreadyExists,
    Collection,
    NotFound,
    StorageError,
    StorageUnavailable,
)

from .api import Answer, Api, Gone, message, refused
from .cache import Cache
from .documents import Documents, Stored
from .names import is_name
from .resources import Resource

R = TypeVar("R")
Key = tuple[str, ...]

_LISTED_AGAIN = 5  # times a list may lose its version to compaction


class ObjectCollection(Collection[R], Generic[R]):
    """Records of one kind, each an object of its own.

    With a *cache* reading costs no request, as long as it is fresh.
    """

    def __init__(
        self,
        api: Api,
        resource: Resource[R],
        documents: Documents[R],
        cache: Cache[R] | None = None,
    ) -> None:
        self._api = api
        self._resource = resource
        self._kind = resource.kind
        self._documents = documents
        self._cache = cache
        self._queues = _Queues()

    async def create(self, record: R) -> None:
        """Store *record*."""
        key = self._kind.key_of(record)
        names = self._names(key)
        if not names:
            raise StorageError(
                f"Kubernetes cannot name a {self._kind.name} {'/'.join(key)!r}."
            )
        with self._api.working():
            for name in names[1:]:
                if await self._get(name, key) is not None:
                    raise self._already()
            for name in names:
                body = self._documents.new(record, name)
                answer = await self._api.call("POST", self._path(), body=body)
                if answer.status in (200, 201):
                    self._stored(answer)
                    return
                if answer.status != 409 or _reason(answer) != "AlreadyExists":
                    raise self._refused(answer)
                if self._resource.exact or await self._get(name, key) is not None:
                    break
            raise self._already()

    async def get(self, *key: str) -> R:
        """Return the record."""
        with self._api.working():
            return (await self._find(self._kind.fold(key))).record

    async def list(
        self, *, after: Key | None = None, limit: int | None = None
    ) -> builtins.list[R]:
        """Return records in the order of their keys.

        The server cannot begin in the middle: every call reads all of them.
        """
        first = None if after is None else self._kind.fold(after)
        with self._api.working():
            found = {self._kind.key_of(record): record for record in await self._all()}
        keys = sorted(key for key in found if first is None or key > first)
        return [found[key] for key in keys[:limit]]

    async def update(self, *key: str, change: Callable[[R], R]) -> R:
        """Replace the record by ``change(record)``."""
        key = self._kind.fold(key)
        # Those of this process wait for each other rather than get in their way.
        with self._api.working():
            async with self._queues.at(key):
                async for _ in _attempts(self._kind.name, self._api.deadline):
                    stored = await self._read(key)
                    record = change(stored.record)
                    if record is stored.record:
                        return record
                    if self._kind.key_of(record) != key:
                        raise StorageError(
                            f"The key of a {self._kind.name} cannot change."
                        )
                    updated = await self._replace(stored, record)
                    if updated is not None:
                        return updated.record
        raise AssertionError("unreachable: the attempts end by raising")

    async def take(self, *key: str) -> R:
        """Remove the record and return it."""
        key = self._kind.fold(key)
        with self._api.working():
            async for _ in _attempts(self._kind.name, self._api.deadline):
                stored = await self._read(key)
                # Only the object that was read, as it was read: who comes second
                # finds another one, or none.
                if await self._remove(
                    stored.name, {"uid": stored.uid, "resourceVersion": stored.version}
                ):
                    if self._cache is not None:
                        self._cache.drop(stored)
                    return stored.record
        raise AssertionError("unreachable: the attempts end by raising")

    async def delete(self, *key: str) -> None:
        """Remove the record."""
        if self._cache is not None or not self._resource.exact:
            await self.take(*key)
            return
        names = self._names(self._kind.fold(key))
        with self._api.working():
            if not names or not await self._remove(names[0]):
                raise self._not_found()

    # — reading ------------------------------------------------------------------------

    async def _find(self, key: Key) -> Stored[R]:
        if self._cache is None or not self._cache.fresh:
            return await self._read(key)
        for name in self._names(key):
            stored = self._cache.get(name)
            if stored is not None and self._kind.key_of(stored.record) == key:
                return stored
        raise self._not_found()

    async def _read(self, key: Key) -> Stored[R]:
        """Return the record as the server has it."""
        for name in self._names(key):
            stored = await self._get(name, key)
            if stored is not None:
                return stored
        raise self._not_found()

    async def _get(self, name: str, key: Key) -> Stored[R] | None:
        """Return the object called *name*, if it is there and has this *key*."""
        answer = await self._api.call("GET", self._path(name))
        if answer.missing:
            return None
        if answer.status != 200:
            raise self._refused(answer)
        body = answer.json()
        if body["metadata"].get("deletionTimestamp"):
            return None
        stored = self._documents.read(body)
        # Different keys can have one name: nobody gets another one's record.
        return stored if self._kind.key_of(stored.record) == key else None

    async def _all(self) -> builtins.list[R]:
        cache = self._cache if self._resource.listed else None
        if cache is not None and cache.fresh:
            return [stored.record for stored in cache.all()]
        for _ in range(_LISTED_AGAIN):
            with contextlib.suppress(Gone):
                return await self._all_pages()
        raise StorageUnavailable(
            f"Kubernetes forgets a list of {self._resource.plural} before its end."
        )

    async def _all_pages(self) -> builtins.list[R]:
        found: list[R] = []
        async for _, items in self._api.pages(self._resource):
            found += (
                self._documents.read(body).record
                for body in items
                if not body["metadata"].get("deletionTimestamp")
            )
        return found

    # — writing ------------------------------------------------------------------------

    async def _replace(self, stored: Stored[R], record: R) -> Stored[R] | None:
        """Return what was stored; ``None`` if somebody else was faster."""
        body = self._documents.changed(stored, record)
        answer = await self._api.call("PUT", self._path(stored.name), body=body)
        if answer.status == 409:
            return None
        if answer.missing:
            raise self._not_found()
        if answer.status != 200:
            raise self._refused(answer)
        return self._stored(answer)

    async def _remove(
        self, name: str, preconditions: dict[str, str] | None = None
    ) -> bool:
        """Return whether it was removed; not if it changed.  Raise ``NotFound``."""
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if preconditions:
            options["preconditions"] = preconditions
        answer = await self._api.call(
            "DELETE", self._path(name), body=orjson.dumps(options)
        )
        if answer.missing:
            raise self._not_found()
        if answer.status == 409:
            return False
        if answer.status not in (200, 202):
            raise self._refused(answer)
        return True

    def _stored(self, answer: Answer) -> Stored[R]:
        stored = self._documents.read(answer.json())
        if self._cache is not None:
            self._cache.put(stored.body)
        return stored

    # — names and words ----------------------------------------------------------------

    def _names(self, key: Key) -> builtins.list[str]:
        return [name for name in self._resource.names(*key) if is_name(name)]

    def _path(self, name: str = "") -> str:
        return self._api.path(self._resource, name)

    def _already(self) -> AlreadyExists:
        return AlreadyExists(f"A {self._kind.name} with this key is already there.")

    def _not_found(self) -> NotFound:
        return NotFound(f"There is no such {self._kind.name}.")

    def _refused(self, answer: Answer) -> StorageError:
        if answer.status == 404:
            return StorageUnavailable(
                f"Kubernetes knows no {self._resource.plural}: {message(answer)}"
            )
        return refused(answer)


class _Queues:
    """One lock per key that somebody is changing."""

    def __init__(self) -> None:
        self._locks: dict[Key, tuple[asyncio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def at(self, key: Key) -> AsyncIterator[None]:
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[key]
            if users > 1:
                self._locks[key] = lock, users - 1
            else:
                del self._locks[key]


async def _attempts(kind: str, seconds: float) -> AsyncIterator[int]:
    """Yield until *seconds* are over, with pauses of milliseconds that grow."""
    over = time.monotonic() + seconds
    for attempt, longest in enumerate(_pauses()):
        yield attempt
        pause = random.uniform(longest / 2, longest)  # noqa: S311 - no secret
        if time.monotonic() + pause > over:
            break
        await asyncio.sleep(pause)
    raise StorageUnavailable(f"Others change this {kind} all the time.")


def _pauses() -> Iterator[float]:
    longest = 0.002
    while True:
        yield longest
        longest = min(longest * 2, 0.25)


def _reason(answer: Answer) -> str:
    return str(answer.json().get("reason", ""))
