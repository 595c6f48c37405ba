"""``examples/config-oidc.yaml`` works as its first lines say."""

import asyncio
import contextlib
import re
import signal
import sys

from pathlib import Path

from aiohttp.test_utils import unused_port

from dexcore.testing.browser import Browser

EXAMPLES = Path(__file__).parents[1] / "examples"


def elsewhere(name, ports, folder):
    """Write an example for other ports and another database."""
    text = (EXAMPLES / name).read_text("utf-8")
    # All at once: a new port may begin like an old one.
    text = re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda old: str(ports[old[0]]), text)
    text = text.replace("var/sqlite/", f"{folder}/")
    file = folder / name
    file.write_text(text, "utf-8")
    return file


@contextlib.asynccontextmanager
async def serving(file, app):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLES / "serve.py"), str(file), "--app", app),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        told = process.stdout.readuntil(b"stops both.")
        await asyncio.wait_for(told, 60)
        reading = asyncio.create_task(process.stdout.read())
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 60)
    assert code == 0, (await reading).decode()


async def test_an_app_a_dexcore_and_another_dexcore(tmp_path):
    old = ("5555", "5556", "5558", "5565", "5566")
    ports = {port: unused_port() for port in old}
    here, there = (f"http://127.0.0.1:{ports[port]}" for port in ("5565", "5555"))
    upstream = elsewhere("config-dev.yaml", ports, tmp_path)
    ours = elsewhere("config-oidc.yaml", ports, tmp_path)
    async with (
        serving(upstream, there),
        serving(ours, here),
        # The app is where the walk begins, so nothing is elsewhere.
        Browser(stop_at="http://nowhere.example/") as browser,
    ):
        page = await browser.open(f"{here}/")
        page = await browser.submit(page, page.forms[0], {"more_scopes": "email"})
        page = await browser.choose(page, "local")
        page = await browser.enter(page, "admin@example.com", "password")
        page = await browser.decide(page, approve=True)  # there
        page = await browser.decide(page, approve=True)  # here
        assert "You are logged in" in page.words
        assert "admin@example.com" in page.words
