"""The harness measures what it says, and stops where it should."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import NoReturn

import pytest

from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner

from . import process, scenarios
from .__main__ import main
from .budget import budget
from .calibrate import Machine
from .measure import Result, interleaved, percentile
from .operations import OPERATIONS, Operation, chosen
from .provider import Account, Provider, User
from .report import markdown
from .servers import CONFIG, DEXCORE, started
from .storages import backend
from .wire import Address, BenchError, Connection

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[Connection]:
    """Serve *handler* at every path, and give a connection to it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        connection = Connection(Address.of(str(server.make_url("/"))))
        yield connection
        connection.close()


# — the wire ---------------------------------------------------------------------------


async def test_answers_of_known_length_arrive_whole() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=request.path * 20_000, headers={"X-One": "1"})

    async with served(handler) as connection:
        for path in ("/a", "/bc"):
            answer = await connection.get(path)
            assert answer.body.decode() == path * 20_000
            assert answer.header("x-one") == "1"


async def test_answers_in_chunks_arrive_whole() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for part in (b"one ", b"two ", b"three" * 1000):
            await response.write(part)
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    async with served(handler) as connection:
        for _ in range(2):
            answer = await connection.get("/")
            assert answer.body == b"one two " + b"three" * 1000


async def test_a_closed_connection_is_opened_again() -> None:
    async def handler(request: web.Request) -> web.Response:
        response = web.Response(text="ok")
        response.force_close()
        return response

    async with served(handler) as connection:
        assert [(await connection.get("/")).body for _ in range(3)] == [b"ok"] * 3


async def test_a_form_arrives_as_it_was_filled_in() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response(dict(await request.post()))

    async with served(handler) as connection:
        form = {"login": "jané", "password": "a&b=c d"}
        answer = await connection.send(connection.address.post("/", form))
        assert json.loads(answer.body) == form


@pytest.mark.parametrize("url", ["http://example.com/", "https://127.0.0.1/"])
def test_only_loopback_addresses_are_measured(url: str) -> None:
    with pytest.raises(BenchError):
        Address.of(url)


# — the numbers ------------------------------------------------------------------------


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 50) == 51
    assert percentile(values, 99) == 100
    assert percentile([7.0], 99) == 7


def test_the_processor_time_of_children_is_counted() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    before = process.cpu_seconds(os.getpid())
    subprocess.run([sys.executable, "-c", burn], check=True, timeout=60)
    assert process.cpu_seconds(os.getpid()) - before >= 0.28


def test_limits_grow_with_the_machine() -> None:
    slow = Machine(rsa_sign=500, ec_sign=46, loop=90, constant_answer=72)
    assert slow.limit(950, signatures=2) == 2 * 500 + 450 * 2
    assert slow.limit(100, signatures=0) == 200


def test_two_providers_stand_side_by_side_with_their_ratio() -> None:
    results = [
        Result("keys", "ours", 5, 100, cpu=50, cpu_min=40, rate=1000, p50=1, p99=2),
        Result("keys", "other", 5, 100, cpu=75, cpu_min=70, rate=900, p50=1, p99=2),
        Result("userinfo", "ours", 5, 100, cpu=80, cpu_min=79, rate=1, p50=1, p99=2),
        Result("userinfo", "other", refused="BenchError: 403"),
    ]
    rows = markdown(results, None).splitlines()
    assert any("| keys | 50 (40) | 1000" in row and "| 1.50 |" in row for row in rows)
    assert any("refuses" in row and "userinfo" in row for row in rows)


def test_an_unknown_operation_is_named() -> None:
    with pytest.raises(BenchError, match="bake"):
        chosen(("bake",))


async def test_a_provider_that_refuses_does_not_stop_the_others() -> None:
    async def act(user: User, item: object) -> None:
        if user.provider.name == "bad":
            raise BenchError("No.")

    async def prepare(user: User, count: int) -> list[None]:
        return [None] * count

    def provider(name: str) -> Provider:
        issuer = "http://127.0.0.1:1"
        return Provider(name, os.getpid(), issuer, Address.of(issuer), {}, Account())

    results = await interleaved(
        [Operation("wait", 32, prepare, act)],
        [provider("bad"), provider("good")],
        rounds=2,
    )
    assert [result.refused for result in results] == ["BenchError: No.", ""]
    assert results[1].rounds == 2


