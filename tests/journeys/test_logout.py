"""A client ends the browser's session, or its user does; clients hear of it."""

import asyncio
import json

from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest

from aiohttp import web
from aiohttp.test_utils import TestServer

from dexcore import hookimpl
from dexcore.connector import (
    CallbackConnector,
    ConnectorType,
    Identity,
    LogoutConnector,
    Redirect,
)
from dexcore.errors import UpstreamError
from dexcore.jose import b64decode
from dexcore.server.sessions.backchannel import AT_ONCE
from dexcore.storage import Client

SCOPE = "openid email profile"
HOME = "http://127.0.0.1:5555/bye?from=op"


@pytest.fixture
def config(sso_config):
    """Two clients that may have the browser back after a logout."""
    return sso_config.replace(
        "  name: Example App",
        f"  name: Example App\n  postLogoutRedirectURIs: ['{HOME}']",
    ).replace(
        "  name: Other App",
        "  name: Other App\n"
        "  postLogoutRedirectURIs: ['http://127.0.0.1:5555/other-bye']",
    )


@pytest.fixture
async def sso(make_world, config):
    return await make_world(config)


async def begin(world, **changes):
    """Log in; return the browser and its ID token."""
    browser, landed = await world.logged_in(**changes)
    return browser, (await world.tokens_of(landed))["id_token"]


async def is_logged_in(world, browser):
    return "code" in (await world.silently(browser)).params


async def log_out(browser, **params):
    return await browser.get("/dex/logout", params=params)


# — With an ID token -------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_client_logs_its_user_out_and_has_the_browser_back(sso, method):
    """T-LO-01, T-LO-04."""
    browser, token = await begin(sso)
    params = {
        "id_token_hint": token,
        "post_logout_redirect_uri": HOME,
        "state": "a b&c=é",
    }
    if method == "GET":
        left = await log_out(browser, **params)
    else:
        left = await browser.post("/dex/logout", data=params)
    assert left.status == 302
    assert left.location.startswith(f"{HOME}&")
    assert left.params == {"from": "op", "state": "a b&c=é"}
    assert "dex_session=; Path=/dex; Max-Age=0" in str(
        left.headers.getall("Set-Cookie")
    )
    assert await sso.storage.auth_sessions.list() == []
    assert not await is_logged_in(sso, browser)


async def test_a_form_posted_by_another_site_finds_the_session(sso):
    """T-LO-04: such a POST carries no Lax cookie."""
    browser, token = await begin(sso)
    crossing = sso.browser()  # the browser, without its Lax cookies
    form = {"id_token_hint": token, "post_logout_redirect_uri": HOME, "state": "s"}
    bounced = await crossing.post("/dex/logout", data=form)
    assert bounced.status == 303
    assert token not in bounced.location
    left = await browser.get(bounced.location)
    assert left.params["state"] == "s"
    assert not await is_logged_in(sso, browser)
    assert (await browser.get(bounced.location)).status == 400


async def test_an_id_token_that_has_expired_is_good_enough(sso):
    """T-LO-02."""
    browser, token = await begin(sso)
    for _ in range(23):
        sso.clock.advance(minutes=59)
        assert await is_logged_in(sso, browser)
    await sso.logged_in(browser, prompt="login")
    for _ in range(3):
        sso.clock.advance(minutes=59)
        assert await is_logged_in(sso, browser)
    left = await log_out(
        browser,
        id_token_hint=token,
        post_logout_redirect_uri=HOME,
        client_id="example-app",
    )
    assert left.location == HOME
    assert not await is_logged_in(sso, browser)


async def test_without_an_address_there_is_a_page(sso):
    browser, token = await begin(sso)
    page = await log_out(browser, id_token_hint=token)
    assert page.status == 200
    assert "You are logged out" in page.text


