"""The browser of the test kit walks as browsers do."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from aiohttp import web
from aiohttp.test_utils import TestServer

from dexcore.testing.browser import Browser, BrowserError, Landing, Page, SyncBrowser
from dexcore.testing.page import parse

pytest_plugins = ["dexcore.testing.oidc_provider"]

APP = "http://app.example/cb"


@asynccontextmanager
async def served(**pages):
    """Serve each of *pages* under its name."""
    app = web.Application()
    for name, handler in pages.items():
        app.router.add_route("*", f"/{name}", handler)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


def html(text, **headers):
    async def handler(request):
        return web.Response(text=text, content_type="text/html", headers=headers)

    return handler


def redirect(location, status=302, cookie=""):
    async def handler(request):
        response = web.Response(status=status, headers={"Location": location})
        if cookie:
            response.headers["Set-Cookie"] = cookie
        return response

    return handler


async def echo(request):
    """Say what arrived, as a page."""
    words = [request.method, *(f"{k}={v}" for k, v in (await request.post()).items())]
    words += [f"{name}:{value}" for name, value in request.headers.items()]
    return web.Response(text=f"<p>{' '.join(words)}</p>", content_type="text/html")


# — reading a page ---------------------------------------------------------------------


def test_a_page_is_read_as_a_person_sees_it():
    page = parse(
        "http://op.example/dex/auth?a=1",
        200,
        "<title>Login</title><style>p {}</style><script>no()</script>"
        "<h1>Log  in</h1><a href='auth/ldap?b=2'>Log in with <b>LDAP</b></a>",
        {},
    )
    assert page.words == "Login Log in Log in with LDAP"
    assert page.link("LDAP").url == "http://op.example/dex/auth/ldap?b=2"
    with pytest.raises(LookupError, match="Log in with LDAP"):
        page.link("GitHub")


def test_a_form_is_read_as_the_page_filled_it_in():
    page = parse(
        "http://op.example/login?state=x",
        200,
        """<form method=POST><input name=login value=jane><input type=password name=p>
        <input type=hidden name=t value=1><input type=checkbox name=keep checked>
        <input type=checkbox name=other><input type=submit name=go value=Go>
        <button name=approval value=rejected>No</button>
        <button type=button name=x>Nothing</button></form>""",
        {},
    )
    form = page.form("p")
    assert form.url == "http://op.example/login?state=x"
    assert form.fields == {"login": "jane", "p": "", "t": "1", "keep": "on"}
    assert [button.text for button in form.buttons] == ["Go", "No"]
    assert form.sent_by(form.buttons[1])["approval"] == "rejected"
    with pytest.raises(LookupError):
        page.form("email")


# — walking ----------------------------------------------------------------------------


async def test_a_login_ends_at_the_redirect_uri_of_its_request():
    async with (
        served(auth=redirect(f"{APP}?code=c&state=a%26b")) as url,
        Browser() as browser,
    ):
        landing = await browser.log_in(f"{url}auth?redirect_uri={APP}")
    assert landing == Landing(
        f"{APP}?code=c&state=a%26b", {"code": "c", "state": "a&b"}
    )


async def test_without_a_redirect_uri_another_origin_is_the_app():
    away = redirect("http://other.example/#id_token=t")
    async with served(auth=away) as url, Browser() as browser:
        landing = await browser.log_in(f"{url}auth")
    assert landing.params == {"id_token": "t"}


async def test_cookies_come_back_as_they_were_set():
    pages = {"auth": redirect("/page", cookie="c=a/b==|x; Path=/"), "page": echo}
    async with served(**pages) as url, Browser() as browser:
        page = await browser.open(f"{url}auth")
    assert isinstance(page, Page)
    assert "Cookie:c=a/b==|x " in page.words


@pytest.mark.parametrize(("status", "method"), [(303, "GET"), (307, "POST")])
async def test_a_redirected_post_stays_one_only_where_it_must(status, method):
    pages = {
        "page": html("<form method=post action=/post><input name=a value=1></form>"),
        "post": redirect("/end", status),
        "end": echo,
    }
    async with served(**pages) as url, Browser() as browser:
        page = await browser.open(f"{url}page")
        end = await browser.submit(page, page.form())
    assert end.words.startswith(method)
    assert ("a=1" in end.words) == (method == "POST")


async def test_a_post_says_where_it_comes_from_unless_the_page_forbids():
    form = "<form method=post action=/end></form>"
    quiet = html(form, **{"Referrer-Policy": "no-referrer"})
    pages = {"open": html(form), "quiet": quiet, "end": echo}
    async with served(**pages) as url, Browser() as browser:
        page = await browser.open(f"{url}open")
        told = (await browser.submit(page, page.form())).words
        page = await browser.open(f"{url}quiet")
        untold = (await browser.submit(page, page.form())).words
    assert f"Origin:{url.rstrip('/')}" in told
    assert "Sec-Fetch-Site:same-origin" in told
    assert "Origin:null" in untold


async def test_a_lax_cookie_is_withheld_from_a_post_of_another_site():
    set_cookies = redirect("/end", cookie="lax=1; SameSite=Lax; Path=/")
    async with served(set=set_cookies, end=echo) as url:
        form = f"<form method=post action={url}end></form>"
        async with served(foreign=html(form)) as other, Browser() as browser:
            assert "lax=1" in (await browser.open(f"{url}set")).words
            other = other.replace("127.0.0.1", "localhost")
            browser.stop_at = "http://never.example/"
            page = await browser.open(f"{other}foreign")
            arrived = await browser.submit(page, page.form())
    assert "Sec-Fetch-Site:cross-site" in arrived.words
    assert "lax=1" not in arrived.words


async def test_a_form_without_anything_to_fill_in_is_sent_on():
    pages = {
        "auth": html("<form method=post action=/on><input type=hidden name=x></form>"),
        "on": redirect(f"{APP}?code=1", 303),
    }
    async with served(**pages) as url, Browser(stop_at=APP) as browser:
        assert (await browser.log_in(f"{url}auth")).params == {"code": "1"}


async def test_a_circle_of_redirects_is_left():
    async with served(auth=redirect("/auth")) as url, Browser() as browser:
        with pytest.raises(BrowserError, match="redirects"):
            await browser.log_in(f"{url}auth")


async def test_pages_that_never_end_are_left():
    same = html("<form method=post><input type=password name=p></form>")
    async with served(auth=same) as url, Browser() as browser:
        with pytest.raises(BrowserError, match="had not ended"):
            await browser.log_in(f"{url}auth", "jane", "x")


async def test_a_connector_is_picked_by_name_or_id_and_missing_ones_are_listed():
    listed = html(
        "<a href='/auth/ldap'>Log in with Directory</a>"
        "<a href='/auth/gh'>Log in with GitHub</a><a href='/help'>Help</a>"
    )
    app = web.Application()
    app.router.add_get("/auth", listed)
    app.router.add_get("/auth/{id}", redirect(f"{APP}?code=1"))
    async with TestServer(app) as server, Browser(stop_at=APP) as browser:
        url = str(server.make_url("/auth"))
        for name in ("GitHub", "gh"):
            assert (await browser.log_in(url, connector=name)).params["code"] == "1"
            assert browser.history[-1].endswith("/auth/gh")
        with pytest.raises(BrowserError, match=r"Directory.*GitHub"):
            await browser.log_in(url, connector="SAML")
        with pytest.raises(BrowserError, match="Which connector"):
            await browser.log_in(url)


async def test_consent_is_given_or_not():
    page = html(
        "<form method=post action=/done>"
        "<button name=approval value=approve>Yes</button>"
        "<button name=approval value=rejected>No</button></form>"
    )

    async def done(request):
        answer = (await request.post())["approval"]
        return web.Response(status=303, headers={"Location": f"{APP}?answer={answer}"})

    async with served(auth=page, done=done) as url, Browser(stop_at=APP) as browser:
        yes = await browser.log_in(f"{url}auth")
        no = await browser.log_in(f"{url}auth", approve=False)
        with pytest.raises(BrowserError, match="does not ask"):
            await browser.decide(parse(url, 200, "<p>Hello</p>", {}), approve=True)
    assert [yes.params["answer"], no.params["answer"]] == ["approve", "rejected"]


def test_a_test_without_an_event_loop_walks_too(oidc_providers):
    with oidc_providers.open() as provider, SyncBrowser() as browser:
        url = (
            f"{provider.issuer}/auth?client_id=app&response_type=code&scope=openid"
            "&redirect_uri=http://127.0.0.1/callback"
        )
        provider.add_user()
        page = browser.authorize(url)
        form = page.form("password")
        wrong = browser.submit(page, form, {"login": "jane@example.com"})
        assert wrong.status == 401
        landing = browser.log_in(url, "jane@example.com", "password")
        assert landing.params["code"]
