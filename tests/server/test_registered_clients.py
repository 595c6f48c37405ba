"""Registrations that are cut in the middle, with transactions and without."""

from datetime import UTC, datetime, timedelta

import pytest

from dexcore_storage_memory.storage import MemoryStorage

from dexcore.errors import NotFound, StorageUnavailable
from dexcore.oauth2.ids import new_id
from dexcore.server.client_assertions import ClientAssertions
from dexcore.server.client_keys import ClientKeys
from dexcore.server.clients import Clients
from dexcore.server.registered_clients import RegisteredClients
from dexcore.server.tokens.revocations import Revocations
from dexcore.server.urls import Issuer
from dexcore.storage import Client, OfflineSessions, RefreshToken, RefreshTokenRef
from dexcore.testing.faults import FaultyStorage

DOCUMENT = {
    "redirect_uris": ["https://app.example/cb"],
    "grant_types": ["authorization_code"],
    "response_types": ["code"],
    "scope": "openid",
}


class Pieces(FaultyStorage):
    """A storage without transactions."""

    async def unit(self, work):
        return await work(self)


class House:
    """Clients that register at a storage that fails at one point."""

    def __init__(self, kind):
        self.fail_at, self.passed = None, []
        self.moment = datetime.now(UTC)
        self.inner = MemoryStorage()
        storage = self.storage = kind(self.inner, self.reached)
        issuer = Issuer("https://id.example")
        self.revocations = Revocations(self.inner, self.now)
        self.registered = RegisteredClients(
            storage=storage,
            revocations=self.revocations,
            device_callback="/device/callback",
            of_file=frozenset(),
            most=10,
            most_of_one=10,
            lifetime=timedelta(0),
            tokens_live=timedelta(hours=1),
            now=self.now,
        )
        keys = ClientKeys()
        assertions = ClientAssertions.of(keys, storage, issuer, self.now, strict=True)
        self.clients = Clients(self.inner, assertions, frozenset(), self.now)

    def now(self):
        return self.moment

    def reached(self, point):
        self.passed.append(point)
        if len(self.passed) == self.fail_at:
            raise StorageUnavailable(point)

    async def counts(self, client_id):
        try:
            await self.clients.get(client_id)
        except NotFound:
            return False
        return True

    async def rows(self):
        kinds = ("clients", "registered_clients", "refresh_tokens")
        return {kind: len(await getattr(self.inner, kind).list()) for kind in kinds}

    async def logged_in(self, client_id):
        """Leave a refresh token of the client behind."""
        ref = RefreshTokenRef("r", client_id)
        offline = OfflineSessions("jane", "pw", {client_id: ref})
        token = RefreshToken("r", client_id, connector_id="pw")
        await self.inner.refresh_tokens.create(token)
        await self.inner.offline_sessions.create(offline)


NOTHING = {"clients": 0, "registered_clients": 0, "refresh_tokens": 0}
KINDS = pytest.mark.parametrize("kind", [FaultyStorage, Pieces])


async def points(kind, act):
    """Return how many points *act* passes."""
    house = House(kind)
    made = await house.registered.create(DOCUMENT, "")
    house.passed.clear()
    await act(house, made)
    return len(house.passed)


@KINDS
async def test_a_registration_that_is_cut_is_whole_or_cleared_away(kind):
    for number in range(1, await points(kind, registers) + 1):
        house = House(kind)
        await house.registered.create(DOCUMENT, "")
        house.passed.clear()
        house.fail_at = number
        with pytest.raises(StorageUnavailable):
            await house.registered.create(DOCUMENT, "")
        for client in await house.inner.clients.list():
            assert await house.counts(client.id), house.passed[-1]
        house.fail_at = None
        house.moment += timedelta(minutes=11)
        await house.registered.tidy()
        rows = await house.rows()
        # What nobody was told of stays at most as a whole.
        assert rows["clients"] == rows["registered_clients"]


@KINDS
async def test_a_removal_that_is_cut_can_be_asked_for_again(kind):
    for number in range(1, await points(kind, removes) + 1):
        house = House(kind)
        made = await house.registered.create(DOCUMENT, "")
        await house.logged_in(made.client.id)
        house.passed.clear()
        house.fail_at = number
        with pytest.raises(StorageUnavailable):
            await house.registered.remove(made.client.id)
        house.fail_at = None
        if not await house.counts(made.client.id):
            assert await house.inner.clients.find(made.client.id) is None
        await house.registered.remove(made.client.id)
        assert await house.rows() == NOTHING
        assert house.revocations.ended(made.client.id)


@KINDS
async def test_a_removal_that_is_cut_and_forgotten_is_finished(kind):
    for number in range(1, await points(kind, removes) + 1):
        house = House(kind)
        made = await house.registered.create(DOCUMENT, "")
        await house.logged_in(made.client.id)
        house.passed.clear()
        house.fail_at = number
        with pytest.raises(StorageUnavailable):
            await house.registered.remove(made.client.id)
        house.fail_at = None
        gone = not await house.counts(made.client.id)
        house.moment += timedelta(minutes=11)
        await house.registered.tidy()
        if gone:
            assert await house.rows() == NOTHING


@KINDS
async def test_a_change_that_is_cut_leaves_a_client_that_can_be_changed(kind):
    moved = {**DOCUMENT, "redirect_uris": ["https://app.example/moved"]}

    async def changes(house, made):
        await house.registered.replace(made, moved)

    for number in range(1, await points(kind, changes) + 1):
        house = House(kind)
        made = await house.registered.create(DOCUMENT, "")
        house.passed.clear()
        house.fail_at = number
        with pytest.raises(StorageUnavailable):
            await changes(house, made)
        house.fail_at = None
        known = await house.registered.get(made.client.id, made.token)
        await house.registered.replace(known, moved)
        client = await house.clients.get(made.client.id)
        assert client.redirect_uris == ("https://app.example/moved",)


async def registers(house, made):
    await house.registered.create(DOCUMENT, "")


async def removes(house, made):
    await house.logged_in(made.client.id)
    await house.registered.remove(made.client.id)


async def test_however_many_there_are_all_are_looked_at():
    house = House(FaultyStorage)
    for _ in range(1001):
        lonely = Client(new_id(supplemented=True), "secret")
        await house.inner.clients.create(lonely)
    assert await house.registered.tidy() == 1001
    assert await house.rows() == NOTHING
