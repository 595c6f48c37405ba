"""Who logs in with GitHub, and as whom."""

from __future__ import annotations

import asyncio
import json

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest

from dexcore.connector import Scopes
from dexcore.errors import (
    AccessDenied,
    NotInRequiredGroups,
    UpstreamError,
    UpstreamUnavailable,
)
from dexcore.oauth2.times import utcnow
from dexcore.storage.codec import parse_time
from dexcore.testing.upstreams.github import PENDING, address

CALLBACK = "https://dex.example/callback"


# — who --------------------------------------------------------------------------------


async def test_somebody_is_who_github_says(github, login):
    github.add("jane", id=12345678, name="Jane Example")
    found = await login.log_in(scopes=Scopes())

    assert found.user_id == "12345678"
    assert found.username == "Jane Example"
    assert found.preferred_username == "jane"
    assert (found.email, found.email_verified) == ("jane@example.com", True)
    assert found.groups == ()
    assert found.connector_data == b""


async def test_their_pages_and_their_picture_are_claims(github, login):
    more = {"html_url": "https://github.example/jane", "avatar_url": "", "blog": None}
    github.add("jane", id=7, more=more)
    found = await login.log_in()

    assert found.claims["profile"] == "https://github.example/jane"
    assert not found.claims["picture"]
    assert not found.claims["website"]


async def test_who_has_no_name_goes_by_their_login(github, login):
    github.add("jane", id=7)

    assert (await login.log_in()).username == "jane"


async def test_the_login_can_be_the_id(github, open_login):
    github.add("jane", id=7, name="Jane Example")
    found = await (await open_login(useLoginAsID=True)).log_in()

    assert (found.user_id, found.username) == ("jane", "Jane Example")


async def test_a_public_address_is_taken_without_asking_for_more(github, login):
    github.add("jane", id=7, email="jane@public.example")

    assert (await login.log_in()).email == "jane@public.example"
    assert github.asked("/api/v3/user/emails") == []


async def test_every_call_says_which_version_of_the_api_it_means(github, open_login):
    github.add("jane", id=7, orgs=["acme"])
    await (await open_login(orgs=[{"name": "acme"}])).log_in()
    calls = [seen for seen in github.requests if seen.path.startswith("/api/v3")]

    assert len(calls) == 4
    for seen in calls:
        assert seen.headers["X-GitHub-Api-Version"] == "2022-11-28"
        assert seen.headers["Authorization"].startswith("Bearer gho_")
        assert seen.headers["User-Agent"]


# — there and back ---------------------------------------------------------------------


async def test_the_browser_is_sent_with_state_scopes_and_a_challenge(login):
    begun = await login.connector.begin(Scopes(groups=True), CALLBACK, "s t")
    url = urlsplit(begun.url)
    query = {name: value for name, (value,) in parse_qs(url.query).items()}

    assert url.path == "/login/oauth/authorize"
    assert query.pop("code_challenge") != begun.connector_data.decode()
    assert query == {
        "client_id": "dexcore",
        "code_challenge_method": "S256",
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": "user:email read:org",
        "state": "s t",
    }


@pytest.mark.parametrize(
    ("keys", "groups", "scope"),
    [
        ({}, False, "user:email"),
        ({}, True, "user:email read:org"),
        ({"loadAllGroups": True}, False, "user:email"),
        ({"org": "acme"}, False, "user:email read:org"),
        ({"orgs": [{"name": "acme"}]}, False, "user:email read:org"),
    ],
)
async def test_organizations_are_asked_for_when_they_are_needed(
    open_login, keys, groups, scope
):
    login = await open_login(**keys)
    begun = await login.connector.begin(Scopes(groups=groups), CALLBACK, "s")

    assert parse_qs(urlsplit(begun.url).query)["scope"] == [scope]


async def test_on_github_com_site_and_api_are_two_hosts(open_login):
    login = await open_login(hostName="", rootCA="")
    begun = await login.connector.begin(Scopes(), CALLBACK, "s")

    assert begun.url.startswith("https://github.com/login/oauth/authorize?client_id=")
    assert login.connector.base == "https://api.github.com"
    assert login.connector.flow.token_endpoint.url == (
        "https://github.com/login/oauth/access_token"
    )


