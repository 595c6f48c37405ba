"""A device polls one replica while its user is at another, on every shared storage."""

import asyncio

from collections import Counter

import aiohttp

from dexcore.testing.app import jar
from dexcore.testing.page import parse

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
TV = {"client_id": "tv"}


async def begin(replica, http):
    """Return the codes that a device gets from *replica*."""
    form = TV | {"scope": "openid email offline_access"}
    answer = await replica.send(http, "POST", "/dex/device/code", data=form)
    assert answer.status == 200, answer.text
    return answer.json


async def poll(replica, http, codes):
    form = TV | {"grant_type": GRANT, "device_code": codes["device_code"]}
    return await replica.send(http, "POST", "/dex/token", data=form)


def forms(answer):
    return parse("http://127.0.0.1/dex/", answer.status, answer.text, {}).forms


def fields(form):
    return form.sent_by(form.buttons[0])


async def log_in(replicas, browser, codes, user):
    """Do what the user does, each step at the next replica; return the way back."""
    one, other = replicas

    async def get(replica, location):
        while True:
            answer = await replica.send(browser, "GET", location)
            if answer.status not in (302, 303):
                return location, answer
            location = answer.headers["Location"]

    _, page = await get(one, "/dex/device")
    typed = fields(forms(page)[0]) | {"user_code": codes["user_code"]}
    sent = await other.send(browser, "POST", "/dex/device/auth/verify_code", data=typed)
    form, _ = await get(one, sent.headers["Location"])
    entered = await other.enter(browser, form, user, "password")
    approval, page = await get(one, entered.headers["Location"])
    agreed = await other.send(browser, "POST", approval, data=fields(forms(page)[0]))
    return agreed.headers["Location"]


async def test_of_all_who_poll_for_one_device_one_gets_tokens(house, http, example):
    codes = await begin(house.strict[0], http)
    waiting = await poll(house.strict[1], http, codes)
    assert waiting.json == {"error": "authorization_pending"}
    async with aiohttp.ClientSession(cookie_jar=jar()) as browser:
        back = await log_in(house.strict, browser, codes, example.users[6])
        page = await house.strict[1].send(browser, "GET", back)
    assert page.status == 200, page.text
    answers = await asyncio.gather(
        *(poll(one, http, codes) for _ in range(12) for one in house.all)
    )
    statuses = Counter(answer.status for answer in answers)
    assert statuses == {200: 1, 400: 12 * len(house.all) - 1}
    [tokens] = [answer.json for answer in answers if answer.status == 200]
    claims = example.claims(await house.all[0].keys(http), tokens["id_token"])
    assert claims["email"] == example.users[6]


async def test_of_all_who_connect_a_device_one_does(house, http, example):
    codes = await begin(house.strict[0], http)
    ways = []
    browsers = [aiohttp.ClientSession(cookie_jar=jar()) for _ in range(4)]
    try:
        for browser, user in zip(browsers, example.users[7:11], strict=True):
            back = await log_in(house.strict, browser, codes, user)
            ways.append((browser, back, user))
        pages = await asyncio.gather(
            *(
                house.strict[number % 2].send(browser, "GET", back)
                for number, (browser, back, _) in enumerate(ways)
            )
        )
    finally:
        for browser in browsers:
            await browser.close()
    assert sorted(page.status for page in pages) == [200, 400, 400, 400]
    [connected] = [
        way[2] for way, page in zip(ways, pages, strict=True) if page.status == 200
    ]
    answer = await poll(house.strict[1], http, codes)
    claims = example.claims(await house.all[0].keys(http), answer.json["id_token"])
    assert claims["email"] == connected


async def test_every_poll_at_every_replica_counts(house, http):
    codes = await begin(house.strict[0], http)
    for number in range(10):
        replica = house.strict[number % 2]
        answer = await poll(replica, http, codes)
        expected = "slow_down" if number else "authorization_pending"
        assert answer.json == {"error": expected}
