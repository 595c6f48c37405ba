"""What every storage must do, as tests for its author to inherit.

::

    from dexcore.testing.storage import DurableStorageContract

    class TestMyStorage(DurableStorageContract):
        @pytest.fixture
        def open_storage(self, tmp_path):
            return lambda: MyStorage.open(tmp_path / "state")

``open_storage`` opens the storage; the first time within a test it is empty, after that
it has what was written.  Of the classes here take the one that says most about yours:

* :class:`StorageContract`: every storage;
* :class:`TransactionalStorageContract`: its units roll back;
* :class:`DurableStorageContract`: they do, the state outlives ``close``, and two can
  have it open at the same time.  A durable storage without transactions inherits
  :class:`DurableCases` and :class:`StorageContract`.

The tests are coroutines: run them with pytest-asyncio in ``auto`` mode.
"""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs
import pytest

from ..storage import KINDS, Kind, RefreshToken, Storage
from ._storage_races import (
    RaceCases,
    SweepCases,
    TransactionCases,
    UnitCases,
    outcomes,
)
from ._storage_records import Open, RecordCases, collection, every_kind
from ._storage_samples import SAMPLES, Sample, expiring

__all__ = [
    "SAMPLES",
    "DurableCases",
    "DurableStorageContract",
    "Sample",
    "StorageContract",
    "TransactionalStorageContract",
    "expiring",
]


class StorageContract(RecordCases, RaceCases, SweepCases, UnitCases):
    """Every storage."""

    @pytest.fixture
    def open_storage(self) -> Callable[[], Awaitable[Storage]]:
        """Return what opens the storage under test: override this."""
        raise NotImplementedError("Override the fixture open_storage.")

    @pytest.fixture
    async def storage(self, open_storage: Open) -> AsyncIterator[Storage]:
        """A fresh, empty storage."""
        storage = await open_storage()
        yield storage
        await storage.close()


class TransactionalStorageContract(StorageContract, TransactionCases):
    """A storage whose units roll back."""


class DurableCases:
    """The state outlives ``close``, and two can have it open at the same time."""

    def comparable(self, record: Any) -> Any:
        """Return *record* without what this storage keeps in its own way."""
        return record

    @every_kind
    async def test_what_was_written_is_there_after_reopening(
        self, open_storage: Open, kind: Kind[Any]
    ) -> None:
        """Every kind, changed once."""
        sample = SAMPLES[kind.name]
        storage = await open_storage()
        await collection(storage, kind).create(sample.first)
        await collection(storage, kind).update(
            *kind.key_of(sample.first), change=sample.change
        )
        await storage.close()
        storage = await open_storage()
        stored = await collection(storage, kind).get(*kind.key_of(sample.first))
        await storage.close()
        assert self.comparable(stored) == self.comparable(sample.changed)

    async def test_what_was_asked_before_closing_is_done(
        self, open_storage: Open
    ) -> None:
        """Closing waits for it."""
        storage = await open_storage()
        tokens = [RefreshToken(f"r{n}", "c") for n in range(100)]
        writing = asyncio.gather(*map(storage.refresh_tokens.create, tokens))
        await asyncio.sleep(0)
        await storage.close()
        await writing
        storage = await open_storage()
        assert len(await storage.refresh_tokens.list()) == 100
        await storage.close()

    async def test_two_replicas_lose_no_update(self, open_storage: Open) -> None:
        """Both count in one record."""
        replicas = [await open_storage(), await open_storage()]
        await replicas[0].refresh_tokens.create(RefreshToken("r", "c", token="0"))

        async def count(storage: Storage) -> None:
            await storage.refresh_tokens.update(
                "r", change=lambda old: attrs.evolve(old, token=f"{int(old.token) + 1}")
            )

        await asyncio.gather(*(count(one) for one in replicas for _ in range(25)))
        for replica in replicas:
            assert (await replica.refresh_tokens.get("r")).token == "50"
            await replica.close()

    async def test_of_takers_on_two_replicas_one_gets_the_record(
        self, open_storage: Open
    ) -> None:
        """A code that is replayed to another replica is as spent there."""
        replicas = [await open_storage(), await open_storage()]
        for number in range(10):
            code = attrs.evolve(SAMPLES["auth_code"].first, id=f"{number}")
            await replicas[0].auth_codes.create(code)
            found = await outcomes(
                one.auth_codes.take(code.id) for one in replicas for _ in range(5)
            )
            assert found == {"ok": 1, "NotFound": 9}
        for replica in replicas:
            await replica.close()

    async def test_replicas_can_start_at_once_on_an_empty_storage(
        self, open_storage: Open
    ) -> None:
        """One of them prepares it, the others wait."""
        replicas = await asyncio.gather(*(open_storage() for _ in range(5)))
        for kind in KINDS:
            await collection(replicas[0], kind).create(SAMPLES[kind.name].first)
        for replica in replicas:
            assert len(await replica.clients.list()) == 1
            await replica.close()


class DurableStorageContract(DurableCases, TransactionalStorageContract):
    """A storage with transactions whose state outlives it."""
