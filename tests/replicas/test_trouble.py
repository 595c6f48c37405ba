"""A replica is killed, the keys are rotated, the database goes away and comes back."""

import asyncio
import contextlib
import itertools
import time

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from dexcore.builtin.local_signer import Config, open_local_signer
from dexcore.oauth2.subjects import encode_refresh
from dexcore.signer import SignerContext
from dexcore.testing.app import App
from dexcore.testing.books import Books
from dexcore.testing.lives import Lives

SHARED = ["sqlite", "postgres", "mariadb", "etcd", "kubernetes"]


@attrs.define
class Ledger:
    """What a client was told, or may have been, under load and without grace."""

    id_tokens: list = attrs.field(factory=list)
    traded: list = attrs.field(factory=list)  # codes that were answered with tokens
    live: dict = attrs.field(factory=dict)  # user -> refresh token to be used next
    codes: set = attrs.field(factory=set)  # whose exchange was not answered
    torn: set = attrs.field(factory=set)  # tokens whose use was not answered


async def life(replicas, http, books, user, gone, stop):
    """Log in, trade, refresh, at any replica that answers, until *stop*."""
    turns = itertools.count(int(user[4]))

    def any_one():
        # As a load balancer would: whoever is there, in turn.
        alive = [one for one in replicas if one.life.alive]
        return alive[next(turns) % len(alive)]

    while not stop.is_set():
        with contextlib.suppress(*gone):
            code = await any_one().code(user)
            # The first thing a new login does is to replace the old one's token.
            books.torn.add(books.live.pop(user, "none"))
            books.codes.add(code)
            accept(books, user, await any_one().exchange(http, code))
            books.codes.remove(code)
            books.traded.append(code)
            for _ in range(3):
                token = books.live.pop(user)
                books.torn.add(token)
                accept(books, user, await any_one().refresh(http, token))
                books.torn.remove(token)


def accept(books, user, answer):
    """Book what was answered; nobody is refused, or answered an error."""
    assert answer.status == 200, (answer.status, answer.text)
    books.id_tokens.append(answer.json["id_token"])
    books.live[user] = answer.json["refresh_token"]


class Replica(App):
    """One that may be killed."""

    def __init__(self, life):
        super().__init__(life.issuer, life.origin)
        self.life = life


@pytest.mark.parametrize("sort", SHARED)
async def test_one_is_killed_and_the_other_goes_on(
    request, tmp_path, http, example, sort
):
    storage = request.getfixturevalue(f"{sort}_place")()
    settings = example.configuration(storage, "0s")
    with Lives(tmp_path) as lives:
        one = lives.begin(settings)
        two = lives.begin({"issuer": one.issuer} | settings)
        await killed_under_load([Replica(one), Replica(two)], http, example)


async def killed_under_load(replicas, http, example):
    left, right = replicas
    books, stop = Ledger(), asyncio.Event()
    tasks = [
        asyncio.create_task(life(replicas, http, books, user, example.gone, stop))
        for user in example.users[:4]
    ]
    await more(books, 10, tasks)
    left.life.kill()
    await more(books, 10, tasks)
    stop.set()
    await asyncio.gather(*tasks)
    keys = await right.keys(http)
    for token in books.id_tokens:
        example.claims(keys, token)
    for token in books.live.values():
        assert (await right.refresh(http, token)).status == 200
    # What was not answered was done or not, and is never done twice.
    for token in books.torn:
        answers = [await right.refresh(http, token) for _ in range(2)]
        assert [one.status for one in answers].count(200) <= 1
    for code in books.codes:
        answers = [await right.exchange(http, code) for _ in range(2)]
        assert [one.status for one in answers].count(200) <= 1
    # Last, because a code that comes again revokes what it gave.
    for code in books.traded:
        assert (await right.exchange(http, code)).status == 400


async def more(books, number, tasks):
    """Return when so many more tokens were issued."""
    enough = len(books.id_tokens) + number
    async with asyncio.timeout(60):
        while len(books.id_tokens) < enough:
            done, _ = await asyncio.wait(tasks, timeout=0.01)
            for task in done:
                task.result()


async def test_a_rotation_lets_no_verification_fail(
    postgres_place, pair, http, example, opened
):
    storage = postgres_place()
    replicas = pair(storage)
    before = await one_key_set(replicas, http)
    signed_by = set()
    async with signer_on(opened, storage) as signer:
        await signer.rotate()
    async with asyncio.timeout(40):
        while len(signed_by) < 2 or not await all_rotated(replicas, http, before):
            for one, user in zip(replicas, example.users, strict=False):
                token = (await one.tokens(http, user))["id_token"]
                for other in replicas:
                    keys = await other.keys(http)
                    example.claims(keys, token)
                # Whoever fetched the keys before can still verify.
                example.claims({"keys": before}, token)
                signed_by.add(example.kid(token))
            await asyncio.sleep(0.5)


async def one_key_set(replicas, http):
    """Return the keys, once all replicas serve the same ones."""
    async with asyncio.timeout(30):
        while True:
            sets = [(await one.keys(http))["keys"] for one in replicas]
            if all(kids(one) == kids(sets[0]) for one in sets):
                return sets[0]
            await asyncio.sleep(0.2)


def kids(keys):
    return {key["kid"] for key in keys}


async def all_rotated(replicas, http, before):
    """Return whether every replica serves a key that was not there before."""
    sets = [(await one.keys(http))["keys"] for one in replicas]
    return all(kids(one) - kids(before) for one in sets)


@contextlib.asynccontextmanager
async def signer_on(opened, storage):
    """Open the signer of another replica, so to speak."""
    async with opened(storage) as found:
        context = SignerContext(found, timedelta(hours=24), lambda: datetime.now(UTC))
        signer = await open_local_signer(Config(algorithm="ES256"), context)
        yield signer
        await signer.close()


@pytest.mark.parametrize("sort", ["postgres", "mariadb", "etcd", "kubernetes"])
async def test_a_database_that_restarts_is_waited_for(
    request, tmp_path, http, example, opened, sort
):
    server = request.getfixturevalue(f"{sort}_server")
    settings = example.configuration(server.storage())
    ann, bob, eve = example.users[:3]
    with Lives(tmp_path) as lives:
        one = lives.begin(settings)
        both = [one, lives.begin({"issuer": one.issuer} | settings)]
        left, right = (App(life.issuer, life.origin) for life in both)
        books = Books(http)
        for user in (ann, eve):
            assert await books.exchange(left, user, await books.log_in(left, user))
        assert await books.revoke(left, eve)
        code = await books.log_in(right, bob)
        server.stop()
        try:
            for app in (left, right):
                await goes_on_without(app, http, code)
            assert not await books.refresh(left, ann)
            assert books.refused
        finally:
            server.start()
        back = time.monotonic()
        for app in (left, right):
            while (
                await app.client(http, "/token/introspect", token="x")
            ).status != 200:
                assert time.monotonic() < back + 30
                await asyncio.sleep(0.1)
        # Nothing that was refused meanwhile was half done.
        async with opened(settings["storage"]) as storage:
            await books.balance([left, right], storage)
        assert all(life.alive for life in both)


async def goes_on_without(app, http, code):
    """Hold *app* to what it owes while its database is gone."""
    for path in ("/dex/keys", "/dex/.well-known/openid-configuration"):
        assert (await app.send(http, "GET", path)).status == 200
    for answer in (
        await app.exchange(http, code),
        await app.refresh(http, encode_refresh("nothing", "none")),
    ):
        assert answer.status == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0
