"""What runs beside the requests goes on running."""

from __future__ import annotations

import asyncio
import itertools

from collections.abc import AsyncIterator

import pytest

from dexcore.server.background import Background


@pytest.fixture
async def background() -> AsyncIterator[Background]:
    found = Background(first_pause=0.01, longest_pause=0.04)
    yield found
    await found.close()


async def test_a_loop_that_fails_runs_again_and_is_logged(
    background: Background, caplog: pytest.LogCaptureFixture
) -> None:
    runs = 0
    third = asyncio.Event()

    async def loop() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise RuntimeError(f"failure {runs}")
        third.set()
        await asyncio.sleep(60)

    background.start("keys", loop)
    await asyncio.wait_for(third.wait(), 5)
    assert "failure 1" in caplog.text
    assert "failure 2" in caplog.text
    assert caplog.records[0].__dict__["fields"] == {"task": "keys"}


async def test_a_loop_that_returns_is_done(background: Background) -> None:
    runs = 0

    async def once() -> None:
        nonlocal runs
        runs += 1

    background.start("load", once)
    await asyncio.sleep(0.05)
    assert runs == 1


async def test_what_runs_every_so_often_survives_a_failure(
    background: Background,
) -> None:
    runs: list[float] = []
    enough = asyncio.Event()

    async def work() -> None:
        runs.append(asyncio.get_running_loop().time())
        if len(runs) == 2:
            raise RuntimeError("not this time")
        if len(runs) == 4:
            enough.set()

    background.every(0.02, work, jitter=0.5)
    await asyncio.wait_for(enough.wait(), 5)
    pauses = [after - before for before, after in itertools.pairwise(runs)]
    assert min(pauses) >= 0.009


async def test_at_once_means_before_the_first_pause(background: Background) -> None:
    done = asyncio.Event()

    async def work() -> None:
        done.set()

    background.every(3600, work, at_once=True)
    await asyncio.wait_for(done.wait(), 5)
    assert done.is_set()


async def test_closing_stops_everything() -> None:
    background = Background()
    stopped: list[str] = []

    async def loop() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.append("loop")

    async def work() -> None:
        raise AssertionError("never due")

    background.start("loop", loop)
    background.every(60, work)
    background.once("once", loop())
    await asyncio.sleep(0)
    await background.close()
    assert stopped == ["loop", "loop"]
