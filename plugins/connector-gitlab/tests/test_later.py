"""What a refresh and a token exchange notice, keep, and do not mistake for a no."""

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
from dexcore.testing.upstreams.gitlab import DEVELOPER, OWNER

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"


@pytest.fixture
def jane(gitlab):
    return gitlab.add("jane", id=7, name="Jane", groups={"ops": OWNER})


# — refresh ----------------------------------------------------------------------------


async def test_a_refresh_token_is_always_used_and_replaced(gitlab, login, jane):
    before = await login.log_in()
    jane.name, jane.groups = "Jane Changed", {"dev": DEVELOPER}
    gitlab.add_groups("dev")
    after = await login.refresh(before)
    old, new = json.loads(before.connector_data), json.loads(after.connector_data)

    assert after == attrs.evolve(
        before,
        username="Jane Changed",
        groups=("dev",),
        connector_data=after.connector_data,
    )
    assert gitlab.asked("/oauth/token")[1].form["refresh_token"] == old["refreshToken"]
    assert list(gitlab.refresh_tokens) == [new["refreshToken"]]


async def test_without_a_refresh_token_the_access_token_is_used(gitlab, login, jane):
    gitlab.refreshable = False
    before = await login.log_in()

    assert json.loads(before.connector_data)["refreshToken"] == ""
    assert await login.refresh(before) == before
    assert len(gitlab.asked("/oauth/token")) == 1


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"no JSON", b'{"accessToken":"","refreshToken":""}']
)
async def test_without_tokens_nobody_is_asked(gitlab, login, data):
    with pytest.raises(AccessDenied, match="log in again"):
        await login.refresh(Identity("7", connector_data=data))
    assert gitlab.requests == []


async def test_a_narrower_refresh_keeps_the_new_tokens_too(gitlab, login, jane):
    before = await login.log_in()
    after = await login.refresh(before, Scopes())

    assert json.loads(after.connector_data)["refreshToken"] in gitlab.refresh_tokens
    assert (await login.refresh(after)).groups == ("ops",)


async def test_who_takes_back_what_they_allowed_is_logged_out(gitlab, login, jane):
    before = await login.log_in()
    gitlab.revoke("jane")
    with pytest.raises(AccessDenied, match="log in again"):
        await login.refresh(before)


async def test_who_is_blocked_is_refused(login, jane):
    before = await login.log_in()
    jane.blocked = True
    with pytest.raises(AccessDenied, match="blocked"):
        await login.refresh(before)


@pytest.mark.parametrize("scopes", [Scopes(True), Scopes(True, groups=True)])
async def test_who_leaves_the_group_is_refused(open_login, jane, scopes):
    login = await open_login(groups=["ops"])
    before = await login.log_in(scopes=scopes)
    jane.groups.clear()
    with pytest.raises(NotInRequiredGroups):
        await login.refresh(before, scopes)


async def test_a_token_of_somebody_else_is_not_believed(gitlab, login, jane):
    gitlab.add("john", id=8, groups={})
    johns = await login.log_in("john")
    with pytest.raises(AccessDenied):
        await login.refresh(attrs.evolve(johns, user_id="7"))


@pytest.mark.parametrize("path", ["/api/v4/user", "/oauth/userinfo"])
@pytest.mark.parametrize("status", [429, 500, 502])
async def test_a_new_refresh_token_outlives_a_failure_right_after_it(
    gitlab, login, jane, path, status
):
    before = await login.log_in()
    await login.remember(before)
    with gitlab.status(status, path=path), pytest.raises(UpstreamUnavailable):
        await login.refresh(before)
    kept = await login.context.kept(before)

    assert json.loads(kept)["refreshToken"] in gitlab.refresh_tokens
    again = await login.refresh(attrs.evolve(before, connector_data=kept))
    assert again.groups == ("ops",)


async def test_two_apps_of_one_person_do_not_take_the_token_from_each_other(
    gitlab, login, jane
):
    before = await login.log_in()
    await login.remember(before)
    found = await asyncio.gather(login.refresh(before), login.refresh(before))

    assert [each.groups for each in found] == [("ops",), ("ops",)]
    kept = json.loads(await login.context.kept(before))
    assert kept["refreshToken"] in gitlab.refresh_tokens


async def test_a_no_that_nobody_understands_revokes_nobody(gitlab, login, jane):
    before = await login.log_in()
    await login.remember(before)
    with (
        gitlab.status(403, path="/api/v4/user"),
        pytest.raises(UpstreamError, match="answered 403"),
    ):
        await login.refresh(before)


async def test_a_wrong_secret_of_ours_revokes_nobody(gitlab, login, jane):
    before = await login.log_in()
    gitlab.client_secret = "another"
    with pytest.raises(UpstreamError, match="invalid_client"):
        await login.refresh(before)


async def test_a_token_without_the_scope_for_groups_is_got_anew(login, jane):
    before = await login.log_in(scopes=Scopes(True))
    await login.remember(before)
    with pytest.raises(AccessDenied, match="log in again"):
        await login.refresh(before, Scopes(True, groups=True))


# — token exchange ---------------------------------------------------------------------


def token_of(gitlab, scope="read_user openid read_api", login="jane"):
    return gitlab.token(login, scope)["access_token"]


@pytest.mark.parametrize("type", [ACCESS_TOKEN, ID_TOKEN])
@pytest.mark.parametrize(
    ("keys", "user_id", "groups"),
    [
        ({}, "7", ("ops",)),
        ({"groups": ["ops"]}, "7", ("ops",)),
        ({"getGroupsPermission": True}, "7", ("ops", "ops:owner")),
        ({"useLoginAsID": True}, "jane", ("ops",)),
    ],
)
async def test_a_token_of_gitlab_tells_who_it_is(
    gitlab, open_login, jane, type, keys, user_id, groups
):
    login = await open_login(**keys)
    found = await login.connector.token_identity(type, token_of(gitlab))

    assert (found.user_id, found.groups) == (user_id, groups)
    assert found.connector_data == b""


async def test_restrictions_hold_for_tokens_too(gitlab, open_login, jane):
    login = await open_login(groups=["else"])
    with pytest.raises(NotInRequiredGroups):
        await login.connector.token_identity(ACCESS_TOKEN, token_of(gitlab))
    jane.blocked = True
    with pytest.raises(AccessDenied, match="blocked"):
        await login.connector.token_identity(ACCESS_TOKEN, token_of(gitlab))


async def test_a_token_that_is_none_any_more_is_denied(gitlab, login, jane):
    token = token_of(gitlab)
    gitlab.revoke("jane")
    with pytest.raises(AccessDenied, match="does not know this token"):
        await login.connector.token_identity(ACCESS_TOKEN, token)


async def test_a_token_that_may_not_tell_the_groups_is_denied(gitlab, login, jane):
    with pytest.raises(AccessDenied):
        await login.connector.token_identity(
            ACCESS_TOKEN, token_of(gitlab, "read_user")
        )
