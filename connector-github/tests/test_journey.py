"""The whole way: from an app through dexcore and GitHub to a verified ID token."""

from __future__ import annotations

import json

import pytest

from dexcore.testing.browser import BrowserError
from dexcore.testing.journey import Journey
from dexcore.testing.tokens import TokenError


@pytest.fixture
def travel(github):
    """Return what opens a server that knows our GitHub; arguments are keys of it."""
    opened = []

    def travel(**keys):
        config = {
            "clientID": github.client_id,
            "clientSecret": "$GITHUB_SECRET",
            "redirectURI": "$ISSUER/callback",
            "hostName": github.host,
            "rootCA": github.ca,
            **keys,
        }
        connector = {"type": "github", "name": "GitHub", "config": config}
        environ = {"GITHUB_SECRET": github.client_secret}
        journey = Journey(connector, environ=environ, ca=github.ca)
        opened.append(journey)
        return journey

    yield travel
    for journey in opened:
        journey.close()


@pytest.fixture
def jane(github):
    teams = [("acme", "Core Team"), ("acme", "Writers")]
    return github.add(
        "jane", id=12345678, name="Jane Example", orgs=["acme"], teams=teams
    )


def test_somebody_logs_in_refreshes_and_is_the_same(github, travel, jane):
    github.asks = True
    journey = travel(loadAllGroups=True)
    tokens = journey.log_in("jane", "password")

    assert tokens.claims["name"] == "Jane Example"
    assert tokens.claims["preferred_username"] == "jane"
    assert tokens.claims["email"] == "jane@example.com"
    assert tokens.claims["email_verified"] is True
    assert tokens.claims["groups"] == ["acme", "acme:Core Team", "acme:Writers"]
    # "12345678" and "github", as dex writes them.
    assert tokens.claims["sub"] == "CggxMjM0NTY3OBIGZ2l0aHVi"
    jane.teams.pop()
    refreshed = journey.refresh(tokens)
    assert refreshed.claims["groups"] == ["acme", "acme:Core Team"]
    assert journey.userinfo(refreshed)["name"] == "Jane Example"


def test_who_leaves_the_organization_gets_no_more_tokens(travel, jane):
    journey = travel(orgs=[{"name": "acme"}])
    tokens = journey.log_in("jane", "password")
    assert tokens.claims["groups"] == ["acme:Core Team", "acme:Writers"]
    jane.orgs.clear()
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)


def test_who_takes_back_what_they_allowed_gets_no_more_tokens(github, travel, jane):
    journey = travel()
    tokens = journey.log_in("jane", "password")
    github.revoke("jane")
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)


@pytest.mark.parametrize("trouble", ["down", "limit"])
def test_while_github_does_not_answer_the_refresh_token_stays_good(
    github, travel, jane, trouble
):
    journey = travel()
    tokens = journey.log_in("jane", "password")
    if trouble == "down":
        with github.down(), pytest.raises(TokenError, match="503"):
            journey.refresh(tokens)
    else:
        github.limit = "primary"
        with pytest.raises(TokenError, match="503"):
            journey.refresh(tokens)
        github.limit = ""

    assert journey.refresh(tokens).claims["sub"] == tokens.claims["sub"]


def test_a_replaced_refresh_token_is_kept_through_a_failure(github, travel, jane):
    github.as_app()
    github.expires_in = 5  # which is as good as expired
    journey = travel()
    tokens = journey.log_in("jane", "password")
    with github.status(502, path="/api/v3/user"), pytest.raises(TokenError):
        journey.refresh(tokens)

    refreshed = journey.refresh(tokens)
    again = journey.refresh(refreshed)
    assert again.claims["email"] == "jane@example.com"
    assert len(github.refresh_tokens) == 1


def test_a_stranger_reads_why_they_may_not_log_in(github, travel):
    github.add("john", id=8)
    journey = travel(orgs=[{"name": "acme", "teams": ["Core Team"]}])
    with pytest.raises(BrowserError) as refused:
        journey.log_in("john", "password")

    page = refused.value.page
    assert page.status == 403
    assert "not a member of any of the required organizations" in page.words


def test_who_does_not_authorize_us_reads_why_they_are_not_logged_in(
    github, travel, jane
):
    github.asks = True
    with pytest.raises(BrowserError) as refused:
        travel().log_in("jane", "password", approve=False)

    assert refused.value.page.status == 403
    assert "did not let you log in" in refused.value.page.words


def test_a_wrong_password_stays_at_github(travel, jane):
    with pytest.raises(BrowserError) as refused:
        travel().log_in("jane", "wrong")

    assert refused.value.page.status == 401
    assert "Wrong name or password" in refused.value.page.words


def test_nothing_secret_is_in_the_log(github, travel, jane, caplog):
    caplog.set_level("DEBUG")
    github.as_app()
    journey = travel(orgs=[{"name": "acme"}])
    tokens = journey.log_in("jane", "password")
    with github.status(500, path="/api/v3/user/teams"), pytest.raises(TokenError):
        journey.refresh(tokens)
    github.revoke("jane")
    with pytest.raises(TokenError):
        journey.refresh(tokens)

    said = caplog.text + json.dumps([str(vars(each)) for each in caplog.records])
    sent = [seen.form for seen in github.asked("/login/oauth/access_token")]
    secrets = [github.client_secret, sent[0]["code"], sent[0]["code_verifier"]]
    secrets += [
        seen.headers["Authorization"].split()[1]
        for seen in github.asked("/api/v3/user")
    ]
    assert "dexcore" in said
    assert [secret for secret in secrets if secret in said] == []
