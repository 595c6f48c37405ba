"""Connectors open, fail, come back and change without taking anybody along."""

from __future__ import annotations

import asyncio
import json
import logging

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from dexcore import hookimpl, plugins
from dexcore.connector import (
    Connector,
    ConnectorContext,
    ConnectorType,
    Identity,
    PasswordConnector,
    Scopes,
)
from dexcore.errors import (
    AccessDenied,
    AlreadyExists,
    ConfigError,
    NotFound,
    StorageUnavailable,
    UpstreamError,
    UpstreamUnavailable,
)
from dexcore.server.connectors import Connectors, OpenConnector, guarded
from dexcore.storage import Collections, Storage, StorageContext
from dexcore.storage import Connector as Record
from dexcore.storage.static import overlay

Behaviour = Callable[[ConnectorContext], Awaitable[None]]


@attrs.frozen
class ToyConfig:
    greeting: str = "hello"
    number: int = 0


@attrs.define(eq=False)
class Toy(PasswordConnector):
    config: ToyConfig
    closed: bool = False

    async def login(
        self, scopes: Scopes, username: str, password: str
    ) -> Identity | None:
        return Identity(username)

    async def close(self) -> None:
        self.closed = True


class Toys:
    """A plugin whose connectors open, fail or hang as a test wants, by their id."""

    def __init__(self) -> None:
        self.behaviour: dict[str, Behaviour] = {}
        self.openings: Counter[str] = Counter()

    async def open_toy(self, config: ToyConfig, context: ConnectorContext) -> Connector:
        self.openings[context.id] += 1
        if context.id in self.behaviour:
            await self.behaviour[context.id](context)
        return Toy(config)

    @hookimpl
    def dex_connector_types(self) -> list[ConnectorType[Any]]:
        return [ConnectorType("toy", ToyConfig, self.open_toy)]


async def unreachable(context: ConnectorContext) -> None:
    raise OSError("no route to host")


async def hanging(context: ConnectorContext) -> None:
    await asyncio.sleep(3600)


def toy(id: str, name: str = "", version: str = "", **config: Any) -> Record:
    return Record(id, "toy", name or id, version, json.dumps(config).encode())


@attrs.define(eq=False)
class House:
    """Connectors opened on a storage, as the server does at its start."""

    toys: Toys
    storage: Storage
    connectors: Connectors | None = None

    async def open(self, **options: Any) -> Connectors:
        found = plugins.find(self.toys)
        self.connectors = await Connectors.open(self.storage, found, **options)
        return self.connectors


Build = Callable[..., Awaitable[House]]


@pytest.fixture
async def build() -> AsyncIterator[Build]:
    houses: list[House] = []

    async def build(*static: Record, stored: tuple[Record, ...] = ()) -> House:
        kind = plugins.find().storage_type("memory")
        memory = await kind.open(kind.config(), StorageContext())
        for record in stored:
            await memory.connectors.create(record)
        house = House(Toys(), overlay(memory, connectors=static))
        houses.append(house)
        return house

    yield build
    for house in houses:
        if house.connectors is not None:
            await house.connectors.close()


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  # seen from outside, there is no event
            await asyncio.sleep(0.02)


# — at the start -----------------------------------------------------------------------


async def test_a_connector_is_lent_the_servers_clock(build: Build) -> None:
    told: list[datetime] = []
    house = await build(toy("a"))

    async def look(context: ConnectorContext) -> None:
        told.append(context.now())

    house.toys.behaviour["a"] = look
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    await house.open(now=lambda: moment)
    assert told == [moment]


async def test_connectors_are_open_after_the_start(build: Build) -> None:
    house = await build(toy("one", greeting="hi"), stored=(toy("two", version="1"),))
    connectors = await house.open()
    assert connectors.states() == {"one": "", "two": ""}
    opened = connectors.peek("one")
    assert opened is not None
    assert opened.record == toy("one", greeting="hi")
    assert isinstance(opened.connector, Toy)
    assert opened.connector.config == ToyConfig("hi")
    assert await connectors.get("one") is opened
    assert house.toys.openings == {"one": 1, "two": 1}


async def test_a_provider_without_connectors_does_not_start(build: Build) -> None:
    house = await build()
    with pytest.raises(ConfigError, match="no connectors specified"):
        await house.open()


