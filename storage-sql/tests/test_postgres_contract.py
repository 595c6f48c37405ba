"""The PostgreSQL storage is a storage."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dexcore_storage_sql.postgres import open_storage

from dexcore.storage import Storage
from dexcore.testing.storage import DurableStorageContract


class TestPostgres(DurableStorageContract):
    @pytest.fixture
    def open_storage(
        self, postgres_place: Any, postgres_ready: str
    ) -> Callable[[], Awaitable[Storage]]:
        return lambda: open_storage(postgres_place.config(postgres_ready))
