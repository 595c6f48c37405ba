"""SIGTERM under load: everybody who was being served is served, then the end."""

import asyncio
import signal

import aiohttp
import pytest

from dexcore.oauth2.times import utcnow


async def work(app, browser, done):
    """Log in and refresh until the server lets nobody in any more."""
    typed = {"login": "ann@example.com", "password": "password"}
    while True:
        try:
            answer = await app.get("/dex/keys", session=browser)
            answer.json  # noqa: B018 - whole, or this raises
            done.append(answer.status)
            form = await app.form(browser)
            answer = await app.post(form, session=browser, data=typed)
            done.append(answer.status)
        except aiohttp.ServerDisconnectedError:
            return "closed"
        except aiohttp.ClientConnectorError:
            return "refused"
        except aiohttp.ClientOSError:
            return "closed"


async def test_who_is_being_served_is_served_to_the_end(spawn, tmp_path):
    app = await spawn(tmp_path / "dex.db")
    done, tasks = [], []
    for _ in range(6):
        tasks.append(asyncio.create_task(work(app, app.browser(), done)))
    while len(done) < 12:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    app.signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        ends = await asyncio.gather(*tasks)
        assert await app.process.wait() == 0
    # A half-written answer would have been a ClientPayloadError.
    assert {*done} == {200, 303}
    assert "refused" in ends or "closed" in ends


async def test_a_login_under_way_is_answered_and_kept(spawn, tmp_path):
    app = await spawn(tmp_path / "dex.db")
    browser = app.browser()
    form = await app.form(browser)
    typed = {"login": "ann@example.com", "password": "password"}
    login = asyncio.create_task(app.post(form, session=browser, data=typed))
    await asyncio.sleep(0.02)
    app.signal(signal.SIGTERM)
    landed = await login
    assert landed.status == 303
    assert await app.process.wait() == 0
    again = await spawn(tmp_path / "dex.db")
    assert (await again.exchange(landed.params["code"])).status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_server_nobody_uses_ends_at_once(spawn, tmp_path, number):
    app = await spawn(tmp_path / "dex.db")
    started = utcnow()
    app.signal(number)
    assert await app.process.wait() == 0
    assert (utcnow() - started).total_seconds() < 5
