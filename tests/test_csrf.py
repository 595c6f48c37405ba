"""Forms that change something are accepted from our own pages only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import attrs
import pytest

from aiohttp import ClientSession, CookieJar, web
from aiohttp.test_utils import BaseTestServer, TestServer

from dexcore.errors import Forbidden
from dexcore.server.csrf import FIELD, Csrf
from dexcore.server.urls import Issuer

ISSUER = Issuer("http://op.example/dex")


@attrs.frozen
class Site:
    """A form at ``/dex/form`` on a real server, and a browser that looks at it."""

    server: BaseTestServer
    browser: ClientSession

    async def form(self) -> str:
        async with self.browser.get(self.server.make_url("/dex/form")) as answer:
            return await answer.text()

    async def send(
        self,
        form: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        browser: ClientSession | None = None,
    ) -> int:
        async with (browser or self.browser).post(
            self.server.make_url("/dex/form"), data=form, headers=headers
        ) as answer:
            return answer.status


def serve(csrf: Csrf) -> web.Application:
    async def get(request: web.Request) -> web.Response:
        issued = csrf.issue(request)
        response = web.Response(text=issued.value)
        csrf.remember(response, issued)
        return response

    async def post(request: web.Request) -> web.Response:
        try:
            csrf.check(request, await request.post())
        except Forbidden as refusal:
            return web.Response(status=refusal.status, text=refusal.description)
        return web.Response()

    app = web.Application()
    app.router.add_get("/dex/form", get)
    app.router.add_post("/dex/form", post)
    return app


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with (
        TestServer(serve(Csrf(b"k" * 32, ISSUER))) as server,
        ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser,
    ):
        yield Site(server, browser)


async def test_a_form_of_ours_is_accepted(site: Site) -> None:
    assert await site.send({FIELD: await site.form()}) == 200


async def test_an_older_page_in_another_tab_still_works(site: Site) -> None:
    older, newer = await site.form(), await site.form()

    assert older != newer
    assert await site.send({FIELD: older}) == 200


@pytest.mark.parametrize(
    "token", ["", "x", "AAAA", "ä", "A" * 64, "=" * 64, "A" * 100_000]
)
async def test_a_made_up_token_is_refused(site: Site, token: str) -> None:
    await site.form()

    assert await site.send({FIELD: token}) == 403


async def test_a_form_without_a_token_is_refused(site: Site) -> None:
    await site.form()

    assert await site.send({"other": "field"}) == 403


async def test_a_token_is_of_no_use_in_another_browser(site: Site) -> None:
    stolen = await site.form()
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as other:
        assert await site.send({FIELD: stolen}, browser=other) == 403
        async with other.get(site.server.make_url("/dex/form")) as answer:
            await answer.text()
        assert await site.send({FIELD: stolen}, browser=other) == 403


async def test_a_planted_cookie_is_of_no_use_without_our_key(site: Site) -> None:
    csrf = Csrf(b"the key of a stranger", ISSUER)
    async with (
        TestServer(serve(csrf)) as stranger,
        ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser,
    ):
        async with browser.get(stranger.make_url("/dex/form")) as answer:
            token = await answer.text()

        assert await site.send({FIELD: token}, browser=browser) == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "what is this"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://op.example.evil.example"},
        {"Origin": "http://op.example:81"},
        {"Origin": "https://op.example"},
        {"Origin": "http://op.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
async def test_a_form_from_another_site_is_refused_even_with_a_token(
    site: Site, headers: Mapping[str, str]
) -> None:
    assert await site.send({FIELD: await site.form()}, headers) == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://op.example", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://op.example"},
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://localhost:5556", "Host": "localhost:5556"},
        {"Sec-Fetch-Site": "none"},
    ],
)
async def test_what_a_browser_says_of_our_own_pages_is_accepted(
    site: Site, headers: Mapping[str, str]
) -> None:
    assert await site.send({FIELD: await site.form()}, headers) == 200


@pytest.mark.parametrize(
    ("issuer", "name", "path", "secure"),
    [
        ("http://op.example/dex", "dexcore_csrf", "/dex", False),
        ("https://op.example/dex", "__Secure-dexcore_csrf", "/dex", True),
        ("https://op.example", "__Host-dexcore_csrf", "/", True),
    ],
)
async def test_the_cookie_is_as_narrow_as_the_issuer_allows(
    issuer: str, name: str, path: str, secure: bool
) -> None:
    async with (
        TestServer(serve(Csrf(b"k", Issuer(issuer)))) as server,
        ClientSession() as browser,
        browser.get(server.make_url("/dex/form")) as answer,
    ):
        cookie = answer.cookies[name]

    assert cookie["path"] == path
    assert bool(cookie["secure"]) is secure
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert not cookie["domain"]


async def test_the_key_and_the_secret_are_never_shown() -> None:
    csrf = Csrf(b"top secret", ISSUER)

    assert "top secret" not in repr(csrf)
