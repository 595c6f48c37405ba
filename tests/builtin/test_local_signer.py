"""The local signer: keys that are published before they sign and after they signed."""

from __future__ import annotations

import asyncio
import random

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import attrs
import orjson
import pytest

from dexcore_storage_memory import MemoryStorage

from dexcore import jose
from dexcore.builtin import local_signer
from dexcore.builtin.local_signer import PUBLISHED_AHEAD, Config, LocalSigner
from dexcore.errors import PluginError, StorageUnavailable
from dexcore.options import InvalidOption
from dexcore.signer import JWKS_MAX_AGE, SignerContext
from dexcore.storage import (
    Collection,
    Collections,
    Keys,
    Storage,
    UpcomingKey,
    VerificationKey,
)

R = TypeVar("R")

PERIOD = timedelta(hours=1)
LIFETIME = timedelta(minutes=30)
START = datetime(2026, 8, 6, 12, tzinfo=UTC)
PAYLOAD = b'{"iss":"https://op.example","sub":"somebody"}'


class Clock:
    """Tells the time it was set to."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def forward(self, by: timedelta) -> None:
        self.time += by


class Slow(Collection[R]):
    """A collection over a network: others get a turn before each verb, or it fails."""

    def __init__(self, behind: Collection[R], cut: Callable[[], None]) -> None:
        self.behind, self.cut = behind, cut

    async def create(self, record: R) -> None:
        await self._travel()
        await self.behind.create(record)

    async def get(self, *key: str) -> R:
        await self._travel()
        return await self.behind.get(*key)

    async def list(
        self, *, after: tuple[str, ...] | None = None, limit: int | None = None
    ) -> list[R]:
        await self._travel()
        return await self.behind.list(after=after, limit=limit)

    async def update(self, *key: str, change: Callable[[R], R]) -> R:
        await self._travel()
        return await self.behind.update(*key, change=change)

    async def take(self, *key: str) -> R:
        await self._travel()
        return await self.behind.take(*key)

    async def delete(self, *key: str) -> None:
        await self._travel()
        await self.behind.delete(*key)

    async def _travel(self) -> None:
        await asyncio.sleep(0)
        self.cut()


class Network(Collections):
    """A way to a storage; it breaks after ``verbs_left`` verbs."""

    def __init__(self, storage: Storage) -> None:
        self.verbs_left = 1_000_000
        self.verbs = 0
        self.keys = Slow(storage.keys, self._cut)
        self.upcoming_keys = Slow(storage.upcoming_keys, self._cut)

    def _cut(self) -> None:
        if not self.verbs_left:
            raise StorageUnavailable("The network is down.")
        self.verbs_left -= 1
        self.verbs += 1


@attrs.define
class Site:
    """Replicas on one storage, and a clock."""

    storage: Storage = attrs.field(factory=MemoryStorage)
    clock: Clock = attrs.field(factory=Clock)

    async def replica(
        self,
        algorithm: Any = "ES256",
        *,
        period: timedelta = PERIOD,
        through: Collections | None = None,
    ) -> LocalSigner:
        (kind,) = local_signer.dex_signer_types()
        context = SignerContext(
            storage=through or self.storage,
            token_lifetime=LIFETIME,
            now=self.clock.now,
        )
        opened = await kind.open(Config(period, algorithm), context)
        assert isinstance(opened, LocalSigner)
        return opened

    async def pass_time(self, signer: LocalSigner, by: timedelta) -> None:
        """Let *by* pass in polls."""
        end = self.clock.time + by
        while self.clock.time < end:
            self.clock.forward(min(timedelta(seconds=10), end - self.clock.time))
            await signer.refresh()


@pytest.fixture
def site() -> Site:
    return Site()


def kids(signer: LocalSigner) -> list[str]:
    return [key["kid"] for key in orjson.loads(signer.key_set.jwks)["keys"]]


def kid_of(token: str) -> str:
    return str(header_of(token)["kid"])


def header_of(token: str) -> dict[str, Any]:
    header: dict[str, Any] = orjson.loads(jose.b64decode(token.partition(".")[0]))
    return header


# — Opening ----------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_an_empty_storage_gets_a_key_that_signs_at_once(
    site: Site, algorithm: str
) -> None:
    signer = await site.replica(algorithm)
    token = await signer.sign(PAYLOAD)
    claims, payload = signer.key_set.verify(token)
    assert signer.key_set.algorithm == algorithm
    assert payload == PAYLOAD
    assert claims["sub"] == "somebody"
    assert kids(signer) == [kid_of(token)]


async def test_a_type_asked_for_is_in_the_header(site: Site) -> None:
    signer = await site.replica()
    token = await signer.sign(PAYLOAD, typ="at+jwt")
    header = jose.b64decode(token.partition(".")[0])
    assert header == b'{"alg":"ES256","kid":"%s","typ":"at+jwt"}' % (
        signer.key_set.kid.encode()
    )


async def test_many_rsa_signatures_at_once_all_verify(site: Site) -> None:
    signer = await site.replica("RS256")
    tokens = await asyncio.gather(*(signer.sign(PAYLOAD) for _ in range(10)))
    assert {signer.key_set.verify(token)[1] for token in tokens} == {PAYLOAD}


async def test_who_waits_for_a_signature_gets_it_by_the_key_it_asked_of(
    site: Site,
) -> None:
    """What the payload says was made for that key's algorithm: ``at_hash`` is."""
    await (await site.replica("RS256")).refresh()
    signer = await site.replica("EdDSA")
    await signer.refresh()
    waited: list[bool] = []

    async def sign() -> None:
        algorithm = signer.key_set.algorithm
        header = header_of(await signer.sign(PAYLOAD))
        assert header["alg"] == algorithm
        waited.append(algorithm != signer.key_set.algorithm)

    await asyncio.gather(*(sign() for _ in range(200)), signer.rotate())
    assert any(waited), "nobody waited while the keys rotated"


