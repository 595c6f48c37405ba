"""Clients, passwords, connectors and revocations: read without asking the server."""

from __future__ import annotations

import asyncio
import time

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs
import orjson
import pytest

from dexcore_storage_kubernetes import KubernetesStorage
from dexcore_storage_kubernetes.cache import TRUSTED
from dexcore_storage_kubernetes.documents import Documents
from dexcore_storage_kubernetes.double import ApiServer
from dexcore_storage_kubernetes.resources import GROUP, RESOURCES
from dexcore_storage_kubernetes.storage import open_cluster

from dexcore.storage import (
    Client,
    Connector,
    Password,
    Revocation,
    StorageContext,
    StorageUnavailable,
)

CLIENTS = "oauth2clients"


@pytest.fixture
async def other(server: ApiServer) -> AsyncIterator[KubernetesStorage]:
    """Another replica."""
    storage = await open_cluster(server.cluster(), "ensure", StorageContext())
    yield storage
    await storage.close()


def of_client(client: Client) -> Any:
    resource = next(one for one in RESOURCES if one.plural == CLIENTS)
    (name,) = resource.names(client.id)
    return orjson.loads(Documents(resource, "default").new(client, name))


async def eventually(look: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    async with asyncio.timeout(10):
        while True:
            if await look() == wanted:
                return
            await asyncio.sleep(0.01)


def lists(server: ApiServer) -> int:
    return sum(CLIENTS in path and "limit=500" in path for _, path in server.requests)


async def test_reading_what_is_watched_costs_no_request(
    storage: KubernetesStorage,
) -> None:
    await storage.clients.create(Client("c"))
    await storage.passwords.create(Password("jane@example.com"))
    await storage.connectors.create(Connector("ldap"))
    await storage.revocations.create(Revocation("019876543210-jti"))
    before = storage.requests
    for _ in range(100):
        assert await storage.clients.get("c") == Client("c")
        assert await storage.clients.find("unknown") is None
        assert (await storage.passwords.get("Jane@Example.com")).user_id == ""
        assert len(await storage.connectors.list()) == 1
        assert await storage.revocations.list(after=("0198",), limit=9) != []
    assert storage.requests == before


async def test_what_was_written_here_is_read_here_at_once(
    storage: KubernetesStorage, other: KubernetesStorage
) -> None:
    """Whatever news of older versions are still on the way."""

    async def noise() -> None:
        for number in range(100):
            await other.clients.create(Client(f"noise{number}"))

    busy = asyncio.create_task(noise())
    for number in range(50):
        await storage.clients.create(Client("c", name="0"))
        assert (await storage.clients.get("c")).name == "0"
        for version in ("1", "2"):
            await storage.clients.update(
                "c",
                change=lambda old, version=version: attrs.evolve(old, name=version),  # type: ignore[misc]
            )
            assert (await storage.clients.get("c")).name == version
        if number % 2:
            await storage.clients.delete("c")
        else:
            assert (await storage.clients.take("c")).name == "2"
        assert await storage.clients.find("c") is None
        await asyncio.sleep(0)
        assert await storage.clients.find("c") is None
    await busy
    await eventually(lambda: _count(storage), 100)


async def _count(storage: KubernetesStorage) -> int:
    return len(await storage.clients.list())


async def test_what_others_write_arrives(
    storage: KubernetesStorage, server: ApiServer
) -> None:
    """A new client, a changed one, a removed one; by dex or by kubectl."""
    before = storage.requests
    for client in (Client("c", name="new"), Client("c", name="changed")):
        await server.apply(CLIENTS, of_client(client))
        await eventually(lambda client=client: storage.clients.find("c"), client)  # type: ignore[misc]
    (name,) = server.objects(CLIENTS)
    await server.remove(GROUP, CLIENTS, name)
    await eventually(lambda: storage.clients.find("c"), None)
    assert storage.requests == before


async def test_a_watch_that_was_cut_goes_on_where_it_was(
    storage: KubernetesStorage, server: ApiServer
) -> None:
    await server.apply(CLIENTS, of_client(Client("c")))
    await eventually(lambda: storage.clients.find("c"), Client("c"))
    before = lists(server)
    server.cut_watches()
    await server.apply(CLIENTS, of_client(Client("d")))
    await eventually(lambda: storage.clients.find("d"), Client("d"))
    assert lists(server) == before


async def test_a_watch_whose_version_is_gone_begins_again(
    storage: KubernetesStorage, server: ApiServer
) -> None:
    """What was removed meanwhile is gone, what was added is there."""
    await server.apply(CLIENTS, of_client(Client("c")))
    await eventually(lambda: storage.clients.find("c"), Client("c"))
    await server.stop()
    (name,) = server.objects(CLIENTS)
    await server.remove(GROUP, CLIENTS, name)
    await server.apply(CLIENTS, of_client(Client("d")))
    server.compact()
    await server.start()
    await eventually(lambda: storage.clients.find("d"), Client("d"))
    assert await storage.clients.find("c") is None
    before = storage.requests
    await server.apply(CLIENTS, of_client(Client("e")))
    await eventually(lambda: storage.clients.find("e"), Client("e"))
    assert storage.requests - before < 20


async def test_bookmarks_keep_a_quiet_watch_young() -> None:
    """Nothing happens to clients while the server forgets old versions."""
    async with ApiServer(bookmarks=0.05) as server:
        storage = await open_cluster(server.cluster(), "ensure", StorageContext())
        for number in range(10):
            await storage.connectors.create(Connector(f"c{number}"))
        await asyncio.sleep(0.2)
        before = lists(server)
        server.compact()
        server.cut_watches()
        await server.apply(CLIENTS, of_client(Client("c")))
        await eventually(lambda: storage.clients.find("c"), Client("c"))
        assert lists(server) == before
        await storage.close()


async def test_the_copy_is_trusted_for_seconds_when_the_server_is_gone(
    storage: KubernetesStorage, server: ApiServer
) -> None:
    await storage.clients.create(Client("c"))
    await asyncio.sleep(0.1)
    await server.stop()
    stopped = time.monotonic()
    assert await storage.clients.get("c") == Client("c")
    while time.monotonic() < stopped + TRUSTED - 1:
        assert await storage.clients.get("c") == Client("c")
        await asyncio.sleep(0.1)
    await asyncio.sleep(1.5)
    with pytest.raises(StorageUnavailable):
        await storage.clients.get("c")


async def test_without_the_right_to_watch_every_read_asks(
    server: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Roles made for dex have no such right, and go on working."""
    server.answer(403, times=10_000, path="watch=1")
    storage = await open_cluster(server.cluster(), "ensure", StorageContext())
    await asyncio.sleep(TRUSTED + 0.2)
    await server.apply(CLIENTS, of_client(Client("c")))
    assert await storage.clients.get("c") == Client("c")
    (name,) = server.objects(CLIENTS)
    await server.remove(GROUP, CLIENTS, name)
    assert await storage.clients.list() == []
    assert await storage.clients.find("c") is None
    await storage.close()
    broke = [one for one in caplog.messages if f"watch of {CLIENTS} broke" in one]
    assert len(broke) == 1
