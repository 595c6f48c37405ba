"""Listening, limits, and stopping without dropping anybody."""

from __future__ import annotations

import asyncio
import socket
import time

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs
import pytest

from aiohttp import ClientSession

from dexcore.config.model import Config, Telemetry, Web
from dexcore.errors import ConfigError
from dexcore.server.connections import Limits
from dexcore.server.listen import (
    Listener,
    drain,
    free_address,
    open_runner,
    parse_address,
)
from dexcore.server.run import Serving, serving

Serve = Callable[..., AbstractAsyncContextManager[Serving]]


@pytest.fixture
def serve(small: type[Any], config: Config) -> Serve:
    """Serve a small server for as long as an ``async with`` lasts."""

    @asynccontextmanager
    async def start(server: Any = None, **limits: float) -> AsyncIterator[Serving]:
        chosen = Limits(**limits)  # type: ignore[arg-type]
        open_server = (server or small()).open
        async with serving(config, open_server, limits=chosen) as running:
            yield running

    return start


def url(running: Serving, path: str, listener: str = "http") -> str:
    return f"http://{running.listeners[listener].bound}{path}"


async def connect(
    running: Serving,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = parse_address(running.listeners["http"].bound, "web.http")
    return await asyncio.open_connection(host, port)


# — Addresses --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:5556", "127.0.0.1", 5556),
        (":5556", "", 5556),
        ("[::1]:0", "::1", 0),
        ("localhost:http", "localhost", 80),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert parse_address(text, "web.http") == (host, port)


@pytest.mark.parametrize("text", ["5556", "", "127.0.0.1", "x:nosuchport", "x:70000"])
def test_what_is_no_address_is_an_error_that_says_where(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^web\.https: "):
        parse_address(text, "web.https")


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match="in use"):
            free_address(address, "web.http")
    assert free_address(address, "web.http") == address
    assert parse_address(free_address("127.0.0.1:0", "x"), "x")[1] > 0


async def test_a_port_in_use_is_an_error_that_names_it_and_closes_the_server(
    small: type[Any], config: Config
) -> None:
    server = small()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        busy = attrs.evolve(config, web=Web(http=address))
        with pytest.raises(ConfigError) as refused:
            async with serving(busy, server.open):
                raise AssertionError("not reached")
    assert str(refused.value) == (
        f"web.http: cannot listen on {address}: Address already in use."
    )
    assert server.happened == ["start", "close"]


async def test_both_listeners_say_in_the_log_where_they_are(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with serve() as running, ClientSession() as session:
        async with session.get(url(running, "/dex")) as response:
            assert await response.text() == "hello"
        ready = url(running, "/healthz/ready", "http/telemetry")
        async with session.get(ready) as response:
            assert response.status == 200
        said = [
            record.__dict__["fields"]
            for record in caplog.records
            if record.msg == "listening on"
        ]
        assert said == [
            {"server": name, "address": running.listeners[name].bound}
            for name in ("http/telemetry", "http")
        ]


async def test_without_a_telemetry_address_there_is_none(
    small: type[Any], config: Config
) -> None:
    without = attrs.evolve(config, telemetry=Telemetry())
    async with serving(without, small().open) as running:
        assert list(running.listeners) == ["http"]


# — Limits -----------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"GET /dex HTTP/1.1\r\nHost: x\r\nX-A: "])
async def test_a_head_that_does_not_come_ends_the_connection(
    serve: Serve, sent: bytes
) -> None:
    async with serve(head_seconds=0.1) as running:
        reader, writer = await connect(running)
        writer.write(sent)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_head_that_comes_a_byte_at_a_time_ends_the_connection(
    serve: Serve,
) -> None:
    async with serve(head_seconds=0.3) as running:
        reader, writer = await connect(running)
        ended = asyncio.create_task(reader.read())
        writer.write(b"GET /dex HTTP/1.1\r\nX-Slow: ")
        for _ in range(100):
            writer.write(b"a")
            await asyncio.sleep(0.02)
            if ended.done():
                break
        assert ended.done()
        assert ended.result() == b""
        writer.close()


async def test_a_second_head_has_its_own_deadline(serve: Serve) -> None:
    async with serve(head_seconds=0.1, idle_seconds=60) as running:
        reader, writer = await connect(running)
        for _ in range(2):
            writer.write(b"GET /dex HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"hello" in await reader.readuntil(b"hello")
            # Longer than a head may take: between two requests there is no head.
            await asyncio.sleep(0.2)
        writer.write(b"GET /dex HTTP/1.1\r\nHost")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_an_idle_connection_is_closed_after_its_time(serve: Serve) -> None:
    async with serve(idle_seconds=0.1) as running:
        reader, writer = await connect(running)
        writer.write(b"GET /dex HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"hello")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_slow_answer_outlives_the_deadline_of_a_head(
    serve: Serve, small: type[Any]
) -> None:
    server = small()
    async with serve(server, head_seconds=0.05) as running, ClientSession() as session:
        asking = asyncio.create_task(session.get(url(running, "/dex/slow")))
        await server.entered.wait()
        await asyncio.sleep(0.15)
        server.leave.set()
        assert await (await asking).text() == "finished"


@pytest.mark.parametrize(
    "request_text",
    [
        b"GET /dex HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /dex?" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /dex HTTP/1.1\r\n" + b"X-A: b\r\n" * 200 + b"\r\n",
        b"\x16\x03\x01 this is TLS\r\n\r\n",
    ],
)
async def test_what_is_too_large_or_no_http_is_400_and_not_repeated(
    serve: Serve, request_text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve() as running:
        reader, writer = await connect(running)
        writer.write(request_text)
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
        assert answer.endswith(b"400 bad request\n")
        writer.close()
    assert "Traceback" not in caplog.text


async def test_a_long_authorization_request_is_read(serve: Serve) -> None:
    async with serve() as running, ClientSession() as session:
        asked = url(running, "/dex/auth/x?state=" + "s" * 20_000)
        async with session.get(asked) as response:
            assert response.status == 200


async def test_a_body_that_stops_halfway_is_408_without_a_traceback(
    serve: Serve, small: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    server = small(options={"body_seconds": 0.1})
    async with serve(server) as running:
        reader, writer = await connect(running)
        writer.write(
            b"POST /dex/form HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"
        )
        assert b" 408 " in await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert "Traceback" not in caplog.text


async def test_a_compressed_body_is_not_unpacked(serve: Serve) -> None:
    async with serve() as running, ClientSession() as session:
        form = {"data": b"\x1f\x8b" + b"0" * 98}
        headers = {"Content-Encoding": "gzip"}
        asked = url(running, "/dex/form")
        async with session.post(asked, headers=headers, **form) as response:
            assert await response.text() == "100"


async def test_good_clients_are_served_while_hundreds_of_slow_ones_wait(
    serve: Serve,
) -> None:
    async with serve(head_seconds=1.0) as running, ClientSession() as session:
        slow = [await connect(running) for _ in range(200)]
        for _, writer in slow:
            writer.write(b"GET /dex HTTP/1.1\r\n")
        started = time.monotonic()
        for _ in range(20):
            async with session.get(url(running, "/dex")) as response:
                assert response.status == 200
        # If they waited for the slow ones it would be a second for each.
        assert time.monotonic() - started < 5
        ends = asyncio.gather(*(reader.read() for reader, _ in slow))
        assert set(await asyncio.wait_for(ends, 10)) == {b""}
        for _, writer in slow:
            writer.close()


# — Stopping ---------------------------------------------------------------------------


async def test_a_request_under_way_is_answered_while_new_ones_are_refused(
    serve: Serve, small: type[Any]
) -> None:
    server = small()
    async with ClientSession() as session, serve(server) as running:
        address = running.listeners["http"].bound
        ready = url(running, "/healthz/ready", "http/telemetry")
        asking = asyncio.create_task(session.get(url(running, "/dex/slow")))
        await server.entered.wait()
        closing = asyncio.create_task(running.close())
        await asyncio.sleep(0.1)
        async with session.get(ready) as response:
            assert response.status == 503
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*parse_address(address, ""))
        assert server.happened == ["start"]
        server.leave.set()
        response = await asking
        assert await response.text() == "finished"
        await asyncio.wait_for(closing, 5)
    assert server.happened[:2] == ["start", "close"]


async def test_an_idle_connection_does_not_delay_the_end(serve: Serve) -> None:
    async with serve() as running:
        reader, writer = await connect(running)
        writer.write(b"GET /dex HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"hello")
        started = time.monotonic()
        await running.close()
        # Much less than the ten seconds that requests under way get.
        assert time.monotonic() - started < 5
        assert await reader.read() == b""
        writer.close()


async def test_a_request_that_never_ends_does_not_keep_us_from_ending(
    small: type[Any],
) -> None:
    server = small()
    runner = await open_runner(server.web)
    listener = Listener("http", "web.http", "127.0.0.1:0")
    await listener.open(runner, Limits())
    reader, writer = await asyncio.open_connection(*parse_address(listener.bound, ""))
    writer.write(b"GET /dex/slow HTTP/1.1\r\nHost: x\r\n\r\n")
    await server.entered.wait()
    listener.refuse()
    async with asyncio.timeout(5):
        await drain(runner, 0.1)
        assert await reader.read() == b""
    writer.close()
