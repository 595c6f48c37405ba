"""A real browser brings answers to a real app: posted, and in fragments."""

import json

from urllib.parse import urlencode

import pytest
import pytest_asyncio

from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import expect

from dexcore.jose import left_half_hash
from dexcore.testing.chromium import DESKTOP, PHONE, chromium, fits

from .conftest import SESSIONS

LOOKS = [
    pytest.param({"viewport": DESKTOP}, id="desktop"),
    pytest.param({"viewport": PHONE, "color_scheme": "dark"}, id="phone dark"),
    pytest.param({"viewport": PHONE, "java_script_enabled": False}, id="no script"),
    pytest.param(
        {"viewport": DESKTOP, "java_script_enabled": False, "color_scheme": "dark"},
        id="no script, desktop, dark",
    ),
]
ODD = "a/b c&d=é\U0001f511+%2F\"'<>"
HOME = """<!doctype html><link rel=icon href=data:,><title>App</title>
<a href="%s">Log in</a>"""
LANDED = """<!doctype html><link rel=icon href=data:,><title>Landed</title>
<script>document.title += " " + location.hash;</script>"""


class App:
    """An app with a page to log in from, and one to come back to."""

    def __init__(self):
        self.posted, self.headers, self.request = [], [], ""

    async def answer(self, request):
        if request.method == "POST":
            self.posted.append(dict(await request.post()))
            self.headers.append(request.headers)
        page = LANDED if request.path == "/callback" else HOME % self.request
        return web.Response(text=page, content_type="text/html")


@pytest_asyncio.fixture
async def site(make_world):
    app = App()
    served = web.Application()
    served.router.add_route("*", "/{path:.*}", app.answer)
    async with TestServer(served) as server:
        app.url = str(server.make_url("")).rstrip("/")
        text = SESSIONS.replace("http://127.0.0.1:5555", app.url).replace(
            "oauth2: {", "oauth2: {responseTypes: [code, id_token, token], "
        )
        yield app, await make_world(text + "frontend: {theme: auto}\n")


@pytest.fixture
def ask(site):
    """Return what lets the app ask for something."""
    app, world = site

    def make(**changes):
        params = world.auth_params(
            redirect_uri=f"{app.url}/callback",
            **{"scope": "openid email", "state": ODD} | changes,
        )
        app.request = f"{world.base}/dex/auth?{urlencode(params)}".replace("&", "&amp;")

    return make


async def log_in(page, app):
    await page.goto(f"{app.url}/")
    await page.get_by_role("link", name="Log in").click()
    await page.get_by_label("Username").fill("jane")
    await page.get_by_label("Password").fill("fox")
    await page.get_by_role("button", name="Log in", exact=True).click()


async def go_on(page, look):
    """Press the button where nothing is posted by itself."""
    if look.get("java_script_enabled", True):
        return
    await expect(page.get_by_role("heading")).to_have_text("One moment")
    await fits(page)
    await page.get_by_role("button", name="Continue").click()


@pytest.mark.parametrize("look", LOOKS)
async def test_an_answer_is_posted_to_the_app(site, ask, requires_program, look):
    app, world = site
    program = requires_program("chromium", install="apt-get install chromium")
    ask(response_mode="form_post", response_type="code id_token")
    async with chromium(program, [world.base, app.url]) as open_page:
        page = await open_page(**look)
        await log_in(page, app)
        await go_on(page, look)
        await page.wait_for_url(f"{app.url}/callback")
        # Nothing to log in for, nothing to see: the session answers.
        await page.goto(f"{app.url}/")
        await page.get_by_role("link", name="Log in").click()
        await go_on(page, look)
        await page.wait_for_url(f"{app.url}/callback")
    for posted in app.posted:
        assert posted["state"] == ODD
        assert posted["iss"] == world.issuer
        claims = await world.claims(posted["id_token"])
        assert claims["c_hash"] == left_half_hash("ES256", posted["code"])
        answer = await world.exchange(
            posted["code"], redirect_uri=f"{app.url}/callback"
        )
        assert json.loads(answer.text)["token_type"] == "bearer"
    assert len(app.posted) == 2
    assert all("Referer" not in each for each in app.headers)


@pytest.mark.parametrize("look", LOOKS)
async def test_a_refusal_is_posted_to_the_app(site, ask, requires_program, look):
    app, world = site
    program = requires_program("chromium", install="apt-get install chromium")
    ask(response_mode="form_post", prompt="consent")
    async with chromium(program, [world.base, app.url]) as open_page:
        page = await open_page(**look)
        await log_in(page, app)
        await page.get_by_role("button", name="Cancel").click()
        await go_on(page, look)
        await page.wait_for_url(f"{app.url}/callback")
    [posted] = app.posted
    assert posted["error"] == "access_denied"
    assert posted["state"] == ODD
    assert posted["iss"] == world.issuer
    assert "code" not in posted


async def test_tokens_in_a_fragment_reach_the_app_and_not_its_server(
    site, ask, requires_program
):
    app, world = site
    program = requires_program("chromium", install="apt-get install chromium")
    ask(response_type="id_token token")
    async with chromium(program, [world.base, app.url]) as open_page:
        page = await open_page()
        await log_in(page, app)
        await page.wait_for_url(f"{app.url}/callback#*")
        found = await page.evaluate(
            "Object.fromEntries(new URLSearchParams(location.hash.slice(1)))"
        )
    assert found["state"] == ODD
    assert found["iss"] == world.issuer
    claims = await world.claims(found["id_token"])
    assert claims["at_hash"] == left_half_hash("ES256", found["access_token"])
    assert app.posted == []
