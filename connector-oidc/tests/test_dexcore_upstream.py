"""Another dexcore is the provider."""

import asyncio

import pytest

from playwright.async_api import expect

from dexcore.testing.browser import BrowserError, SyncBrowser
from dexcore.testing.chromium import PHONE, chromium
from dexcore.testing.journey import Journey
from dexcore.testing.tokens import TokenError

pytest_plugins = ["dexcore.testing.oidc_provider"]

JANE = "jane@example.com"


def connector(provider, **options):
    return {
        "type": "oidc",
        "name": "Another dexcore",
        "config": {
            "issuer": provider.issuer,
            "clientID": "downstream",
            "clientSecret": "a-secret-of-ours",
            "redirectURI": "$ISSUER/callback",
            "scopes": ["profile", "email", "groups", "offline_access"],
            "insecureEnableGroups": True,
            **options,
        },
    }


def register(provider, journey):
    provider.add_client(
        "downstream",
        secret="a-secret-of-ours",
        redirect_uris=[f"{journey.issuer}/callback"],
    )


@pytest.fixture
def journey(oidc_provider):
    oidc_provider.add_user(JANE, groups=["admins"], username="Jane", user_id="7")
    with Journey(connector(oidc_provider)) as journey:
        register(oidc_provider, journey)
        yield journey


def test_a_login_through_two_providers(journey, oidc_provider):
    tokens = journey.log_in(JANE, "password")
    assert tokens.claims["email"] == JANE
    assert tokens.claims["email_verified"] is True
    assert tokens.claims["name"] == "Jane"
    assert tokens.claims["groups"] == ["admins"]
    assert journey.userinfo(tokens)["groups"] == ["admins"]


def test_refreshes_reach_through_both(journey, oidc_provider):
    # Its refresh tokens rotate, and one that comes back ends the login.
    tokens = journey.log_in(JANE, "password")
    for groups in (["admins", "authors"], ["authors"], []):
        oidc_provider.add_user(JANE, groups=groups, username="Jane", user_id="7")
        tokens = journey.refresh(tokens)
        assert tokens.claims.get("groups", []) == groups


def test_who_is_gone_there_is_gone_here(journey, oidc_provider):
    tokens = journey.refresh(journey.log_in(JANE, "password"))
    del oidc_provider.users[JANE]
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)


def test_a_refresh_while_it_is_down_costs_nothing(journey, oidc_provider):
    tokens = journey.log_in(JANE, "password")
    with (
        oidc_provider.failing(status=503, path="/token"),
        pytest.raises(TokenError, match="503 "),
    ):
        journey.refresh(tokens)
    assert journey.refresh(tokens).claims["email"] == JANE


def test_a_demand_reaches_through_both(journey, oidc_provider):
    """The provider takes the claims parameter, and cannot do what it demands."""
    acr = '{"id_token": {"acr": {"essential": true, "values": ["gold"]}}}'
    url = journey.authorization_url(claims=acr)
    with SyncBrowser(stop_at=journey.redirect_uri) as browser:
        landed = browser.log_in(url, JANE, "password").url
    with pytest.raises(TokenError, match="unmet_authentication_requirements"):
        journey.landed(landed)
    oidc_provider.add_user(JANE, acr="gold", amr=["hwk"])
    url = journey.authorization_url(claims=acr.replace("}}}", '}, "amr": null}}'))
    with SyncBrowser(stop_at=journey.redirect_uri) as browser:
        landed = browser.log_in(url, JANE, "password").url
    claims = journey.landed(landed).claims
    assert (claims["acr"], claims["amr"]) == ("gold", ["hwk"])


@pytest.mark.parametrize("path", ["/token", "/keys"])
def test_a_login_while_it_is_down_is_a_page(journey, oidc_provider, path):
    with (
        oidc_provider.failing(status=503, path=path),
        pytest.raises(BrowserError) as refused,
    ):
        journey.log_in(JANE, "password")
    assert refused.value.page.status == 503
    assert journey.log_in(JANE, "password").claims["email"] == JANE


def test_new_keys_there_are_no_trouble_here(journey, oidc_provider):
    journey.log_in(JANE, "password")
    oidc_provider.rotate_keys(forget=True)
    assert journey.log_in(JANE, "password").claims["email"] == JANE


@pytest.mark.parametrize("trouble", [{"expired_key": True}, {"wrong_aud": "another"}])
def test_tokens_that_are_wrong_let_nobody_in(journey, oidc_provider, trouble):
    with oidc_provider.failing(**trouble), pytest.raises(BrowserError) as refused:
        journey.log_in(JANE, "password")
    assert refused.value.page.status == 502


def test_who_is_in_none_of_the_groups_reads_so(oidc_provider):
    oidc_provider.add_user(JANE, groups=["authors"])
    with Journey(connector(oidc_provider, allowedGroups=["admins"])) as journey:
        register(oidc_provider, journey)
        with pytest.raises(BrowserError, match="required groups") as refused:
            journey.log_in(JANE, "password")
    assert refused.value.page.status == 403


def test_a_secret_that_is_wrong_lets_nobody_in(oidc_provider):
    oidc_provider.add_user(JANE)
    with Journey(connector(oidc_provider, clientSecret="wrong")) as journey:
        register(oidc_provider, journey)
        with pytest.raises(BrowserError) as refused:
            journey.log_in(JANE, "password")
    assert refused.value.page.status == 502


async def test_jane_clicks_through_both_in_chromium(
    journey, oidc_provider, requires_program
):
    program = requires_program("chromium", install="apt-get install chromium")
    allowed = [journey.issuer, journey.app.url, oidc_provider.issuer]
    async with chromium(program, allowed) as open_page:
        page = await open_page(viewport=PHONE)
        await page.goto(journey.authorization_url())
        await page.get_by_label("Email Address").fill(JANE)
        await page.get_by_label("Password").fill("password")
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_role("button", name="Grant access").click()
        await expect(page.get_by_role("heading")).to_have_text("Back at the app")
        landed = page.url
    tokens = await asyncio.to_thread(journey.landed, landed)
    assert tokens.claims["email"] == JANE
