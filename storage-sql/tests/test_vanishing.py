"""Connections on which nothing arrives any more, and nobody has been told."""

from __future__ import annotations

import asyncio
import time

from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from dexcore_storage_sql import mysql, postgres

from dexcore.storage import Client, Collections, StorageUnavailable
from dexcore.testing.cable import Cable


@pytest.fixture(params=["postgres", "mysql"])
def sort(request: pytest.FixtureRequest) -> Any:
    """The kind of server: how it is opened, and an empty database on it."""
    open_storage = {"postgres": postgres, "mysql": mysql}[request.param].open_storage
    place = request.getfixturevalue(f"{request.param}_place")
    database = request.getfixturevalue(f"{request.param}_ready")
    return open_storage, place, database


@pytest.fixture
def cable(sort: Any) -> Iterator[Cable]:
    _, place, _ = sort
    with Cable(place.server.host, place.server.port) as cable:
        yield cable


async def test_who_vanishes_in_a_transaction_keeps_nobody_from_its_records(
    sort: Any, cable: Cable
) -> None:
    """Its locks end when the server has not heard of it for a while."""
    open_storage, place, database = sort
    patient = place.config(database)
    hasty = {"statement_timeout": 1, "connection_timeout": 1}
    cut_off = await open_storage(place.config(database, port=cable.port, **hasty))
    other = await open_storage(patient)
    await other.clients.create(Client("c"))

    async def vanish(inside: Collections) -> None:
        await inside.clients.update("c", change=named("lost"))
        cable.cut()
        await inside.clients.get("d")

    begun = time.monotonic()
    with pytest.raises(StorageUnavailable):
        await cut_off.unit(vanish)
    async with asyncio.timeout(20):
        while True:
            try:
                await other.clients.update("c", change=named("kept"))
                break
            except StorageUnavailable:
                continue
    assert time.monotonic() < begun + 15
    cable.mend()
    assert (await cut_off.clients.get("c")).name == "kept"
    for each in (cut_off, other):
        await each.close()


async def test_connections_a_firewall_has_forgotten_cost_one_call_and_not_one_each(
    sort: Any, cable: Cable
) -> None:
    open_storage, place, database = sort
    hasty = {"statement_timeout": 1, "connection_timeout": 1}
    storage = await open_storage(place.config(database, port=cable.port, **hasty))
    await storage.clients.create(Client("c"))
    await asyncio.gather(*(storage.clients.get("c") for _ in range(20)))
    cable.forget()
    with pytest.raises(StorageUnavailable, match="does not answer"):
        await storage.clients.get("c")
    begun = time.monotonic()
    for _ in range(5):
        assert await storage.clients.get("c") == Client("c")
    assert time.monotonic() < begun + 1
    await storage.close()


def named(name: str) -> Any:
    return lambda old: attrs.evolve(old, name=name)
