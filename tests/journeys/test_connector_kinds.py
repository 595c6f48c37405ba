"""Every kind of connector, from the app to its tokens; its upstream is another site."""

from __future__ import annotations

import html

import attrs
import pytest

from aiohttp import web
from playwright.async_api import expect

from dexcore import hookimpl
from dexcore.connector import (
    CallbackConnector,
    Challenge,
    ConnectorType,
    FormPost,
    Identity,
    NegotiateConnector,
    PasswordConnector,
    RefreshConnector,
)
from dexcore.errors import (
    AccessDenied,
    NotInRequiredGroups,
    UpstreamError,
    UpstreamUnavailable,
)
from dexcore.testing.browser import Browser, BrowserError, Landing
from dexcore.testing.chromium import DESKTOP, PHONE, chromium, fits
from dexcore.testing.journey import Journey
from dexcore.testing.upstreams import Upstream

ODD = "a b%41/ä"


@attrs.frozen
class Nothing:
    """No options."""


@attrs.define(eq=False)
class Poster(CallbackConnector, RefreshConnector):
    """Speaks by forms, as SAML does; ``mood`` is what it raises, ``seen`` what came."""

    upstream: Upstream
    mood: Exception | None = None
    seen: list = attrs.field(factory=list)

    async def begin(self, scopes, callback_url, state):
        if isinstance(self.mood, AccessDenied):
            raise self.mood
        fields = {"to": callback_url, "RelayState": state, "submit": "<&\"'>"}
        return FormPost(f"{self.upstream.url}/sso", fields, state.encode())

    async def finish(self, scopes, callback):
        self.seen.append(callback)
        if self.mood is not None:
            raise self.mood
        if callback.form.get("answer") != "jane to " + callback.connector_data.decode():
            raise AccessDenied("The answer is for another login.")
        return Identity("1", username="Jane", connector_data=b"kept")

    async def refresh(self, scopes, identity):
        assert identity.connector_data == b"kept"
        return identity


class Site(Upstream):
    """Another site, whose page posts its answer to us."""

    def routes(self):
        return [web.post("/sso", self.sso)]

    async def sso(self, request):
        form = await request.post()
        assert form["submit"] == "<&\"'>"
        to, state = (html.escape(form[name]) for name in ("to", "RelayState"))
        page = f"""<!doctype html><link rel=icon href="data:,"><title>Site</title>
<form method=post action="{to}"><input type=hidden name=RelayState value="{state}">
<input type=hidden name=answer value="jane to {state}"><button>Go</button></form>"""
        return web.Response(text=page, content_type="text/html")


@attrs.define(eq=False)
class Gate(PasswordConnector, NegotiateConnector):
    """Knows who has a ticket, and who knows the password."""

    challenge: Challenge = attrs.field(factory=Challenge)
    mood: Exception | None = None
    seen: list = attrs.field(factory=list)

    async def negotiate(self, scopes, callback):
        self.seen.append(callback)
        if self.mood is not None:
            raise self.mood
        header = callback.headers.get("Authorization", "")
        if header == "Negotiate good":
            return Identity("1", username="Jane")
        return None if header.startswith("Negotiate") else self.challenge

    async def login(self, scopes, username, password):
        return Identity("1", username="Jane") if password == "right" else None


class Plugin:
    """Offers both, already open."""

    def __init__(self, **offered):
        self.offered = offered

    @hookimpl
    def dex_connector_types(self):
        def opener(connector):
            async def open_it(config, context):
                return connector

            return open_it

        return [
            ConnectorType(name, Nothing, opener(connector))
            for name, connector in self.offered.items()
        ]


@pytest.fixture
def poster():
    with Site() as site:
        yield Poster(site)


@pytest.fixture
def journey(poster):
    with Journey({"type": "poster"}, plugins=[Plugin(poster=poster)]) as journey:
        yield journey


# — an upstream that answers by a form -------------------------------------------------


def test_a_form_goes_upstream_and_one_comes_back(journey, poster):
    tokens = journey.log_in()
    assert tokens.claims["name"] == "Jane"
    assert journey.refresh(tokens).claims["name"] == "Jane"
    assert [seen.method for seen in poster.upstream.asked("/sso")] == ["POST"]
    # Across sites no cookie comes along, so the form is parked and fetched.
    came = [each for each in journey.requests if "/callback" in each]
    assert came == ["POST /dex/callback", "GET /dex/callback"]


async def walk(journey, browser):
    """Go as far as the form that is about to be posted to us."""
    browser.stop_at = f"{journey.issuer}/callback"
    landing = await browser.log_in(journey.authorization_url())
    browser.stop_at = journey.redirect_uri
    return landing


