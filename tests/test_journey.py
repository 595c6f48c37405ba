"""From an app to its verified ID token, for every connector's tests."""

from __future__ import annotations

import attrs
import orjson
import pytest

from dexcore.jose import b64decode, b64encode
from dexcore.testing.browser import Browser, BrowserError
from dexcore.testing.journey import Journey
from dexcore.testing.tokens import TokenError
from dexcore.testing.verification import verified

MOCK = {"type": "mockCallback"}
JANE = {"type": "mockPassword", "config": {"username": "jane", "password": "fox"}}


@pytest.fixture(scope="module")
def journey():
    with Journey(MOCK, JANE) as journey:
        yield journey


def test_a_login_ends_in_tokens_that_refresh_and_open_userinfo(journey):
    tokens = journey.log_in("jane", "fox", connector="mockPassword")
    assert tokens.claims["email"] == "kilgore@kilgore.trout"
    refreshed = journey.refresh(tokens)
    assert refreshed.refresh_token != tokens.refresh_token
    assert journey.userinfo(refreshed)["name"] == "Kilgore Trout"


async def test_tests_with_an_event_loop_use_it_the_same_way(journey):
    tokens = journey.log_in(connector="mockCallback", scopes="openid groups")
    assert tokens.claims["groups"] == ["authors"]
    assert tokens.refresh_token == ""


def test_a_wrong_password_stands_on_the_page_that_says_so(journey):
    with pytest.raises(BrowserError) as refused:
        journey.log_in("jane", "wrong", connector="mockPassword")
    assert refused.value.page.status == 401


async def test_any_browser_can_walk_it(journey):
    url = journey.authorization_url(connector_id="mockCallback")
    async with Browser(stop_at=journey.redirect_uri) as browser:
        landing = await browser.log_in(url)
    assert journey.landed(landing.url).claims["name"] == "Kilgore Trout"
    with pytest.raises(TokenError, match="asked for no such login"):
        journey.landed(landing.url)


def test_consent_that_is_refused_ends_without_a_code():
    with (
        Journey(MOCK, settings={"oauth2": {"skipApprovalScreen": False}}) as asking,
        pytest.raises(TokenError, match="access_denied"),
    ):
        asking.log_in(approve=False)


def test_the_file_can_name_the_issuer():
    config = {"username": "$ISSUER", "password": "$SECRET"}
    named = {"type": "mockPassword", "config": config}
    with Journey(named, environ={"SECRET": "p"}) as journey:
        assert journey.log_in(journey.issuer, "p").claims["sub"]
        assert journey.states == {"mockPassword": ""}


def test_a_server_that_cannot_start_leaves_nothing_open():
    with pytest.raises(Exception, match="no connectors"):
        Journey()


# — what is verified -------------------------------------------------------------------


def spoiled(tokens, **claims):
    head, payload, signature = tokens.id_token.split(".")
    changed = {**orjson.loads(b64decode(payload)), **claims}
    return ".".join([head, b64encode(orjson.dumps(changed)), signature])


@pytest.fixture(scope="module")
def checked(journey):
    tokens = journey.log_in("jane", "fox", connector="mockPassword")
    right = {
        "issuer": journey.issuer,
        "jwks": journey.jwks,
        "audience": "app",
        "now": journey.clock.now(),
        "nonce": tokens.claims["nonce"],
    }
    assert verified(tokens, **right) is tokens
    return tokens, right


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"issuer": "https://else.example"}, "iss"),
        ({"audience": "other"}, "aud"),
        ({"nonce": "n"}, "nonce"),
        ({"jwks": {"keys": []}}, "No published key"),
    ],
)
def test_an_id_token_for_somebody_else_is_not_verified(checked, change, name):
    tokens, right = checked
    with pytest.raises(TokenError, match=name):
        verified(tokens, **{**right, **change})


@pytest.mark.parametrize(("seconds", "name"), [(90_000, "exp"), (-90, "iat")])
def test_an_id_token_counts_in_its_time(checked, journey, seconds, name):
    tokens, right = checked
    journey.clock.advance(seconds)
    try:
        with pytest.raises(TokenError, match=name):
            verified(tokens, **{**right, "now": journey.clock.now()})
    finally:
        journey.clock.advance(-seconds)


def test_an_access_token_must_be_the_one_that_came_with_it(checked):
    tokens, right = checked
    with pytest.raises(TokenError, match="at_hash"):
        verified(attrs.evolve(tokens, access_token="another"), **right)


def test_a_signature_over_something_else_is_none(checked):
    tokens, right = checked
    with pytest.raises(Exception, match="Verification failed"):
        verified(attrs.evolve(tokens, id_token=spoiled(tokens, sub="x")), **right)
    with pytest.raises(TokenError, match="no ID token"):
        verified(attrs.evolve(tokens, id_token=""), **right)
