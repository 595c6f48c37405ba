"""The network between a replica and its database fails, and nobody is told.

Of two replicas one is cut off for half a minute: its packets vanish.  The other goes on
and does what the first hears of only afterwards.
"""

import asyncio
import contextlib
import time

import aiohttp
import pytest

from dexcore.testing.app import App, jar
from dexcore.testing.books import Books
from dexcore.testing.cable import Cable
from dexcore.testing.lives import Lives

CUT = 30.0  # seconds
BACK = 30.0  # seconds until a replica has to serve again
FREE = 25.0  # seconds until nobody has to wait for what one was doing that is cut off
FROM_MEMORY = ("/dex/keys", "/dex/.well-known/openid-configuration")
PLUGINS = (
    "dexcore_storage_sql.postgres",
    "dexcore_storage_sql.mysql",
    "dexcore_storage_etcd.storage",
    "dexcore_storage_kubernetes.storage",
)
STORAGES = ("postgres", "mariadb", "etcd", "kubernetes")
# Where what was sent meanwhile arrives afterwards; elsewhere the connections are dead.
LATE = ("postgres", "mariadb")


class Sides:
    """Two replicas on one storage, the left one by a cable."""

    def __init__(self, name, lives, cable, books, replicas, storage):
        self.name = name
        self.lives = replicas
        self.cable = cable
        self.books = books
        self.storage = storage
        self.left, self.right = (App(one.issuer, one.origin) for one in replicas)
        self.refused = 0

    async def until_done(self, act):
        """Repeat *act* until it returns true: somebody's locks may be in the way."""
        async with asyncio.timeout(FREE):
            while True:
                if await act():
                    return
                await asyncio.sleep(0.1)


@pytest.fixture
def sides(request, tmp_path, example, http):
    """Two replicas on each storage."""
    with contextlib.ExitStack() as stack:
        lives = stack.enter_context(Lives(tmp_path, PLUGINS))
        found = []
        for name in STORAGES:
            storage = request.getfixturevalue(f"{name}_place")()
            server = request.getfixturevalue(f"{name}_server")
            cable = stack.enter_context(Cable("127.0.0.1", server.port))
            right = lives.begin(example.configuration(storage))
            by_cable = example.rerouted(storage, cable.port)
            same = {"issuer": right.issuer}
            left = lives.begin(same | example.configuration(by_cable))
            found.append(Sides(name, lives, cable, Books(http), (left, right), storage))
        yield found


@pytest.mark.timeout(180)
async def test_a_replica_that_is_cut_off_refuses_and_comes_back_by_itself(
    sides, http, opened, example
):
    """On all storages side by side: half a minute is long."""
    async with contextlib.AsyncExitStack() as stack:
        browsers = [
            await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar()))
            for _ in sides
        ]
        async with asyncio.TaskGroup() as group:
            for one, browser in zip(sides, browsers, strict=True):
                group.create_task(one_is_cut_off(one, http, browser, example))
    for one in sides:
        async with opened(one.storage) as storage:
            await one.books.balance([one.left, one.right], storage)
        assert all(life.alive for life in one.lives)


async def one_is_cut_off(sides, http, browser, example):
    ann, bob, eve, *crowd = example.users[:6]
    books, left = sides.books, sides.left
    for user in (ann, bob):
        assert await books.exchange(left, user, await books.log_in(left, user))
    code = await books.log_in(left, eve)
    form = await left.begin(browser)
    busy = [asyncio.create_task(logs_in(left, books, user)) for user in crowd]
    while True:
        if len(books.id_tokens) > 8:
            break
        await asyncio.sleep(0.001)
    sides.cable.cut()
    begun = time.monotonic()
    try:
        await asyncio.gather(
            goes_on(left, http, begun + CUT - 1),
            is_refused(left, books, browser, form, code, ann, eve),
            does_everything(sides, bob, crowd, busy),
        )
        await asyncio.sleep(begun + CUT - time.monotonic())
    finally:
        if sides.name in LATE:
            sides.cable.mend()
        else:
            sides.cable.forget()
    await serves_again(sides.name, left, http)
    # What was refused was not half done.
    answer = await left.enter(browser, form, example.users[6], "password")
    assert answer.status == 303, answer.text
    books.users.add(example.users[6])


async def logs_in(app, books, user):
    """Log in and trade the code, until there is no answer, or only a refusal."""
    with contextlib.suppress(AssertionError):  # the login itself may be refused
        while await books.exchange(app, user, await books.log_in(app, user)):
            pass


async def goes_on(app, http, until):
    """What needs no database is there all the time."""
    while time.monotonic() < until:
        for path in FROM_MEMORY:
            begun = time.monotonic()
            assert (await app.send(http, "GET", path)).status == 200
            assert time.monotonic() < begun + 5
        await asyncio.sleep(0.2)


async def is_refused(app, books, browser, form, code, ann, eve):
    """Whatever needs the database is refused in time, as an outage."""
    books.refused = 0
    begun = time.monotonic()
    page, *_ = await asyncio.gather(
        app.enter(browser, form, ann, "password"),
        books.exchange(app, eve, code),
        books.refresh(app, ann),
        books.sign_up(app, "new@example.com"),
    )
    assert page.status == 503
    assert int(page.headers["Retry-After"]) > 0
    assert books.refused >= 2
    assert time.monotonic() < begun + CUT


async def does_everything(sides, bob, crowd, busy):
    """The other replica serves all, also who was in the middle of it at the first."""
    books, right = sides.books, sides.right
    # In a transaction that was cut off there are locks.
    await asyncio.gather(
        sides.until_done(lambda: books.revoke(right, bob)),
        *(
            sides.until_done(lambda user=user: logged_in(right, books, user))
            for user in crowd
        ),
    )
    await asyncio.wait(busy, timeout=20)
    for user in crowd:
        if user in books.live:
            books.torn[user] = books.live.pop(user)


async def logged_in(app, books, user):
    """Log in and trade the code; return whether that was possible."""
    try:
        code = await app.code(user)
    except AssertionError:
        return False
    answer = await app.exchange(books.http, code)
    assert answer.status in (200, 503), answer.text
    return answer.status == 200


async def serves_again(name, app, http):
    begun = time.monotonic()
    while (await app.client(http, "/token/introspect", token="x")).status != 200:
        assert time.monotonic() < begun + BACK, name
        await asyncio.sleep(0.1)
