"""The memory storage is a storage."""

from __future__ import annotations

import time

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from dexcore_storage_memory import MemoryStorage

from dexcore.storage import (
    AuthCode,
    Client,
    OfflineSessions,
    Storage,
    StorageUnavailable,
)
from dexcore.testing.storage import TransactionalStorageContract


async def open_memory() -> Storage:
    return MemoryStorage()


class TestMemory(TransactionalStorageContract):
    @pytest.fixture
    def open_storage(self) -> Callable[[], Awaitable[Storage]]:
        return open_memory


async def test_maps_cannot_be_changed_behind_the_storages_back() -> None:
    storage = MemoryStorage()
    refresh: dict[str, object] = {}
    await storage.offline_sessions.create(OfflineSessions("1", "ldap", refresh))  # type: ignore[arg-type]
    refresh["client"] = "planted"
    stored = await storage.offline_sessions.get("1", "ldap")
    assert dict(stored.refresh) == {}
    with pytest.raises(TypeError):
        stored.refresh["client"] = None  # type: ignore[index]


async def test_a_closed_storage_is_unavailable() -> None:
    storage = MemoryStorage()
    await storage.close()
    for attempt in (storage.clients.create(Client("c")), storage.ping()):
        with pytest.raises(StorageUnavailable):
            await attempt


async def test_a_hundred_thousand_records_do_not_slow_it_down() -> None:
    storage = MemoryStorage()
    expiry = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(100_000):
        await storage.auth_codes.create(AuthCode(f"{number}", "c", expiry=expiry))
    started = time.process_time()
    for number in range(1000):
        await storage.auth_codes.create(AuthCode(f"x{number}", "c", expiry=expiry))
        await storage.auth_codes.list(after=("5",), limit=10)
        await storage.auth_codes.take(f"x{number}")
        await storage.sweep(expiry)
    # A scan of them all takes milliseconds each time; a thousand times this is far off.
    assert time.process_time() - started < 2
    assert (await storage.sweep(expiry + timedelta(1)))["auth_code"] == 100_000
