"""What GitHub answers, and what is made of it."""

from __future__ import annotations

import pytest

from aiohttp import web
from dexcore_connector_github.api import MOST_PAGES, Api, NotAllowed, next_link

from dexcore.errors import UpstreamError, UpstreamUnavailable
from dexcore.http import TLS, HttpClient
from dexcore.testing.upstreams import Upstream
from dexcore.testing.upstreams.github import error


@pytest.fixture
async def open_api():
    """Return what opens the API of an upstream."""
    clients = []

    def open_api(upstream, prefix=""):
        client = HttpClient(TLS(root_cas=(upstream.ca,)), timeout=5)
        clients.append(client)
        return Api(client, upstream.url + prefix, "Bearer a secret token")

    yield open_api
    for client in clients:
        await client.close()


@pytest.fixture
def upstream():
    with Upstream() as upstream:
        yield upstream


# — pages ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("", ""),
        ('<https://a.example/x?page=2>; rel="next"', "https://a.example/x?page=2"),
        ('<b>; rel="last", <a,c;d>; foo=1; rel="prev next"', "a,c;d"),
        ("<a>;rel=next", "a"),
        ('<a>; rel="last", <b>; rel="prev"', ""),
        ('<a>; title="next"', ""),
        ("nonsense; rel=next", ""),
        ("<" * 1000, ""),
    ],
)
def test_the_next_page_is_where_the_link_header_says(header, target):
    assert next_link(header) == target


async def test_the_token_is_not_sent_to_another_host(github, login):
    github.add("jane", id=7)
    with Upstream({"/": []}, tls=True) as other:
        github.next_link = f"{other.url}/"
        with pytest.raises(UpstreamError, match="continues on another host"):
            await login.log_in()
        assert other.requests == []


@pytest.mark.parametrize(
    "link",
    [
        "http://localhost:PORT/api/v3/user/emails?page=2",
        "https://localhost:PORT@evil.example/",
        "//evil.example/",
        "https://localhost:99999/",
    ],
)
async def test_nor_to_what_only_looks_like_this_one(github, login, link):
    github.add("jane", id=7)
    github.next_link = link.replace("PORT", str(github.port))
    with pytest.raises(UpstreamError, match="continues on another host"):
        await login.log_in()


async def test_a_page_that_leads_to_itself_is_the_last(github, login):
    github.add("jane", id=7)
    path = "/api/v3/user/emails?per_page=100"
    github.next_link = f"{github.url}{path}"

    assert (await login.log_in()).email == "jane@example.com"
    assert len(github.asked("/api/v3/user/emails")) == 1


async def test_a_list_without_an_end_ends(upstream, open_api):
    def page(seen):
        number = int(seen.query.get("page", 1))
        link = f'<{upstream.url}/user/orgs?page={number + 1}>; rel="next"'
        return web.json_response([{"login": "x"}], headers={"Link": link})

    upstream.answers["/user/orgs"] = page
    with pytest.raises(UpstreamError, match="more than 100 pages"):
        await open_api(upstream).orgs()
    assert len(upstream.requests) == MOST_PAGES


async def test_ten_thousand_teams_are_read(github, open_api):
    teams = [("acme", f"Team {n}") for n in range(10_000)]
    github.add("jane", id=7, orgs=["acme"], teams=teams)
    token = github.token("jane", "read:org")["access_token"]
    api = open_api(github, github.prefix)
    api = Api(api.http, api.base, f"Bearer {token}")

    assert len(await api.teams()) == 10_000


# — nonsense ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        [],
        None,
        {},
        {"id": "7", "login": "jane"},
        {"id": True, "login": "jane"},
        {"id": 7.0, "login": "jane"},
        {"id": 7, "login": ""},
        {"id": 7, "login": None},
    ],
)
async def test_what_is_no_user_is_an_error(upstream, open_api, answer):
    upstream.answers["/user"] = answer
    with pytest.raises(UpstreamError, match="GET http://localhost"):
        await open_api(upstream).user()


@pytest.mark.parametrize("name", ["emails", "orgs", "teams"])
async def test_what_is_no_list_is_an_error(upstream, open_api, name):
    upstream.answers[f"/user/{name}"] = {"message": "surprise"}
    with pytest.raises(UpstreamError, match="answered no list"):
        await getattr(open_api(upstream), name)()


async def test_entries_that_are_none_are_left_out(upstream, open_api):
    upstream.answers["/user/teams"] = [
        None,
        "team",
        {"name": "No organization", "slug": "n", "organization": None},
        {"name": "Core", "slug": "core", "organization": {"login": "acme"}},
        {"name": None, "organization": {}},
    ]
    found = await open_api(upstream).teams()

    assert [(team.org, team.name, team.slug) for team in found] == [
        ("acme", "Core", "core"),
        ("", "", ""),
    ]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(401, "Bad credentials"), UpstreamError),
        (error(403, "Resource not accessible by integration"), NotAllowed),
        (error(451, "Repository access blocked"), NotAllowed),
        (error(404, "Not Found"), UpstreamError),
        (error(400, "2022 is not a valid version"), UpstreamError),
        (error(429, ""), UpstreamUnavailable),
        (error(403, "No", **{"Retry-After": "1"}), UpstreamUnavailable),
        (error(403, "No", **{"X-RateLimit-Remaining": "0"}), UpstreamUnavailable),
        (error(403, "You triggered an abuse detection mechanism"), UpstreamUnavailable),
        (error(502, "Server Error"), UpstreamUnavailable),
        (error(301, "Moved Permanently"), UpstreamError),
    ],
    ids=lambda it: it.__name__ if isinstance(it, type) else f"{it.status} {it.text}",
)
async def test_every_error_is_what_it_means_and_says_what_github_said(
    upstream, open_api, answer, kind
):
    upstream.answers["/user"] = lambda seen: answer
    with pytest.raises(kind) as failed:
        await open_api(upstream).user()

    assert type(failed.value) is kind or kind is UpstreamError
    assert str(answer.status) in str(failed.value)
    assert "secret" not in str(failed.value)


async def test_a_member_is_who_is_answered_204_and_nobody_else(upstream, open_api):
    path, api = "/orgs/a b/members/jane", open_api(upstream)
    public = {"Location": f"{upstream.url}/orgs/a%20b/public_members/jane"}
    for status, headers, found in (
        (204, {}, True),
        (302, public, False),
        (404, {}, False),
    ):
        upstream.answers[path] = web.Response(status=status, headers=headers)
        assert await api.is_member("a b", "jane") is found


@pytest.mark.parametrize("status", [200, 202, 302, 307])
async def test_what_says_neither_is_an_error_and_no_no(upstream, open_api, status):
    upstream.answers["/orgs/acme/members/jane"] = web.Response(
        status=status, headers={"Location": "https://proxy.example/sorry"}
    )
    with pytest.raises(UpstreamError, match=f"answered {status}"):
        await open_api(upstream).is_member("acme", "jane")
