"""Applications notice that somebody has logged in or out: Session Management 1.0."""

import hashlib
import json

from urllib.parse import urlencode

import pytest
import pytest_asyncio

from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import expect

from dexcore.server.sessions.states import origin_of
from dexcore.testing.chromium import chromium

from .conftest import CALLBACK, CONFIG, SESSIONS

ORIGIN = "http://127.0.0.1:5555"
FRAME = "/dex/check-session"


def cookie(browser, name="dex_session_state"):
    """What scripts of the issuer's pages can read."""
    found = [each for each in browser.session.cookie_jar if each.key == name]
    return found[0].value if found else None


def set_cookies(answer, name):
    lines = answer.headers.getall("Set-Cookie", [])
    return [line for line in lines if line.startswith(f"{name}=")]


def says(session_state, state, client_id="example-app", origin=ORIGIN):
    """What the frame answers an application that holds *session_state*."""
    hash, _, salt = session_state.partition(".")
    text = f"{client_id} {origin} {state} {salt}"
    same = hashlib.sha256(text.encode()).hexdigest() == hash
    return "unchanged" if same else "changed"


async def log_out(world, browser):
    page = await browser.get("/dex/logout")
    [form] = page.forms
    return await browser.post(form["action"], data=form["fields"])


# — what clients are told --------------------------------------------------------------


async def test_a_response_says_what_to_watch_the_session_by(sso):
    browser, landed = await sso.logged_in()
    first = landed.params["session_state"]
    assert " " not in first
    assert says(first, cookie(browser)) == "unchanged"
    second = (await sso.silently(browser)).params["session_state"]
    assert second != first  # another salt
    assert says(second, cookie(browser)) == "unchanged"


async def test_it_is_good_for_this_client_and_its_origin_only(sso):
    browser, landed = await sso.logged_in()
    found = landed.params["session_state"]
    assert says(found, cookie(browser), client_id="other-app") == "changed"
    assert says(found, cookie(browser), origin="https://evil.example") == "changed"


async def test_after_a_logout_it_has_changed(sso):
    browser, landed = await sso.logged_in()
    await log_out(sso, browser)
    assert cookie(browser)
    assert says(landed.params["session_state"], cookie(browser)) == "changed"
    refused = await sso.silently(browser)
    assert refused.params["error"] == "login_required"
    # Who watches that nobody is logged in notices the next login.
    nobody = refused.params["session_state"]
    assert says(nobody, cookie(browser)) == "unchanged"
    await sso.logged_in(browser)
    assert says(nobody, cookie(browser)) == "changed"


async def test_another_user_is_a_change_and_the_same_one_again_is_none(make_world):
    world = await make_world(
        SESSIONS.replace(
            "staticClients:",
            "- {type: mockPassword, id: two, name: Two, "
            "config: {username: joe, password: ox}}\nstaticClients:",
        )
    )
    browser, landed = await world.logged_in(connector_id="pw")
    found = landed.params["session_state"]
    await world.logged_in(browser, connector_id="pw", prompt="login")
    assert says(found, cookie(browser)) == "unchanged"
    joe = {"connector_id": "two", "login": "joe", "password": "ox"}
    await world.logged_in(browser, prompt="login", **joe)
    assert says(found, cookie(browser)) == "changed"


async def test_what_the_browser_holds_is_put_right(sso):
    """Somebody has cleared it, or it is from before an upgrade."""
    browser, _ = await sso.logged_in()
    right = cookie(browser)
    for wrong in ("", "nonsense", "x" * 1000, "a b;c"):
        jar = browser.session.cookie_jar
        jar.clear(lambda each: each.key == "dex_session_state")
        if wrong:
            jar.update_cookies({"dex_session_state": wrong})
        landed = await sso.silently(browser)
        assert says(landed.params["session_state"], right) == "unchanged"
        assert len(set_cookies(landed, "dex_session_state")) == 1
        assert cookie(browser) == right
    again = await sso.silently(browser)
    assert set_cookies(again, "dex_session_state") == []


async def test_a_refusal_without_the_cookie_says_nothing_of_it(sso):
    refused = await sso.silently(sso.browser())
    assert "session_state" not in refused.params


