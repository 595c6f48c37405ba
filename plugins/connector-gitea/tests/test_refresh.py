"""What a refresh notices, what it keeps, and what it does not mistake for a no."""

from __future__ import annotations

import asyncio
import json

import attrs
import pytest

from dexcore.connector import Identity, Scopes
from dexcore.errors import (
    AccessDenied,
    NotInRequiredGroups,
    UpstreamError,
    UpstreamUnavailable,
)


@pytest.fixture
def jane(gitea):
    return gitea.add("jane", id=7, full_name="Jane", teams=[("acme", "Owners")])


async def test_a_token_that_is_still_good_is_used_as_it_is(gitea, open_login, jane):
    login = await open_login(loadAllGroups=True)
    before = await login.log_in()
    jane.full_name, jane.email = "Jane Changed", "changed@example.com"
    jane.teams.append(("acme", "Writers"))
    after = await login.refresh(before, Scopes())

    assert after == attrs.evolve(
        before,
        username="Jane Changed",
        email="changed@example.com",
        groups=("acme", "acme:Owners", "acme:Writers"),
    )
    assert len(gitea.asked("/login/oauth/access_token")) == 1


async def test_an_expired_token_is_replaced_and_the_new_one_used(gitea, login, jane):
    before = await login.log_in()
    login.clock.advance(hours=2)
    after = await login.refresh(before)
    old, new = json.loads(before.connector_data), json.loads(after.connector_data)
    (seen,) = gitea.asked("/login/oauth/access_token")[1:]

    assert seen.form["refresh_token"] == old["refreshToken"]
    assert list(gitea.refresh_tokens) == [new["refreshToken"]]
    last = gitea.asked("/api/v1/user")[-1]
    assert last.headers["Authorization"] == f"Bearer {new['accessToken']}"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"no JSON",
        b'{"accessToken":"a","refreshToken":"","expiry":"2001-01-01T00:00:00Z"}',
    ],
)
async def test_without_tokens_nobody_is_asked(gitea, login, data):
    with pytest.raises(AccessDenied, match="log in again"):
        await login.refresh(Identity("7", connector_data=data))
    assert gitea.requests == []


@pytest.mark.parametrize("hours", [0, 2])
async def test_who_takes_back_what_they_allowed_is_logged_out(
    gitea, login, jane, hours
):
    before = await login.log_in()
    gitea.revoke("jane")
    login.clock.advance(hours=hours)
    with pytest.raises(AccessDenied, match="log in again"):
        await login.refresh(before)


async def test_who_may_not_sign_in_any_more_is_refused(login, jane):
    before = await login.log_in()
    jane.prohibited = True
    with pytest.raises(AccessDenied, match="may not sign in"):
        await login.refresh(before)


@pytest.mark.parametrize("teams", [[], [("acme", "Writers")], [("else", "Owners")]])
async def test_who_leaves_the_team_is_refused(open_login, jane, teams):
    login = await open_login(orgs=[{"name": "acme", "teams": ["Owners"]}])
    before = await login.log_in()
    jane.teams = teams
    with pytest.raises(NotInRequiredGroups):
        await login.refresh(before)


async def test_a_token_of_somebody_else_is_not_believed(gitea, login, jane):
    gitea.add("john", id=8)
    johns = await login.log_in("john")
    with pytest.raises(AccessDenied):
        await login.refresh(attrs.evolve(johns, user_id="7"))


@pytest.mark.parametrize("path", ["/api/v1/user", "/api/v1/user/teams"])
@pytest.mark.parametrize("status", [429, 500])
async def test_a_new_refresh_token_outlives_a_failure_right_after_it(
    gitea, open_login, jane, path, status
):
    login = await open_login(loadAllGroups=True)
    before = await login.log_in()
    await login.remember(before)
    login.clock.advance(hours=2)
    with gitea.status(status, path=path), pytest.raises(UpstreamUnavailable):
        await login.refresh(before)
    kept = await login.context.kept(before)

    assert json.loads(kept)["refreshToken"] in gitea.refresh_tokens
    again = await login.refresh(attrs.evolve(before, connector_data=kept))
    assert again.groups == before.groups


async def test_two_apps_of_one_person_do_not_take_the_token_from_each_other(
    gitea, login, jane
):
    before = await login.log_in()
    await login.remember(before)
    login.clock.advance(hours=2)
    found = await asyncio.gather(login.refresh(before), login.refresh(before))

    assert [each.username for each in found] == ["Jane", "Jane"]
    kept = json.loads(await login.context.kept(before))
    assert kept["refreshToken"] in gitea.refresh_tokens


async def test_a_no_that_nobody_understands_revokes_nobody(gitea, login, jane):
    before = await login.log_in()
    await login.remember(before)
    with (
        gitea.status(403, path="/api/v1/user"),
        pytest.raises(UpstreamError, match="answered 403"),
    ):
        await login.refresh(before)


@pytest.mark.parametrize(
    "said", [("invalid_client", ""), ("unauthorized_client", "invalid client secret")]
)
async def test_a_wrong_secret_of_ours_revokes_nobody(gitea, login, jane, said):
    before = await login.log_in()
    login.clock.advance(hours=2)
    error, description = said
    answer = {"error": error, "error_description": description}
    with (
        gitea.saying(answer, path="/login/oauth/access_token"),
        pytest.raises(UpstreamError, match=error),
    ):
        await login.refresh(before)
