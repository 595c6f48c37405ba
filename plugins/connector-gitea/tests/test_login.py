"""Who logs in with Gitea, and as whom."""

from __future__ import annotations

import json

from urllib.parse import parse_qs, urlsplit

import pytest

from dexcore_connector_gitea.config import Config

from dexcore.config import structure
from dexcore.connector import Scopes
from dexcore.errors import (
    AccessDenied,
    ConfigError,
    NotInRequiredGroups,
    UpstreamError,
)
from dexcore.testing.upstreams.gitea import Gitea

CALLBACK = "https://dex.example/callback"
TEAMS = [("acme", "Owners"), ("acme", "Writers"), ("", "Lost"), ("else", "Owners")]


# — who --------------------------------------------------------------------------------


async def test_somebody_is_who_gitea_says(gitea, login):
    gitea.add("jane", id=12345678, full_name="Jane Example", teams=TEAMS)
    found = await login.log_in(scopes=Scopes(groups=True))

    assert found.user_id == "12345678"
    assert found.username == "Jane Example"
    assert found.preferred_username == "jane"
    assert (found.email, found.email_verified) == ("jane@example.com", True)
    assert (found.groups, found.connector_data) == ((), b"")
    assert gitea.asked("/api/v1/user/teams") == []


async def test_their_pages_and_their_picture_are_claims(gitea, login):
    more = {"html_url": "https://gitea.example/jane", "avatar_url": "", "website": None}
    gitea.add("jane", id=7, more=more)
    found = await login.log_in()

    assert found.claims["profile"] == "https://gitea.example/jane"
    assert not found.claims["picture"]
    assert not found.claims["website"]


async def test_who_has_no_name_goes_by_their_address(gitea, login):
    gitea.add("jane", id=7)
    found = await login.log_in()

    assert (found.username, found.user_id) == ("jane@example.com", "7")


async def test_the_user_name_can_be_the_id(gitea, open_login):
    gitea.add("jane", id=7, full_name="Jane Example")
    found = await (await open_login(useLoginAsID=True)).log_in()

    assert (found.user_id, found.username) == ("jane", "Jane Example")


async def test_tokens_are_kept_as_dex_keeps_them(gitea, login):
    gitea.add("jane", id=7)
    kept = json.loads((await login.log_in()).connector_data)

    assert list(kept) == ["accessToken", "refreshToken", "expiry"]
    assert gitea.tokens[kept["accessToken"]].login == "jane"
    assert gitea.refresh_tokens[kept["refreshToken"]].login == "jane"


async def test_an_account_that_may_not_sign_in_is_told_so(gitea, login):
    gitea.add("jane", id=7, prohibited=True)
    with pytest.raises(AccessDenied, match="may not sign in"):
        await login.log_in()


# — there and back ---------------------------------------------------------------------


async def test_no_scope_is_asked_for(login):
    begun = await login.connector.begin(Scopes(True, groups=True), CALLBACK, "s t")
    query = parse_qs(urlsplit(begun.url).query)

    assert urlsplit(begun.url).path == "/login/oauth/authorize"
    assert "scope" not in query
    assert query["state"] == ["s t"]
    assert query["code_challenge_method"] == ["S256"]


async def test_it_is_gitea_com_unless_the_file_says_otherwise(open_login):
    login = await open_login(baseURL="")

    assert login.connector.base == "https://gitea.com"
    assert login.connector.flow.token_endpoint.url == (
        "https://gitea.com/login/oauth/access_token"
    )


async def test_a_slash_at_the_end_of_its_address_does_not_matter(gitea, open_login):
    gitea.add("jane", id=7)
    login = await open_login(baseURL=f"{gitea.url}/")

    assert (await login.log_in()).user_id == "7"


# — organizations and teams ------------------------------------------------------------


@pytest.mark.parametrize("scopes", [Scopes(), Scopes(groups=True)])
async def test_all_groups_are_organizations_and_teams_each_once(
    gitea, open_login, scopes
):
    gitea.add("jane", id=7, teams=TEAMS)
    gitea.per_page = 2
    found = await (await open_login(loadAllGroups=True)).log_in(scopes=scopes)

    assert found.groups == (
        *("acme", "acme:Owners", "acme:Writers"),
        *("else", "else:Owners"),
    )
    assert [seen.query["page"] for seen in gitea.asked("/api/v1/user/teams")] == [
        *("1", "2", "3")
    ]


