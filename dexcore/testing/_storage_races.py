"""What every storage does when many ask at once, when time passes, and in units."""

from __future__ import annotations

import asyncio

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import attrs
import pytest

from ..storage import (
    KINDS,
    AlreadyExists,
    AuthCode,
    AuthSession,
    Client,
    Collections,
    Keys,
    Kind,
    NotFound,
    RefreshToken,
    Storage,
)
from ._storage_records import collection, every_kind
from ._storage_samples import LATER, NOW, SAMPLES, expiring

T = TypeVar("T")
HOUR = timedelta(hours=1)
ZONES = [ZoneInfo(name) for name in ("UTC", "America/New_York", "America/Los_Angeles")]

expiring_kinds = pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.expiry], ids=lambda kind: kind.name
)


async def outcomes(attempts: Iterable[Awaitable[Any]]) -> Counter[str]:
    """Run all at once; return how many went ``ok``, and what the others raised."""
    done = await asyncio.gather(*attempts, return_exceptions=True)
    return Counter(
        type(one).__name__ if isinstance(one, BaseException) else "ok" for one in done
    )


class Outdated(Exception):
    """Raised by changes that insist on what they saw."""


class RaceCases:
    """Many at once; inherited by ``StorageContract``."""

    async def test_of_a_hundred_updates_none_is_lost(self, storage: Storage) -> None:
        """Each counts one further, and each number is written once."""
        await storage.refresh_tokens.create(RefreshToken("r", "c", token="0"))

        async def count() -> str:
            updated = await storage.refresh_tokens.update(
                "r", change=lambda old: attrs.evolve(old, token=f"{int(old.token) + 1}")
            )
            return updated.token

        written = await asyncio.gather(*(count() for _ in range(100)))
        assert sorted(map(int, written)) == [*range(1, 101)]
        assert (await storage.refresh_tokens.get("r")).token == "100"

    @every_kind
    async def test_of_fifty_takers_one_gets_the_record(
        self, storage: Storage, kind: Kind[Any]
    ) -> None:
        """This is what makes a code good for one use."""
        records, record = collection(storage, kind), SAMPLES[kind.name].first
        await records.create(record)
        found = await outcomes(records.take(*kind.key_of(record)) for _ in range(50))
        assert found == {"ok": 1, "NotFound": 49}

    @every_kind
    async def test_of_fifty_creators_one_is_first(
        self, storage: Storage, kind: Kind[Any]
    ) -> None:
        """The others hear that the key is there."""
        records, record = collection(storage, kind), SAMPLES[kind.name].first
        found = await outcomes(records.create(record) for _ in range(50))
        assert found == {"ok": 1, "AlreadyExists": 49}

    @pytest.mark.parametrize("name", ["auth_request", "client", "password", "keys"])
    async def test_of_changes_that_insist_on_what_they_saw_one_succeeds(
        self, storage: Storage, name: str
    ) -> None:
        """Compare and swap: the change looks at the record it is given, and refuses."""
        sample = SAMPLES[name]
        kind = next(kind for kind in KINDS if kind.name == name)
        records = collection(storage, kind)
        await records.create(sample.first)
        seen = await records.get(*kind.key_of(sample.first))

        def change(old: Any) -> Any:
            if old != seen:
                raise Outdated
            return sample.change(old)

        key = kind.key_of(sample.first)
        found = await outcomes(records.update(*key, change=change) for _ in range(10))
        assert found == {"ok": 1, "Outdated": 9}

    async def test_of_many_first_keys_one_is_kept(self, storage: Storage) -> None:
        """Several replicas start on an empty storage."""
        candidates = [Keys(signing_key={"kid": f"{n}"}) for n in range(10)]
        found = await outcomes(map(storage.keys.create, candidates))
        assert found == {"ok": 1, "AlreadyExists": 9}
        assert await storage.keys.get() in candidates

    async def test_a_record_is_deleted_or_changed_but_never_comes_back(
        self, storage: Storage
    ) -> None:
        """An update does not resurrect what somebody else removed."""
        for number in range(10):
            token = RefreshToken(f"r{number}", "c")
            await storage.refresh_tokens.create(token)
            changed = storage.refresh_tokens.update(
                token.id, change=lambda old: attrs.evolve(old, token="new")
            )
            found = await outcomes([changed, storage.refresh_tokens.delete(token.id)])
            assert found["ok"] + found["NotFound"] == 2
            assert await storage.refresh_tokens.find(token.id) is None

    async def test_what_one_wrote_everybody_reads_next(self, storage: Storage) -> None:
        """As soon as the write returns."""
        await storage.refresh_tokens.create(RefreshToken("r", "c"))
        for number in range(20):
            token = f"{number}"
            await storage.refresh_tokens.update(
                "r",
                change=lambda old, token=token: attrs.evolve(old, token=token),  # type: ignore[misc]
            )
            read = await asyncio.gather(
                *(storage.refresh_tokens.get("r") for _ in range(5))
            )
            assert {record.token for record in read} == {token}