async def test_the_code_is_traded_with_the_verifier_and_the_secret_in_the_form(
    github, login
):
    github.add("jane", id=7)
    await login.log_in()
    (seen,) = github.asked("/login/oauth/access_token")

    assert "Authorization" not in seen.headers
    assert seen.form["client_secret"] == github.client_secret
    assert seen.form["redirect_uri"] == CALLBACK
    assert len(seen.form["code_verifier"]) == 43


async def test_a_redirect_uri_that_is_not_ours_is_a_mistake_of_the_file(open_login):
    login = await open_login(redirectURI="https://other.example/callback")
    with pytest.raises(UpstreamError, match="redirectURI is 'https://other"):
        await login.connector.begin(Scopes(), CALLBACK, "s")


@pytest.mark.parametrize("uri", ["", f"{CALLBACK}/github"])
async def test_the_redirect_uri_may_be_left_out_or_be_of_this_connector(
    github, open_login, uri
):
    github.add("jane", id=7)
    login = await open_login(redirectURI=uri)

    assert (await login.log_in()).user_id == "7"
    (seen,) = github.asked("/login/oauth/access_token")
    assert seen.form["redirect_uri"] == (uri or CALLBACK)


async def test_who_does_not_let_us_in_is_told_so(github, login):
    github.add("jane", id=7)
    with pytest.raises(AccessDenied, match="did not let you"):
        await login.log_in(error="access_denied", error_description="<b>No.</b>")


@pytest.mark.parametrize(
    ("back", "kind", "words"),
    [
        ({"error": "redirect_uri_mismatch"}, UpstreamError, '"redirect_uri_mismatch"'),
        ({"error": "application_suspended"}, UpstreamError, "application_suspended"),
        ({"error": "temporarily_unavailable"}, UpstreamUnavailable, "temporarily"),
        ({"code": ""}, UpstreamError, "without a code"),
        ({"code": "guessed"}, UpstreamError, "bad_verification_code"),
    ],
)
async def test_what_else_comes_back_is_an_error_of_github(
    github, login, back, kind, words
):
    github.add("jane", id=7)
    with pytest.raises(kind, match=words):
        await login.log_in(**back)
    assert github.asked("/api/v3/user") == []


async def test_a_code_works_in_the_browser_that_asked_for_it(github, login):
    github.add("jane", id=7)
    another = await login.connector.begin(Scopes(), CALLBACK, "s")
    with pytest.raises(UpstreamError, match="bad_verification_code"):
        await login.log_in(code=github.visit(another.url, "jane")["code"])


async def test_a_wrong_secret_is_told_to_the_log_and_not_shown(github, open_login):
    github.add("jane", id=7)
    login = await open_login(clientSecret="a secret nobody may read")
    with pytest.raises(UpstreamError, match="incorrect_client_credentials") as failed:
        await login.log_in()

    assert "nobody may read" not in str(failed.value)
    assert "nobody may read" not in repr(login.connector)


# — connector_data ---------------------------------------------------------------------


async def test_tokens_are_kept_as_dex_keeps_them_if_refresh_tokens_are_asked_for(
    github, login
):
    github.as_app()
    github.add("jane", id=7)
    kept = json.loads((await login.log_in()).connector_data)

    assert list(kept) == ["accessToken", "refreshToken", "expiry"]
    assert github.tokens[kept["accessToken"]].login == "jane"
    assert github.refresh_tokens[kept["refreshToken"]].login == "jane"
    left = parse_time(kept["expiry"]) - utcnow()
    assert timedelta(hours=7) < left <= timedelta(hours=8)


async def test_a_token_that_does_not_expire_is_kept_as_dex_keeps_it(github, login):
    github.add("jane", id=7)
    data = (await login.log_in()).connector_data
    token = json.loads(data)["accessToken"]

    assert data == (
        b'{"accessToken":"%s","expiry":"0001-01-01T00:00:00Z"}' % token.encode()
    )


# — addresses --------------------------------------------------------------------------

WORK = "jane@work.preferred-domain.co"


@pytest.mark.parametrize(
    ("domain", "emails", "taken"),
    [
        (
            "preferred-domain.co",
            [
                address("jane@example.com", primary=True),
                address("jane@preferred-domain.co"),
                address("second@preferred-domain.co"),
            ],
            "jane@preferred-domain.co",
        ),
        (
            "*.preferred-domain.co",
            [address("jane@example.com", primary=True), address(WORK)],
            WORK,
        ),
        (
            "preferred-domain.co",
            [address("jane@example.com", primary=True), address(WORK)],
            "jane@example.com",
        ),
        (
            "",
            [address(WORK), address("jane@b.example", primary=True)],
            "jane@b.example",
        ),
    ],
    ids=["exact", "pattern", "no match", "none preferred"],
)
async def test_an_address_of_the_preferred_domain_is_taken_or_else_the_primary_one(
    github, open_login, domain, emails, taken
):
    github.add("jane", id=7, email=domain and "public@example.com", emails=emails)
    login = await open_login(preferredEmailDomain=domain)

    assert (await login.log_in()).email == taken