async def test_who_is_not_logged_in_is_sent_on_all_the_same(sso):
    _, token = await begin(sso)
    left = await log_out(
        sso.browser(), id_token_hint=token, post_logout_redirect_uri=HOME, state="s"
    )
    assert left.params["state"] == "s"
    # An ID token alone ends nothing.
    assert len(await sso.storage.auth_sessions.list()) == 1
    page = await log_out(sso.browser())
    assert "You were not logged in" in page.text


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:5555/bye",
        f"{HOME}&x=1",
        f"{HOME}#x",
        HOME.upper(),
        "http://127.0.0.1:5555/other-bye",
        "https://evil.example/",
        "//evil.example",
        "javascript:alert(1)",
    ],
)
@pytest.mark.parametrize("named", ["id_token_hint", "client_id"])
async def test_an_address_that_is_not_the_clients_is_never_gone_to(sso, uri, named):
    """T-LO-01: to the letter; and nobody is logged out."""
    browser, token = await begin(sso)
    who = {"id_token_hint": token, "client_id": "example-app"}
    refused = await log_out(
        browser, post_logout_redirect_uri=uri, **{named: who[named]}
    )
    assert refused.status == 400
    assert "Location" not in refused.headers
    assert await is_logged_in(sso, browser)


async def test_an_address_without_a_client_is_never_gone_to(sso):
    """T-LO-01."""
    browser, _ = await begin(sso)
    for params in ({}, {"client_id": "nobody"}, {"id_token_hint": "junk"}):
        refused = await log_out(browser, post_logout_redirect_uri=HOME, **params)
        assert refused.status == 400
        assert "Location" not in refused.headers


async def test_a_hint_for_one_client_does_not_speak_for_another(sso):
    """T-LO-02."""
    browser, token = await begin(sso)
    refused = await log_out(
        browser,
        id_token_hint=token,
        client_id="other-app",
        post_logout_redirect_uri="http://127.0.0.1:5555/other-bye",
    )
    assert refused.status == 400
    assert await is_logged_in(sso, browser)


# — When the end user must confirm -----------------------------------------------------


def confirmation(page):
    assert page.status == 200, page.text
    assert "Log out of dex?" in page.text
    [form] = page.forms
    return form


