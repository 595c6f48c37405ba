"""The disk is full, or another process holds the database: what needs it waits or is
refused, everything else goes on, and afterwards nobody has to restart anything."""

import asyncio
import contextlib
import os
import resource
import sqlite3
import time

from pathlib import Path

import aiohttp
import pytest

from dexcore.storage import AuthRequest

FROM_MEMORY = ("/dex/keys", "/dex/.well-known/openid-configuration")


@pytest.fixture
def file_size():
    """``file_size(bytes)``: no file grows beyond; ``None``: as before."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size):
        soft = before[0] if size is None else size
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_stops_logins_and_nothing_else(house, file_size, tmp_path):
    tokens = await house.tokens()
    browser = house.browser()
    form = await house.form(browser)
    typed = {"login": "ann@example.com", "password": "password"}
    code = await house.code("bob@example.com")
    file_size(largest(tmp_path))
    try:
        await fill_up(house)
        refused = {
            "login": await house.post(form, session=browser, data=typed),
            "exchange": await house.exchange(code),
            "revocation": await house.revoke(tokens["refresh_token"]),
            "sign-up": await house.sign_up("new@example.com"),
        }
        for path in FROM_MEMORY:
            assert (await house.get(path)).status == 200
        assert (await house.userinfo(tokens["access_token"])).status == 200
    finally:
        file_size(None)
    for what, answer in refused.items():
        assert answer.status == 503, what
        assert answer.headers["Retry-After"], what
        assert "SQLite" not in answer.text
        assert "disk" not in answer.text
    assert (await house.post(form, session=browser, data=typed)).status == 303
    assert (await house.exchange(code)).status == 200
    assert (await house.refresh(tokens["refresh_token"])).status == 200
    assert (await house.sign_up("new@example.com")).status == 201
    with sqlite3.connect(tmp_path / "dex.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def largest(folder):
    return max(file.stat().st_size for file in folder.glob("dex.db*"))


async def fill_up(house):
    """Use up what room is left in the files, until nothing can be written."""
    now = house.server.parts.now()
    failed = 0
    for number in range(200):
        record = AuthRequest(f"filler{number}", "one", state="x" * 3000, expiry=now)
        try:
            await house.storage.auth_requests.create(record)
        except Exception:
            failed += 1
            if failed > 2:
                return
    raise AssertionError("the disk is not full")


async def test_a_full_disk_in_another_process_needs_no_restart(spawn, tmp_path):
    """The process itself meets the limit; ``prlimit`` takes it away again."""
    app = await spawn(tmp_path / "dex.db")
    tokens = await app.tokens()
    pid = app.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    refused = await app.log_in()
    assert refused.status == 503
    assert refused.headers["Retry-After"]
    for path in FROM_MEMORY:
        assert (await app.get(path)).status == 200
    assert (await app.userinfo(tokens["access_token"])).status == 200
    assert app.process.returncode is None
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    assert (await app.log_in()).status == 303
    assert (await app.refresh(tokens["refresh_token"])).status == 200


@pytest.fixture
def holder(tmp_path):
    """Another process's transaction on the database."""
    connection = sqlite3.connect(tmp_path / "dex.db", isolation_level=None)
    yield connection
    connection.close()


async def test_a_database_held_by_another_process_is_waited_for(house, holder):
    code = await house.code()
    holder.execute("BEGIN IMMEDIATE")
    exchange = asyncio.create_task(house.exchange(code))
    await asyncio.sleep(0.5)
    assert not exchange.done()
    for path in FROM_MEMORY:
        assert (await house.get(path)).status == 200
    assert not exchange.done(), "keys had to wait for the database"
    holder.execute("ROLLBACK")
    assert (await exchange).status == 200


async def test_a_database_that_stays_held_is_503_after_seconds(house, holder):
    codes = [await house.code(user) for user in ("ann@example.com", "bob@example.com")]
    holder.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    exchanges = [asyncio.create_task(house.exchange(code)) for code in codes]
    await asyncio.sleep(0.05)
    keys = 0
    while not all(exchange.done() for exchange in exchanges):
        assert (await house.get("/dex/keys")).status == 200
        keys += 1
        await asyncio.sleep(0.05)
    took = time.monotonic() - started
    holder.execute("ROLLBACK")
    for exchange in exchanges:
        assert exchange.result().status == 503
        assert exchange.result().headers["Retry-After"]
    assert 4 < took < 15
    assert keys > 10
    for code in codes:
        assert (await house.exchange(code)).status == 200


@pytest.fixture
def full():
    """A file on a full disk."""
    with Path("/dev/full").open("wb") as found:
        yield found


async def test_a_log_that_cannot_be_written_stops_nothing(spawn, tmp_path, full):
    app = await spawn(tmp_path / "dex.db", stderr=full)
    await listening(app)
    # More than the log keeps for later.
    answers = await asyncio.gather(*(app.get("/dex/" + "x" * 250) for _ in range(400)))
    assert {answer.status for answer in answers} == {404}
    assert (await app.log_in()).status == 303
    app.signal(15)
    assert await app.process.wait() == 0


async def test_a_log_that_can_be_written_again_says_what_is_missing(spawn, tmp_path):
    log = tmp_path / "log"
    with log.open("wb") as file:
        app = await spawn(tmp_path / "dex.db", stderr=file)
        await listening(app)
        pid = app.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
        assert (await app.log_in(password="wrong")).status == 401
        await asyncio.sleep(0.5)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        assert (await app.log_in()).status == 303
        app.signal(15)
        assert await app.process.wait() == 0
    assert "the log could not be written" in log.read_text()


async def listening(app):
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                await app.get("/dex/keys")
                return
            await asyncio.sleep(0.02)


async def test_more_connections_than_files_are_refused_for_a_while(spawn, tmp_path):
    app = await spawn(tmp_path / "dex.db")
    tokens = await app.tokens()
    pid = app.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    open_now = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now + 5, before[1]))
    host, port = app.origin.removeprefix("http://").split(":")
    crowd = [await asyncio.open_connection(host, int(port)) for _ in range(30)]
    # Who is connected already is served.
    assert (await app.userinfo(tokens["access_token"])).status == 200
    for _, writer in crowd:
        writer.close()
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                landed = await app.log_in()
                break
            await asyncio.sleep(0.1)
    assert landed.status == 303
    assert len(app.said) < 100
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
