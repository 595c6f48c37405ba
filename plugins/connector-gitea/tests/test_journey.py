"""The whole way: from an app through dexcore and Gitea to a verified ID token."""

from __future__ import annotations

import pytest

from playwright.async_api import expect

from dexcore.testing.chromium import PHONE, chromium, fits
from dexcore.testing.journey import Journey
from dexcore.testing.tokens import TokenError


@pytest.fixture
def journey(gitea):
    gitea.asks, gitea.expires_in = True, 5  # tokens are as good as expired at once
    teams = [("acme", "Owners"), ("acme", "Writers")]
    gitea.add("jane", id=12345678, full_name="Jane Example", teams=teams)
    config = {
        "clientID": gitea.client_id,
        "clientSecret": gitea.client_secret,
        "redirectURI": "$ISSUER/callback",
        "baseURL": gitea.url,
        "orgs": [{"name": "acme", "teams": ["Owners", "Writers"]}],
    }
    with Journey({"type": "gitea", "name": "Gitea", "config": config}) as journey:
        yield journey


def test_somebody_logs_in_refreshes_and_is_the_same(gitea, journey):
    tokens = journey.log_in("jane", "password")

    assert tokens.claims["name"] == "Jane Example"
    assert tokens.claims["preferred_username"] == "jane"
    assert tokens.claims["email"] == "jane@example.com"
    assert tokens.claims["groups"] == ["acme", "acme:Owners", "acme:Writers"]
    # "12345678" and "gitea", as dex writes them.
    assert tokens.claims["sub"] == "CggxMjM0NTY3OBIFZ2l0ZWE"
    gitea.users["jane"].teams.pop()
    refreshed = journey.refresh(tokens)
    assert refreshed.claims["groups"] == ["acme", "acme:Owners"]
    gitea.users["jane"].teams.clear()
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(refreshed)


def test_while_gitea_is_down_the_refresh_token_stays_good(gitea, journey):
    tokens = journey.log_in("jane", "password")
    with gitea.down(), pytest.raises(TokenError, match="503"):
        journey.refresh(tokens)
    assert journey.refresh(tokens).claims["sub"] == tokens.claims["sub"]


async def test_somebody_logs_in_in_a_browser_and_is_noticed_to_have_left(
    requires_program, gitea, journey
):
    program = requires_program("chromium", install="apt-get install chromium")
    allowed = [journey.issuer, journey.app.url, gitea.url]
    async with chromium(program, allowed) as open_page:
        page = await open_page(viewport=PHONE)
        await page.goto(journey.authorization_url())
        await fits(page)
        await page.get_by_label("Name").fill("jane")
        await page.get_by_label("Password").fill("password")
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("button", name="Authorize").click()
        await expect(page.get_by_role("heading")).to_have_text("Back at the app")
        tokens = journey.landed(page.url)

    assert journey.refresh(tokens).claims["name"] == "Jane Example"
    gitea.revoke("jane")
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)