async def test_the_algorithms_are_those_of_now_and_those_that_may_come(
    site: Site,
) -> None:
    """Clients that read them once can verify whatever comes."""
    signer = await site.replica("ES256")
    assert signer.algorithms == ("ES256", "RS256", "EdDSA")
    await (await site.replica("EdDSA")).rotate()
    await signer.refresh()
    assert signer.algorithms == ("EdDSA", "ES256", "RS256")


async def test_others_get_their_turn_between_rsa_signatures(site: Site) -> None:
    signer = await site.replica("RS256")
    order: list[str] = []

    async def sign() -> None:
        await signer.sign(PAYLOAD)
        order.append("signed")

    async def other() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
            order.append("other")

    await asyncio.gather(*(sign() for _ in range(5)), other())
    assert "other" in order[:3]


async def test_five_replicas_that_open_at_once_agree_on_one_key(site: Site) -> None:
    replicas = await asyncio.gather(
        *(site.replica(through=Network(site.storage)) for _ in range(5))
    )
    assert len({signer.key_set.kid for signer in replicas}) == 1
    await asyncio.gather(*(signer.refresh() for signer in replicas))
    await asyncio.gather(*(signer.refresh() for signer in replicas))
    assert len({tuple(kids(signer)) for signer in replicas}) == 1
    assert len(kids(replicas[0])) == 2


async def test_a_restart_signs_with_the_same_key(site: Site) -> None:
    before = await site.replica()
    await before.refresh()
    after = await site.replica()
    assert kids(after) == kids(before)


async def test_a_record_of_dex_is_taken_over(site: Site) -> None:
    current = jose.generate("RS256")
    retired = {**jose.public(jose.generate("RS256")), "kid": "of-dex-1"}
    await site.storage.keys.create(
        Keys(
            signing_key=current,
            signing_key_pub=jose.public(current),
            verification_keys=(
                VerificationKey(retired, START + timedelta(minutes=5)),
                VerificationKey(
                    jose.public(jose.generate("RS256")), START - timedelta(minutes=5)
                ),
            ),
            next_rotation=START + PERIOD,
        )
    )
    signer = await site.replica("ES256")
    assert kid_of(await signer.sign(PAYLOAD)) == current["kid"]
    assert kids(signer) == [current["kid"], "of-dex-1"]
    assert signer.key_set.algorithm == "RS256"