async def bring(browser, landing, **fields):
    form = {**landing.form, **fields}
    return await browser.post(landing.url, form, initiator=landing.origin)


async def test_what_was_posted_counts_once_and_in_its_own_browser(journey):
    async with Browser() as browser, Browser() as stranger:
        landing = await walk(journey, browser)
        stranger.stop_at = journey.redirect_uri
        assert (await bring(stranger, landing)).status == 400
        arrived = await bring(browser, landing)
        assert isinstance(arrived, Landing)
        parked = next(url for url in browser.history if "parked=" in url)
        assert (await browser.open(parked)).status == 400
        assert (await bring(browser, landing)).status == 400
        assert journey.landed(arrived.url).claims["name"] == "Jane"


async def test_garbage_that_is_posted_does_not_end_the_login(journey):
    async with Browser() as browser:
        landing = await walk(journey, browser)
        refused = await bring(browser, landing, answer="jane to somebody")
        assert refused.status == 403
        assert "The answer is for another login." in refused.words
        arrived = await bring(browser, landing)
        assert journey.landed(arrived.url).claims["name"] == "Jane"


async def test_a_form_that_belongs_to_no_login_is_refused(journey):
    async with Browser(stop_at=journey.redirect_uri) as browser:
        for form in ({}, {"answer": "x"}, {"RelayState": "x" * 25, "answer": "x"}):
            answer = await browser.post(
                f"{journey.issuer}/callback", form, initiator="http://localhost/"
            )
            assert answer.status == 400


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_in_a_real_browser_forms_cross_sites(
    journey, poster, requires_program, size, script
):
    program = requires_program("chromium", install="apt-get install chromium")
    allowed = [journey.issuer, poster.upstream.url, journey.app.url]
    async with chromium(program, allowed) as open_page:
        page = await open_page(viewport=size, java_script_enabled=script)
        if not script:
            await page.goto(journey.authorization_url())
            await expect(page.get_by_role("heading")).to_have_text("One moment")
            await fits(page)
            await page.get_by_role("button", name="Continue").click()
        else:
            await page.goto(journey.authorization_url())
        await page.get_by_role("button", name="Go").click()
        await page.wait_for_url(f"{journey.redirect_uri}?*")
        tokens = journey.landed(page.url)
    assert tokens.claims["name"] == "Jane"


# — who is refused, and what fails -----------------------------------------------------


