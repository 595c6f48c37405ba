"""The example app, as somebody uses it in a real browser.

::

    async with visiting(chromium, folder, journey, [idp.url]) as app:
        await app.begin()                # now app.page is upstream: log in there
        await app.agree()
        assert (await app.claims())["email"] == "jane@example.com"
        assert await app.refresh() == "The tokens are new."

It is served from *folder*, that of the app in a checkout, in a process of its own.  It
verifies every ID token itself, and shows no tokens otherwise.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys

from asyncio import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from playwright.async_api import Locator, Page, expect

from .chromium import chromium
from .serving import CLIENT_SECRET, Served

__all__ = ["Visit", "visiting"]

_CLIENT_ID = "example-app"
_START_SECONDS = 60.0
_PATIENCE = 15_000  # milliseconds, as pages have


@attrs.frozen
class Visit:
    """One browser at the app, whose address is ``url``."""

    url: str
    page: Page

    async def begin(self) -> Page:
        """Ask the app for a login, with all its scopes; return the page it leads to."""
        await self.page.goto(self.url)
        await self.page.get_by_role("button", name="Log in").click()
        await expect(self.page).not_to_have_url(f"{self.url}/", timeout=_PATIENCE)
        return self.page

    async def agree(self) -> None:
        """Let the app know who this is: the page of dexcore that asks for consent."""
        asked = self.page.get_by_role("heading", level=1)
        await expect(asked).to_contain_text(
            f"Grant access to {_CLIENT_ID}", timeout=_PATIENCE
        )
        await self.page.get_by_role("button", name="Grant access").click()
        await expect(asked).to_have_text("Your tokens", timeout=_PATIENCE)

    async def claims(self) -> dict[str, str]:
        """Return the claims of the ID token, as the app shows them, verified."""
        shown = self._card("ID token")
        await expect(shown).to_contain_text("Signature verified")
        rows = shown.get_by_role("table", name="Claims of the ID token").locator("tr")
        cells = [
            await row.locator("th, td").all_inner_texts() for row in await _shown(rows)
        ]
        return dict(pair for pair in cells if pair[0] != "Name")

    async def refresh(self) -> str:
        """Press the button; return what the app says came of it."""
        button = self._card("Refresh token").get_by_role("button", name="Refresh")
        async with self.page.expect_navigation():  # the page before says something too
            await button.click()
        return await self.page.get_by_role("status").inner_text()

    def _card(self, title: str) -> Locator:
        heading = self.page.get_by_role("heading", name=title, exact=True)
        return self.page.locator("section").filter(has=heading)


async def _shown(rows: Locator) -> list[Locator]:
    await expect(rows.first).to_be_visible()
    return await rows.all()


@asynccontextmanager
async def visiting(
    program: str,
    folder: Path,
    provider: Served,
    upstream: Sequence[str] = (),
    foreign: Sequence[str] = (),
    **options: Any,
) -> AsyncIterator[Visit]:
    """Serve the app of *folder* as a client of *provider*, and visit it in Chromium.

    The browser, *program*, may ask for what begins with one of *upstream* as well; the
    pages at *foreign* may complain.  *options* are playwright's for a context.
    """
    url = f"http://127.0.0.1:{_free_port()}"
    uri = f"{url}/callback"
    await asyncio.to_thread(provider.add_client, _CLIENT_ID, redirect_uris=[uri])
    flags = {
        "--issuer": provider.issuer,
        "--client-id": _CLIENT_ID,
        "--redirect-uri": uri,
        "--listen": url,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(folder)),
        *(word for flag in flags.items() for word in flag),
        env={**os.environ, "EXAMPLE_APP_CLIENT_SECRET": CLIENT_SECRET},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        await _wait(process)
        allowed = [provider.issuer, url, *upstream]
        async with chromium(program, allowed, foreign) as open_page:
            yield Visit(url, await open_page(**options))
    finally:
        process.terminate()
        await process.communicate()


async def _wait(process: subprocess.Process) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(_START_SECONDS):
        while True:
            line = (await process.stdout.readline()).decode()
            if "listens" in line:
                return
            assert line, "The example app has not started."


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
