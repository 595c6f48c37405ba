"""The shapes a storage plugin fulfils."""

from __future__ import annotations

import builtins
import logging

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Generic, TypeVar

import attrs

from ..errors import AlreadyExists, NotFound
from . import records
from .inspection import Inspection

R = TypeVar("R")
T = TypeVar("T")
C = TypeVar("C")


class Collection(ABC, Generic[R]):
    """Records of one kind, each found by its key.

    Any verb may raise :class:`~dexcore.errors.StorageUnavailable`: then nothing is
    known to have happened, and whoever asked answers 503.
    """

    @abstractmethod
    async def create(self, record: R) -> None:
        """Store *record*; raise :class:`~dexcore.errors.AlreadyExists`."""

    @abstractmethod
    async def get(self, *key: str) -> R:
        """Return the record; raise :class:`~dexcore.errors.NotFound`."""

    async def find(self, *key: str) -> R | None:
        """Return the record, or ``None`` if there is none."""
        try:
            return await self.get(*key)
        except NotFound:
            return None

    @abstractmethod
    async def list(
        self, *, after: tuple[str, ...] | None = None, limit: int | None = None
    ) -> list[R]:
        """Return records in the order of their keys, paged.

        *after* is the key of the last record of the page before; *limit* the most
        records to return (``None``: all).
        """

    async def matching(self, **fields: str) -> builtins.list[R]:
        """Return the records whose text *fields* have these values, in key order.

        A storage with an index for them uses it; here all records are read.
        """
        wanted = fields.items()
        return [
            record
            for record in await self.list()
            if all(getattr(record, name) == value for name, value in wanted)
        ]

    @abstractmethod
    async def update(self, *key: str, change: Callable[[R], R]) -> R:
        """Replace the record by ``change(record)``, atomically, and return it.

        Compare-and-swap: *change* is pure and may run again when somebody else was
        faster; the storage retries with jitter, a bounded number of times.  What
        *change* raises aborts the write and is raised unchanged.  A *change* that
        returns its argument writes nothing.  The key cannot change.
        Raises :class:`~dexcore.errors.NotFound`.
        """

    async def update_or_create(
        self, *key: str, change: Callable[[R], R], first: R
    ) -> R:
        """Replace the record by ``change(record)``; where there is none, store *first*.

        Two that race to be first both end up in the record.
        """
        while True:
            try:
                return await self.update(*key, change=change)
            except NotFound:
                try:
                    await self.create(first)
                except AlreadyExists:
                    continue
                return first

    @abstractmethod
    async def take(self, *key: str) -> R:
        """Remove the record and return it, atomically.

        Of many racing calls exactly one gets the record, the others
        :class:`~dexcore.errors.NotFound`.
        """

    @abstractmethod
    async def delete(self, *key: str) -> None:
        """Remove the record; raise :class:`~dexcore.errors.NotFound`."""


class Collections:
    """One collection per record kind: dex's twelve, then ours."""

    clients: Collection[records.Client]
    auth_requests: Collection[records.AuthRequest]
    auth_codes: Collection[records.AuthCode]
    refresh_tokens: Collection[records.RefreshToken]
    passwords: Collection[records.Password]
    keys: Collection[records.Keys]
    offline_sessions: Collection[records.OfflineSessions]
    connectors: Collection[records.Connector]
    device_requests: Collection[records.DeviceRequest]
    device_tokens: Collection[records.DeviceToken]
    user_identities: Collection[records.UserIdentity]
    auth_sessions: Collection[records.AuthSession]

    shared_secrets: Collection[records.SharedSecret]
    upcoming_keys: Collection[records.UpcomingKey]
    spent_codes: Collection[records.SpentCode]
    revocations: Collection[records.Revocation]
    parked_forms: Collection[records.ParkedForm]
    replays: Collection[records.Replay]
    supplements: Collection[records.Supplement]
    registered_clients: Collection[records.RegisteredClient]


class Storage(Collections, ABC):
    """Where the state lives."""

    #: Whether other processes can open the same data at the same time.
    shared: bool = True
    #: Whether a unit happens as a whole or not at all, wherever it is cut.
    atomic: bool = True

    @abstractmethod
    async def unit(self, work: Callable[[Collections], Awaitable[T]]) -> T:
        """Run *work* on the collections it is given, and commit once if we can.

        *work* awaits nothing but verbs of those collections, is otherwise pure, and may
        run again after a conflict; what it raises rolls back and is raised unchanged.
        A storage without transactions runs the verbs in their order, so *work* must be
        safe when cut anywhere: the verb that decides comes first.
        """

    async def view(self, work: Callable[[Collections], Awaitable[T]]) -> T:
        """Run *work*, which only reads, on the collections it is given.

        As :meth:`unit`, but nothing is committed; a storage may answer all of it in one
        round trip.
        """
        return await work(self)

    @abstractmethod
    async def sweep(self, now: datetime) -> Mapping[str, int]:
        """Remove what expired before *now*, in batches; return counts by kind name.

        Safe to run on all replicas at once; never delays other calls for long.
        """

    @abstractmethod
    async def ping(self) -> None:
        """Return if the storage can be read; else raise ``StorageUnavailable``."""

    async def close(self) -> None:
        """Let go of connections and files."""


@attrs.frozen
class StorageContext:
    """What the server lends a storage while it opens."""

    log: logging.Logger = attrs.field(
        factory=lambda: logging.getLogger("dexcore.storage")
    )


@attrs.frozen
class StorageType(Generic[C]):
    """One value of ``storage.type`` in the configuration file and how to open it.

    ``inspect``, if there is one, says what is in it without writing anything; it raises
    ``StorageError`` if that cannot be found out.
    """

    name: str
    config: type[C]
    open: Callable[[C, StorageContext], Awaitable[Storage]]
    inspect: Callable[[C, StorageContext], Awaitable[Inspection]] | None = None