async def test_the_page_that_asks_comes_between_and_nothing_is_lost(sso):
    browser = sso.browser()
    page = await browser.follow(
        await sso.log_in(browser, prompt="consent", scope="openid email")
    )
    fields = page.forms[0]["fields"] | {"approval": "approve"}
    landed = await browser.post(page.url, data=fields)
    assert says(landed.params["session_state"], cookie(browser)) == "unchanged"


async def test_every_mode_brings_it(sso):
    browser, _ = await sso.logged_in()
    for mode in ("query", "fragment", "form_post"):
        landed = await sso.silently(browser, response_mode=mode)
        assert landed.mode == mode
        assert says(landed.params["session_state"], cookie(browser)) == "unchanged"


async def test_the_cookie_tells_nothing(sso):
    _, landed = await sso.logged_in()
    [session] = await sso.storage.auth_sessions.list()
    [line] = set_cookies(landed, "dex_session_state")
    value = line.partition("=")[2].partition(";")[0]
    for secret in (session.id, session.secret, session.user_id):
        assert secret not in value
    assert "HttpOnly" not in line
    assert "Path=/dex" in line
    assert "SameSite=Lax" in line
    # It proves nothing: alone, nobody is logged in.
    other = sso.browser()
    other.session.cookie_jar.update_cookies({"dex_session_state": value})
    refused = await sso.silently(other)
    assert refused.params["error"] == "login_required"


@pytest.mark.parametrize("strict", [False, True])
async def test_with_https_frames_of_other_sites_may_have_it(make_world, strict):
    text = SESSIONS.replace("http://127.0.0.1:5556/dex", "https://id.example/dex")
    world = await make_world(text + ("compat: strict\n" if strict else ""))
    browser = world.browser()
    form = await world.ask(browser, scope="openid")
    jar = [line.partition(";")[0] for line in form.headers.getall("Set-Cookie")]
    landed = await browser.post(
        form.location.replace("https://id.example", world.base),
        data={"login": "jane", "password": "fox"},
        headers={"Cookie": "; ".join(jar)},
    )
    name = "__Secure-dex_session_state" if strict else "dex_session_state"
    [line] = set_cookies(landed, name)
    assert line.endswith("; Secure; SameSite=None")
    frame = await world.browser().get(FRAME)
    assert f'data-cookie="{name}"' in frame.text


async def test_it_is_remembered_as_long_as_the_session_is(sso):
    browser = sso.browser()
    form = await sso.form(browser, scope="openid")
    jane = {"login": "jane", "password": "fox"}
    landed = await browser.post(form.url, data=jane | {"remember_me": "on"})
    [line] = set_cookies(landed, "dex_session_state")
    assert "; Max-Age=86400;" in line


# — the frame --------------------------------------------------------------------------


async def test_the_frame_may_be_shown_by_anybody_and_leaks_nothing(sso):
    """T-SM-01."""
    path = "/dex/.well-known/openid-configuration"
    document = json.loads((await sso.browser().get(path)).text)
    assert document["check_session_iframe"] == f"{sso.issuer}/check-session"
    browser, _ = await sso.logged_in()
    frame = await browser.get(FRAME)
    assert frame.status == 200
    policy = frame.headers["Content-Security-Policy"]
    assert "frame-ancestors" not in policy
    assert "default-src 'none'" in policy
    assert "X-Frame-Options" not in frame.headers
    assert frame.headers["Referrer-Policy"] == "no-referrer"
    assert "Set-Cookie" not in frame.headers
    # The same for everybody, logged in or not.
    assert frame.text == (await sso.browser().get(FRAME)).text
    assert (await browser.post(FRAME)).status == 405


async def test_configured_headers_do_not_shut_the_frame(make_world):
    text = SESSIONS.replace(
        "web: {",
        "web: {headers: {X-Frame-Options: DENY, X-XSS-Protection: '0', "
        "Content-Security-Policy: \"frame-ancestors 'none'\"}, ",
    )
    world = await make_world(text)
    frame = await world.browser().get(FRAME)
    assert "X-Frame-Options" not in frame.headers
    assert "frame-ancestors" not in frame.headers["Content-Security-Policy"]
    assert frame.headers["X-XSS-Protection"] == "0"
    page = await world.form(world.browser())
    assert page.headers["X-Frame-Options"] == "DENY"


