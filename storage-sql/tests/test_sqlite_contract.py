"""The SQLite storage is a storage, in a file and in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dexcore_storage_sql import SQLite3, open_storage

from dexcore.storage import Storage
from dexcore.testing.storage import (
    DurableStorageContract,
    TransactionalStorageContract,
)


class TestFile(DurableStorageContract):
    @pytest.fixture
    def open_storage(self, tmp_path: Path) -> Callable[[], Awaitable[Storage]]:
        return lambda: open_storage(SQLite3(str(tmp_path / "dex.db")))


class TestFileWithoutLog(DurableStorageContract):
    @pytest.fixture
    def open_storage(self, tmp_path: Path) -> Callable[[], Awaitable[Storage]]:
        config = SQLite3(str(tmp_path / "dex.db"), "normal", "delete")
        return lambda: open_storage(config)


class TestMemory(TransactionalStorageContract):
    @pytest.fixture
    def open_storage(self) -> Callable[[], Awaitable[Storage]]:
        return lambda: open_storage(SQLite3(":memory:"))