async def test_one_that_fails_does_not_stop_the_others(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    house = await build(toy("bad"), toy("good"))
    house.toys.behaviour["bad"] = unreachable
    connectors = await house.open()
    assert (await connectors.get("good")).record.id == "good"
    listed = {each.id: each.available for each in await connectors.listed()}
    assert listed == {"bad": False, "good": True}
    reason = connectors.states()["bad"]
    assert "Toys (given) (entry point connector.toy) failed at open" in reason
    assert "OSError: no route to host" in reason
    [record] = [r for r in caplog.records if r.message == "connector failed to open"]
    assert record.fields["connector_id"] == "bad"  # type: ignore[attr-defined]


async def test_one_that_fails_stops_the_start_where_the_operator_wants_it(
    build: Build,
) -> None:
    house = await build(toy("bad"), toy("good"))
    house.toys.behaviour["bad"] = unreachable
    with pytest.raises(ConfigError, match=r"- bad: .*no route to host"):
        await house.open(continue_on_failure=False)


async def test_a_server_starts_when_all_are_down_but_may_come_back(
    build: Build,
) -> None:
    house = await build(toy("one"), toy("two"))
    house.toys.behaviour.update(one=unreachable, two=unreachable)
    connectors = await house.open()
    assert [each.available for each in await connectors.listed()] == [False, False]


async def test_a_server_does_not_start_when_none_can_ever_open(build: Build) -> None:
    house = await build(toy("one", number="many"), Record("two", "nonsense", "Two"))
    with pytest.raises(ConfigError) as caught:
        await house.open()
    text = str(caught.value)
    assert text.startswith("failed to open all connectors (2/2):")
    assert "- one: " in text
    assert "number" in text
    assert "- two: No installed plugin offers the connector type 'nonsense'." in text


async def test_a_slow_one_goes_on_opening_after_the_start(build: Build) -> None:
    house = await build(toy("slow"), toy("quick"))
    gate = asyncio.Event()

    async def slow(context: ConnectorContext) -> None:
        await gate.wait()

    house.toys.behaviour["slow"] = slow
    connectors = await house.open(patience=0.05)
    assert connectors.states() == {"quick": "", "slow": "It is being opened."}
    waiting = [asyncio.ensure_future(connectors.get("slow")) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    opened = await asyncio.gather(*waiting)
    assert {each.record.id for each in opened} == {"slow"}
    assert house.toys.openings["slow"] == 1


async def test_an_upstream_that_hangs_at_the_start_is_given_up(build: Build) -> None:
    house = await build(toy("hangs"), toy("good"))
    house.toys.behaviour["hangs"] = hanging
    connectors = await house.open(deadline=0.05)
    assert "failed at open: It took too long." in connectors.states()["hangs"]
    assert connectors.states()["good"] == ""


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (b"{", "JSONDecodeError"),
        (b"[]", "The config is no object."),
        (b'{"number": "many"}', "number"),
    ],
)
async def test_a_stored_configuration_that_is_wrong_says_so(
    build: Build, config: bytes, reason: str
) -> None:
    house = await build(toy("good"), Record("bad", "toy", "Bad", config=config))
    connectors = await house.open()
    assert "failed at config: " in connectors.states()["bad"]
    assert reason in connectors.states()["bad"]
    with pytest.raises(UpstreamUnavailable, match="temporarily unavailable"):
        await connectors.get("bad")
    assert house.toys.openings["bad"] == 0


@pytest.mark.parametrize("config", [b"", b"null", b"{}"])
async def test_a_connector_without_options_needs_no_configuration(
    build: Build, config: bytes
) -> None:
    house = await build(Record("bare", "toy", "Bare", config=config))
    connectors = await house.open()
    assert connectors.states() == {"bare": ""}


async def test_an_opener_that_exits_or_returns_nonsense_harms_only_itself(
    build: Build,
) -> None:
    async def leave(context: ConnectorContext) -> None:
        raise SystemExit(1)

    house = await build(toy("exit"), toy("good"))
    house.toys.behaviour["exit"] = leave
    connectors = await house.open()
    assert "SystemExit" in connectors.states()["exit"]
    assert connectors.states()["good"] == ""

    class Nonsense(Toys):
        async def open_toy(self, config: ToyConfig, context: ConnectorContext) -> Any:
            return "open" if context.id == "exit" else Toy(config)

    house.toys = Nonsense()
    again = await house.open()
    assert "returned 'open', which is no Connector" in again.states()["exit"]
    await connectors.close()


# — later ------------------------------------------------------------------------------


async def test_one_that_was_down_is_tried_again_in_the_background(
    build: Build,
) -> None:
    house = await build(toy("down"), toy("up"))
    house.toys.behaviour["down"] = unreachable
    connectors = await house.open()
    running = asyncio.ensure_future(connectors.run())
    try:
        house.toys.behaviour.clear()
        await eventually(lambda: connectors.states()["down"] == "")
        assert all(each.available for each in await connectors.listed())
        assert house.toys.openings["up"] == 1
    finally:
        running.cancel()


