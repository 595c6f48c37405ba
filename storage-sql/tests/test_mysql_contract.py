"""The MySQL storage is a storage, on MariaDB and on what is like MySQL 8."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dexcore_storage_sql.mysql import open_storage

from dexcore.storage import Storage
from dexcore.testing.storage import DurableStorageContract


class TestMariaDB(DurableStorageContract):
    @pytest.fixture
    def open_storage(
        self, mysql_place: Any, mysql_ready: str
    ) -> Callable[[], Awaitable[Storage]]:
        return lambda: open_storage(mysql_place.config(mysql_ready))


@pytest.mark.usefixtures("as_strict_as_mysql_8")
class TestStrictAndWithoutReturning(DurableStorageContract):
    @pytest.fixture
    def open_storage(
        self, mysql_place: Any, mysql_ready: str
    ) -> Callable[[], Awaitable[Storage]]:
        config = mysql_place.config(mysql_ready)
        return lambda: open_storage(config, returning=False)
