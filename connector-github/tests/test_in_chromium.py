"""People log in with GitHub in a real browser."""

from __future__ import annotations

import asyncio

import pytest

from playwright.async_api import expect

from dexcore.testing.chromium import DESKTOP, PHONE, chromium, fits
from dexcore.testing.journey import Journey
from dexcore.testing.tokens import TokenError


@pytest.fixture
def config(github):
    github.asks = True
    github.add("jane", id=7, orgs=["acme"], teams=[("acme", "Core Team")])
    github.add("john", id=8)
    return {
        "clientID": github.client_id,
        "clientSecret": github.client_secret,
        "redirectURI": "$ISSUER/callback",
        "hostName": github.host,
        "rootCA": github.ca,
        "orgs": [{"name": "acme"}],
    }


@pytest.fixture
def journey(config):
    # Beside another one, so that there is something to choose.
    with Journey(
        {"type": "github", "name": "GitHub", "config": config},
        {"type": "mockCallback", "name": "Example"},
    ) as journey:
        yield journey


@pytest.fixture
async def open_page(requires_program, journey, github):
    program = requires_program("chromium", install="apt-get install chromium")
    allowed = [journey.issuer, journey.app.url, github.url]
    async with chromium(program, allowed) as open_page:
        # Nothing but the certificate of the double is believed blindly.
        yield lambda **options: open_page(ignore_https_errors=True, **options)


async def log_in(page, journey, login):
    """Choose GitHub, sign in there, and authorize."""
    await page.goto(journey.authorization_url())
    await fits(page)
    await page.get_by_role("link", name="Log in with GitHub").click()
    await expect(page.get_by_role("heading")).to_have_text("Sign in to Octo Hub")
    await fits(page)
    await page.get_by_label("Name").fill(login)
    await page.get_by_label("Password").fill("password")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("listitem")).to_have_text(["user:email", "read:org"])
    await fits(page)


@pytest.mark.parametrize(
    "browser",
    [
        pytest.param({"viewport": DESKTOP}, id="desktop"),
        pytest.param({"java_script_enabled": False}, id="no script"),
        pytest.param({"viewport": PHONE, "color_scheme": "dark"}, id="phone"),
    ],
)
async def test_a_member_logs_in_and_is_noticed_to_have_left(
    open_page, journey, github, browser
):
    page = await open_page(**browser)
    await log_in(page, journey, "jane")
    await page.get_by_role("button", name="Authorize").click()
    await expect(page.get_by_role("heading")).to_have_text("Back at the app")
    tokens = journey.landed(page.url)

    assert tokens.claims["groups"] == ["acme:Core Team"]
    assert journey.refresh(tokens).claims["sub"] == tokens.claims["sub"]
    github.users["jane"].orgs.clear()
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
async def test_a_stranger_and_who_cancels_read_why(open_page, journey, viewport):
    page = await open_page(viewport=viewport)
    await log_in(page, journey, "john")
    await page.get_by_role("button", name="Authorize").click()
    await expect(page.locator("main")).to_contain_text("not a member of any of the")
    await fits(page)

    await log_in(page, journey, "jane")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("main")).to_contain_text("did not let you log in")
    await fits(page)


async def test_the_example_app_hears_of_it_until_a_member_has_left(
    config, github, example_app
):
    """Login, consent, claims and refreshes in the app."""
    connector = {"type": "github", "name": "GitHub", "config": config}
    asks = {"oauth2": {"skipApprovalScreen": False}}
    journey = await asyncio.to_thread(Journey, connector, settings=asks)
    try:
        async with example_app(journey, [github.url], ignore_https_errors=True) as app:
            page = await app.begin()
            await page.get_by_label("Name").fill("jane")
            await page.get_by_label("Password").fill("password")
            await page.get_by_role("button", name="Sign in").click()
            await page.get_by_role("button", name="Authorize").click()
            await app.agree()
            claims = await app.claims()
            assert claims["preferred_username"] == "jane"
            assert claims["groups"] == '["acme:Core Team"]'
            github.users["jane"].teams.append(("acme", "Writers"))
            assert await app.refresh() == "The tokens are new."
            groups = (await app.claims())["groups"]
            assert groups == '["acme:Core Team", "acme:Writers"]'
            github.users["jane"].orgs.clear()
            assert "invalid_grant" in await app.refresh()
    finally:
        await asyncio.to_thread(journey.close)