async def test_one_that_was_down_is_tried_again_by_who_asks_after_a_pause(
    build: Build,
) -> None:
    house = await build(toy("down"), toy("up"))
    house.toys.behaviour["down"] = unreachable
    connectors = await house.open()
    with pytest.raises(UpstreamUnavailable) as caught:
        await connectors.get("down")
    assert caught.value.connector_id == "down"
    assert house.toys.openings["down"] == 1  # not at once, not by everybody
    house.toys.behaviour.clear()
    await asyncio.sleep(1.05)
    assert (await connectors.get("down")).record.id == "down"
    assert house.toys.openings["down"] == 2


async def test_who_hangs_up_does_not_stop_the_attempt(build: Build) -> None:
    house = await build(toy("slow"), toy("up"))
    gate = asyncio.Event()

    async def slow(context: ConnectorContext) -> None:
        await gate.wait()

    house.toys.behaviour["slow"] = slow
    connectors = await house.open(patience=0.01)
    visitor = asyncio.ensure_future(connectors.get("slow"))
    await asyncio.sleep(0)
    visitor.cancel()
    gate.set()
    await eventually(lambda: connectors.peek("slow") is not None)
    assert house.toys.openings["slow"] == 1


async def test_an_unknown_connector_is_not_found(build: Build) -> None:
    connectors = await (await build(toy("one"))).open()
    with pytest.raises(NotFound):
        await connectors.get("two")
    assert connectors.peek("two") is None


async def test_a_connector_added_later_opens_when_it_is_asked_for(
    build: Build,
) -> None:
    house = await build(toy("one"))
    connectors = await house.open()
    await house.storage.connectors.create(toy("two", version="1"))
    assert (await connectors.get("two")).record.id == "two"
    assert connectors.peek("two") is not None


async def test_a_changed_configuration_opens_the_connector_again(
    build: Build,
) -> None:
    house = await build(stored=(toy("one", version="1", greeting="hi"),))
    connectors = await house.open()
    before = await connectors.get("one")
    # dex starts at version 1 again when a row is deleted and made anew.
    await house.storage.connectors.delete("one")
    await house.storage.connectors.create(toy("one", version="1", greeting="ho"))
    after = await connectors.get("one")
    assert isinstance(before.connector, Toy)
    assert isinstance(after.connector, Toy)
    assert after.connector.config.greeting == "ho"
    assert not before.connector.closed  # a login may be under way in it
    await connectors.close()
    assert before.connector.closed
    assert after.connector.closed


async def test_a_new_name_opens_nothing_again(build: Build) -> None:
    house = await build(stored=(toy("one", "Old", version="1"),))
    connectors = await house.open()
    before = await connectors.get("one")
    await house.storage.connectors.update(
        "one",
        change=lambda old: attrs.evolve(old, name="New", grant_types=("password",)),
    )
    after = await connectors.get("one")
    assert after.connector is before.connector
    assert after.record.grant_types == ("password",)
    assert [each.name for each in await connectors.listed()] == ["New"]
    assert house.toys.openings["one"] == 1


async def test_a_configuration_that_changes_while_it_opens_wins(build: Build) -> None:
    house = await build(stored=(toy("one", version="1"), toy("two", version="1")))
    gate = asyncio.Event()

    async def slow(context: ConnectorContext) -> None:
        if house.toys.openings["one"] == 1:
            await gate.wait()

    house.toys.behaviour["one"] = slow
    connectors = await house.open(patience=0.01)
    early = asyncio.ensure_future(connectors.get("one"))
    await asyncio.sleep(0.01)
    await house.storage.connectors.update(
        "one", change=lambda old: attrs.evolve(old, config=b'{"greeting": "new"}')
    )
    late = await connectors.get("one")
    gate.set()
    for opened in (late, await early):
        assert isinstance(opened.connector, Toy)
        assert opened.connector.config.greeting == "new"


async def test_a_deleted_connector_is_gone_and_closed(build: Build) -> None:
    house = await build(toy("one"), stored=(toy("two", version="1"),))
    connectors = await house.open()
    two = (await connectors.get("two")).connector
    await house.storage.connectors.delete("two")
    with pytest.raises(NotFound):
        await connectors.get("two")
    assert connectors.peek("two") is None
    assert list(connectors.states()) == ["one"]
    await connectors.close()
    assert isinstance(two, Toy)
    assert two.closed


