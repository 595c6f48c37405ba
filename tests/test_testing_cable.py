"""A cable does to connections what networks do."""

from __future__ import annotations

import asyncio
import contextlib

from collections.abc import AsyncIterator

import pytest

from dexcore.testing.cable import Cable

SOON = 0.3  # seconds in which nothing comes


@pytest.fixture
async def cable() -> AsyncIterator[Cable]:
    """To a server that answers every line with itself."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(line)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    with Cable("127.0.0.1", server.sockets[0].getsockname()[1]) as cable:
        yield cable
        cable.reset()
        await asyncio.sleep(0.05)  # until the server has heard of it
    server.close()


class Caller:
    """Somebody who has connected."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._reader, self._writer = reader, writer

    @classmethod
    async def at(cls, cable: Cable) -> Caller:
        return cls(*await asyncio.open_connection(cable.host, cable.port))

    def say(self, word: str) -> None:
        self._writer.write(f"{word}\n".encode())

    async def hear(self, within: float = 10) -> str:
        async with asyncio.timeout(within):
            return (await self._reader.readline()).decode().strip()

    async def close(self) -> None:
        self._writer.close()
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)


async def test_what_is_said_arrives_and_questions_are_counted(cable: Cable) -> None:
    caller = await Caller.at(cable)
    for word in ("one", "two", "three"):
        caller.say(word)
        assert await caller.hear() == word
    assert cable.turns == 3
    await caller.close()


async def test_what_is_said_while_it_is_cut_arrives_when_it_is_mended(
    cable: Cable,
) -> None:
    caller = await Caller.at(cable)
    caller.say("before")
    assert await caller.hear() == "before"
    cable.cut()
    caller.say("meanwhile")
    other = await Caller.at(cable)
    other.say("new")
    with pytest.raises(TimeoutError):
        await caller.hear(SOON)
    cable.mend()
    assert await caller.hear() == "meanwhile"
    assert await other.hear() == "new"
    for each in (caller, other):
        await each.close()


async def test_connections_that_are_forgotten_are_silent_and_new_ones_are_not(
    cable: Cable,
) -> None:
    caller = await Caller.at(cable)
    caller.say("before")
    assert await caller.hear() == "before"
    cable.forget()
    caller.say("after")
    with pytest.raises(TimeoutError):
        await caller.hear(SOON)
    other = await Caller.at(cable)
    other.say("new")
    assert await other.hear() == "new"
    for each in (caller, other):
        await each.close()


async def test_both_ends_hear_of_a_reset(cable: Cable) -> None:
    caller = await Caller.at(cable)
    caller.say("before")
    assert await caller.hear() == "before"
    cable.reset()
    with pytest.raises(ConnectionResetError):
        await caller.hear()
    await caller.close()