async def test_who_has_neither_may_not_log_in(github, open_login):
    github.add("jane", id=7, emails=[address("jane@example.com")])
    login = await open_login(preferredEmailDomain="preferred-domain.co")
    with pytest.raises(
        AccessDenied,
        match="no verified, primary email or preferred-domain email",
    ):
        await login.log_in()


async def test_on_an_enterprise_server_every_address_counts_as_verified(github, login):
    emails = [address("jane@corp.example", primary=True, verified=False)]
    github.add("jane", id=7, emails=emails)

    assert (await login.log_in()).email == "jane@corp.example"


async def test_on_github_com_only_verified_addresses_count(github, open_login):
    mine = [
        address("jane@corp.example", verified=False),
        address("jane@example.com", primary=True, verified=False),
    ]
    github.add("jane", id=7, emails=mine)
    there = await open_login(preferredEmailDomain="corp.example")
    config = attrs.evolve(there.connector.config, host_name="", root_ca="")
    here = attrs.evolve(there, connector=attrs.evolve(there.connector, config=config))
    with pytest.raises(AccessDenied, match="no verified, primary email"):
        await here.log_in()
    mine[1]["verified"] = True

    assert (await here.log_in()).email == "jane@example.com"


async def test_addresses_are_looked_for_on_every_page(github, login):
    emails = [address(f"jane{n}@example.com") for n in range(5)]
    github.add(
        "jane", id=7, emails=[*emails, address("last@example.com", primary=True)]
    )
    github.per_page = 2

    assert (await login.log_in()).email == "last@example.com"
    assert len(github.asked("/api/v3/user/emails")) == 3


# — organizations and teams ------------------------------------------------------------

TEAMS = [
    ("org-1", "Team 1"),
    ("org-1", "Team 2"),
    ("org-2", "Team 3"),
    ("elsewhere", "Team 4"),
]


def add_jane(github, orgs=("org-1", "org-2", "org-3"), teams=TEAMS):
    return github.add("jane", id=7, orgs=[*orgs, "elsewhere"], teams=teams)


@pytest.mark.parametrize("last", [True, False])
async def test_all_groups_are_all_organizations_each_with_its_teams(
    github, open_login, last
):
    add_jane(github)
    github.per_page, github.last = 2, last
    found = await (await open_login(loadAllGroups=True)).log_in()

    assert found.groups == (
        "org-1",
        "org-1:Team 1",
        "org-1:Team 2",
        "org-2",
        "org-2:Team 3",
        "org-3",
        "elsewhere",
        "elsewhere:Team 4",
    )
    assert len(github.asked("/api/v3/user/orgs")) == 2
    assert len(github.asked("/api/v3/user/teams")) == 2


async def test_who_is_nowhere_has_no_groups(github, open_login):
    github.add("jane", id=7)

    assert (await (await open_login(loadAllGroups=True)).log_in()).groups == ()


@pytest.mark.parametrize(
    ("field", "groups"),
    [
        ("", ("org-1", "org-1:Team 1")),
        ("name", ("org-1", "org-1:Team 1")),
        ("slug", ("org-1", "org-1:team-1")),
        ("both", ("org-1", "org-1:Team 1", "org-1:team-1")),
    ],
)
async def test_a_team_is_called_by_its_name_its_slug_or_both(
    github, open_login, field, groups
):
    github.add("jane", id=7, orgs=["org-1"], teams=[("org-1", "Team 1")])
    login = await open_login(loadAllGroups=True, teamNameField=field)

    assert (await login.log_in()).groups == groups


@pytest.mark.parametrize(
    ("keys", "scopes", "groups"),
    [
        ({}, Scopes(groups=True), ()),
        ({"loadAllGroups": True}, Scopes(groups=True), ("org-1",)),
        ({"loadAllGroups": True}, Scopes(), ()),
    ],
)
async def test_all_groups_come_if_the_file_and_the_app_want_them(
    github, open_login, keys, scopes, groups
):
    github.add("jane", id=7, orgs=["org-1"])

    assert (await (await open_login(**keys)).log_in(scopes=scopes)).groups == groups


