"""npm's oidc-provider, certified and strict, is the provider: PKCE and rotation on."""

import asyncio

import pytest

from dexcore.testing.browser import Browser
from dexcore.testing.journey import Journey
from dexcore.testing.tokens import TokenError

JANE = {
    "name": "Jane Doe",
    "preferred_username": "jane",
    "email": "jane@example.com",
    "email_verified": True,
    "groups": ["admins"],
}


def connector(provider, **options):
    return {
        "type": "oidc",
        "name": "Node",
        "config": {
            "issuer": provider.issuer,
            "clientID": "dexcore",
            "clientSecret": "a secret: of 100 %",
            "redirectURI": "$ISSUER/callback",
            "scopes": ["profile", "email", "groups", "offline_access"],
            "insecureEnableGroups": True,
            **options,
        },
    }


@pytest.fixture
def provider(start_node_provider):
    return start_node_provider(jane=JANE)


@pytest.fixture
def journey(provider):
    with Journey(connector(provider)) as journey:
        yield journey


def test_a_login_through_its_pages(journey):
    tokens = journey.log_in("jane", "password")
    assert tokens.claims["email"] == "jane@example.com"
    assert tokens.claims["name"] == "Jane Doe"
    assert tokens.claims["groups"] == ["admins"]
    assert journey.userinfo(tokens)["preferred_username"] == "jane"


def test_refreshes_reach_it_and_rotate(journey, provider):
    # One of its refresh tokens that is used twice ends the login.
    tokens = journey.log_in("jane", "password")
    for groups in (["admins", "authors"], ["authors"], []):
        provider.set_users(jane={**JANE, "groups": groups})
        tokens = journey.refresh(tokens)
        assert tokens.claims.get("groups", []) == groups


def test_who_is_gone_there_is_gone_here(journey, provider):
    tokens = journey.refresh(journey.log_in("jane", "password"))
    provider.set_users()
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)


def test_what_else_it_knows_is_told(provider):
    more = {"given_name": "Jane", "updated_at": 7, "address": {"country": "CH"}}
    provider.set_users(jane={**JANE, **more})
    scopes = ["profile", "email", "address", "offline_access"]
    with Journey(connector(provider, scopes=scopes)) as journey:
        asked = "openid profile address offline_access"
        tokens = journey.log_in("jane", "password", scopes=asked)
        for _ in range(2):
            assert more.items() <= tokens.claims.items()
            more["given_name"] = "Joan"
            provider.set_users(jane={**JANE, **more})
            tokens = journey.refresh(tokens)


def test_userinfo_says_the_same(provider):
    with Journey(connector(provider, getUserInfo=True)) as journey:
        tokens = journey.refresh(journey.log_in("jane", "password"))
    assert tokens.claims["groups"] == ["admins"]


def test_the_secret_goes_in_the_form_too(provider):
    with Journey(connector(provider, basicAuthUnsupported=True)) as journey:
        tokens = journey.log_in("jane", "password")
    assert tokens.claims["email"] == "jane@example.com"


async def test_who_cancels_there_reads_so_here(journey):
    async with Browser(stop_at=journey.redirect_uri) as browser:
        page = await browser.authorize(journey.authorization_url())
        page = await browser.follow(page, page.link("Cancel"))
    assert page.status == 403
    assert "refused at the identity provider" in page.words


async def test_jane_clicks_through_it_in_chromium(provider, example_app):
    """Login, consent, claims and refreshes in the app, until she is gone there."""
    fonts = "https://fonts.googleapis.com/"
    asks = {"oauth2": {"skipApprovalScreen": False}}
    journey = await asyncio.to_thread(Journey, connector(provider), settings=asks)
    try:
        upstream = [provider.issuer, fonts]
        async with example_app(journey, upstream, [provider.issuer]) as app:
            # Its pages want a font from elsewhere; nothing leaves this machine.
            await app.page.route(
                f"{fonts}**",
                lambda route: route.fulfill(body="", content_type="text/css"),
            )
            page = await app.begin()
            await page.get_by_placeholder("Enter any login").fill("jane")
            await page.get_by_placeholder("and password").fill("password")
            await page.get_by_role("button", name="Sign-in").click()
            await page.get_by_role("button", name="Continue").click()
            await app.agree()
            claims = await app.claims()
            assert claims["email"] == "jane@example.com"
            assert claims["groups"] == '["admins"]'
            provider.set_users(jane={**JANE, "groups": ["authors"]})
            assert await app.refresh() == "The tokens are new."
            assert (await app.claims())["groups"] == '["authors"]'
            provider.set_users()
            assert "invalid_grant" in await app.refresh()
    finally:
        await asyncio.to_thread(journey.close)
