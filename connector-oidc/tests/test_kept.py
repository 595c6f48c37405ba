"""What is fetched from upstream is fetched once, and kept."""

import asyncio
import logging

import pytest

from dexcore_connector_oidc.calls import TokenAnswer
from dexcore_connector_oidc.kept import IN_SECONDS, MOST_RENEWALS, PAUSE, Kept, Shared
from dexcore_connector_oidc.rotation import REMEMBERED, Rotations

from dexcore.errors import UpstreamUnavailable

LOG = logging.LoggerAdapter(logging.getLogger("test"), {})
LIFETIME = 3600.0


class Clock:
    def __init__(self):
        self.moment = 1000.0

    def __call__(self):
        return self.moment


class Source:
    """Counts; fails while it is told to; waits for ``open`` to be set."""

    def __init__(self):
        self.count = 0
        self.fails = False
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self):
        self.count += 1
        count = self.count
        await self.open.wait()
        if self.fails:
            raise UpstreamUnavailable("It is down.")
        return f"document {count}"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def source():
    return Source()


@pytest.fixture
async def kept(source, clock):
    kept = Kept(source, LIFETIME, LOG, clock)
    yield kept
    await kept.close()


async def test_it_is_fetched_at_first_use_and_kept(kept, source, clock):
    assert source.count == 0
    assert await kept.get() == await kept.get() == "document 1"
    clock.moment += LIFETIME - 1
    assert await kept.get() == "document 1"


async def test_it_is_fetched_once_for_all_who_wait(kept, source):
    source.open.clear()
    waiting = [asyncio.create_task(kept.get()) for _ in range(20)]
    await asyncio.sleep(0)
    source.open.set()
    assert set(await asyncio.gather(*waiting)) == {"document 1"}


async def test_one_who_gives_up_does_not_end_it_for_the_others(kept, source):
    source.open.clear()
    first, second = (asyncio.create_task(kept.get()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    source.open.set()
    assert await second == "document 1"


async def test_what_is_old_is_renewed(kept, clock):
    await kept.get()
    clock.moment += LIFETIME
    assert await kept.get() == "document 2"


async def test_what_cannot_be_renewed_is_kept_and_tried_later(
    kept, source, clock, caplog
):
    await kept.get()
    clock.moment += LIFETIME
    source.fails = True
    for _ in range(3):
        assert await kept.get() == "document 1"
    assert source.count == 2
    assert "It is down." in caplog.text
    source.fails = False
    clock.moment += PAUSE
    assert await kept.get() == "document 3"


async def test_what_was_never_fetched_is_an_error_for_all(kept, source):
    source.fails = True
    results = await asyncio.gather(
        *(kept.get() for _ in range(3)), return_exceptions=True
    )
    assert [type(each) for each in results] == [UpstreamUnavailable] * 3
    assert source.count == 1
    source.fails = False
    assert await kept.get() == "document 2"


async def test_a_newer_one_is_fetched_when_it_is_missed(kept):
    old = await kept.get()
    assert await kept.newer_than(old) == "document 2"
    # Somebody else has missed it too, and come later.
    assert await kept.newer_than(old) == "document 2"


async def test_nobody_can_make_us_ask_again_and_again(kept, source, clock):
    for _ in range(50):
        await kept.newer_than(await kept.get())
    assert source.count == 1 + MOST_RENEWALS
    clock.moment += IN_SECONDS
    assert await kept.newer_than(await kept.get()) == f"document {source.count}"
    assert source.count == 2 + MOST_RENEWALS


async def test_a_newer_one_that_cannot_be_had_leaves_the_old_one(kept, source):
    old = await kept.get()
    source.fails = True
    assert await kept.newer_than(old) is old
    assert await kept.get() is old


async def test_work_is_shared_by_key():
    shared = Shared()

    async def work(key):
        await asyncio.sleep(0)
        return object()

    one, same, other = await asyncio.gather(
        shared.run("a", lambda: work("a")),
        shared.run("a", lambda: work("a")),
        shared.run("b", lambda: work("b")),
    )
    assert one is same
    assert one is not other
    assert await shared.run("a", lambda: work("a")) is not one


async def test_closing_ends_what_is_under_way(kept, source):
    source.open.clear()
    waiting = asyncio.create_task(kept.get())
    await asyncio.sleep(0)
    await kept.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


# — upstream refresh tokens ------------------------------------------------------------


async def test_who_comes_with_a_token_that_was_just_rotated_gets_the_same(clock):
    asked = []

    async def call():
        asked.append(1)
        return TokenAnswer("a", "", "new")

    rotations = Rotations(clock)
    answers = [await rotations.refresh("old", call) for _ in range(3)]
    assert answers[0] is answers[1] is answers[2]
    clock.moment += REMEMBERED
    await rotations.refresh("old", call)
    assert len(asked) == 2
    await rotations.close()


@pytest.mark.parametrize("same", ["", "old"])
async def test_a_token_that_stays_is_used_each_time(clock, same):
    asked = []

    async def call():
        asked.append(1)
        return TokenAnswer("a", "", same)

    rotations = Rotations(clock)
    for _ in range(3):
        await rotations.refresh("old", call)
    assert len(asked) == 3


async def test_what_was_rotated_is_not_remembered_for_ever(clock):
    async def call():
        return TokenAnswer("a", "", "new")

    rotations = Rotations(clock)
    for number in range(100):
        await rotations.refresh(f"old {number}", call)
        clock.moment += 1
    assert len(rotations._rotated) <= REMEMBERED