async def test_one_that_cannot_close_keeps_no_other_from_closing(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    class Stuck(Toy):
        async def close(self) -> None:
            raise RuntimeError("stuck")

    class Stucks(Toys):
        async def open_toy(self, config: ToyConfig, context: ConnectorContext) -> Toy:
            return Stuck(config) if context.id == "a" else Toy(config)

    house = await build(toy("a"), toy("b"))
    house.toys = Stucks()
    connectors = await house.open()
    good = (await connectors.get("b")).connector
    await connectors.close()
    assert isinstance(good, Toy)
    assert good.closed
    assert "connector failed to close" in caplog.text


# — the list ---------------------------------------------------------------------------


async def test_the_list_is_sorted_by_name_whatever_the_case(build: Build) -> None:
    house = await build(toy("1", "beta"), toy("2", "Alpha"), toy("3", "alpha"))
    connectors = await house.open()
    listed = await connectors.listed()
    assert [each.name for each in listed] == ["Alpha", "alpha", "beta"]
    assert [each.type for each in listed] == ["toy"] * 3


class Counting(Collections):
    """The connectors of a storage, and how often it was asked for the list."""

    def __init__(self, storage: Storage) -> None:
        self.connectors = storage.connectors
        self.passwords = storage.passwords
        self.lists = 0
        self.down = False
        below = self.connectors.list

        async def list(**page: Any) -> Any:
            self.lists += 1
            if self.down:
                raise StorageUnavailable
            return await below(**page)

        self.connectors.list = list  # type: ignore[method-assign]


async def test_a_list_out_of_the_file_costs_no_query(build: Build) -> None:
    house = await build(toy("one"), toy("two"))
    counting = Counting(house.storage)
    connectors = await house.open()
    before = counting.lists
    for _ in range(100):
        assert len(await connectors.listed()) == 2
    assert counting.lists <= before + 1


async def test_a_stored_connector_shows_on_the_next_page(build: Build) -> None:
    house = await build(toy("one"), stored=(toy("two", version="1"),))
    connectors = await house.open()
    assert [each.id for each in await connectors.listed()] == ["one", "two"]
    await house.storage.connectors.create(toy("three", version="1"))
    assert [each.id for each in await connectors.listed()] == ["one", "three", "two"]


async def test_the_list_outlives_the_database(build: Build) -> None:
    house = await build(toy("one"), stored=(toy("two", version="1"),))
    counting = Counting(house.storage)
    connectors = await house.open()
    assert len(await connectors.listed()) == 2
    counting.down = True
    assert len(await connectors.listed()) == 2


# — calls ------------------------------------------------------------------------------

OPENED = OpenConnector(toy("upstream"), Toy(ToyConfig()))


async def test_an_answer_comes_through_the_guard() -> None:
    assert await guarded(OPENED, OPENED.connector.login(Scopes(), "j", "p")) == (  # type: ignore[attr-defined]
        Identity("j")
    )


@pytest.mark.parametrize(
    "error", [AccessDenied("No."), StorageUnavailable("down")], ids=repr
)
async def test_what_connectors_may_raise_comes_through_the_guard(
    error: Exception,
) -> None:
    async def call() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await guarded(OPENED, call())
    assert caught.value is error


async def test_an_upstream_error_learns_whose_it_is() -> None:
    async def call() -> None:
        raise UpstreamUnavailable("502")

    with pytest.raises(UpstreamUnavailable, match="502") as caught:
        await guarded(OPENED, call())
    assert caught.value.connector_id == "upstream"


@pytest.mark.parametrize(
    "error",
    [
        KeyError("sub"),
        AlreadyExists("x"),
        SystemExit(1),
        asyncio.CancelledError(),
        RecursionError(),
    ],
    ids=repr,
)
async def test_what_nobody_expects_is_logged_and_becomes_an_upstream_error(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async def call() -> None:
        raise error

    with caplog.at_level(logging.ERROR), pytest.raises(UpstreamError) as caught:
        await guarded(OPENED, call())
    assert caught.value.connector_id == "upstream"
    [record] = caplog.records
    assert record.fields["connector_id"] == "upstream"  # type: ignore[attr-defined]
    assert record.exc_info is not None


async def test_an_upstream_that_hangs_is_unavailable() -> None:
    with pytest.raises(UpstreamUnavailable, match="did not answer in time"):
        await guarded(OPENED, asyncio.sleep(60), deadline=0.01)


async def test_a_visitor_who_leaves_stops_the_call() -> None:
    visitor = asyncio.ensure_future(guarded(OPENED, asyncio.sleep(60)))
    await asyncio.sleep(0)
    visitor.cancel()
    with pytest.raises(asyncio.CancelledError):
        await visitor
