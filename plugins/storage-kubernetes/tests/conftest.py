"""API servers for the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dexcore_storage_kubernetes import KubernetesStorage
from dexcore_storage_kubernetes.double import ApiServer
from dexcore_storage_kubernetes.storage import open_cluster

from dexcore.storage import StorageContext


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        yield server


@pytest.fixture
async def storage(server: ApiServer) -> AsyncIterator[KubernetesStorage]:
    storage = await open_cluster(server.cluster(), "ensure", StorageContext())
    yield storage
    await storage.close()
