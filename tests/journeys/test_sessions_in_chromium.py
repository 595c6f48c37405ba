"""People meet sessions in a real browser: stay logged in, look around, log out."""

from urllib.parse import urlencode

import pytest
import pytest_asyncio

from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import expect

from dexcore.testing.chromium import DESKTOP, PHONE, chromium, fits

LOOKS = [
    pytest.param({"viewport": DESKTOP}, id="desktop"),
    pytest.param({"viewport": PHONE, "color_scheme": "dark"}, id="phone"),
    pytest.param({"viewport": DESKTOP, "color_scheme": "dark"}, id="desktop dark"),
    pytest.param({"viewport": PHONE, "java_script_enabled": False}, id="no script"),
]


class App:
    """Where clients are: it notes what it is asked for."""

    def __init__(self):
        self.asked = []

    async def answer(self, request):
        self.asked.append((request.path, dict(request.query)))
        page = "<!doctype html><link rel=icon href=data:,><title>App</title>App"
        return web.Response(text=page, content_type="text/html")


@pytest_asyncio.fixture
async def site(make_world, sso_config):
    app = App()
    served = web.Application()
    served.router.add_route("*", "/{path:.*}", app.answer)
    async with TestServer(served) as server:
        app.url = str(server.make_url("")).rstrip("/")
        text = sso_config.replace(
            "sessions: {}",
            "sessions: {frontchannelLogoutURIs: "
            f"{{example-app: '{app.url}/frame', other-app: '{app.url}/frame-two'}}}}\n"
            "frontend: {theme: auto}",
        )
        text = text.replace("http://127.0.0.1:5555", app.url).replace(
            "  name: Example App",
            f"  name: Example App\n  postLogoutRedirectURIs: ['{app.url}/bye']",
        )
        yield app, await make_world(text)


@pytest.fixture
def request_of(site):
    app, world = site

    def make(**changes):
        params = world.auth_params(redirect_uri=f"{app.url}/callback", **changes)
        return f"{world.base}/dex/auth?{urlencode(params)}"

    return make


async def log_in(page, url):
    await page.goto(url)
    await page.get_by_label("Username").fill("jane")
    await page.get_by_label("Password").fill("fox")
    await expect(page.get_by_label("Keep me logged in on this device")).to_be_checked()
    await fits(page)
    await page.get_by_role("button", name="Log in", exact=True).click()
    await expect(page).to_have_title("App")


@pytest.mark.parametrize("look", LOOKS)
async def test_somebody_stays_logged_in_looks_around_and_logs_out(
    site, request_of, requires_program, look
):
    app, world = site
    program = requires_program("chromium", install="apt-get install chromium")
    # A session elsewhere, with an application that has access.
    _, elsewhere = await world.logged_in(
        scope="openid offline_access", redirect_uri=f"{app.url}/callback"
    )
    code = elsewhere.params["code"]
    await world.exchange(code, redirect_uri=f"{app.url}/callback")
    async with chromium(program, [world.base, app.url]) as open_page:
        page = await open_page(**look)
        await log_in(page, request_of(scope="openid email"))
        await page.goto(request_of(scope="openid email"))
        await expect(page).to_have_title("App")

        await page.goto(request_of(scope="openid", prompt="select_account"))
        await fits(page)
        await page.get_by_role("link", name="Continue as Kilgore Trout").click()
        await expect(page).to_have_title("App")

        await page.goto(f"{world.base}/dex")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Kilgore Trout")
        await fits(page)
        others = page.get_by_role("region", name="Also logged in")
        await others.get_by_role("button", name="Log out").click()
        await expect(others).to_have_count(0)
        access = page.get_by_role("region", name="Applications with access")
        await expect(access).to_contain_text("Example App")
        await access.get_by_role("button", name="Remove access").click()
        await expect(access).to_have_count(0)

        await page.get_by_role("link", name="Log out").click()
        await expect(page.get_by_role("heading")).to_have_text("Log out of dex?")
        await fits(page)
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("heading")).to_have_text("You are logged out")
        await fits(page)
        await page.goto(f"{world.base}/dex")
        await expect(page.locator("main")).to_contain_text("You are not logged in.")
    assert await world.storage.auth_sessions.list() == []
    assert await world.storage.refresh_tokens.list() == []


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
async def test_clients_log_out_in_frames_and_the_browser_goes_on_by_itself(
    site, request_of, requires_program, script
):
    app, world = site
    program = requires_program("chromium", install="apt-get install chromium")
    async with chromium(program, [world.base, app.url]) as open_page:
        page = await open_page(java_script_enabled=script)
        await log_in(page, request_of(scope="openid email"))
        [session] = await world.storage.auth_sessions.list()
        await page.goto(request_of(scope="openid email", client_id="other-app"))
        await expect(page).to_have_title("App")
        query = {
            "client_id": "example-app",
            "post_logout_redirect_uri": f"{app.url}/bye",
            "state": "see you",
        }
        await page.goto(f"{world.base}/dex/logout?{urlencode(query)}")
        await page.get_by_role("button", name="Log out").click()
        await page.wait_for_url(f"{app.url}/bye?*")
    which = {"iss": world.issuer, "sid": session.id}
    assert ("/frame", which) in app.asked
    assert ("/frame-two", which) in app.asked
    assert ("/bye", {"state": "see you"}) in app.asked