@pytest.mark.parametrize(
    "hint", [{}, {"id_token_hint": "junk"}, {"logout_hint": "kilgore@kilgore.trout"}]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_without_a_hint_that_is_ours_the_end_user_confirms(sso, hint, method):
    """T-LO-02, T-LO-03: no other site logs anybody out; target and state are kept."""
    browser, _ = await begin(sso)
    params = {
        "client_id": "example-app",
        "post_logout_redirect_uri": HOME,
        "state": "s&t",
        **hint,
    }
    if method == "GET":
        page = await log_out(browser, **params)
    else:
        page = await browser.post("/dex/logout", data=params)
    form = confirmation(page)
    assert "Kilgore Trout" in page.text
    assert await is_logged_in(sso, browser)
    left = await browser.post(form["action"], data=form["fields"])
    assert left.params == {"from": "op", "state": "s&t"}
    assert not await is_logged_in(sso, browser)


async def test_a_confirmation_counts_only_from_our_page(sso):
    """T-LO-03, T-CSRF-01."""
    browser, _ = await begin(sso)
    form = confirmation(await log_out(browser))
    other, _ = await begin(sso)
    theirs = confirmation(await log_out(other))
    for fields, headers in (
        ({"csrf_token": ""}, {}),
        ({"csrf_token": "AAAA"}, {}),
        (theirs["fields"], {}),
        (form["fields"], {"Origin": "https://evil.example"}),
        (form["fields"], {"Sec-Fetch-Site": "cross-site"}),
    ):
        refused = await browser.post("/dex/logout", data=fields, headers=headers)
        assert refused.status == 403
    assert await is_logged_in(sso, browser)
    await browser.post("/dex/logout", data=form["fields"])
    assert not await is_logged_in(sso, browser)


async def test_what_a_confirmation_leads_to_cannot_be_changed(sso):
    browser, _ = await begin(sso)
    form = confirmation(await log_out(browser))
    fields = form["fields"] | {"asked": "x", "post_logout_redirect_uri": "//evil"}
    page = await browser.post("/dex/logout", data=fields)
    assert page.status == 200
    assert "You are logged out" in page.text


async def test_a_confirmation_is_of_no_use_after_another_login(sso):
    """T-SES-01: what proves a form changes with the login."""
    browser, _ = await begin(sso)
    form = confirmation(await log_out(browser))
    await sso.logged_in(browser, prompt="login")
    refused = await browser.post("/dex/logout", data=form["fields"])
    assert refused.status == 403


async def test_a_hint_of_somebody_else_ends_nothing_by_itself(make_world, config):
    """T-LO-05."""
    world = await make_world(
        config.replace(
            "staticClients:",
            "- {type: mockPassword, id: two, name: Two, "
            "config: {username: joe, password: ox}}\nstaticClients:",
        )
    )
    _, theirs = await begin(world, connector_id="two", login="joe", password="ox")
    browser, _ = await begin(world, connector_id="pw")
    confirmation(await log_out(browser, id_token_hint=theirs))
    assert await is_logged_in(world, browser)


async def test_a_hint_of_another_session_ends_nothing_by_itself(sso):
    """T-LO-05: the same user's, but of another browser."""
    _, theirs = await begin(sso)
    browser, _ = await begin(sso)
    confirmation(await log_out(browser, id_token_hint=theirs))
    assert await is_logged_in(sso, browser)


async def test_a_logout_hint_that_names_somebody_else_is_asked_about(sso):
    browser, token = await begin(sso)
    page = await log_out(browser, id_token_hint=token, logout_hint="joe@example.com")
    confirmation(page)
    done = await log_out(
        browser, id_token_hint=token, logout_hint="kilgore@kilgore.trout"
    )
    assert "You are logged out" in done.text


async def test_other_methods_are_refused(sso):
    for path in ("/dex/logout", "/dex/logout/callback"):
        answer = await sso.browser()._send("PUT", path)
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET, HEAD, POST"


# — Upstream ---------------------------------------------------------------------------


class Upstream(CallbackConnector, LogoutConnector):
    """An upstream that can log out too."""

    def __init__(self):
        self.url = "https://upstream.example/logout?x=1"
        self.came_back = []
        self.fails = False

    async def begin(self, scopes, callback_url, state):
        return Redirect(f"{callback_url}?state={state}")

    async def finish(self, scopes, callback):
        return Identity("u", "Ursula", email="u@example.com", email_verified=True)

    async def logout_url(self, return_to):
        if self.fails:
            raise UpstreamError("It has no time for us.")
        return self.url and f"{self.url}&return_to={return_to}"

    async def finish_logout(self, callback):
        self.came_back.append((dict(callback.query), dict(callback.form)))
        if self.fails:
            raise UpstreamError("That was not a logout.")


@attrs.frozen
class NoOptions:
    """No options."""


@pytest.fixture
async def upstream(make_world, config):
    connector = Upstream()

    async def open_(options, context):
        return connector

    class Plugin:
        @hookimpl
        def dex_connector_types(self):
            return [ConnectorType("upstream", NoOptions, open_)]

    world = await make_world(
        config.replace(
            "{type: mockPassword, id: pw, name: Passwords, "
            "config: {username: jane, password: fox}}",
            "{type: upstream, id: up, name: Upstream}",
        ),
        Plugin(),
    )
    browser = world.browser()
    landed = await browser.follow(await world.ask(browser, scope=SCOPE))
    token = (await world.tokens_of(landed))["id_token"]
    return world, connector, browser, token


async def test_the_upstream_is_logged_out_too_and_then_the_client_gets_the_browser(
    upstream,
):
    world, connector, browser, token = upstream
    away = await log_out(
        browser, id_token_hint=token, post_logout_redirect_uri=HOME, state="s"
    )
    assert away.status == 303
    assert away.headers["Location"] == (
        f"https://upstream.example/logout?x=1&return_to={world.issuer}/logout/callback"
    )
    # We are done here even if the browser never comes back.
    assert not await is_logged_in(world, browser)
    back = await browser.get("/dex/logout/callback", params={"session_state": "x"})
    assert back.location == f"{HOME}&state=s"
    assert connector.came_back == [({"session_state": "x"}, {})]
    again = await browser.get("/dex/logout/callback")
    assert "Location" not in again.headers


async def test_an_upstream_may_post_its_answer(upstream):
    world, connector, browser, token = upstream
    await log_out(browser, id_token_hint=token, post_logout_redirect_uri=HOME)
    crossing = world.browser()
    bounced = await crossing.post("/dex/logout/callback", data={"SAMLResponse": "x"})
    back = await browser.get(bounced.location)
    assert back.location == HOME
    assert connector.came_back == [({"SAMLResponse": "x"}, {})]


@pytest.mark.parametrize("trouble", ["fails", "nowhere"])
async def test_an_upstream_in_trouble_stops_no_logout(upstream, trouble):
    world, connector, browser, token = upstream
    connector.fails = trouble == "fails"
    connector.url = ""
    left = await log_out(browser, id_token_hint=token, post_logout_redirect_uri=HOME)
    assert left.location == HOME
    assert not await is_logged_in(world, browser)


async def test_what_the_upstream_brings_back_stops_no_logout(upstream):
    _, connector, browser, token = upstream
    await log_out(browser, id_token_hint=token, post_logout_redirect_uri=HOME)
    connector.fails = True
    back = await browser.get("/dex/logout/callback")
    assert back.location == HOME


async def test_a_browser_that_comes_back_late_or_unasked_is_sent_nowhere(upstream):
    world, _, browser, token = upstream
    for stranger in (world.browser(), browser):
        page = await stranger.get("/dex/logout/callback")
        assert page.status == 200
        assert "Location" not in page.headers
    assert await is_logged_in(world, browser)
    await log_out(browser, id_token_hint=token, post_logout_redirect_uri=HOME)
    world.clock.advance(minutes=11)
    page = await browser.get("/dex/logout/callback")
    assert "Location" not in page.headers


# — The clients hear of it -------------------------------------------------------------


class Apps:
    """What clients are told, and how they take it."""

    def __init__(self):
        self.told = asyncio.Queue()
        self.answers = {}
        self.gate = {}

    async def answer(self, request):
        name = request.match_info["name"]
        form = await request.post()
        self.told.put_nowait((name, request, dict(form)))
        if name in self.gate:
            await self.gate[name].wait()
        answers = self.answers.get(name) or [200]
        status = answers.pop(0) if len(answers) > 1 else answers[0]
        headers = {"Location": "/redirected"} if status == 302 else {}
        return web.Response(status=status, headers=headers)

    async def next(self):
        return await asyncio.wait_for(self.told.get(), 20)


@asynccontextmanager
async def served(apps):
    app = web.Application()
    app.router.add_route("*", "/{name}", apps.answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
async def apps(make_world, config):
    """Clients that want to hear of logouts, and the provider."""
    apps = Apps()
    async with served(apps) as url:
        text = config
        for id, name in (("Example", "one"), ("Other", "two")):
            text = text.replace(
                f"  name: {id} App",
                f"  name: {id} App\n  backchannelLogoutURI: '{url}/{name}'",
            )
        apps.url = url
        apps.world = await make_world(text)
        apps.world.server.sessions.notices.pauses = (0.01, 0.01)
        yield apps


async def both_logged_in(world):
    browser, landed = await world.logged_in()
    shared = await world.silently(browser, client_id="other-app")
    tokens = await world.tokens_of(landed)
    await world.tokens_of(shared, "other-app")
    return browser, tokens["id_token"]


async def test_every_client_of_the_session_gets_a_logout_token(apps):
    """T-BCL-01."""
    world = apps.world
    browser, token = await both_logged_in(world)
    logged_in = await world.claims(token)
    await log_out(browser, id_token_hint=token)
    told = dict(
        [
            (name, (request, form))
            for name, request, form in [await apps.next(), await apps.next()]
        ]
    )
    assert set(told) == {"one", "two"}
    ids = set()
    for name, client_id in (("one", "example-app"), ("two", "other-app")):
        request, form = told[name]
        assert request.method == "POST"
        assert request.content_type == "application/x-www-form-urlencoded"
        assert set(form) == {"logout_token"}
        claims = await world.claims(form["logout_token"])
        now = int(world.clock.moment.timestamp())
        ids.add(claims.pop("jti"))
        assert claims == {
            "iss": world.issuer,
            "sub": logged_in["sub"],
            "aud": client_id,
            "iat": now,
            "exp": now + 120,
            "sid": logged_in["sid"],
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        }
        header = json.loads(b64decode(form["logout_token"].partition(".")[0]))
        assert header["typ"] == "logout+jwt"
        assert header["alg"] == "ES256"
    assert len(ids) == 2


async def test_a_logout_token_opens_nothing(apps):
    """T-JWT-09: it is no access token and no hint."""
    world = apps.world
    browser, token = await begin(world)
    await log_out(browser, id_token_hint=token)
    _, _, form = await apps.next()
    assert (await world.userinfo(form["logout_token"])).status == 401
    refused = await world.ask(world.browser(), id_token_hint=form["logout_token"])
    assert refused.params["error"] == "invalid_request"


async def test_a_client_that_hangs_delays_nobody(apps):
    """T-BCL-03, T-BCL-04."""
    world = apps.world
    apps.gate["one"] = asyncio.Event()
    browser, token = await both_logged_in(world)
    page = await log_out(browser, id_token_hint=token)
    assert "You are logged out" in page.text
    assert {(await apps.next())[0] for _ in range(2)} == {"one", "two"}
    apps.gate["one"].set()


async def test_so_many_clients_are_told_at_once_and_no_more(make_world, config):
    """T-BCL-02: one logout does not open a connection to each of a thousand."""
    apps, secret = Apps(), "a-secret-of-many-apps"
    async with served(apps) as url:
        text = config.replace("sessions: {}", "sessions: {ssoSharedWithDefault: all}")
        for number in range(AT_ONCE + 4):
            apps.gate[f"{number}"] = asyncio.Event()
            text += (
                f"- {{id: app-{number}, name: App, secret: {secret}, "
                "redirectURIs: ['http://127.0.0.1:5555/callback'], "
                f"backchannelLogoutURI: '{url}/{number}'}}\n"
            )
        world = await make_world(text)
        browser, _ = await world.logged_in(client_id="app-0")
        for number in range(AT_ONCE + 4):
            landed = await world.silently(browser, client_id=f"app-{number}")
            auth = (f"app-{number}", secret)
            assert (
                await world.exchange(landed.params["code"], auth=auth)
            ).status == 200
        page = await log_out(browser)
        await browser.post("/dex/logout", data=page.forms[0]["fields"])
        for _ in range(AT_ONCE):
            await apps.next()
        await asyncio.sleep(0.1)
        assert apps.told.empty()
        for gate in apps.gate.values():
            gate.set()
        for _ in range(4):
            await apps.next()
        await world.server.sessions.notices.close()


async def test_a_client_in_trouble_is_told_again(apps, caplog):
    """T-BCL-03."""
    world = apps.world
    apps.answers = {"one": [500, 503, 200]}
    browser, token = await begin(world)
    caplog.set_level("INFO", "dexcore.logout")
    await log_out(browser, id_token_hint=token)
    forms = [(await apps.next())[2] for _ in range(3)]
    assert forms[0] == forms[1] == forms[2]
    await world.server.sessions.notices.close()
    assert "logout announced" in caplog.text


@pytest.mark.parametrize(("status", "times"), [(400, 1), (302, 1), (500, 3)])
async def test_a_client_that_does_not_want_to_know_is_left_alone(
    apps, caplog, status, times
):
    """T-BCL-02, T-BCL-03: no redirect is followed; what failed is in the log."""
    world = apps.world
    apps.answers = {"one": [status]}
    browser, token = await begin(world)
    await log_out(browser, id_token_hint=token)
    await world.server.sessions.notices.close()
    assert apps.told.qsize() == times
    assert {apps.told.get_nowait()[0] for _ in range(times)} == {"one"}
    assert "logout not announced" in caplog.text


async def test_a_server_that_stops_waits_for_what_is_under_way(apps, caplog):
    """T-BCL-03."""
    world = apps.world
    caplog.set_level("INFO", "dexcore.logout")
    apps.gate["one"] = asyncio.Event()
    browser, token = await begin(world)
    await log_out(browser, id_token_hint=token)
    await apps.next()
    closing = asyncio.create_task(world.server.sessions.notices.close())
    await asyncio.sleep(0)
    assert not closing.done()
    apps.gate["one"].set()
    await closing
    assert "logout announced" in caplog.text


async def test_a_server_that_stops_says_whom_it_has_not_reached(apps, caplog):
    """T-BCL-03."""
    world = apps.world
    notices = world.server.sessions.notices
    notices.pauses, notices.grace = (60.0,), 0.0
    apps.answers = {"one": [503]}
    browser, token = await begin(world)
    await log_out(browser, id_token_hint=token)
    await apps.next()
    await notices.close()
    assert "logout not announced" in caplog.text


async def stored_client(world, uri):
    """A client of the storage, which the operator has not written into the file."""
    await world.storage.clients.create(
        Client(
            "stored",
            secret="a-secret-of-the-stored-app",
            redirect_uris=("http://127.0.0.1:5555/callback",),
            name="Stored",
            backchannel_logout_uri=uri,
        )
    )


INSIDE = [
    "https://127.0.0.1:1/logout",
    "https://localhost:1/logout",
    "https://[::1]:1/logout",
    "https://[::ffff:10.0.0.1]:1/logout",
    "https://169.254.169.254/latest",
    "https://10.1.2.3/logout",
]


async def why_not_announced(world, caplog):
    """Log a user of the stored client out; return why it did not hear of it."""
    browser, _ = await world.logged_in(client_id="stored")
    page = await log_out(browser)
    await browser.post("/dex/logout", data=page.forms[0]["fields"])
    await world.server.sessions.notices.close()
    [record] = [each for each in caplog.records if each.name == "dexcore.logout"]
    assert record.message.startswith("logout not announced")
    return record.message + record.fields.get("reason", "")


@pytest.mark.parametrize("uri", INSIDE)
async def test_a_stored_client_cannot_make_us_knock_inside(apps, caplog, uri):
    """T-BCL-02, T-SSRF-01: it is the address that counts, not how it is written."""
    await stored_client(apps.world, uri)
    reason = await why_not_announced(apps.world, caplog)
    assert "is not a public address" in reason


async def test_a_stored_client_is_told_nothing_that_others_could_read(apps, caplog):
    """T-BCL-02: https only."""
    await stored_client(apps.world, f"{apps.url}/stored")
    assert "no https" in await why_not_announced(apps.world, caplog)
    assert apps.told.empty()


async def test_the_operator_may_let_stored_clients_be_inside(
    make_world, config, caplog
):
    """T-BCL-02."""
    world = await make_world(
        config.replace("sessions: {}", "sessions: {privateBackchannel: true}")
    )
    world.server.sessions.notices.pauses = ()
    await stored_client(world, INSIDE[0])
    assert "Connect call failed" in await why_not_announced(world, caplog)


async def test_whoever_logs_in_in_the_place_of_another_ends_their_session(
    make_world, config
):
    """T-SES-02, and the clients hear of it."""
    apps = Apps()
    async with served(apps) as url:
        text = config.replace(
            "  name: Example App",
            f"  name: Example App\n  backchannelLogoutURI: '{url}/one'",
        ).replace(
            "staticClients:",
            "- {type: mockPassword, id: two, name: Two, "
            "config: {username: joe, password: ox}}\nstaticClients:",
        )
        world = await make_world(text)
        browser, landed = await world.logged_in(connector_id="pw")
        first = await world.id_claims(landed)
        await world.logged_in(browser, connector_id="two", login="joe", password="ox")
        _, _, form = await apps.next()
        assert (await world.claims(form["logout_token"]))["sid"] == first["sid"]


async def test_of_many_logouts_at_once_one_tells_the_clients(apps):
    """T-RACE: the same button, pressed often."""
    world = apps.world
    browser, token = await begin(world)
    await asyncio.gather(*(log_out(browser, id_token_hint=token) for _ in range(8)))
    await world.server.sessions.notices.close()
    assert apps.told.qsize() == 1


# — Refresh tokens ---------------------------------------------------------------------


@pytest.fixture
async def bound(make_world, config):
    """The refresh tokens of example-app end with the session, other-app's do not."""
    return await make_world(
        config.replace(
            "  name: Example App",
            "  name: Example App\n  refreshTokenLifetime: session",
        )
    )


async def offline(world, client_id):
    browser, landed = await world.logged_in(
        client_id=client_id, scope="openid offline_access"
    )
    return browser, await world.tokens_of(landed, client_id)


OTHER = ("other-app", "a-secret-of-the-other-app")


async def test_refresh_tokens_end_with_the_session_where_the_client_says_so(bound):
    """T-REF-11."""
    browser, tokens = await offline(bound, "example-app")
    await log_out(browser, id_token_hint=tokens["id_token"])
    refused = await bound.refresh(tokens["refresh_token"])
    assert json.loads(refused.text)["error"] == "invalid_grant"
    assert (await bound.userinfo(tokens["access_token"])).status == 401
    assert await bound.storage.refresh_tokens.list() == []


async def test_refresh_tokens_outlive_the_session_where_the_client_does_not(bound):
    browser, tokens = await offline(bound, "other-app")
    await log_out(browser, id_token_hint=tokens["id_token"])
    answer = await bound.refresh(tokens["refresh_token"], auth=OTHER)
    assert answer.status == 200
    claims = await bound.claims(json.loads(answer.text)["id_token"])
    assert claims["sid"] == (await bound.claims(tokens["id_token"]))["sid"]


async def test_refresh_tokens_end_when_the_session_expires(bound):
    """T-REF-08."""
    _, tokens = await offline(bound, "example-app")
    assert (await bound.introspect(tokens["refresh_token"]))["active"]
    assert (await bound.introspect(tokens["access_token"]))["active"]
    bound.clock.advance(minutes=61)
    for token in (tokens["refresh_token"], tokens["access_token"]):
        assert await bound.introspect(token) == {"active": False}
    refused = await bound.refresh(tokens["refresh_token"])
    assert "session" in json.loads(refused.text)["error_description"]
    assert await bound.storage.refresh_tokens.list() == []


async def test_a_logout_in_one_browser_spares_the_tokens_of_another(bound):
    first, tokens = await offline(bound, "example-app")
    _, newer = await offline(bound, "example-app")
    await log_out(first, id_token_hint=tokens["id_token"])
    assert (await bound.refresh(newer["refresh_token"])).status == 200


async def test_a_refresh_keeps_the_time_of_its_own_login(bound):
    """T-REF-03: OpenID Connect Core section 12.2."""
    browser, tokens = await offline(bound, "other-app")
    one = await bound.claims(tokens["id_token"])
    bound.clock.advance(minutes=30)
    await bound.logged_in(browser, client_id="example-app", prompt="login")
    answer = await bound.refresh(tokens["refresh_token"], auth=OTHER)
    two = await bound.claims(json.loads(answer.text)["id_token"])
    assert two["auth_time"] == one["auth_time"]


# — The page of the user ---------------------------------------------------------------


async def home(browser):
    return await browser.get("/dex")


async def test_the_page_shows_who_is_logged_in_where_and_at_what(sso):
    mine, landed = await sso.logged_in(
        client_id="other-app", scope="openid offline_access"
    )
    await sso.tokens_of(landed, "other-app")
    theirs = sso.browser()
    theirs.session.headers["User-Agent"] = (
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    )
    await sso.logged_in(theirs)
    page = await home(mine)
    assert "Kilgore Trout" in page.text
    assert "kilgore@kilgore.trout" in page.text
    assert "Firefox on Linux" in page.text
    assert "Other App" in page.text
    [place, app] = page.forms
    assert "end" in place["fields"]
    assert app["fields"]["forget"] == "other-app"
    stranger = await home(sso.browser())
    assert "You are not logged in" in stranger.text


async def test_another_session_is_ended_from_here(sso):
    mine, _ = await sso.logged_in()
    theirs, _ = await sso.logged_in()
    form = (await home(mine)).forms[0]
    back = await mine.post(form["action"], data=form["fields"])
    assert back.status == 303
    assert not await is_logged_in(sso, theirs)
    assert await is_logged_in(sso, mine)
    assert (await home(mine)).forms == []


async def test_all_other_sessions_are_ended_from_here(sso):
    mine, _ = await sso.logged_in()
    others = [(await sso.logged_in())[0] for _ in range(3)]
    form = (await home(mine)).forms[-1]
    assert form["fields"]["end"] == "others"
    await mine.post(form["action"], data=form["fields"])
    assert await is_logged_in(sso, mine)
    assert not any([await is_logged_in(sso, each) for each in others])


async def test_the_access_of_an_application_is_taken_back_from_here(make_world, config):
    """T-REF-11."""
    world = await make_world(config.replace("skipApprovalScreen: true", ""))
    browser, landed = await world.logged_in(scope="openid email offline_access")
    page = await browser.follow(landed)
    landed = await browser.post(page.forms[0]["action"], data={"approval": "approve"})
    tokens = await world.tokens_of(landed)
    form = (await home(browser)).forms[0]
    assert form["fields"]["forget"] == "example-app"
    await browser.post(form["action"], data=form["fields"])
    assert (await world.refresh(tokens["refresh_token"])).status == 400
    assert (await world.userinfo(tokens["access_token"])).status == 401
    asked = await world.ask(browser, scope="openid email")
    assert "/approval?" in asked.location


async def test_nobody_else_ends_a_session(make_world, config):
    """T-CSRF-01: not another site, not another user."""
    world = await make_world(
        config.replace(
            "staticClients:",
            "- {type: mockPassword, id: two, name: Two, "
            "config: {username: joe, password: ox}}\nstaticClients:",
        )
    )
    mine, _ = await world.logged_in(connector_id="pw")
    second, _ = await world.logged_in(connector_id="pw")
    form = (await home(mine)).forms[0]["fields"]
    evil = {"Origin": "https://evil.example"}
    assert (await mine.post("/dex/sessions", data=form, headers=evil)).status == 403
    assert (await mine.post("/dex/sessions", data={"end": form["end"]})).status == 403
    assert (await second.post("/dex/sessions", data=form)).status == 403
    joe, _ = await world.logged_in(connector_id="two", login="joe", password="ox")
    await world.logged_in(connector_id="two", login="joe", password="ox")
    token = (await home(joe)).forms[0]["fields"]["csrf_token"]
    await joe.post("/dex/sessions", data={"csrf_token": token, "end": form["end"]})
    assert await is_logged_in(world, second)
    assert (await world.browser().post("/dex/sessions", data=form)).status == 303
    assert (await mine.get("/dex/sessions")).status == 405
    assert await is_logged_in(world, mine)


async def test_the_page_of_an_ended_session_shows_nobody(sso):
    """T-SES-03: and the browser is told to forget its cookie."""
    browser, _ = await sso.logged_in()
    sso.clock.advance(minutes=61)
    page = await home(browser)
    assert "You are not logged in" in page.text
    assert "Kilgore" not in page.text
    assert "dex_session=; Path=/dex; Max-Age=0" in page.headers["Set-Cookie"]


# — What the provider says about itself ------------------------------------------------


async def test_discovery_names_what_is_served(sso):
    found = json.loads(
        (await sso.browser().get("/dex/.well-known/openid-configuration")).text
    )
    assert found["end_session_endpoint"] == f"{sso.issuer}/logout"
    assert found["backchannel_logout_supported"] is True
    assert found["backchannel_logout_session_supported"] is True
    assert "sid" in found["claims_supported"]
    path = urlsplit(found["end_session_endpoint"]).path
    assert (await sso.browser().get(path)).status == 200


async def test_discovery_names_nothing_of_it_without_sessions(make_world, config):
    world = await make_world(config.replace("sessions: {}", ""))
    found = json.loads(
        (await world.browser().get("/dex/.well-known/openid-configuration")).text
    )
    assert not {name for name in found if "logout" in name or "session" in name}
    assert "sid" not in found["claims_supported"]


# — In frames --------------------------------------------------------------------------


@pytest.fixture
async def framed(make_world, config):
    """Two clients that log out when a frame loads an address of theirs."""
    one, two = "https://one.example/out?x=1", "https://two.example"
    uris = f"{{example-app: '{one}', other-app: '{two}'}}"
    return await make_world(
        config.replace("sessions: {}", f"sessions: {{frontchannelLogoutURIs: {uris}}}")
    )


def frames(page):
    found = {}
    for part in page.text.split('<iframe src="')[1:]:
        url = urlsplit(part.partition('"')[0].replace("&amp;", "&"))
        query = parse_qs(url.query)
        found[url.netloc] = {name: values[0] for name, values in query.items()}
    return found


async def test_clients_of_the_session_log_out_in_frames(framed):
    """Front-Channel Logout section 3: iss and sid, and only who may be framed."""
    browser, token = await begin(framed)
    sid = (await framed.claims(token))["sid"]
    page = await log_out(
        browser, id_token_hint=token, post_logout_redirect_uri=HOME, state="s"
    )
    assert page.status == 200
    assert frames(page) == {"one.example": {"x": "1", "iss": framed.issuer, "sid": sid}}
    assert page.links == [f"{HOME}&state=s"]
    assert page.headers["Refresh"] == f"5; url={HOME}&state=s"
    policy = page.headers["Content-Security-Policy"]
    assert "frame-src https://one.example" in policy
    assert "two.example" not in policy
    assert "frame-ancestors 'none'" in policy
    assert not await is_logged_in(framed, browser)


async def test_without_an_address_the_frames_page_is_the_last(framed):
    browser, token = await begin(framed)
    await framed.silently(browser, client_id="other-app")
    page = await log_out(browser, id_token_hint=token)
    assert set(frames(page)) == {"one.example", "two.example"}
    assert "Refresh" not in page.headers
    assert "You are logged out" in page.text


async def test_no_other_page_shows_frames(framed):
    browser, token = await begin(framed)
    page = await log_out(browser)
    assert "frame-src" not in page.headers["Content-Security-Policy"]
    await log_out(browser, id_token_hint=token)
    page = await log_out(browser)
    assert "frame-src" not in page.headers["Content-Security-Policy"]
