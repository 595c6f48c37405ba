"""The Kubernetes storage is a storage."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from dexcore_storage_kubernetes.double import ApiServer
from dexcore_storage_kubernetes.storage import open_cluster

from dexcore.storage import Connector, Storage, StorageContext
from dexcore.testing.storage import DurableCases, StorageContract


class KubernetesContract(DurableCases, StorageContract):
    def comparable(self, record: Any) -> Any:
        # The version of a connector is the version of its object.
        if isinstance(record, Connector):
            return attrs.evolve(record, resource_version="")
        return record


class TestDouble(KubernetesContract):
    @pytest.fixture
    def open_storage(self, server: ApiServer) -> Callable[[], Awaitable[Storage]]:
        return lambda: open_cluster(server.cluster(), "ensure", StorageContext())
