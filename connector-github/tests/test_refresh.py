"""What a refresh notices, what it keeps, and what it does not mistake for a no."""

from __future__ import annotations

import asyncio
import json

from datetime import timedelta

import attrs
import pytest

from dexcore.connector import Identity, Scopes
from dexcore.errors import (
    AccessDenied,
    NotInRequiredGroups,
    UpstreamError,
    UpstreamUnavailable,
)
from dexcore.oauth2.times import utcnow
from dexcore.storage.codec import parse_time
from dexcore.testing.upstreams.github import PENDING

OFFLINE = Scopes(offline_access=True)
ACME = {"orgs": [{"name": "acme", "teams": ["Core"]}]}


@pytest.fixture
def jane(github):
    teams = [("acme", "Core")]
    return github.add("jane", id=7, name="Jane", orgs=["acme"], teams=teams)


def calls(github):
    return [seen.path for seen in github.requests if "/api/" in seen.path]


# — what changes -----------------------------------------------------------------------


async def test_a_token_that_does_not_expire_is_used_as_it_is(github, login, jane):
    before = await login.log_in()
    jane.name, jane.emails[0]["email"] = "Jane Changed", "changed@example.com"
    after = await login.refresh(before)

    assert after == attrs.evolve(
        before, username="Jane Changed", email="changed@example.com"
    )
    assert len(github.asked("/login/oauth/access_token")) == 1


async def test_an_expired_token_is_replaced_and_the_new_one_used(github, login, jane):
    github.as_app()
    before = await login.log_in()
    login.clock.advance(hours=9)
    after = await login.refresh(before)
    old, new = json.loads(before.connector_data), json.loads(after.connector_data)
    (seen,) = github.asked("/login/oauth/access_token")[1:]

    assert seen.form["grant_type"] == "refresh_token"
    assert seen.form["refresh_token"] == old["refreshToken"]
    assert seen.form["client_secret"] == github.client_secret
    assert new["refreshToken"] in github.refresh_tokens
    assert old["refreshToken"] not in github.refresh_tokens
    assert parse_time(new["expiry"]) > utcnow() + timedelta(hours=16)
    last = github.asked("/api/v3/user")[-1]
    assert last.headers["Authorization"] == f"Bearer {new['accessToken']}"


async def test_somebody_who_renames_themselves_stays_who_they_are(
    github, open_login, jane
):
    login = await open_login(useLoginAsID=True)
    before = await login.log_in()
    del github.users["jane"]
    github.users["jane"] = attrs.evolve(jane, login="janet")
    after = await login.refresh(before)

    assert (after.user_id, after.preferred_username) == ("jane", "janet")


async def test_groups_stay_as_they_were_if_nobody_asks_for_them(
    github, open_login, jane
):
    login = await open_login(loadAllGroups=True)
    before = await login.log_in()
    jane.orgs.clear()

    assert (await login.refresh(before, OFFLINE)).groups == before.groups
    assert (await login.refresh(before)).groups == ()


async def test_a_narrower_refresh_keeps_the_new_tokens_too(github, login, jane):
    github.as_app()
    before = await login.log_in()
    login.clock.advance(hours=9)
    after = await login.refresh(before, Scopes())

    assert json.loads(after.connector_data)["refreshToken"] in github.refresh_tokens


async def test_what_dex_has_kept_is_understood(github, login, jane):
    token = github.token("jane", "user:email")["access_token"]
    data = (
        b'{"accessToken":"%s","expiry":"0001-01-01T00:00:00Z"}' % token.encode(),
        b'{"accessToken":"%s","refreshToken":"r",'
        b'"expiry":"2999-01-02T03:04:05.123456789+02:00"}' % token.encode(),
    )
    for kept in data:
        after = await login.refresh(Identity("7", connector_data=kept))
        assert after.email == "jane@example.com"
        assert after.connector_data == kept


# — who may not any more ---------------------------------------------------------------


async def test_who_takes_back_what_they_allowed_is_logged_out(github, login, jane):
    before = await login.log_in()
    github.revoke("jane")
    with pytest.raises(AccessDenied, match="log in again"):
        await login.refresh(before)


async def test_so_is_who_does_it_while_the_token_has_expired(github, login, jane):
    github.as_app()
    before = await login.log_in()
    login.clock.advance(hours=9)
    github.revoke("jane")
    with pytest.raises(AccessDenied, match="log in again"):
        await login.refresh(before)


