"""The etcd storage is a storage: it lasts, is shared, and has transactions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from dexcore.storage import Storage
from dexcore.testing.storage import DurableStorageContract


class TestEtcd(DurableStorageContract):
    @pytest.fixture
    def open_storage(
        self, open_etcd: Callable[[], Awaitable[Storage]]
    ) -> Callable[[], Awaitable[Storage]]:
        return open_etcd
