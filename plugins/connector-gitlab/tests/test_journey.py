"""The whole way: from an app through dexcore and GitLab to a verified ID token."""

from __future__ import annotations

import pytest

from playwright.async_api import expect

from dexcore.testing.chromium import PHONE, chromium, fits
from dexcore.testing.journey import Journey
from dexcore.testing.tokens import TokenError
from dexcore.testing.upstreams.gitlab import OWNER


@pytest.fixture
def journey(gitlab):
    gitlab.asks = True
    gitlab.add("jane", id=12345678, name="Jane Example", groups={"ops": OWNER})
    config = {
        "clientID": gitlab.client_id,
        "clientSecret": gitlab.client_secret,
        "redirectURI": "$ISSUER/callback",
        "baseURL": gitlab.url,
        "groups": ["ops", "ops:owner"],
        "getGroupsPermission": True,
    }
    with Journey({"type": "gitlab", "name": "GitLab", "config": config}) as journey:
        yield journey


def test_somebody_logs_in_refreshes_and_is_the_same(gitlab, journey):
    tokens = journey.log_in("jane", "password")

    assert tokens.claims["name"] == "Jane Example"
    assert tokens.claims["preferred_username"] == "jane"
    assert tokens.claims["email"] == "jane@example.com"
    assert tokens.claims["groups"] == ["ops", "ops:owner"]
    # "12345678" and "gitlab", as dex writes them.
    assert tokens.claims["sub"] == "CggxMjM0NTY3OBIGZ2l0bGFi"
    gitlab.users["jane"].groups["ops"] = 10
    refreshed = journey.refresh(tokens)
    assert refreshed.claims["groups"] == ["ops"]
    gitlab.users["jane"].groups.clear()
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(refreshed)


def test_while_gitlab_is_down_the_refresh_token_stays_good(gitlab, journey):
    tokens = journey.log_in("jane", "password")
    with gitlab.down(), pytest.raises(TokenError, match="503"):
        journey.refresh(tokens)
    assert journey.refresh(tokens).claims["sub"] == tokens.claims["sub"]
    gitlab.revoke("jane")
    with pytest.raises(TokenError):
        journey.refresh(tokens)


async def test_somebody_logs_in_in_a_browser_and_is_noticed_to_have_left(
    requires_program, gitlab, journey
):
    program = requires_program("chromium", install="apt-get install chromium")
    allowed = [journey.issuer, journey.app.url, gitlab.url]
    async with chromium(program, allowed) as open_page:
        page = await open_page(viewport=PHONE, color_scheme="dark")
        await page.goto(journey.authorization_url())
        await fits(page)
        await page.get_by_label("Name").fill("jane")
        await page.get_by_label("Password").fill("password")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("listitem")).to_have_text(["read_user", "openid"])
        await page.get_by_role("button", name="Authorize").click()
        await expect(page.get_by_role("heading")).to_have_text("Back at the app")
        tokens = journey.landed(page.url)

    assert journey.refresh(tokens).claims["groups"] == ["ops", "ops:owner"]
    gitlab.users["jane"].groups.clear()
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)