async def test_dex_finds_in_our_record_what_it_needs(site: Site) -> None:
    signer = await site.replica("RS256")
    await signer.rotate()
    keys = await site.storage.keys.get()
    private = {"d", "p", "q", "dp", "dq", "qi"}
    assert set(keys.signing_key_pub or ()) == {"use", "kty", "kid", "alg", "n", "e"}
    assert set(keys.signing_key or ()) == set(keys.signing_key_pub or ()) | private
    assert {type(member) for member in (keys.signing_key or {}).values()} == {str}
    published = {one.public_key["kid"] for one in keys.verification_keys}
    assert published | {signer.key_set.kid} == set(kids(signer))
    for one in keys.verification_keys:
        assert "d" not in one.public_key


async def test_a_record_without_a_key_gets_one(site: Site) -> None:
    await site.storage.keys.create(Keys())
    signer = await site.replica()
    assert (await site.storage.keys.get()).signing_key_pub
    assert signer.key_set.verify(await signer.sign(PAYLOAD))


@pytest.mark.parametrize(
    "broken",
    [
        {"kty": "RSA", "kid": "x"},
        {"kty": "nonsense", "kid": "x"},
        {**jose.generate("ES256"), "d": jose.generate("ES256")["d"]},
        {**jose.generate("RS256"), "e": None},
        {**jose.generate("RS256"), "n": jose.generate("RS256")["n"]},
    ],
)
async def test_a_stored_key_that_cannot_sign_stops_the_start(
    site: Site, broken: Mapping[str, Any]
) -> None:
    await site.storage.keys.create(Keys(signing_key=broken))
    with pytest.raises(PluginError, match="unusable"):
        await site.replica()


def test_a_rotation_period_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidOption, match="keysRotationPeriod"):
        Config(keys_rotation_period=timedelta(0))


# — Rotating ---------------------------------------------------------------------------


async def test_the_next_key_is_published_before_it_signs(site: Site) -> None:
    """T-KEY-01, T-KEY-02."""
    signer = await site.replica()
    await signer.refresh()
    first, second = kids(signer)
    await site.pass_time(signer, PERIOD - timedelta(seconds=1))
    assert kid_of(await signer.sign(PAYLOAD)) == first
    await site.pass_time(signer, timedelta(seconds=1))
    assert kid_of(await signer.sign(PAYLOAD)) == second
    assert kids(signer)[0] == second
    assert first in kids(signer)
    assert len(kids(signer)) == 3


async def test_a_key_waits_until_every_client_can_know_it(site: Site) -> None:
    """T-DISC-05, T-KEY-02."""
    signer = await site.replica(period=timedelta(minutes=1))
    await signer.refresh()
    first, second = kids(signer)
    await site.pass_time(signer, PUBLISHED_AHEAD - timedelta(seconds=1))
    assert signer.key_set.kid == first
    await site.pass_time(signer, timedelta(seconds=1))
    assert signer.key_set.kid == second
    assert timedelta(seconds=JWKS_MAX_AGE) < PUBLISHED_AHEAD


async def test_a_retired_key_verifies_until_its_last_token_has_expired(
    site: Site,
) -> None:
    """T-KEY-03."""
    signer = await site.replica()
    await site.pass_time(signer, PERIOD - timedelta(seconds=10))
    last = await signer.sign(PAYLOAD)
    await site.pass_time(signer, timedelta(seconds=10))
    assert kid_of(last) != signer.key_set.kid
    await site.pass_time(signer, LIFETIME)
    assert signer.key_set.verify(last)
    await site.pass_time(signer, timedelta(seconds=70))
    assert kid_of(last) not in kids(signer)
    with pytest.raises(jose.InvalidJWS):
        signer.key_set.verify(last)


async def test_another_algorithm_begins_with_the_next_rotation(site: Site) -> None:
    before = await site.replica("RS256")
    await before.refresh()
    after = await site.replica("ES256")
    await after.refresh()
    assert after.key_set.algorithm == "RS256"
    assert after.key_set.algorithms == ("RS256", "ES256")
    await site.pass_time(after, PERIOD)
    assert after.key_set.algorithm == "ES256"
    assert after.key_set.algorithms == ("ES256", "RS256")


