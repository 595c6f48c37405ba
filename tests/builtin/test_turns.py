"""Slow things take turns, so that others get theirs."""

from __future__ import annotations

import asyncio

from dexcore.builtin.turns import Turns


async def _count_turns_of_the_loop(until: asyncio.Event) -> int:
    turns = 0
    while not until.is_set():
        turns += 1
        await asyncio.sleep(0)
    return turns


async def test_what_is_slow_happens_a_few_times_per_turn_of_the_loop() -> None:
    turns, done, order = Turns(2), asyncio.Event(), list[int]()

    async def slow(number: int) -> None:
        await turns.mine()
        order.append(number)

    async def all_of_them() -> None:
        await asyncio.gather(*map(slow, range(20)))
        done.set()

    counted, _ = await asyncio.gather(_count_turns_of_the_loop(done), all_of_them())

    assert order == [*range(20)]
    assert counted >= 10


async def test_who_gives_up_waiting_takes_nobodys_turn() -> None:
    turns = Turns(1)
    waiting = [asyncio.create_task(turns.mine()) for _ in range(10)]
    await asyncio.sleep(0)
    for impatient in waiting[1:9]:
        impatient.cancel()

    async with asyncio.timeout(1):
        await waiting[0]
        await waiting[9]

    assert all(task.cancelled() for task in waiting[1:9])


async def test_whoever_comes_later_finds_it_free_again() -> None:
    turns = Turns(1)
    for _ in range(3):
        async with asyncio.timeout(1):
            await turns.mine()
        await asyncio.sleep(0)