# — a whole run ------------------------------------------------------------------------


def test_every_operation_is_measured_on_a_server_started_for_it(
    tmp_path: Path,
) -> None:
    saved, table = tmp_path / "results.json", tmp_path / "table.md"
    quick = ("--rounds", "1", "--scale", "0.01", "--no-calibrate")
    files = ("--json", str(saved), "--markdown", str(table))
    outcome = CliRunner().invoke(main, ["compare", *quick, *files])
    assert outcome.exit_code == 0, outcome.output
    results = json.loads(saved.read_text())["results"]
    assert [result["operation"] for result in results] == [o.name for o in OPERATIONS]
    assert [result["refused"] for result in results] == [""] * len(OPERATIONS)
    assert all(result["p99"] > 0 and result["rss"] > 10 for result in results)
    assert "| exchange |" in table.read_text()


async def test_strangers_leave_nothing_behind() -> None:
    lines = await scenarios.anonymous(DEXCORE, "sqlite3", CONFIG, 640)
    rows = [line.split(": ")[1].split(" rows")[0] for line in lines]
    assert len(rows) == 5
    assert len(set(rows)) == 1


async def test_a_session_spares_the_password() -> None:
    lines = await scenarios.sessions(DEXCORE, "sqlite3", CONFIG, 1)
    assert [line.partition(":")[0] for line in lines] == [
        "login POST, sessions off",
        "login POST, sessions on",
        "silent login, sessions on",
    ]
    assert all(" µs (" in line for line in lines)


async def test_rows_are_copied_under_keys_of_their_own(tmp_path: Path) -> None:
    async with started(folder=tmp_path) as up:
        provider = await Provider.find("one", up.issuer, up.pid, Account())
        user = provider.users(1)[0]
        await user.get_tokens()
        user.connection.close()
    with closing(sqlite3.connect(up.database)) as database:
        scenarios.copy_rows(database, "refresh_token", 50)
        scenarios.add_clients(database, 20)
        counts = [
            database.execute(f"select count(*) from {table}").fetchone()[0]
            for table in ("refresh_token", "client")
        ]
    assert counts == [51, 20]


async def test_a_server_that_does_not_come_up_is_not_waited_for() -> None:
    with pytest.raises(BenchError, match="did not come up"):
        async with started(f"{sys.executable} -c 'raise SystemExit(3)'"):
            raise AssertionError


# — storages and replicas --------------------------------------------------------------


async def test_what_a_database_is_asked_and_uses_is_counted(
    tmp_path: Path, not_run: Callable[[object], NoReturn]
) -> None:
    try:
        stack = ExitStack()
        behind = stack.enter_context(backend("postgres", tmp_path, counted=True))
    except BenchError as error:
        not_run(error)
    with stack:
        async with started(storage=behind.settings, folder=tmp_path) as up:
            provider = await Provider.find(
                "one", up.issuer, up.pid, Account(), database=behind.pid
            )
            (user,) = provider.users(1)
            before = behind.asked()
            for _ in range(3):
                await user.get_tokens()
            user.connection.close()
            assert behind.asked() - before >= 3 * 4
            assert process.cpu_seconds(provider.database) > 0


def test_a_process_is_held_to_its_budget(
    not_run: Callable[[object], NoReturn],
) -> None:
    burn = "import time\nwhile time.monotonic() < time.process_time() + 1e9: pass"
    with subprocess.Popen([sys.executable, "-c", burn]) as burning:
        try:
            with budget(burning.pid, 0.1):
                before = process.cpu_seconds(burning.pid)
                time.sleep(1)
                used = process.cpu_seconds(burning.pid) - before
        except BenchError as error:
            not_run(error)
        finally:
            burning.kill()
    assert 0 < used < 0.5