async def test_without_sessions_there_is_nothing_of_it(make_world):
    world = await make_world(CONFIG)
    path = "/dex/.well-known/openid-configuration"
    assert "check_session_iframe" not in (await world.browser().get(path)).text
    assert (await world.browser().get(FRAME)).status == 404
    landed = await world.log_in()
    assert "session_state" not in landed.params


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        (CALLBACK, ORIGIN),
        ("https://App.Example:443/cb?x=1", "https://app.example"),
        ("HTTP://app.example:80", "http://app.example"),
        ("http://app.example:443/", "http://app.example:443"),
        ("http://[::1]:8080/cb", "http://[::1]:8080"),
        ("https://user@app.example/", "https://app.example"),
        ("com.example.app:/callback", ""),
        ("urn:ietf:wg:oauth:2.0:oob", ""),
        ("/device/callback", ""),
        ("http://app.example:99999/", ""),
        ("https://b\u00fccher.example/", ""),
        ("http:///nowhere", ""),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(url, origin):
    assert origin_of(url) == origin


# — in a real browser ------------------------------------------------------------------

WATCHING = """<!doctype html><link rel=icon href=data:,><title>Watching</title>
<iframe name="op" src="FRAME"></iframe><iframe src="/rp?TOLD"></iframe>"""
# What the specification calls the RP iframe.
RP = """<!doctype html><link rel=icon href=data:,><title>RP</title><script>
const told = new URLSearchParams(location.search).get("told");
const ask = () => parent.frames.op.postMessage(told, "OP");
addEventListener("message", ({data, origin}) => {
  if (origin === "OP") parent.document.title = data;
});
setInterval(ask, 100);
</script>"""


class App:
    """A client's pages."""

    op = frame = ""

    async def answer(self, request):
        page = "<!doctype html><link rel=icon href=data:,><title>App</title>App"
        if request.path == "/watch":
            page = WATCHING.replace("FRAME", self.frame)
            page = page.replace("TOLD", request.query_string)
        elif request.path == "/rp":
            page = RP.replace("OP", self.op)
        return web.Response(text=page, content_type="text/html")


@pytest_asyncio.fixture
async def site(make_world):
    app = App()
    served = web.Application()
    served.router.add_route("*", "/{path:.*}", app.answer)
    async with TestServer(served) as server:
        app.url = str(server.make_url("")).rstrip("/")
        world = await make_world(SESSIONS.replace(ORIGIN, app.url))
        app.op, app.frame = world.base, f"{world.base}{FRAME}"
        yield app, world


async def test_an_application_sees_in_frames_that_somebody_logs_out(
    site, requires_program
):
    app, world = site
    program = requires_program("chromium", install="apt-get install chromium")
    params = world.auth_params(redirect_uri=f"{app.url}/callback", scope="openid")
    async with chromium(program, [world.base, app.url]) as open_page:
        page = await open_page()
        await page.goto(f"{world.base}/dex/auth?{urlencode(params)}")
        await page.get_by_label("Username").fill("jane")
        await page.get_by_label("Password").fill("fox")
        await page.get_by_role("button", name="Log in", exact=True).click()
        await expect(page).to_have_title("App")
        found = await page.evaluate(
            "new URLSearchParams(location.search).get('session_state')"
        )
        watching = await page.context.new_page()
        query = urlencode({"told": f"example-app {found}"})
        await watching.goto(f"{app.url}/watch?{query}")
        await expect(watching).to_have_title("unchanged")

        wrong = await page.context.new_page()
        for told, answer in [
            (f"other-app {found}", "changed"),
            (f"example-app {found[:-1]}", "changed"),
            ("example-app", "error"),
            ("example-app nonsense", "error"),
            (f"{found}", "error"),
        ]:
            await wrong.goto(f"{app.url}/watch?{urlencode({'told': told})}")
            await expect(wrong).to_have_title(answer)

        await page.goto(f"{world.base}/dex/logout")
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("heading")).to_have_text("You are logged out")
        await expect(watching).to_have_title("changed")


async def test_a_browser_that_keeps_the_cookie_to_itself_is_no_logout(
    site, requires_program
):
    """As for frames of other sites: the application is not told a thing."""
    app, world = site
    program = requires_program("chromium", install="apt-get install chromium")
    _, landed = await world.logged_in(redirect_uri=f"{app.url}/callback")
    told = f"example-app {landed.params['session_state']}"
    async with chromium(program, [world.base, app.url]) as open_page:
        page = await open_page()
        await page.goto(f"{app.url}/watch?{urlencode({'told': told})}")
        await expect(page).to_have_title("error")
