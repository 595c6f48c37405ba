"""Many at once, and those who leave in the middle."""

import asyncio
import contextlib
import logging
import socket
import struct

from collections import Counter

import pytest

LOGINS = 200


async def test_a_storm_of_logins_is_answered_and_others_are_served(house, example):
    """Passwords take a core's time: what cannot be begun soon is 503, not lost."""
    browsers = [house.browser() for _ in range(LOGINS)]
    forms = await asyncio.gather(*(house.form(each) for each in browsers))
    waiting = dict(enumerate(zip(browsers, forms, strict=True)))
    asked = asyncio.create_task(ask_for_keys(house))
    seen = Counter()
    async with asyncio.timeout(60):
        while waiting:
            answers = await asyncio.gather(
                *(log_in(house, example, *one) for one in waiting.items())
            )
            seen.update(answer.status for _, answer in answers)
            for number, answer in answers:
                if answer.status == 303:
                    assert answer.params["code"]
                    del waiting[number]
                else:
                    assert answer.status == 503, answer.text
                    assert int(answer.headers["Retry-After"]) > 0
            # One round shows that many are refused; a few are enough to show that
            # those who come again get in.
            for number in list(waiting)[10:]:
                del waiting[number]
    asked.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asked
    assert seen[503] > 0
    assert seen[303] > 10
    assert set(seen) == {303, 503}


async def log_in(house, example, number, where):
    browser, form = where
    typed = {"login": example.users[number % 2], "password": "password"}
    return number, await house.post(form, session=browser, data=typed)


async def ask_for_keys(house):
    """Ask all the time; whatever is not 200 ends the test."""
    while True:
        assert (await house.get("/dex/keys")).status == 200
        await asyncio.sleep(0.01)


async def test_who_was_refused_for_want_of_room_has_not_guessed_wrong(house, example):
    """Only wrong passwords count against a user."""
    browsers = [house.browser() for _ in range(95)]
    forms = await asyncio.gather(*(house.form(each) for each in browsers))
    typed = {"login": example.users[0], "password": "password"}
    refused = 0
    for _ in range(2):
        answers = await asyncio.gather(
            *(
                house.post(form, session=browser, data=typed)
                for browser, form in zip(browsers, forms, strict=True)
            )
        )
        found = Counter(answer.status for answer in answers)
        assert 429 not in found
        refused += found[503]
        left = [
            one
            for one, answer in zip(
                zip(browsers, forms, strict=True), answers, strict=True
            )
            if answer.status == 503
        ]
        browsers, forms = zip(*left, strict=True) if left else ((), ())
    assert refused > 0
    assert (await house.log_in()).status == 303


ENDPOINTS = [
    "/dex/token",
    "/dex/token/introspect",
    "/dex/token/revoke",
    "/dex/userinfo",
    "/dex/auth",
    "/dex/callback",
    "/dex/signup",
    "login",
]
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
async def connect(house):
    async def open_connection():
        host, port = house.origin.removeprefix("http://").split(":")
        return await asyncio.open_connection(host, int(port))

    return open_connection


def hang_up(writer, how):
    if how == "reset":
        sock = writer.get_extra_info("socket")
        linger = struct.pack("ii", 1, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
    elif how == "half":
        writer.write_eof()
    else:
        writer.close()


@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize(
    "framing", ["Content-Length: 100", "Transfer-Encoding: chunked"]
)
async def test_who_leaves_in_the_middle_of_a_body_is_no_error_of_ours(
    house, connect, caplog, how, framing
):
    caplog.set_level(logging.DEBUG)
    session = house.browser()
    form = await house.form(session)
    cookie = "; ".join(f"{c.key}={c.value}" for c in session.cookie_jar)
    for path in ENDPOINTS:
        for kind in (FORM, "application/json"):
            _, writer = await connect()
            target = form if path == "login" else path
            head = (
                f"POST {target} HTTP/1.1\r\nHost: x\r\n{framing}\r\n"
                f"Content-Type: {kind}\r\nCookie: {cookie}\r\n\r\n"
            )
            sent = "5\r\na=b&c\r\n" if "chunked" in framing else "a=b&c"
            writer.write((head + sent).encode())
            await writer.drain()
            await asyncio.sleep(0.01)
            hang_up(writer, how)
            if how == "half":
                await asyncio.sleep(0.01)
                writer.close()
    await asyncio.sleep(0.1)
    assert (await house.get("/dex/keys")).status == 200
    for record in caplog.records:
        assert record.levelno < logging.ERROR, record.getMessage()
        fields = getattr(record, "fields", {})
        assert int(fields.get("status", 0)) < 500, fields


async def test_who_leaves_before_the_answer_is_no_error_of_ours(
    house, connect, caplog, example
):
    caplog.set_level(logging.DEBUG)
    body = f"login={example.users[0]}&password=password"
    for how in ("close", "reset"):
        session = house.browser()
        form = await house.form(session)
        cookie = "; ".join(f"{c.key}={c.value}" for c in session.cookie_jar)
        _, writer = await connect()
        head = (
            f"POST {form} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: {FORM}\r\nCookie: {cookie}\r\n\r\n"
        )
        writer.write((head + body).encode())
        await writer.drain()
        await asyncio.sleep(0.02)
        hang_up(writer, how)
    await asyncio.sleep(0.5)
    assert (await house.log_in()).status == 303
    for record in caplog.records:
        assert record.levelno < logging.ERROR, record.getMessage()


async def test_a_slow_body_does_not_hold_others_up(house, connect):
    _, writer = await connect()
    writer.write(
        b"POST /dex/token HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    )
    for _ in range(10):
        writer.write(b"a")
        await writer.drain()
        assert (await house.get("/dex/keys")).status == 200
    writer.close()
    assert (await house.tokens())["token_type"] == "bearer"