async def test_who_is_in_no_team_has_no_groups(gitea, open_login):
    gitea.add("jane", id=7)

    assert (await (await open_login(loadAllGroups=True)).log_in()).groups == ()


@pytest.mark.parametrize(
    ("orgs", "groups"),
    [
        ([{"name": "acme"}], ("acme",)),
        ([{"name": "acme", "teams": ["Owners"]}], ("acme", "acme:Owners")),
        (
            [{"name": "else"}, {"name": "acme", "teams": ["Writers", "Nobody"]}],
            ("acme", "acme:Writers", "else"),
        ),
        ([{"name": "else"}, {"name": "acme", "teams": ["Nobody"]}], ("else",)),
    ],
)
@pytest.mark.parametrize("scopes", [Scopes(), Scopes(groups=True)])
async def test_of_organizations_in_the_file_only_what_it_names_counts(
    gitea, open_login, orgs, groups, scopes
):
    gitea.add("jane", id=7, teams=TEAMS)

    assert (await (await open_login(orgs=orgs)).log_in(scopes=scopes)).groups == groups


@pytest.mark.parametrize(
    "orgs",
    [
        [{"name": "nowhere"}],
        [{"name": "Acme"}],
        [{"name": "acme", "teams": ["Nobody"]}],
        [{"name": "else", "teams": ["Writers"]}],
    ],
)
@pytest.mark.parametrize("scopes", [Scopes(), Scopes(groups=True)])
async def test_who_is_in_none_of_them_may_not_log_in(gitea, open_login, orgs, scopes):
    gitea.add("jane", id=7, teams=TEAMS)
    login = await open_login(orgs=orgs, loadAllGroups=True)
    with pytest.raises(NotInRequiredGroups) as refused:
        await login.log_in(scopes=scopes)

    assert refused.value.user_id == "7"
    assert refused.value.groups == (orgs[0]["name"],)


# — nonsense ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "answer", "words"),
    [
        ("/api/v1/user", {"id": "7", "login": "jane"}, "answered no user"),
        ("/api/v1/user", {"id": 0, "login": "jane"}, "answered no user"),
        ("/api/v1/user", {"id": 7}, "answered no user"),
        ("/api/v1/user", [], "not an object"),
        ("/api/v1/user/teams", {}, "answered no list"),
        ("/api/v1/user/teams", [None], "more than 100 pages"),
    ],
)
async def test_what_gitea_never_says_is_an_error(
    gitea, open_login, path, answer, words
):
    gitea.add("jane", id=7)
    login = await open_login(loadAllGroups=True)
    with gitea.saying(answer, path=path), pytest.raises(UpstreamError, match=words):
        await login.log_in()


# — the file ---------------------------------------------------------------------------

KEYS = {"clientID": "id", "clientSecret": "a secret", "redirectURI": CALLBACK}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"clientID": ""}, "clientID is empty"),
        ({"baseURL": "gitea.example.com"}, "baseURL is no http or https address"),
        ({"orgs": [{"name": ""}]}, "name is empty"),
        ({"orgs": ["acme"]}, "orgs"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(keys, words):
    with pytest.raises(ConfigError, match=words) as refused:
        structure({**KEYS, **keys}, Config, where="connector 'gitea'")
    assert "connector 'gitea'" in str(refused.value)


def test_every_key_of_dex_is_known_in_any_case(caplog):
    keys = {
        **KEYS,
        "BASEURL": "https://gitea.example.com",
        "orgs": [{"NAME": "acme", "teams": ["core"]}],
        "useLoginAsID": True,
        "loadallgroups": True,
    }
    config = structure(keys, Config)

    assert config.orgs[0].teams == ("core",)
    assert config.use_login_as_id
    assert config.load_all_groups
    assert not caplog.records
    assert "a secret" not in repr(config)


async def test_a_certificate_of_ones_own_is_believed_if_the_file_names_its_authority(
    open_login,
):
    with Gitea(tls=True) as secure:
        secure.add("jane", id=7)
        keys = {"baseURL": secure.url, "clientSecret": secure.client_secret}
        strict = await open_login(**keys)
        with pytest.raises(UpstreamError, match="certificate"):
            await strict.at(secure).log_in()
        login = await open_login(**keys, rootCAs=[secure.ca])

        assert (await login.at(secure).log_in()).user_id == "7"