class SweepCases:
    """What expires goes; inherited by ``StorageContract``."""

    @expiring_kinds
    @pytest.mark.parametrize("zone", ZONES, ids=str)
    async def test_what_has_expired_is_swept_and_nothing_else(
        self, storage: Storage, kind: Kind[Any], zone: ZoneInfo
    ) -> None:
        """Whatever the zones of the times."""
        records = collection(storage, kind)
        record = expiring(kind.name, NOW.astimezone(ZONES[1]))
        await records.create(record)
        swept = await storage.sweep((NOW - HOUR).astimezone(zone))
        assert swept[kind.name] == 0
        assert await records.find(*kind.key_of(record)) is not None
        swept = await storage.sweep((NOW + HOUR).astimezone(zone))
        assert swept[kind.name] == 1
        assert await records.find(*kind.key_of(record)) is None

    @expiring_kinds
    async def test_the_moment_of_expiry_is_not_yet_too_late(
        self, storage: Storage, kind: Kind[Any]
    ) -> None:
        """Only what expired before is swept."""
        await collection(storage, kind).create(expiring(kind.name, NOW))
        assert (await storage.sweep(NOW))[kind.name] == 0
        later = NOW + timedelta(milliseconds=1)
        assert (await storage.sweep(later))[kind.name] == 1

    @pytest.mark.parametrize("over", ["absolute_expiry", "idle_expiry"])
    async def test_a_session_ends_with_the_first_of_its_expiries(
        self, storage: Storage, over: str
    ) -> None:
        """Until it is swept it is listed."""
        session = expiring("auth_session", NOW + HOUR)
        session = attrs.evolve(session, **{over: NOW - HOUR})
        await storage.auth_sessions.create(session)
        assert await storage.auth_sessions.list() == [session]
        assert (await storage.sweep(NOW))["auth_session"] == 1
        assert await storage.auth_sessions.list() == []

    async def test_a_session_in_use_is_not_swept(self, storage: Storage) -> None:
        """An update moves its expiry, in both directions."""
        session = expiring("auth_session", NOW)

        def until(time: Any) -> Callable[[AuthSession], AuthSession]:
            return lambda old: attrs.evolve(old, absolute_expiry=time, idle_expiry=time)

        await storage.auth_sessions.create(session)
        await storage.auth_sessions.update(session.id, change=until(NOW + 2 * HOUR))
        assert (await storage.sweep(NOW + HOUR))["auth_session"] == 0
        await storage.auth_sessions.update(session.id, change=until(NOW))
        assert (await storage.sweep(NOW + HOUR))["auth_session"] == 1

    async def test_what_never_expires_is_never_swept(self, storage: Storage) -> None:
        """Clients, tokens, users and keys."""
        lasting = [kind for kind in KINDS if not kind.expiry]
        for kind in lasting:
            await collection(storage, kind).create(SAMPLES[kind.name].first)
        swept = await storage.sweep(LATER + 1000 * HOUR)
        assert sum(swept.values()) == 0
        for kind in lasting:
            assert len(await collection(storage, kind).list()) == 1

    async def test_hundreds_that_live_do_not_hide_one_that_expired(
        self, storage: Storage
    ) -> None:
        """Nor do more expired ones than are swept at once stay behind."""
        codes = storage.auth_codes
        living = (AuthCode(f"a{n:04}", "c", expiry=LATER) for n in range(600))
        await asyncio.gather(*map(codes.create, living))
        await codes.create(AuthCode("z", "c", expiry=NOW))
        assert (await storage.sweep(NOW + HOUR))["auth_code"] == 1
        expired = (AuthCode(f"b{n:04}", "c", expiry=NOW) for n in range(1001))
        await asyncio.gather(*map(codes.create, expired))
        assert (await storage.sweep(NOW + HOUR))["auth_code"] == 1001
        assert len(await codes.list()) == 600

    async def test_replicas_may_sweep_at_the_same_time(self, storage: Storage) -> None:
        """What one counts, the other does not."""
        codes = (AuthCode(f"{n}", "c", expiry=NOW) for n in range(100))
        await asyncio.gather(*map(storage.auth_codes.create, codes))
        swept = await asyncio.gather(*(storage.sweep(NOW + HOUR) for _ in range(3)))
        assert sum(one["auth_code"] for one in swept) == 100
        assert await storage.auth_codes.list() == []


