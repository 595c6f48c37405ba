"""People log in through an OAuth 2.0 provider in a real browser."""

from __future__ import annotations

import pytest

from playwright.async_api import expect

from dexcore.testing.chromium import DESKTOP, PHONE, chromium, fits
from dexcore.testing.journey import Journey
from dexcore.testing.upstreams.oauth2 import User


@pytest.fixture
def journey(provider):
    provider.asks = True
    info = {"id": 12345678, "user_name": "Jane Example", "groups": ["admins"]}
    provider.users["jane"] = User(info)
    config = {
        "clientID": provider.client_id,
        "clientSecret": provider.client_secret,
        "redirectURI": "$ISSUER/callback",
        "authorizationURL": f"{provider.url}/authorize",
        "tokenURL": f"{provider.url}/token",
        "userInfoURL": f"{provider.url}/userinfo",
        "scopes": ["user", "groups"],
    }
    # Beside another one, so that there is something to choose.
    with Journey(
        {"type": "oauth", "name": "Acme", "config": config},
        {"type": "mockCallback", "name": "Example"},
        settings={"frontend": {"theme": "auto"}},
    ) as journey:
        yield journey


@pytest.fixture
async def open_page(requires_program, journey, provider):
    program = requires_program("chromium", install="apt-get install chromium")
    allowed = [journey.issuer, journey.app.url, provider.url]
    async with chromium(program, allowed) as open_page:
        yield open_page


async def log_in(page, journey, password="password"):
    """Choose Acme and sign in there."""
    await page.goto(journey.authorization_url())
    await fits(page)
    await page.get_by_role("link", name="Log in with Acme").click()
    await fits(page)
    await page.get_by_label("Name").fill("jane")
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize(
    "browser",
    [
        pytest.param({"viewport": DESKTOP}, id="desktop"),
        pytest.param({"java_script_enabled": False}, id="no script"),
        pytest.param({"viewport": PHONE, "color_scheme": "dark"}, id="phone"),
    ],
)
async def test_somebody_logs_in(open_page, journey, browser):
    page = await open_page(**browser)
    await log_in(page, journey)
    await expect(page.get_by_role("listitem")).to_have_text(["user", "groups"])
    await page.get_by_role("button", name="Authorize").click()
    await expect(page.get_by_role("heading")).to_have_text("Back at the app")
    tokens = journey.landed(page.url)

    assert tokens.claims["name"] == "Jane Example"
    assert tokens.claims["groups"] == ["admins"]


async def test_who_mistypes_tries_again_and_who_cancels_reads_why(open_page, journey):
    page = await open_page(viewport=PHONE)
    await log_in(page, journey, "mistyped")
    await expect(page.get_by_role("alert")).to_have_text("Wrong name or password.")
    await page.get_by_label("Name").fill("jane")
    await page.get_by_label("Password").fill("password")
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("button", name="Cancel").click()

    await expect(page.locator("main")).to_contain_text("did not let you log in")
    await fits(page)