async def test_replicas_of_two_configurations_do_not_fight(site: Site) -> None:
    old, new = await site.replica("ES256"), await site.replica("EdDSA")
    for _ in range(5):
        await old.refresh()
        await new.refresh()
    settled = kids(new)
    await old.refresh()
    await new.refresh()
    assert kids(new) == kids(old) == settled


async def test_rotating_by_hand_does_not_wait(site: Site) -> None:
    signer = await site.replica()
    token = await signer.sign(PAYLOAD)
    await signer.rotate()
    after = await signer.sign(PAYLOAD)
    assert kid_of(token) != kid_of(after)
    assert signer.key_set.verify(token)
    assert signer.key_set.verify(after)
    await signer.rotate()
    assert len({kid_of(token), kid_of(after), signer.key_set.kid}) == 3


async def test_of_many_replicas_one_rotates(site: Site) -> None:
    replicas = [await site.replica(through=Network(site.storage)) for _ in range(5)]
    await asyncio.gather(*(signer.refresh() for signer in replicas))
    await asyncio.gather(*(signer.refresh() for signer in replicas))
    (_, second) = kids(replicas[0])
    site.clock.forward(PERIOD)
    await asyncio.gather(*(signer.refresh() for signer in replicas))
    assert {signer.key_set.kid for signer in replicas} == {second}
    keys = await site.storage.keys.get()
    assert len(keys.verification_keys) <= 3
    await asyncio.gather(*(signer.refresh() for signer in replicas))
    assert len({tuple(kids(signer)) for signer in replicas}) == 1


async def test_a_replica_sees_what_another_has_rotated(site: Site) -> None:
    one, other = await site.replica(), await site.replica()
    await one.rotate()
    token = await one.sign(PAYLOAD)
    await other.refresh()
    assert other.key_set.verify(token)
    assert other.key_set.kid == one.key_set.kid


async def test_dex_on_the_same_storage_is_told_of_the_next_key(site: Site) -> None:
    signer = await site.replica()
    await signer.refresh()
    current, following = kids(signer)
    keys = await site.storage.keys.get()
    (announced,) = keys.verification_keys
    assert keys.signing_key_pub is not None
    assert keys.signing_key_pub["kid"] == current
    assert announced.public_key["kid"] == following
    assert announced.expiry > keys.next_rotation + PUBLISHED_AHEAD


async def test_a_rotation_by_dex_is_followed(site: Site) -> None:
    signer = await site.replica("RS256")
    await signer.refresh()
    token = await signer.sign(PAYLOAD)
    made_by_dex = jose.generate("RS256")
    await site.storage.keys.update(
        change=lambda old: Keys(
            signing_key=made_by_dex,
            signing_key_pub=jose.public(made_by_dex),
            verification_keys=(
                *old.verification_keys,
                VerificationKey(old.signing_key_pub or {}, START + LIFETIME),
            ),
            next_rotation=START + PERIOD,
        )
    )
    await signer.refresh()
    assert signer.key_set.kid == made_by_dex["kid"]
    assert signer.key_set.verify(token)


async def test_a_key_that_dex_has_stopped_publishing_does_not_sign(site: Site) -> None:
    signer = await site.replica()
    await signer.refresh()
    _, forgotten = kids(signer)
    await site.storage.keys.update(
        change=lambda old: attrs.evolve(old, verification_keys=())
    )
    site.clock.forward(timedelta(days=30))
    back = await site.replica()
    await back.refresh()
    await site.pass_time(back, PUBLISHED_AHEAD)
    assert back.key_set.kid != forgotten


async def test_a_next_key_that_cannot_sign_is_replaced(site: Site) -> None:
    signer = await site.replica()
    await site.storage.upcoming_keys.create(
        UpcomingKey("next", {"kty": "EC", "kid": "broken"}, START)
    )
    await site.pass_time(signer, PERIOD + PUBLISHED_AHEAD)
    assert "broken" not in kids(signer)
    assert len(kids(signer)) == 3


# — Failing ----------------------------------------------------------------------------