@pytest.mark.parametrize(
    ("mood", "status", "words"),
    [
        (AccessDenied("Your contract has ended."), 403, "Your contract has ended."),
        (NotInRequiredGroups(), 403, "not a member of any of the required groups"),
        (NotInRequiredGroups("Only staff."), 403, "Only staff."),
        (UpstreamError("idp.internal lies"), 502, "Authentication failed"),
        (UpstreamUnavailable("idp.internal is down"), 503, "temporarily unavailable"),
        (ValueError("idp.internal"), 502, "Authentication failed"),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_whoever_comes_back_in_vain_reads_why(
    journey, poster, mood, status, words
):
    async with Browser() as browser:
        landing = await walk(journey, browser)
        poster.mood = mood
        page = await bring(browser, landing)
        assert page.status == status
        assert words in page.words
        assert "internal" not in page.html
        poster.mood = None
        arrived = await bring(browser, landing)
        assert journey.landed(arrived.url).claims["name"] == "Jane"


def test_whoever_is_refused_before_they_go_reads_why(journey, poster):
    poster.mood = AccessDenied("Not from this country.")
    with pytest.raises(BrowserError) as refused:
        journey.log_in()
    assert refused.value.page.status == 403
    assert "Not from this country." in refused.value.page.words


async def test_one_upstream_never_finishes_a_login_at_another(poster):
    """T-FLOW-04: RFC 9700 section 4.4: each login knows where it went."""
    with Site() as site:
        evil = Poster(site)
        plugin = Plugin(poster=poster, evil=evil)
        with Journey({"type": "poster"}, {"type": "evil"}, plugins=[plugin]) as journey:
            async with Browser() as browser:
                browser.stop_at = f"{journey.issuer}/callback"
                url = journey.authorization_url(connector_id="evil")
                landing = await browser.log_in(url)
                browser.stop_at = journey.redirect_uri
                crossed = await browser.post(
                    f"{journey.issuer}/callback/poster",
                    landing.form,
                    initiator=landing.origin,
                )
                assert crossed.status == 400
                arrived = await bring(browser, landing)
                assert isinstance(arrived, Landing)
        assert poster.seen == []
        assert len(evil.seen) == 1


# — a ticket, or a password ------------------------------------------------------------


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def gated(gate):
    with Journey({"type": "gate"}, plugins=[Plugin(gate=gate)]) as journey:
        yield journey


async def form_of(journey, **headers):
    async with Browser(stop_at=journey.redirect_uri, headers=headers) as browser:
        return await browser.authorize(journey.authorization_url())


async def test_a_ticket_logs_in_without_a_form(gated):
    arrived = await form_of(gated, Authorization="Negotiate good")
    assert gated.landed(arrived.url).claims["name"] == "Jane"


async def test_who_has_no_ticket_is_asked_for_one_and_may_type_a_password(gated):
    page = await form_of(gated)
    assert page.status == 401
    assert page.headers["WWW-Authenticate"] == "Negotiate"
    async with Browser(stop_at=gated.redirect_uri) as browser:
        page = await browser.authorize(gated.authorization_url())
        arrived = await browser.enter(page, "jane", "right")
    assert gated.landed(arrived.url).claims["name"] == "Jane"


async def test_where_only_tickets_count_no_form_is_shown(gated, gate):
    gate.challenge = Challenge("Negotiate", form=False)
    page = await form_of(gated)
    assert page.status == 401
    assert page.headers["WWW-Authenticate"] == "Negotiate"
    assert not page.forms
    assert "Log in to your computer" in page.words
    arrived = await form_of(gated, Authorization="Negotiate good")
    assert gated.landed(arrived.url).claims["name"] == "Jane"


async def test_a_ticket_that_is_none_leads_to_the_form(gated):
    page = await form_of(gated, Authorization="Negotiate bad")
    assert page.status == 200
    assert page.form("password")
    assert "WWW-Authenticate" not in page.headers


@pytest.mark.parametrize(
    ("mood", "status"),
    [
        (AccessDenied("Your account is locked."), 403),
        (UpstreamUnavailable("kdc.internal"), 503),
        (KeyError("kdc.internal"), 502),
    ],
    ids=repr,
)
async def test_a_ticket_may_be_refused_and_its_judge_may_fail(
    gated, gate, mood, status
):
    gate.mood = mood
    page = await form_of(gated, Authorization="Negotiate good")
    assert page.status == status
    assert "internal" not in page.html


# — whom headers are believed from -----------------------------------------------------


async def test_no_browser_says_by_a_header_who_it_is(gated, gate, journey, poster):
    claimed = {"X-Remote-User": "admin", "x-rEmote-groups": "admins", "X-Other": "1"}
    await form_of(gated, **claimed)
    async with Browser(headers=claimed) as browser:
        for path in ("/callback", "/callback/poster"):
            landing = await walk(journey, browser)
            form = landing.form
            url = f"{journey.issuer}{path}"
            arrived = await browser.post(url, form, initiator=landing.origin)
            assert isinstance(arrived, Landing)
    for callback in (*gate.seen, *poster.seen):
        assert not callback.via_proxy
        assert "X-Remote-User" not in callback.headers
        assert "X-Remote-Groups" not in callback.headers
        assert callback.headers["X-Other"] == "1"


@pytest.mark.parametrize(("path", "believed"), [("", False), ("/poster", True)])
async def test_a_trusted_proxy_is_believed_on_the_path_of_the_connector(
    poster, path, believed
):
    settings = {
        "web": {
            "http": "127.0.0.1:5556",
            "clientRemoteIP": {
                "header": "X-Forwarded-For",
                "trustedProxies": ["127.0.0.1/32"],
            },
        }
    }
    plugin = Plugin(poster=poster)
    with Journey({"type": "poster"}, plugins=[plugin], settings=settings) as journey:
        async with Browser(headers={"X-Remote-User": "jane"}) as browser:
            landing = await walk(journey, browser)
            url = f"{journey.issuer}/callback{path}"
            await browser.post(url, landing.form, initiator=landing.origin)
    [callback] = poster.seen
    assert callback.via_proxy is believed
    assert ("X-Remote-User" in callback.headers) is believed


# — odd names --------------------------------------------------------------------------


async def test_an_id_may_be_anything_that_can_be_encoded(poster, gate):
    connectors = [
        {"type": "poster", "id": ODD, "name": "Post"},
        {"type": "gate", "id": f"{ODD}2", "name": "Gate"},
    ]
    plugin = Plugin(poster=poster, gate=gate)
    with Journey(*connectors, plugins=[plugin]) as journey:
        assert journey.log_in(connector="Post").claims["name"] == "Jane"
        async with Browser(stop_at=journey.redirect_uri) as browser:
            page = await browser.authorize(journey.authorization_url())
            form = await browser.choose(page, "Gate")
            arrived = await browser.enter(form, "jane", "right")
            assert journey.landed(arrived.url).claims["name"] == "Jane"
