"""Who logs in with GitLab, and as whom."""

from __future__ import annotations

import base64
import json

from urllib.parse import parse_qs, urlsplit

import pytest

from dexcore_connector_gitlab.config import Config

from dexcore.config import structure
from dexcore.connector import Scopes
from dexcore.errors import (
    AccessDenied,
    ConfigError,
    NotInRequiredGroups,
    UpstreamError,
)
from dexcore.testing.upstreams.gitlab import (
    DEVELOPER,
    GUEST,
    MAINTAINER,
    OWNER,
    REPORTER,
    GitLab,
)

CALLBACK = "https://dex.example/callback"
GROUPS = Scopes(groups=True)


# — who --------------------------------------------------------------------------------


async def test_somebody_is_who_gitlab_says(gitlab, login):
    gitlab.add("jane", id=12345678, name="Jane Example", groups={"ops": OWNER})
    found = await login.log_in(scopes=Scopes())

    assert found.user_id == "12345678"
    assert found.username == "Jane Example"
    assert found.preferred_username == "jane"
    assert (found.email, found.email_verified) == ("jane@example.com", True)
    assert (found.groups, found.connector_data) == ((), b"")
    assert gitlab.asked("/oauth/userinfo") == []


async def test_their_pages_and_their_picture_are_claims(gitlab, login):
    more = {
        "web_url": "https://gitlab.example/jane",
        "avatar_url": "",
        "website_url": None,
    }
    gitlab.add("jane", id=7, groups={}, more=more)
    found = await login.log_in()

    assert found.claims["profile"] == "https://gitlab.example/jane"
    assert not found.claims["picture"]
    assert not found.claims["website"]


async def test_who_has_no_name_goes_by_their_address(gitlab, login):
    gitlab.add("jane", id=7, groups={})

    assert (await login.log_in()).username == "jane@example.com"


async def test_the_user_name_can_be_the_id(gitlab, open_login):
    gitlab.add("jane", id=7, name="Jane Example", groups={})
    found = await (await open_login(useLoginAsID=True)).log_in()

    assert (found.user_id, found.username) == ("jane", "Jane Example")


async def test_tokens_are_kept_as_dex_keeps_them(gitlab, login):
    gitlab.add("jane", id=7, groups={})
    kept = json.loads((await login.log_in()).connector_data)

    assert list(kept) == ["accessToken", "refreshToken"]
    assert gitlab.tokens[kept["accessToken"]].login == "jane"
    assert gitlab.refresh_tokens[kept["refreshToken"]].login == "jane"


async def test_a_blocked_account_is_told_so(gitlab, login):
    gitlab.add("jane", id=7, groups={}, blocked=True)
    with pytest.raises(AccessDenied, match="blocked"):
        await login.log_in()


# — there and back ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "groups", "scope"),
    [
        ({}, False, "read_user"),
        ({}, True, "read_user openid"),
        ({"groups": ["ops"]}, False, "read_user openid"),
        ({"inheritedGroups": True}, False, "read_user"),
        ({"inheritedGroups": True}, True, "read_user openid read_api"),
        (
            {"inheritedGroups": True, "groups": ["ops"]},
            False,
            "read_user openid read_api",
        ),
        (
            {"inheritedGroups": True, "getGroupsPermission": True},
            True,
            "read_user openid read_api",
        ),
    ],
)
async def test_it_asks_for_what_it_needs(open_login, keys, groups, scope):
    login = await open_login(**keys)
    begun = await login.connector.begin(Scopes(groups=groups), CALLBACK, "s t")
    query = parse_qs(urlsplit(begun.url).query)

    assert urlsplit(begun.url).path == "/oauth/authorize"
    assert query["scope"] == [scope]
    assert query["state"] == ["s t"]
    assert query["code_challenge_method"] == ["S256"]


