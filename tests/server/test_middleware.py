"""What every request passes on its way in and every answer on its way out."""

from __future__ import annotations

import asyncio
import logging
import re

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from dexcore.config.model import ClientRemoteIP
from dexcore.server import logs
from dexcore.server.middleware import (
    ADDRESS,
    REQUEST_ID,
    VIA_TRUSTED_PROXY,
    combined,
    new_id,
)
from dexcore.server.real_ip import RealIP

Client = TestClient[web.Request, web.Application]
Start = Callable[..., Coroutine[Any, Any, Client]]


@pytest.fixture
async def start(small: type[Any]) -> AsyncIterator[Start]:
    """Start a small server whose middleware has the given options."""
    clients: list[Client] = []

    async def start(**options: object) -> Client:
        server = small(options=options)
        client: Client = TestClient(TestServer(server.web))
        clients.append(client)
        await client.start_server()
        return client

    yield start
    for client in clients:
        await client.close()


async def test_an_answer_says_neither_language_nor_version(start: Start) -> None:
    client = await start()
    assert (await client.get("/dex")).headers["Server"] == "dexcore"


async def test_configured_headers_replace_those_of_a_page(start: Start) -> None:
    client = await start(
        headers={"Content-Security-Policy": "default-src 'self'", "X-Frame-Options": ""}
    )
    response = await client.get("/dex/csp")
    assert response.headers["Content-Security-Policy"] == "default-src 'self'"
    assert "X-Frame-Options" not in response.headers


async def test_without_configured_headers_a_page_keeps_its_own(start: Start) -> None:
    client = await start()
    response = await client.get("/dex/csp")
    assert response.headers["Content-Security-Policy"] == "default-src 'none'"
    assert "Strict-Transport-Security" not in response.headers


@pytest.mark.parametrize("path", ["/dex", "/dex/boom", "/nowhere"])
async def test_an_https_issuer_asks_browsers_to_stay_with_https(
    start: Start, path: str
) -> None:
    client = await start(secure=True)
    response = await client.get(path)
    assert response.headers["Strict-Transport-Security"] == "max-age=31536000"


async def test_an_operator_can_say_how_long_browsers_stay_with_https(
    start: Start,
) -> None:
    configured = {"Strict-Transport-Security": "max-age=60; preload"}
    client = await start(secure=True, headers=configured)
    response = await client.get("/dex")
    assert response.headers.getall("Strict-Transport-Security") == [
        "max-age=60; preload"
    ]


async def test_an_unknown_path_is_answered_as_dex_answers_it(start: Start) -> None:
    response = await (await start()).get("/dex/")
    assert (response.status, await response.text()) == (404, "404 page not found\n")


async def test_a_raised_redirect_is_still_a_redirect(start: Start) -> None:
    response = await (await start()).get("/dex/away", allow_redirects=False)
    assert response.status == 302
    assert response.headers["Location"] == "/elsewhere"


async def test_what_nobody_expected_is_answered_and_counted(
    small: type[Any],
) -> None:
    server = small()
    async with TestClient(TestServer(server.web)) as client:
        response = await client.get("/dex/boom")
        assert (response.status, await response.text()) == (500, "unexpected boom")
        response = await client.get("/dex/unavailable")
        assert response.status == 503
    counted = server.metrics.render().decode()
    assert 'http_requests_total{code="500",handler="/boom",method="get"} 1.0' in counted


async def test_even_a_broken_error_page_is_an_answer(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    response = await (await start()).get("/dex/boom?again=1")
    assert response.status == 500
    assert "boom" not in await response.text()
    assert "ValueError" in caplog.text


async def test_handlers_know_the_id_and_the_address_of_a_request(
    small: type[Any],
) -> None:
    known: list[tuple[str, str, bool]] = []

    async def handler(request: web.Request) -> web.Response:
        known.append(
            (request[REQUEST_ID], request[ADDRESS], request[VIA_TRUSTED_PROXY])
        )
        assert logs.REQUEST.get()["request_id"] == request[REQUEST_ID]
        return web.Response()

    server = small()
    real_ip = RealIP.of(ClientRemoteIP("X-Forwarded-For", ("127.0.0.0/8",)))
    for each in (real_ip, RealIP()):
        around = combined(
            unexpected=server._unexpected, metrics=server.metrics, real_ip=each
        )
        app = web.Application(middlewares=[around])
        app.router.add_get("/", handler)
        async with TestClient(TestServer(app)) as client:
            # A proxy that adds a line of its own instead of completing the client's.
            forwarded = [
                ("X-Forwarded-For", "198.51.100.66"),
                ("X-Forwarded-For", "192.0.2.1"),
                ("X-Request-Id", "chosen-by-the-client"),
            ]
            await client.get("/", headers=forwarded)
    (first, behind, trusted), (second, direct, untrusted) = known
    assert (behind, trusted) == ("192.0.2.1", True)
    assert (direct, untrusted) == ("127.0.0.1", False)
    assert first != second
    assert "chosen" not in first + second


def test_an_id_is_a_random_uuid() -> None:
    version_4 = re.compile(
        r"[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}"
    )
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(map(version_4.fullmatch, ids))


async def test_a_request_is_a_line_without_its_query(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    client = await start()
    with caplog.at_level(logging.DEBUG):
        await client.get("/dex/auth/ldap?code=canary&state=canary#canary")
        await client.post("/dex/form", data={"password": "canary"})
    lines = [each for each in caplog.records if each.name == "dexcore.access"]
    fields = [each.__dict__["fields"] for each in lines]
    assert [(each["method"], each["path"]) for each in fields] == [
        ("GET", "/dex/auth/ldap"),
        ("POST", "/dex/form"),
    ]
    assert fields[0]["handler"] == "/auth/{connector}"
    assert fields[0]["status"] == 200
    assert fields[0]["bytes"] == len("hello")
    assert "canary" not in str([vars(each) for each in lines])


async def test_a_health_check_is_no_line_unless_debugging(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    client = await start()
    with caplog.at_level(logging.INFO):
        await client.get("/dex/healthz")
    assert [each for each in caplog.records if each.name == "dexcore.access"] == []


async def test_a_body_that_does_not_come_is_408_and_the_connection_ends(
    start: Start,
) -> None:
    client = await start(body_seconds=0.1)
    reader, writer = await _connect(client)
    writer.write(b"POST /dex/form HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    answer = await reader.read()
    assert b" 408 " in answer.split(b"\r\n")[0]
    assert b"\r\nConnection: close\r\n" in answer
    writer.close()


async def test_a_body_that_comes_slowly_but_in_time_is_read(start: Start) -> None:
    client = await start()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"abc"

    async with ClientSession() as session:
        url = client.make_url("/dex/form")
        async with session.post(url, data=pieces()) as response:
            assert await response.text() == "9"


async def test_what_is_left_of_a_body_is_never_a_request(start: Start) -> None:
    client = await start()
    reader, writer = await _connect(client)
    writer.write(b"POST /dex HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"Connection: close" in head
    writer.write(b"GET /dex/boom HTTP/1.1\r\nHost: x\r\n\r\n".ljust(200))
    assert b"boom" not in await reader.read()
    writer.close()


async def _connect(client: Client) -> Any:
    url = client.make_url("/")
    return await asyncio.open_connection(url.host, url.port)
