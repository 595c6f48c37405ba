"""Real browsers for tests: Chromium, kept from everything but what it is shown.

It needs playwright, and Chromium itself: ``apt-get install chromium``.
"""

from __future__ import annotations

import os
import re

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import ConsoleMessage, Page, async_playwright, expect

__all__ = ["DESKTOP", "PHONE", "chromium", "fits"]

PHONE = {"width": 360, "height": 640}
DESKTOP = {"width": 1280, "height": 720}

# Nothing of it may be looked up, updated or reported to anybody.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)

# Milliseconds until what a page should show is missed; a busy machine takes seconds.
_PATIENCE = 15_000

# What is no complaint about a page: what is refused is answered with such a status, and
# a test on a busy machine may be in a field before the page has put its focus there.
_HARMLESS = re.compile(
    r"Failed to load resource: .* status of 40[013] "
    r"|Autofocus processing was blocked because a document already has a focus"
)


@asynccontextmanager
async def chromium(
    program: str,
    allowed: Sequence[str],
    foreign: Sequence[str] = (),
    *,
    arguments: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[Callable[..., Awaitable[Page]]]:
    """Run the Chromium at *program*; what is yielded opens a page in it.

    Each page has a browser profile of its own; options are playwright's for a context::

        async with chromium(program, [journey.issuer, journey.app.url]) as open_page:
            page = await open_page(viewport=PHONE, java_script_enabled=False)
            await page.goto(journey.authorization_url())

    *arguments* are more of its command line, *environ* more of its environment.

    In the end it raises ``AssertionError`` if a page has complained (an error of a
    script, a policy that forbade something) or asked for an address that begins with
    none of *allowed*.  Pages of others, at addresses that begin with one of *foreign*,
    may complain.
    """
    complaints: list[str] = []

    def asked(url: str) -> None:
        if not url.startswith((*allowed, "data:")):
            complaints.append(f"asked {url}")

    def said(message: ConsoleMessage) -> None:
        where = message.location.get("url", "")
        # It looks for an icon on its own, and says so where there is none.
        if not where.endswith("/favicon.ico") and not where.startswith(tuple(foreign)):
            complaints.append(message.text)

    expect.set_options(timeout=_PATIENCE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program,
            args=[*_ARGUMENTS, *arguments],
            env={**os.environ, **(environ or {})},
        )

        async def open_page(**options: Any) -> Page:
            context = await browser.new_context(**options)
            page = await context.new_page()
            page.set_default_timeout(_PATIENCE)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", said)
            page.on("request", lambda request: asked(request.url))
            return page

        try:
            yield open_page
        finally:
            await browser.close()
    left = [each for each in complaints if not _HARMLESS.match(each)]
    assert not left, left


async def fits(page: Page) -> None:
    """Check that *page* is no wider than its window, and can be used with a finger."""
    # Without its style sheet a page is as wide as its longest token.
    await page.wait_for_load_state("load")
    wide = await page.evaluate("document.documentElement.scrollWidth")
    window = await page.evaluate("window.innerWidth")
    assert wide <= window, f"{page.url} is {wide} pixels wide, not {window}"
    for target in await page.locator("a, button, input:visible").all():
        box = await target.bounding_box()
        if box:
            # WCAG 2.2, 2.5.8: a target is at least 24 pixels high, unless it is
            # a link or a small box within a line of text.
            tall = await target.evaluate("it => it.matches('button, .dex-btn')")
            assert box["height"] >= (40 if tall else 16), await target.inner_text()
