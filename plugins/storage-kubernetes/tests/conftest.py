"""API servers for the tests: one in memory, and where Go and etcd are, the real one."""

from __future__ import annotations

import shutil

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dexcore_storage_kubernetes import KubernetesStorage
from dexcore_storage_kubernetes.double import ApiServer
from dexcore_storage_kubernetes.storage import open_cluster

from dexcore.storage import StorageContext
from dexcore.testing import kubernetes, servers
from dexcore.testing.kubernetes import KubeApiServer

if not (shutil.which("go") and shutil.which("etcd")):
    # It takes a compiler to have the real one.
    collect_ignore = ["test_api_server.py"]


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        yield server


@pytest.fixture
async def storage(server: ApiServer) -> AsyncIterator[KubernetesStorage]:
    storage = await open_cluster(server.cluster(), "ensure", StorageContext())
    yield storage
    await storage.close()


@pytest.fixture
def manifests() -> Callable[[str], list[dict[str, Any]]]:
    """Return what reads one of the files an operator is given."""
    folder = Path(__file__).parents[3] / "examples" / "kubernetes"
    return lambda name: [*yaml.safe_load_all((folder / name).read_text())]


@pytest.fixture(scope="session")
def kube_apiserver(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[KubeApiServer]:
    """The real one, for all tests of this process."""
    folder = tmp_path_factory.mktemp("kubernetes")
    with servers.etcd() as etcd, kubernetes.kube_apiserver(folder, etcd) as server:
        yield server
