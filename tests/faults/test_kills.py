"""``kill -9`` under load: the books of what was acknowledged must balance."""

import asyncio
import random
import signal
import sqlite3

import aiohttp
import attrs

ROUNDS = 12
CONNECTORS = ("pw0", "pw1", "pw2")
GONE = (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError)


@attrs.define
class Books:
    """What a client or user was told, or may have been."""

    id_tokens: list = attrs.field(factory=list)
    traded: list = attrs.field(factory=list)  # codes that were answered with tokens
    codes: dict = attrs.field(factory=dict)  # codes nobody has tried yet
    unsure: set = attrs.field(factory=set)  # codes whose exchange was not answered
    live: set = attrs.field(factory=set)  # refresh tokens to be used next
    rotated: list = attrs.field(factory=list)  # refresh tokens that have a successor
    torn: set = attrs.field(factory=set)  # refresh tokens whose use was not answered
    revoked: list = attrs.field(factory=list)
    users: list = attrs.field(factory=list)


async def lives(app, books, connector):
    """Log in, trade, refresh, revoke, over and over, until the server is gone."""
    rnd, token = random.Random(connector), ""
    while True:
        code = await app.code("jane", path=f"/dex/auth/{connector}")
        if rnd.random() < 0.2:
            books.codes[code] = connector
            continue
        # The first thing a new login does is to replace the token of the one before.
        if token in books.live:
            books.live.discard(token)
            books.torn.add(token)
        books.unsure.add(code)
        tokens = accepted(await app.exchange(code))
        books.unsure.discard(code)
        books.traded.append(code)
        token = await refreshes(app, books, tokens, rnd.randrange(4))
        if rnd.random() < 0.3:
            books.torn.add(token)
            books.live.discard(token)
            assert (await app.revoke(token)).status == 200
            books.torn.discard(token)
            books.revoked.append((token, tokens["access_token"]))


async def refreshes(app, books, tokens, times):
    """Refresh so many times; return the last token."""
    for _ in range(times):
        books.id_tokens.append(tokens["id_token"])
        old = tokens["refresh_token"]
        books.torn.add(old)
        tokens = accepted(await app.refresh(old))
        books.torn.discard(old)
        books.rotated.append(old)
    books.id_tokens.append(tokens["id_token"])
    books.live.add(tokens["refresh_token"])
    return tokens["refresh_token"]


async def sign_ups(app, books, start):
    for number in range(start, start + 1000):
        email = f"user{number}@example.com"
        answer = await app.sign_up(email)
        assert answer.status == 201, answer.text
        books.users.append(email)
        await asyncio.sleep(0.05)


def accepted(answer):
    assert answer.status == 200, answer.text
    return answer.json


async def one_life(app, books, number, rnd):
    """Load the server, kill it, and let everybody notice."""
    work = [asyncio.create_task(lives(app, books, name)) for name in CONNECTORS]
    work.append(asyncio.create_task(sign_ups(app, books, number * 1000)))
    enough = len(books.id_tokens) + rnd.randrange(4, 30)
    users = len(books.users)
    async with asyncio.timeout(30):
        for _ in range(30_000):
            if len(books.id_tokens) >= enough and len(books.users) > users:
                break
            await asyncio.sleep(0.001)
    await asyncio.sleep(rnd.uniform(0, 0.02))
    app.signal(signal.SIGKILL)
    done, hanging = await asyncio.wait(work, timeout=30)
    assert not hanging
    for task in done:
        assert isinstance(task.exception(), GONE), task.exception()
    await app.end()


async def check_the_rest(app, books, example):
    keys = await app.keys()
    for token in books.id_tokens:
        example.claims(keys, token)
    for code in books.traded[-5:]:
        assert (await app.exchange(code)).status == 400
    for code in books.unsure:
        # Never two token sets: the one nobody saw counts as one.
        answers = [await app.exchange(code) for _ in range(2)]
        assert [answer.status for answer in answers].count(200) <= 1
    for code in list(books.codes)[-5:]:
        assert (await app.exchange(code)).status == 200, "an acknowledged code is gone"
        assert (await app.exchange(code)).status == 400
    for token, access in books.revoked[-10:]:
        assert (await app.refresh(token)).status == 400
        assert (await app.userinfo(access)).status == 401
    for email in books.users[-2:]:
        landed = await app.log_in(email, path="/dex/auth/local")
        assert landed.status == 303, "a user is gone"
    books.codes.clear()
    books.unsure.clear()


async def check_refresh_tokens(app, books):
    """Every live refresh token still works, and gives one successor."""
    for token in books.live:
        first, second = await app.refresh(token), await app.refresh(token)
        assert first.status == 200, "an acknowledged refresh token is gone"
        assert second.status == 400
    for token in books.torn:
        answers = [await app.refresh(token) for _ in range(2)]
        assert [answer.status for answer in answers].count(200) <= 1
    for token in books.rotated[-5:]:
        assert (await app.refresh(token)).status == 400
    books.live.clear()
    books.torn.clear()
    books.rotated.clear()


async def test_what_was_acknowledged_survives_kills_under_load(
    spawn, tmp_path, example
):
    rnd, books, database = random.Random(7), Books(), tmp_path / "dex.db"
    settings = {
        "expiry": {"refreshTokens": {"reuseInterval": "0s"}},
        "connectors": [
            {
                "type": "mockPassword",
                "id": name,
                "name": name,
                "config": {"username": "jane", "password": "password"},
            }
            for name in CONNECTORS
        ],
    }
    app = await spawn(database, **settings)
    for number in range(ROUNDS):
        await one_life(app, books, number, rnd)
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            [found] = connection.execute("PRAGMA integrity_check").fetchone()
            assert found == "ok"
        connection.close()
        app = await spawn(database, **settings)
        await check_refresh_tokens(app, books)
        await check_the_rest(app, books, example)
    assert len(books.id_tokens) > 4 * ROUNDS
    assert len(books.traded) > ROUNDS
    assert len(books.revoked) > 3
    assert len(books.users) >= ROUNDS