@pytest.mark.parametrize("scopes", [Scopes(), Scopes(groups=True)])
async def test_members_of_an_organization_get_their_teams_there(
    github, open_login, scopes
):
    add_jane(github)
    login = await open_login(orgs=[{"name": "org-1"}, {"name": "org-3"}])
    found = await login.log_in(scopes=scopes)

    assert found.groups == ("org-1:Team 1", "org-1:Team 2")
    assert len(github.asked("/api/v3/user/teams")) == 1


async def test_only_the_teams_that_are_named_count(github, open_login):
    add_jane(github)
    orgs = [
        {"name": "org-1", "teams": ["Team 2", "Nobody"]},
        {"name": "org-2", "teams": ["Nobody"]},
    ]

    assert (await (await open_login(orgs=orgs)).log_in()).groups == ("org-1:Team 2",)


@pytest.mark.parametrize(
    "keys",
    [
        {"orgs": [{"name": "org-9"}]},
        {"orgs": [{"name": "nowhere"}]},
        {"orgs": [{"name": "org-1", "teams": ["Team 3"]}]},
        {"orgs": [{"name": "org-1", "teams": ["team 1"]}]},
        {"org": "org-9"},
    ],
    ids=["not a member", "no such organization", "other team", "other case", "old key"],
)
@pytest.mark.parametrize("scopes", [Scopes(), Scopes(groups=True)])
async def test_who_is_in_no_required_organization_or_team_may_not_log_in(
    github, open_login, keys, scopes
):
    add_jane(github)
    github.add("else", id=9, orgs=["org-9"])
    with pytest.raises(NotInRequiredGroups) as refused:
        await (await open_login(**keys)).log_in(scopes=scopes)

    assert refused.value.user_id == "7"
    assert "not a member of any" in refused.value.description


async def test_who_has_been_invited_and_has_not_answered_is_no_member(
    github, open_login
):
    add_jane(github).orgs["org-1"] = PENDING
    with pytest.raises(NotInRequiredGroups):
        await (await open_login(orgs=[{"name": "org-1"}])).log_in()


async def test_a_public_member_of_the_name_of_somebody_else_is_not_believed(
    github, open_login
):
    # To a stranger GitHub answers 302, to the list of public members.
    add_jane(github, orgs=())
    github.add("else", id=9, orgs=["org-9"])
    github.organizations["org-9"].public.add("jane")
    with pytest.raises(NotInRequiredGroups):
        await (await open_login(orgs=[{"name": "org-9"}])).log_in()


async def test_the_old_key_gives_teams_without_the_organization(
    github, open_login, caplog
):
    add_jane(github)
    found = await (await open_login(org="org-1")).log_in(scopes=Scopes())

    assert found.groups == ("Team 1", "Team 2")
    assert "org is old" in caplog.text


async def test_who_must_sign_on_at_the_organization_first_is_told_how(
    github, open_login, caplog
):
    add_jane(github)
    github.organizations["org-1"].sso = True
    with pytest.raises(NotInRequiredGroups, match="org-1 wants you to sign on"):
        await (await open_login(orgs=[{"name": "org-1"}])).log_in()
    assert "SAML enforcement" in caplog.text


async def test_an_organization_that_hides_from_us_does_not_hide_the_others(
    github, open_login, caplog
):
    add_jane(github)
    github.organizations["org-1"].closed = True
    login = await open_login(orgs=[{"name": "org-1"}, {"name": "org-2"}])

    assert (await login.log_in()).groups == ("org-2:Team 3",)
    assert "403" in caplog.text


async def test_a_suspended_account_is_told_so(github, login):
    github.add("jane", id=7, suspended=True)
    with pytest.raises(AccessDenied, match="suspended"):
        await login.log_in()


async def test_two_hundred_people_at_once_are_not_mixed_up(github, open_login):
    for id in range(200):
        github.add(f"u{id}", id=id + 1, orgs=[f"o{id}"])
    login = await open_login(loadAllGroups=True)
    at_once = asyncio.Semaphore(20)

    async def one(id):
        async with at_once:
            found = await login.log_in(f"u{id}")
        return found.user_id, found.email, found.groups

    everybody = await asyncio.gather(*map(one, range(200)))

    assert everybody == [
        (str(id + 1), f"u{id}@example.com", (f"o{id}",)) for id in range(200)
    ]