async def test_it_is_gitlab_com_unless_the_file_says_otherwise(open_login):
    login = await open_login(baseURL="")

    assert login.connector.base == "https://gitlab.com"
    assert login.connector.flow.token_endpoint.url == "https://gitlab.com/oauth/token"


async def test_a_slash_at_the_end_of_its_address_does_not_matter(gitlab, open_login):
    gitlab.add("jane", id=7, groups={})
    login = await open_login(baseURL=f"{gitlab.url}/")

    assert (await login.log_in()).user_id == "7"


# — groups -----------------------------------------------------------------------------

MEMBER = {
    "ops": OWNER,
    "dev/project1": MAINTAINER,
    "dev": DEVELOPER,
    "ops-test": GUEST,
}
EVERYWHERE = ("ops", "ops/project", "ops-test", "dev", "dev/project1", "dev/project2")


def add_jane(gitlab, **groups):
    gitlab.add_groups(*EVERYWHERE)
    return gitlab.add("jane", id=7, groups=groups or MEMBER)


async def test_groups_are_those_of_the_user_info(gitlab, login):
    add_jane(gitlab)

    assert (await login.log_in()).groups == EVERYWHERE
    assert gitlab.asked("/api/v4/groups") == []


async def test_groups_come_only_if_the_app_asks_for_them(gitlab, open_login):
    add_jane(gitlab)
    login = await open_login(inheritedGroups=True)

    assert (await login.log_in(scopes=Scopes())).groups == ()


async def test_inherited_groups_come_from_the_api_page_by_page(gitlab, open_login):
    gitlab.add_groups(*(f"top/g{number}" for number in range(100)))
    gitlab.add("jane", id=7, groups={"top": GUEST})
    found = await (await open_login(inheritedGroups=True)).log_in()
    pages = gitlab.asked("/api/v4/groups")

    assert len(found.groups) == 101
    assert [seen.query["page"] for seen in pages] == ["1", "2"]
    assert pages[0].query["all_available"] == "false"
    assert pages[0].query["per_page"] == "100"
    assert gitlab.asked("/oauth/userinfo") == []


async def test_what_somebody_is_in_a_group_is_another_group(gitlab, open_login):
    add_jane(gitlab)
    found = await (await open_login(getGroupsPermission=True)).log_in()

    assert found.groups == (
        *EVERYWHERE,
        "ops:owner",
        "ops/project:owner",
        "dev:developer",
        "dev/project1:maintainer",
        "dev/project2:developer",
    )


async def test_the_api_knows_more_of_what_somebody_is(gitlab, open_login):
    add_jane(gitlab, **{"ops": OWNER, "dev": REPORTER, "ops-test": GUEST})
    login = await open_login(getGroupsPermission=True, inheritedGroups=True)
    found = await login.log_in()

    assert found.groups == (
        *EVERYWHERE,
        "ops:owner",
        "ops/project:owner",
        "ops-test:guest",
        "dev:reporter",
        "dev/project1:reporter",
        "dev/project2:reporter",
    )


async def test_a_group_whose_members_nobody_may_list_is_a_group_all_the_same(
    gitlab, open_login
):
    add_jane(gitlab, **{"dev": REPORTER, "ops-test": 7})
    gitlab.hidden.add("dev")
    login = await open_login(getGroupsPermission=True, inheritedGroups=True)
    found = (await login.log_in()).groups

    assert found == (
        *("ops-test", "dev", "dev/project1", "dev/project2"),
        *("dev/project1:reporter", "dev/project2:reporter"),
    )


@pytest.mark.parametrize("inherited", [False, True])
@pytest.mark.parametrize("scopes", [Scopes(), GROUPS])
async def test_only_the_groups_of_the_file_count(gitlab, open_login, inherited, scopes):
    add_jane(gitlab)
    login = await open_login(
        groups=["dev", "ops/project:owner", "else", "ops-test:owner"],
        inheritedGroups=inherited,
        getGroupsPermission=True,
    )

    assert (await login.log_in(scopes=scopes)).groups == ("dev", "ops/project:owner")