async def test_a_rotation_cut_anywhere_goes_on_at_the_next_look() -> None:
    whole = Site()
    road = Network(whole.storage)
    signer = await whole.replica(through=road)
    await signer.refresh()
    whole.clock.forward(PERIOD)
    before = road.verbs
    await signer.refresh()
    for cut_after in range(road.verbs - before):
        site = Site()
        road = Network(site.storage)
        signer = await site.replica(through=road)
        await signer.refresh()
        token = await signer.sign(PAYLOAD)
        first, second = kids(signer)
        site.clock.forward(PERIOD)
        road.verbs_left = cut_after
        with pytest.raises(StorageUnavailable):
            await signer.refresh()
        assert signer.key_set.verify(await signer.sign(PAYLOAD))
        road.verbs_left = 100
        await signer.refresh()
        assert kids(signer)[0] == second
        assert kids(signer)[2] == first
        assert signer.key_set.verify(token)
        assert len((await site.storage.keys.get()).verification_keys) == 2


async def test_without_its_storage_a_signer_goes_on_with_the_keys_it_has(
    site: Site,
) -> None:
    road = Network(site.storage)
    signer = await site.replica(through=road)
    before = signer.key_set
    road.verbs_left = 0
    task = asyncio.create_task(signer.run())
    await asyncio.sleep(0.3)
    assert not task.done()
    assert signer.key_set is before
    assert before.verify(await signer.sign(PAYLOAD))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_running_signer_publishes_the_next_key(site: Site) -> None:
    signer = await site.replica()
    task = asyncio.create_task(signer.run())
    async with asyncio.timeout(5):
        while len(kids(signer)) < 2:  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await signer.close()
    assert len(kids(signer)) == 2


async def test_a_signer_that_is_not_open_says_so(site: Site) -> None:
    context = SignerContext(site.storage, LIFETIME, site.clock.now)
    with pytest.raises(PluginError, match="not open"):
        await LocalSigner(Config(), context).sign(PAYLOAD)


# — The promise ------------------------------------------------------------------------


@attrs.define
class Served:
    """A key set as some replica has served it, and when it did so for the last time."""

    kids: frozenset[str]
    jwks: bytes
    last: datetime


async def test_no_client_ever_meets_a_key_it_cannot_know(site: Site) -> None:
    """T-KEY-02: 20 rotations, 3 replicas, clients that keep key sets for 600 s.

    The keys rotate as fast as they can.  Each client keeps what it was served until
    then and does not ask again for an unknown ``kid``; every token is looked at the
    moment it is made, by the clients with the oldest key sets, and again until it
    expires, by every replica.
    """
    tick = timedelta(seconds=5)
    keeps = timedelta(seconds=JWKS_MAX_AGE)
    replicas = [
        await site.replica(period=timedelta(minutes=1), through=Network(site.storage))
        for _ in range(3)
    ]
    served: dict[tuple[int, bytes], Served] = {}
    tokens: dict[str, tuple[datetime, str]] = {}
    signed_with: dict[str, None] = {}
    # Each asks when it likes, and sometimes a poll fails: then it asks 20 s later.
    chance = random.Random(7)
    asks = [START] * len(replicas)
    while len(signed_with) < 21:
        site.clock.forward(tick)
        now = site.clock.time
        for number, signer in enumerate(replicas):
            if now >= asks[number]:
                await signer.refresh()
                asks[number] = now + chance.choice([tick, 2 * tick, 4 * tick])
            jwks = signer.key_set.jwks
            served[number, jwks] = Served(frozenset(kids(signer)), jwks, now)
        served = {key: one for key, one in served.items() if one.last > now - keeps}
        for signer in replicas:
            token = await signer.sign(PAYLOAD)
            kid = kid_of(token)
            for one in served.values():
                assert kid in one.kids
            if kid not in signed_with:
                for one in served.values():
                    jose.verify_with_jwks(token, orjson.loads(one.jwks), ["ES256"])
            signed_with[kid] = None
            tokens[kid] = (now + LIFETIME, token)
        for expiry, token in tokens.values():
            if expiry >= now:
                for signer in replicas:
                    assert signer.key_set.verify(token)[1] == PAYLOAD
    assert site.clock.time - START >= 20 * PUBLISHED_AHEAD
    assert all(len(kids(signer)) <= 6 for signer in replicas)
