"""The whole way: from an app through dexcore and a provider to a verified ID token."""

from __future__ import annotations

import pytest

from dexcore.testing.browser import BrowserError, SyncBrowser
from dexcore.testing.journey import Journey
from dexcore.testing.upstreams.oauth2 import User

JANE = {
    "id": 12345678,
    "user_name": "Jane Example",
    "preferred_username": "jane",
    "email": "jane@example.com",
    "email_verified": True,
    "groups": ["admins", {"name": "authors"}],
}


@pytest.fixture
def travel(provider):
    """Return what opens a server that knows our provider; arguments are its keys."""
    opened = []

    def travel(**keys):
        config = {
            "clientID": provider.client_id,
            "clientSecret": provider.client_secret,
            "redirectURI": "$ISSUER/callback",
            "authorizationURL": f"{provider.url}/authorize",
            "tokenURL": f"{provider.url}/token",
            "userInfoURL": f"{provider.url}/userinfo",
            **keys,
        }
        connector = {"type": "oauth", "name": "Example", "config": config}
        opened.append(Journey(connector))
        return opened[-1]

    yield travel
    for journey in opened:
        journey.close()


@pytest.mark.parametrize("asks", [True, False])
def test_somebody_logs_in_and_is_who_the_provider_says(provider, travel, asks):
    provider.users["jane"], provider.asks = User(JANE), asks
    journey = travel()
    tokens = journey.log_in("jane", "password")

    assert tokens.claims["name"] == "Jane Example"
    assert tokens.claims["preferred_username"] == "jane"
    assert tokens.claims["email"] == "jane@example.com"
    assert tokens.claims["email_verified"] is True
    assert tokens.claims["groups"] == ["admins", "authors"]
    # "12345678" and "oauth", as dex writes subjects.
    assert tokens.claims["sub"] == "CggxMjM0NTY3OBIFb2F1dGg"
    assert journey.userinfo(tokens)["name"] == "Jane Example"


def test_browsers_may_come_back_to_the_connectors_own_address(provider, travel):
    provider.users["jane"] = User(JANE)
    journey = travel(redirectURI="$ISSUER/callback/oauth")

    assert journey.log_in("jane", "password").claims["name"] == "Jane Example"
    (seen,) = provider.asked("/token")
    assert seen.form["redirect_uri"] == f"{journey.issuer}/callback/oauth"


def test_whoever_takes_over_subjects_of_dex_can_keep_them(provider, travel):
    provider.users["jane"] = User(JANE)
    tokens = travel(userIDFormat="dex").log_in("jane", "password")

    # "1.2345678e+07" and "oauth"
    assert tokens.claims["sub"] == "Cg0xLjIzNDU2NzhlKzA3EgVvYXV0aA"


def test_there_is_no_refresh_token_as_in_dex(provider, travel):
    provider.users["jane"] = User(JANE)

    assert travel().log_in("jane", "password").refresh_token == ""


def test_groups_are_what_they_are_at_each_login(provider, travel):
    provider.users["jane"] = User({**JANE})
    journey = travel()
    journey.log_in("jane", "password")
    provider.users["jane"].info["groups"] = ["authors"]

    assert journey.log_in("jane", "password").claims["groups"] == ["authors"]
    without = journey.log_in("jane", "password", scopes="openid email")
    assert "groups" not in without.claims


def test_who_is_gone_upstream_logs_in_no_more(provider, travel):
    provider.users["jane"] = User(JANE)
    journey = travel()
    journey.log_in("jane", "password")
    del provider.users["jane"]
    with pytest.raises(BrowserError, match="Wrong name or password"):
        journey.log_in("jane", "password")


def test_who_does_not_agree_reads_why_they_are_not_logged_in(provider, travel):
    provider.users["jane"], provider.asks = User(JANE), True
    with pytest.raises(BrowserError) as refused:
        travel().log_in("jane", "password", approve=False)

    assert refused.value.page.status == 403
    assert "did not let you log in" in refused.value.page.words


@pytest.mark.parametrize(
    ("trouble", "path", "status"),
    [("status", "/token", 503), ("html", "/userinfo", 502), ("down", "", 503)],
)
def test_while_the_provider_is_in_trouble_nobody_is_logged_in(
    provider, travel, trouble, path, status
):
    provider.users["jane"] = User(JANE)
    journey = travel()
    begun = walk_to_the_callback(provider, journey)
    make = getattr(provider, trouble)
    with make(path=path) if path else make():
        page = begun()

    assert page.status == status
    assert "Try again later" in page.words
    assert journey.log_in("jane", "password").claims["name"] == "Jane Example"


def walk_to_the_callback(provider, journey):
    """Log Jane in up to where she would come back; return what goes on from there."""
    browser = SyncBrowser(stop_at=f"{journey.issuer}/callback")
    landing = browser.log_in(journey.authorization_url(), "jane", "password")

    def go_on():
        browser.browser.stop_at = journey.redirect_uri
        page = browser.authorize(landing.url)
        browser.close()
        return page

    return go_on


def test_a_state_that_is_not_ours_ends_the_login(provider, travel):
    provider.users["jane"] = User(JANE)
    provider.callback = {"state": "another"}
    with pytest.raises(BrowserError) as refused:
        travel().log_in("jane", "password")

    assert refused.value.page.status == 400
    assert provider.asked("/token") == []


def test_nothing_secret_is_in_the_log(provider, travel, caplog):
    caplog.set_level("DEBUG")
    provider.users["jane"] = User(JANE)
    journey = travel()
    journey.log_in("jane", "password")
    with provider.status(500, path="/userinfo"), pytest.raises(BrowserError):
        journey.log_in("jane", "password")
    (sent, *_) = (seen.form for seen in provider.asked("/token"))
    secrets = [provider.client_secret, sent["code"], sent["code_verifier"]]
    secrets += [
        seen.headers["Authorization"].removeprefix("Bearer ")
        for seen in provider.asked("/userinfo")
    ]
    said = caplog.text + "".join(str(vars(each)) for each in caplog.records)

    assert "userinfo" in said
    assert [
        secret for secret in secrets if secret.removeprefix("Bearer ") in said
    ] == []