class UnitCases:
    """Units, as far as every storage has them; inherited by ``StorageContract``."""

    async def test_a_unit_does_all_its_work_and_returns_its_result(
        self, storage: Storage
    ) -> None:
        """And inside it reads what it wrote."""
        await storage.auth_codes.create(AuthCode("code", "c", expiry=LATER))

        async def work(inside: Collections) -> str:
            code = await inside.auth_codes.take("code")
            await inside.refresh_tokens.create(RefreshToken("r", code.client_id))
            await inside.refresh_tokens.update(
                "r", change=lambda old: attrs.evolve(old, token="new")
            )
            assert await inside.auth_codes.find("code") is None
            return (await inside.refresh_tokens.get("r")).token

        assert await storage.unit(work) == "new"
        assert await storage.auth_codes.find("code") is None
        assert (await storage.refresh_tokens.get("r")).token == "new"

    async def test_a_unit_goes_on_after_a_refusal_it_expected(
        self, storage: Storage
    ) -> None:
        """Such as a record that is already there."""
        await storage.clients.create(Client("c", name="old"))

        async def work(inside: Collections) -> None:
            with pytest.raises(AlreadyExists):
                await inside.clients.create(Client("c", name="new"))
            with pytest.raises(NotFound):
                await inside.clients.delete("x")
            await inside.clients.create(Client("d"))

        await storage.unit(work)
        assert [client.name for client in await storage.clients.list()] == ["old", ""]

    async def test_of_many_units_for_one_code_one_succeeds(
        self, storage: Storage
    ) -> None:
        """The others leave no token behind."""
        await storage.auth_codes.create(AuthCode("code", "c", expiry=LATER))

        def exchange(number: int) -> Callable[[Collections], Awaitable[None]]:
            async def work(inside: Collections) -> None:
                await inside.auth_codes.take("code")
                await inside.refresh_tokens.create(RefreshToken(f"r{number}", "c"))

            return work

        found = await outcomes(storage.unit(exchange(n)) for n in range(50))
        assert found == {"ok": 1, "NotFound": 49}
        assert len(await storage.refresh_tokens.list()) == 1


class Broken(Exception):
    """Raised in the middle of a unit."""


class TransactionCases:
    """For storages with transactions: a unit happens as a whole or not at all."""

    async def test_a_unit_that_raises_leaves_nothing(self, storage: Storage) -> None:
        """Whatever it created, changed or removed; and its exception comes out."""
        for name in ("a", "b", "c"):
            await storage.clients.create(Client(name, name="before"))
        await storage.auth_codes.create(expiring("auth_code", NOW))
        before = await storage.clients.list(), await storage.auth_codes.list()
        error = Broken()

        async def work(inside: Collections) -> None:
            await inside.clients.create(Client("d"))
            await inside.clients.update(
                "a", change=lambda old: attrs.evolve(old, name="after")
            )
            await inside.clients.take("b")
            await inside.clients.create(Client("b", name="another"))
            await inside.clients.delete("c")
            await inside.auth_codes.take("code1")
            await inside.spent_codes.create(SAMPLES["spent_code"].first)
            raise error

        with pytest.raises(Broken) as raised:
            await storage.unit(work)
        assert raised.value is error
        after = await storage.clients.list(), await storage.auth_codes.list()
        assert after == before
        assert await storage.spent_codes.list() == []
        assert (await storage.sweep(NOW + HOUR))["auth_code"] == 1

    async def test_units_do_not_see_each_other_half_done(
        self, storage: Storage
    ) -> None:
        """Money moved between two records is never lost or doubled on the way."""
        for name in ("a", "b"):
            await storage.refresh_tokens.create(RefreshToken(name, "c", token="500"))

        def add(amount: int) -> Callable[[RefreshToken], RefreshToken]:
            return lambda old: attrs.evolve(old, token=f"{int(old.token) + amount}")

        def transfer(number: int) -> Callable[[Collections], Awaitable[int]]:
            async def work(inside: Collections) -> int:
                await inside.refresh_tokens.update("a", change=add(-number))
                if number % 3 == 0:
                    raise Broken
                await inside.refresh_tokens.update("b", change=add(number))
                both = await inside.refresh_tokens.list()
                return sum(int(one.token) for one in both)

            return work

        done = await asyncio.gather(
            *(storage.unit(transfer(n)) for n in range(30)), return_exceptions=True
        )
        assert Counter(type(one) for one in done) == {int: 20, Broken: 10}
        assert {one for one in done if isinstance(one, int)} == {1000}
        moved = sum(n for n in range(30) if n % 3)
        assert (await storage.refresh_tokens.get("b")).token == f"{500 + moved}"