@pytest.mark.parametrize(
    "change",
    [
        lambda jane: jane.orgs.clear(),
        lambda jane: jane.orgs.update(acme=PENDING),
        lambda jane: jane.teams.clear(),
    ],
    ids=["left the organization", "invited again", "left the team"],
)
@pytest.mark.parametrize("scopes", [OFFLINE, Scopes(True, groups=True)])
async def test_who_is_in_no_required_team_any_more_is_refused(
    open_login, jane, change, scopes
):
    login = await open_login(**ACME)
    before = await login.log_in(scopes=scopes)
    change(jane)
    with pytest.raises(NotInRequiredGroups):
        await login.refresh(before, scopes)


async def test_who_is_suspended_is_refused(login, jane):
    before = await login.log_in()
    jane.suspended = True
    with pytest.raises(AccessDenied, match="suspended"):
        await login.refresh(before)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"no JSON",
        b"[]",
        b'{"accessToken":"","expiry":"0001-01-01T00:00:00Z"}',
        b'{"accessToken":"a","expiry":"2001-01-01T00:00:00Z"}',
        b'{"accessToken":"a","expiry":"yesterday"}',
    ],
)
async def test_without_tokens_nobody_is_asked(github, login, data):
    with pytest.raises(AccessDenied, match="log in again"):
        await login.refresh(Identity("7", connector_data=data))
    assert github.requests == []


async def test_a_token_without_the_scope_for_groups_is_got_anew(open_login, jane):
    login = await open_login(loadAllGroups=True)
    before = await login.log_in(scopes=OFFLINE)
    with pytest.raises(AccessDenied, match="log in again"):
        await login.refresh(before)


async def test_a_token_of_somebody_else_is_not_believed(github, login, jane):
    github.add("john", id=8)
    johns = await login.log_in("john")
    with pytest.raises(AccessDenied):
        await login.refresh(attrs.evolve(johns, user_id="7"))


# — what is no "no" --------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["primary", "retry-after", "secondary"])
async def test_over_a_rate_limit_nobody_has_been_revoked(github, login, jane, limit):
    before = await login.log_in()
    github.limit = limit
    with pytest.raises(UpstreamUnavailable, match="rate limit"):
        await login.refresh(before)
    github.limit = ""

    assert await login.refresh(before) == before


@pytest.mark.parametrize("path", ["/api/v3/user", "/api/v3/orgs", "/api/v3/user/teams"])
@pytest.mark.parametrize("trouble", ["hang_up", "status"])
async def test_while_github_is_down_nobody_has_been_revoked(
    github, open_login, jane, path, trouble
):
    login = await open_login(**ACME)
    before = await login.log_in()
    with getattr(github, trouble)(path=path), pytest.raises(UpstreamUnavailable):
        await login.refresh(before)

    assert await login.refresh(before) == before


async def test_a_no_that_nobody_understands_revokes_nobody(github, login, jane):
    before = await login.log_in()
    with (
        github.status(403, path="/api/v3/user"),
        pytest.raises(UpstreamError, match="answered 403"),
    ):
        await login.refresh(before)

    assert await login.refresh(before) == before


async def test_a_wrong_secret_of_ours_revokes_nobody(github, login, jane):
    github.as_app()
    before = await login.log_in()
    login.clock.advance(hours=9)
    github.client_secret = "another"
    with pytest.raises(UpstreamError, match="incorrect_client_credentials"):
        await login.refresh(before)


# — tokens that are good once ----------------------------------------------------------


async def test_a_new_refresh_token_outlives_a_failure_right_after_it(
    github, login, jane
):
    github.as_app()
    before = await login.log_in()
    await login.remember(before)
    login.clock.advance(hours=9)
    with github.status(502, path="/api/v3/user"), pytest.raises(UpstreamUnavailable):
        await login.refresh(before)
    kept = await login.context.kept(before)

    assert json.loads(kept)["refreshToken"] in github.refresh_tokens
    again = await login.refresh(attrs.evolve(before, connector_data=kept))
    assert again.email == "jane@example.com"
    assert len(github.asked("/login/oauth/access_token")) == 2


async def test_two_apps_of_one_person_do_not_take_the_token_from_each_other(
    github, login, jane
):
    github.as_app()
    before = await login.log_in()
    await login.remember(before)
    login.clock.advance(hours=9)
    one, other = await asyncio.gather(login.refresh(before), login.refresh(before))

    assert one.email == other.email == "jane@example.com"
    assert json.loads(other.connector_data)["refreshToken"] in github.refresh_tokens
    assert len(github.refresh_tokens) == 1