@pytest.mark.parametrize("inherited", [False, True])
@pytest.mark.parametrize("scopes", [Scopes(), GROUPS])
@pytest.mark.parametrize("groups", [["else"], ["Ops"], ["ops:owner"], ["op"]])
async def test_who_is_in_none_of_them_may_not_log_in(
    gitlab, open_login, inherited, scopes, groups
):
    add_jane(gitlab)
    login = await open_login(groups=groups, inheritedGroups=inherited)
    with pytest.raises(NotInRequiredGroups) as refused:
        await login.log_in(scopes=scopes)

    assert refused.value.user_id == "7"
    assert refused.value.groups == tuple(groups)


# — nonsense ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "answer", "words"),
    [
        ("/api/v4/user", {"id": "7", "username": "jane"}, "answered no user"),
        ("/api/v4/user", {"id": 0, "username": "jane"}, "answered no user"),
        ("/api/v4/user", {"id": 7}, "answered no user"),
        ("/api/v4/user", [], "not an object"),
        ("/oauth/userinfo", {"groups": "ops"}, "no list of texts"),
        ("/oauth/userinfo", {"groups": [7]}, "no list of texts"),
        (
            "/oauth/userinfo",
            {"https://gitlab.org/claims/groups/owner": {}},
            "no list of texts",
        ),
        ("/api/v4/groups", {}, "answered no list"),
        ("/api/v4/groups", [{"id": 0, "full_path": "a"}], "without id or path"),
        ("/api/v4/groups", [{"id": 7, "full_path": None}], "without id or path"),
        ("/api/v4/groups", ["a"], "without id or path"),
    ],
)
async def test_what_gitlab_never_says_is_an_error(
    gitlab, open_login, path, answer, words
):
    add_jane(gitlab)
    login = await open_login(inheritedGroups=path == "/api/v4/groups")
    with gitlab.saying(answer, path=path), pytest.raises(UpstreamError, match=words):
        await login.log_in()


# — the file ---------------------------------------------------------------------------

KEYS = {"clientID": "id", "clientSecret": "a secret", "redirectURI": CALLBACK}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"clientID": ""}, "clientID is empty"),
        ({"baseURL": "gitlab.example.com"}, "baseURL is no http or https address"),
        ({"groups": {"a": 1}}, "groups"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(keys, words):
    with pytest.raises(ConfigError, match=words) as refused:
        structure({**KEYS, **keys}, Config, where="connector 'gitlab'")
    assert "connector 'gitlab'" in str(refused.value)


def test_every_key_of_dex_is_known_in_any_case(caplog):
    keys = {
        **KEYS,
        "BASEURL": "https://gitlab.example.com",
        "groups": ["a"],
        "useLoginAsID": True,
        "getGroupsPermission": True,
        "inheritedgroups": True,
        "rootCAData": "LS0t",
    }
    config = structure(keys, Config)

    assert config.use_login_as_id
    assert config.get_groups_permission
    assert config.inherited_groups
    assert not caplog.records
    assert "a secret" not in repr(config)


async def test_a_root_certificate_that_is_none_is_a_mistake_of_the_file(open_login):
    with pytest.raises(ValueError, match="invalid rootCAData"):
        await open_login(rootCAData=base64.b64encode(b"no PEM").decode())


async def test_a_certificate_of_ones_own_is_believed_if_the_file_names_its_authority(
    open_login,
):
    with GitLab(tls=True) as secure:
        secure.add("jane", id=7, groups={})
        keys = {"baseURL": secure.url, "clientSecret": secure.client_secret}
        strict = await open_login(**keys)
        with pytest.raises(UpstreamError, match="certificate"):
            await strict.at(secure).log_in()
        data = base64.b64encode(secure.ca.encode()).decode()
        login = await open_login(**keys, rootCAData=data)

        assert (await login.at(secure).log_in()).user_id == "7"
