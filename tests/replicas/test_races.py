"""Everybody asks all replicas at once, on every storage that can be shared."""

import asyncio

from collections import Counter

import aiohttp


async def at_once(replicas, times, act):
    """Let each replica do *act* so many times, all together."""
    return await asyncio.gather(
        *(act(replica) for _ in range(times) for replica in replicas)
    )


def statuses(answers):
    return Counter(answer.status for answer in answers)


async def until_the_same(replicas, http):
    """Return the key set, once all replicas serve the same one."""
    async with asyncio.timeout(30):
        while True:
            sets = [await replica.keys(http) for replica in replicas]
            kids = {frozenset(key["kid"] for key in one["keys"]) for one in sets}
            if len(kids) == 1:
                return sets[0]
            # One publishes the next key, and the others notice a little later.
            await asyncio.sleep(0.2)


async def test_all_that_start_at_once_serve_one_key_set(house, http, example):
    await until_the_same(house.all, http)
    users = example.users[: len(house.all)]
    tokens = await asyncio.gather(
        *(
            replica.tokens(http, user)
            for replica, user in zip(house.all, users, strict=True)
        )
    )
    keys = await house.all[0].keys(http)
    kids = set()
    for one, user in zip(tokens, users, strict=True):
        assert example.claims(keys, one["id_token"])["email"] == user
        kids.add(example.kid(one["id_token"]))
    assert len(kids) == 1


async def test_of_a_hundred_who_bring_a_code_one_gets_tokens(house, http, example):
    code = await house.strict[0].code(example.users[0])
    answers = await at_once(house.strict, 50, lambda one: one.exchange(http, code))
    assert statuses(answers) == {200: 1, 400: 99}


async def test_without_grace_one_of_a_hundred_who_refresh_gets_tokens(
    house, http, example
):
    tokens = await house.strict[0].tokens(http, example.users[1])
    token = tokens["refresh_token"]
    answers = await at_once(house.strict, 50, lambda one: one.refresh(http, token))
    assert statuses(answers) == {200: 1, 400: 99}


async def test_with_grace_all_who_refresh_get_the_same_successor(house, http, example):
    tokens = await house.lenient[0].tokens(http, example.users[2])
    token = tokens["refresh_token"]
    answers = await at_once(house.lenient, 50, lambda one: one.refresh(http, token))
    assert statuses(answers) == {200: 100}
    assert len({answer.json["refresh_token"] for answer in answers}) == 1


async def test_a_login_begun_at_one_is_finished_at_the_other(house, http, example):
    left, right = house.strict
    jar = aiohttp.CookieJar(unsafe=True, quote_cookie=False)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        form = await left.begin(browser)
        code = await right.finish(browser, form, example.users[3])
    assert (await left.exchange(http, code)).status == 200


async def test_what_one_revokes_the_other_refuses(house, http, example):
    left, right = house.strict
    tokens = await left.tokens(http, example.users[4])
    access, refresh = tokens["access_token"], tokens["refresh_token"]
    assert (await right.userinfo(http, access)).status == 200
    revoked = await left.client(http, "/token/revoke", token=refresh)
    assert revoked.status == 200
    assert (await right.refresh(http, refresh)).status == 400
    async with asyncio.timeout(5):
        while (await right.userinfo(http, access)).status != 401:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_an_address_signs_up_once(house, http):
    who = {"email": "new@example.com", "username": "new", "password": "password"}
    answers = await at_once(
        house.all, 4, lambda one: one.send(http, "POST", "/dex/signup", json=who)
    )
    assert statuses(answers) == {201: 1, 409: 4 * len(house.all) - 1}


async def test_twenty_logins_of_one_user_all_succeed(house, http, example):
    async def log_in(replica):
        return await replica.exchange(http, await replica.code(example.users[5]))

    answers = await at_once(house.strict, 10, log_in)
    assert statuses(answers) == {200: 20}
