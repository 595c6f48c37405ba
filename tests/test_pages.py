"""The pages: what a browser, a screen reader, operator and attacker make of them."""

from __future__ import annotations

import re

from collections.abc import Awaitable, Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp_jinja2
import jinja2
import pytest

from aiohttp import web
from aiohttp.test_utils import TestClient
from yarl import URL

from dexcore.config.model import Frontend
from dexcore.errors import ConfigError
from dexcore.server import pages as pages_module
from dexcore.server.pages import PAGE_HEADERS, PAGES, Pages
from dexcore.server.urls import Issuer
from dexcore.signup import Field

ISSUER = Issuer("https://id.example.com/dex")
SHIPPED = Path(pages_module.__file__).parent


def _connector(name: str, available: bool = True) -> SimpleNamespace:
    return SimpleNamespace(
        id=name.lower(),
        name=name,
        url=f"/dex/auth/{name.lower()}?state=a&client_id=b",
        type=name.lower(),
        available=available,
    )


# Pages that go on by themselves, with a script.
MOVING = ("form_post.html", "frontchannel.html")
HIDDEN = {"req": "abc", "csrf": "x=="}

# Every page, with all it can show.
FULL: Mapping[str, Mapping[str, Any]] = {
    "login.html": {
        "connectors": (_connector("LDAP"), _connector("GitHub", available=False)),
        "signup_url": "/dex/signup",
        "account_name": "Jane",
        "account_email": "jane@example.com",
        "account_url": "/dex/auth/ldap?state=a&client_id=c",
    },
    "password.html": {
        "post_url": "/dex/auth/ldap/login?state=a&back=b",
        "back_link": "/dex/auth?client_id=b",
        "username": "jane",
        "prompt": "LDAP login",
        "invalid": True,
        "connector_name": "LDAP",
        "signup_url": "/dex/signup",
        "show_remember_me": True,
        "remember_me_checked": True,
        "hidden": HIDDEN,
    },
    "approval.html": {
        "user": "Jane",
        "client_name": "Example App",
        "scopes": ["View your email address", "View your groups"],
        "post_url": "/dex/approval?req=abc",
        "hidden": HIDDEN,
        "links": {"Terms of service": "/terms"},
        "stranger": True,
        "client_host": "app.example",
        "destination": "a program on your computer",
    },
    "oob.html": {"code": "lxzzsvasxho5exvwkfa5zhefl"},
    "error.html": {
        "heading": "Bad Request",
        "message": "Unregistered redirect_uri.",
        "error_id": "b3f1c2a9",
    },
    "signup.html": {
        "post_url": "/dex/signup",
        "fields": (
            Field("email", "Email address", "email", autocomplete="email"),
            Field("username", "User name", help="Letters and digits."),
            Field("name", "Full name", required=False),
            Field("password", "Password", "password", help="Twelve characters."),
            Field("terms", "I accept the terms", "checkbox", help="Read them first."),
            Field("invitation", "Invitation", "hidden"),
        ),
        "values": {"email": "jane@", "password": "hunter2", "terms": "on"},
        "errors": {"email": "Not an email address.", "terms": "Please accept."},
        "hidden": HIDDEN,
        "login_url": "/dex/",
        "message": "Sign-up is closed on Sundays.",
    },
    "signup_done.html": {"email": "jane@example.com", "login_url": "/dex/"},
    "device.html": {
        "post_url": "/dex/device/auth/verify_code",
        "user_code": "BCDF-GHJK",
        "invalid": True,
        "hidden": HIDDEN,
    },
    "device_success.html": {"client_name": "Example CLI"},
    "device_denied.html": {},
    "home.html": {
        "discovery_url": "/dex/.well-known/openid-configuration",
        "sessions": True,
        "signup_url": "/dex/signup",
        "logged_in": True,
        "username": "Jane",
        "email": "jane@example.com",
        "email_verified": False,
        "groups": ("admins", "authors"),
        "connector_name": "LDAP",
        "signed_in_iso": "2026-03-03T15:04:00Z",
        "signed_in_text": "3 Mar 2026, 15:04 UTC",
        "session_expires_iso": "2026-03-04T15:04:00Z",
        "session_expires_text": "4 Mar 2026, 15:04 UTC",
        "session_expiry_is_idle": True,
        "ip_address": "192.0.2.4",
        "user_agent": "Mozilla/5.0",
        "logout_url": "/dex/logout",
        "post_url": "/dex/sessions",
        "hidden": HIDDEN,
        "places": tuple(
            SimpleNamespace(
                id=id,
                browser=f"Firefox on {id}",
                ip_address="192.0.2.7",
                used_iso="2026-03-03T15:04:00Z",
                used_text="3 Mar 2026, 15:04 UTC",
            )
            for id in ("Linux", "Android")
        ),
        "apps": (
            SimpleNamespace(
                id="app",
                name="Example App",
                used_iso="2026-03-03T15:04:00Z",
                used_text="3 Mar 2026, 15:04 UTC",
            ),
        ),
    },
    "logout.html": {
        "post_url": "/dex/logout",
        "hidden": HIDDEN,
        "back_url": "/dex/",
        "logged_out": False,
        "show_confirmation": True,
        "username": "Jane",
    },
    "frontchannel.html": {
        "frames": ("/app/out?sid=a", "/wiki/out?sid=a"),
        "continue_url": "/bye?state=a",
    },
    "form_post.html": {
        "url": "/somewhere",
        "fields": {"SAMLRequest": "PHNhbWw+", "submit": "1"},
    },
    "totp_verify.html": {
        "post_url": "/dex/mfa/totp?req=abc",
        "invalid": True,
        "qr_code": "iVBORw0KGgo=",
        "secret": "JBSWY3DPEHPK3PXP",
        "connector_name": "LDAP",
        "hidden": HIDDEN,
    },
}

# The same pages, with only what must be given: without what they must show.
_REQUIRED = {
    name: {key: value for key, value in values.items() if key not in PAGES[name]}
    for name, values in FULL.items()
}
CASES = [
    *(pytest.param(name, values, id=f"{name}-full") for name, values in FULL.items()),
    *(pytest.param(name, given, id=name) for name, given in _REQUIRED.items()),
    pytest.param("login.html", {"connectors": ()}, id="login.html-nobody"),
    pytest.param(
        "approval.html",
        {"user": "", "client_name": "App", "scopes": [], "post_url": "/x"},
        id="approval.html-nothing",
    ),
    pytest.param("logout.html", {"logged_out": True}, id="logout.html-done"),
    pytest.param(
        "signup.html",
        {**FULL["signup.html"], "message": ""},
        id="signup.html-no-message",
    ),
]

_VOID = {"meta", "link", "img", "input", "br"}
_ATTRIBUTES = {
    *("action", "alt", "aria-describedby", "aria-disabled", "aria-hidden"),
    *("aria-invalid", "aria-labelledby", "autocapitalize", "autocomplete"),
    *("autocorrect", "autofocus", "charset", "checked", "class", "content"),
    *("data-initial", "datetime", "defer", "for", "height", "href", "id"),
    *("hidden", "sandbox", "title"),
    *("inputmode", "lang", "maxlength", "method", "name", "placeholder", "readonly"),
    *("rel", "required", "role", "spellcheck", "src", "type", "value", "width"),
}


class Page(HTMLParser):
    """A page as a browser reads it; refuses what is not well-formed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag, f"</{tag}> is in the wrong place"

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.tags if name == tag]

    def one(self, tag: str, **attributes: str) -> dict[str, str]:
        [found] = [
            attrs for attrs in self.all(tag) if attributes.items() <= attrs.items()
        ]
        return found


@pytest.fixture(scope="module")
def pages() -> Pages:
    return Pages.open(Frontend(), ISSUER)


def read(
    pages: Pages, template: str, values: Mapping[str, Any], *, status: int = 200
) -> Page:
    response = pages.render(template, "/dex/auth", status=status, **values)
    assert isinstance(response.body, bytes)
    return Page(response.body.decode())


def text_of(pages: Pages, template: str, values: Mapping[str, Any]) -> str:
    body = pages.render(template, "/dex/auth", **values).body
    assert isinstance(body, bytes)
    return body.decode()


# — What a browser gets ----------------------------------------------------------------


def test_every_page_is_tried_here() -> None:
    files = {file.name for file in (SHIPPED / "templates").glob("*.html")}
    assert set(FULL) == set(PAGES) == files - {"base.html"}
    assert all(set(PAGES[name]) <= set(FULL[name]) for name in PAGES if name in FULL)


@pytest.mark.parametrize(("template", "values"), CASES)
def test_a_page_is_well_formed_html(
    pages: Pages, template: str, values: Mapping[str, Any]
) -> None:
    page = read(pages, template, values)

    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert text_of(pages, template, values).startswith("<!doctype html>\n<html")
    assert page.one("meta", charset="utf-8")
    assert page.one("meta", name="viewport")


@pytest.mark.parametrize(("template", "values"), CASES)
def test_a_screen_reader_finds_its_way(
    pages: Pages, template: str, values: Mapping[str, Any]
) -> None:
    page = read(pages, template, values)

    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert page.one("html")["lang"] == "en"
    assert len(page.all("main")) == len(page.all("h1")) == len(page.all("title")) == 1
    assert all("alt" in image for image in page.all("img"))
    labelled = {label["for"] for label in page.all("label")}
    assert labelled <= ids
    assert labelled == {
        each["id"] for each in page.all("input") if each["type"] != "hidden"
    }
    for _, attrs in page.tags:
        assert set(attrs.get("aria-describedby", "").split()) <= ids
        assert set(attrs.get("aria-labelledby", "").split()) <= ids
        if attrs.get("aria-invalid"):
            assert attrs["aria-describedby"]


@pytest.mark.parametrize(("template", "values"), CASES)
def test_a_page_loads_nothing_from_elsewhere_and_runs_nothing(
    pages: Pages, template: str, values: Mapping[str, Any]
) -> None:
    """T-AZ-13."""
    page = read(pages, template, values)

    assert "http://" not in text_of(pages, template, values)
    assert "https://" not in text_of(pages, template, values)
    assert not page.all("style")
    for tag, attrs in page.tags:
        assert "style" not in attrs
        assert not [name for name in attrs if name.startswith("on")]
        if tag in ("link", "script", "img") and not attrs.get("src", "").startswith(
            "data:image/png;base64,"
        ):
            assert attrs.get("src", attrs.get("href", "")).startswith("/dex/")
    goes_on = template == "frontchannel.html" and "continue_url" in values
    assert len(page.all("script")) == (template == "form_post.html" or goes_on)


@pytest.mark.parametrize(("template", "values"), CASES)
async def test_every_file_a_page_loads_is_there(
    pages: Pages, template: str, values: Mapping[str, Any], browser: Browser
) -> None:
    page = read(pages, template, values)
    client = await browser(pages)

    links = [each["href"] for each in page.all("link")]
    links += [each["src"] for each in page.all("img") + page.all("script")]
    for link in links:
        if not link.startswith("data:"):
            assert (await client.get(link)).status == 200, link


@pytest.mark.parametrize("template", PAGES)
def test_a_page_comes_with_the_headers_that_fence_it(
    pages: Pages, template: str
) -> None:
    """T-AZ-13."""
    response = pages.render(template, "/dex/auth", status=400, **FULL[template])

    assert response.status == 400
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self'")
    assert policy.endswith("base-uri 'none'; frame-ancestors 'none'")
    assert "unsafe" not in policy
    assert ("script-src" in policy) == (template in MOVING)
    for name in set(PAGE_HEADERS) - {"Content-Security-Policy"}:
        assert response.headers[name] == PAGE_HEADERS[name]


def test_a_form_may_end_at_a_client() -> None:
    # Browsers hold the redirect that follows a form against form-action, too.
    assert "form-action" not in PAGE_HEADERS["Content-Security-Policy"]


# — What an attacker gets --------------------------------------------------------------

CANARY = "\"'><script>canary</script><b onload=canary {{ canary }} &lt;"


def _poisoned(value: Any) -> Iterator[Any]:
    """Yield *value* once for each text in it, with the canary in that place."""
    if isinstance(value, str):
        yield CANARY
    elif isinstance(value, Mapping):
        for key, old in value.items():
            yield from ({**value, key: new} for new in _poisoned(old))
    elif isinstance(value, tuple | list):
        for at, old in enumerate(value):
            yield from ([*value[:at], new, *value[at + 1 :]] for new in _poisoned(old))
    elif isinstance(value, SimpleNamespace):
        for new_values in _poisoned(vars(value)):
            yield SimpleNamespace(**new_values)


@pytest.mark.parametrize("template", PAGES)
def test_no_value_can_break_out_of_its_place(pages: Pages, template: str) -> None:
    harmless = read(pages, template, FULL[template])
    for values in _poisoned(dict(FULL[template])):
        assert "<script>canary" not in text_of(pages, template, values)
        page = read(pages, template, values)
        assert {name for _, attrs in page.tags for name in attrs} <= _ATTRIBUTES
        assert len(page.all("script")) == len(harmless.all("script"))


def test_names_from_the_configuration_are_escaped_too() -> None:
    frontend = Frontend(issuer=CANARY, logo_url=CANARY, extra={"x": CANARY})
    page = read(Pages.open(frontend, ISSUER), "login.html", _REQUIRED["login.html"])

    assert page.all("script") == []
    assert {name for _, attrs in page.tags for name in attrs} <= _ATTRIBUTES
    assert CANARY in page.one("img", alt=CANARY)["src"]


def test_a_query_that_is_not_text_does_not_break_the_page(pages: Pages) -> None:
    page = read(pages, "error.html", {"message": "Unknown client \udcff."}, status=400)

    assert "Unknown client ?." in page.text


def test_a_forgotten_value_is_an_error_and_not_a_gap(pages: Pages) -> None:
    with pytest.raises(jinja2.UndefinedError, match="connectors"):
        pages.render("login.html", "/dex/auth")


# — What a person reads ----------------------------------------------------------------


def test_the_login_page_links_to_each_connector(pages: Pages) -> None:
    page = read(pages, "login.html", FULL["login.html"])

    assert "Log in with LDAP" in page.text
    assert page.one("a", href="/dex/auth/ldap?state=a&client_id=b")
    assert page.one("a", href="/dex/signup")
    classes = [each["class"] for each in page.all("span") if "data-initial" in each]
    assert classes[1].split() == ["dex-btn-icon", "dex-btn-icon--ldap"]


def test_a_connector_that_is_down_cannot_be_chosen(pages: Pages) -> None:
    page = read(pages, "login.html", FULL["login.html"])

    assert "Log in with GitHub temporarily unavailable" in page.text
    assert "href" not in page.one("a", **{"aria-disabled": "true"})


def test_the_password_form_has_the_names_that_password_managers_know(
    pages: Pages,
) -> None:
    page = read(pages, "password.html", _REQUIRED["password.html"])

    assert page.one("form")["action"] == FULL["password.html"]["post_url"]
    assert page.one("input", id="login")["autocomplete"] == "username"
    assert page.one("input", id="login")["name"] == "login"
    password = page.one("input", id="password", name="password", type="password")
    assert password["autocomplete"] == "current-password"
    assert page.one("button", id="submit-login")
    assert not [each for each in page.all("p") if each.get("role") == "alert"]


def test_a_wrong_password_is_said_beside_the_form(pages: Pages) -> None:
    page = read(pages, "password.html", FULL["password.html"], status=401)

    assert page.one("p", id="login-error")["role"] == "alert"
    assert page.one("input", id="login")["value"] == "jane"
    assert "value" not in page.one("input", id="password")
    assert "checked" in page.one("input", name="remember_me")
    assert page.one("input", type="hidden", name="req")["value"] == "abc"
    assert "LDAP login" in page.text


def test_consent_is_given_or_refused_by_a_form_each(pages: Pages) -> None:
    page = read(pages, "approval.html", FULL["approval.html"])

    decisions = [each["value"] for each in page.all("input") if _is(each, "approval")]
    assert decisions == ["approve", "rejected"]
    assert [form["method"] for form in page.all("form")] == ["post", "post"]
    assert len([each for each in page.all("input") if _is(each, "req")]) == 2
    assert "Grant access to Example App?" in page.text
    assert "View your groups" in page.text


def _is(field: Mapping[str, str], name: str) -> bool:
    return field["name"] == name


def test_a_form_for_elsewhere_has_a_button_for_browsers_without_scripts(
    pages: Pages,
) -> None:
    elsewhere = "https://idp.example.com/sso?a=b&c=d"
    values = {"url": elsewhere, "fields": FULL["form_post.html"]["fields"]}
    page = read(pages, "form_post.html", values)

    assert page.one("form", id="form-post", method="post")["action"] == elsewhere
    assert page.one("input", name="SAMLRequest", type="hidden")["value"] == "PHNhbWw+"
    assert page.one("button", type="submit")
    assert page.one("script")["src"].startswith("/dex/static/submit.js?v=")
    assert "Continue" in page.text


def test_an_error_page_says_what_the_log_says_it_under(pages: Pages) -> None:
    page = read(pages, "error.html", {**FULL["error.html"], "heading": ""}, status=404)

    assert "Not Found" in page.text
    assert "Unregistered redirect_uri." in page.text
    assert "b3f1c2a9" in page.text
    assert "Error" in read(pages, "error.html", {}, status=499).text


def test_a_sign_up_form_never_repeats_a_password(pages: Pages) -> None:
    page = read(pages, "signup.html", FULL["signup.html"])

    assert "value" not in page.one("input", id="password")
    assert page.one("input", id="email")["value"] == "jane@"
    assert page.one("input", id="email")["aria-describedby"] == "email-error"
    assert page.one("input", id="terms")["aria-describedby"] == "terms-error terms-help"
    assert "required" not in page.one("input", id="name")
    assert "Not an email address." in page.text


def test_the_pages_say_whose_they_are() -> None:
    pages = Pages.open(Frontend(issuer="Example ID"), ISSUER)
    page = read(pages, "login.html", FULL["login.html"])

    assert "Log in · Example ID" in page.text
    assert "Log in to Example ID" in page.text


@pytest.mark.parametrize(
    ("logo", "source", "allowed"),
    [
        ("theme/logo.png", "/dex/theme/logo.png?v=", "img-src 'self';"),
        ("/brand/logo.png", "/brand/logo.png", "img-src 'self';"),
        (
            "https://cdn.example.com/a.png?x=1&y=2",
            "https://cdn.example.com/a.png?x=1&y=2",
            "img-src 'self' https://cdn.example.com;",
        ),
        ("//cdn.example.com/a.png", "//cdn.example.com/", "'self' cdn.example.com;"),
        ("data:image/gif;base64,R0lG", "data:image/gif;", "img-src 'self' data:;"),
    ],
)
def test_the_logo_may_be_anywhere(logo: str, source: str, allowed: str) -> None:
    pages = Pages.open(Frontend(logo_url=logo), ISSUER)
    response = pages.render("error.html", "/dex/auth")

    assert allowed in response.headers["Content-Security-Policy"]
    assert read(pages, "error.html", {}).one("img")["src"].startswith(source)


# — Files ------------------------------------------------------------------------------

Browser = Callable[[Pages], Awaitable[TestClient[web.Request, web.Application]]]


@pytest.fixture
def browser(aiohttp_client: Any) -> Browser:
    async def visit(pages: Pages) -> TestClient[web.Request, web.Application]:
        app = web.Application()
        app.add_routes(pages.routes())
        client: TestClient[web.Request, web.Application] = await aiohttp_client(app)
        return client

    return visit


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/dex/static/main.css", "text/css; charset=utf-8"),
        ("/dex/static/submit.js", "text/javascript; charset=utf-8"),
        ("/dex/static/img/ldap-icon.svg", "image/svg+xml"),
        ("/dex/theme/styles.css", "text/css; charset=utf-8"),
        ("/dex/theme/logo.png", "image/png"),
        ("/dex/theme/favicon.png", "image/png"),
        ("/dex/robots.txt", "text/plain; charset=utf-8"),
    ],
)
async def test_a_file_comes_with_its_type_and_may_be_kept(
    pages: Pages, browser: Browser, path: str, content_type: str
) -> None:
    client = await browser(pages)
    response = await client.get(path)
    again = await client.get(path, headers={"If-None-Match": response.headers["ETag"]})

    assert response.status == 200
    assert len(await response.read()) > 20
    assert response.headers["Content-Type"] == content_type
    assert response.headers["Cache-Control"] == "public, max-age=3600"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert re.fullmatch(r'"[0-9a-f]{32}"', response.headers["ETag"])
    assert again.status == 304
    assert again.headers["ETag"] == response.headers["ETag"]
    assert await again.read() == b""


@pytest.mark.parametrize(
    ("known", "status"),
    [("*", 304), ('"other", W/"{}"', 304), ('"other"', 200)],
)
async def test_a_file_is_sent_only_to_those_without_it(
    pages: Pages, browser: Browser, known: str, status: int
) -> None:
    client = await browser(pages)
    head = await client.head("/dex/static/main.css")
    etag = head.headers["ETag"].strip('"')

    response = await client.get(
        "/dex/static/main.css", headers={"If-None-Match": known.format(etag)}
    )
    assert head.status == 200
    assert await head.read() == b""
    assert int(head.headers["Content-Length"]) > 1000
    assert response.status == status


@pytest.mark.parametrize(
    "path",
    [
        "/dex/static",
        "/dex/static/",
        "/dex/static/img/",
        "/dex/theme/",
        "/dex/static/none.css",
        "/dex/static/../pages.py",
        "/dex/static/%2e%2e/pages.py",
        "/dex/static/..%2fpages.py",
        "/dex/static/..%5cpages.py",
        "/dex/static//etc/passwd",
        "/dex/static/main.css%00.svg",
        "/dex/static/main.css/",
        "/dex/staticmain.css",
        "/dex/templates/login.html",
        "/static/main.css",
    ],
)
async def test_nothing_but_the_files_can_be_read(
    pages: Pages, browser: Browser, path: str
) -> None:
    client = await browser(pages)
    url = client.make_url("/")
    asked = URL(f"{url.scheme}://{url.authority}{path}", encoded=True)

    assert (await client.session.get(asked, allow_redirects=False)).status == 404


async def test_robots_are_asked_to_stay_away(pages: Pages, browser: Browser) -> None:
    client = await browser(pages)

    text = await (await client.get("/dex/robots.txt")).text()
    assert text.split("\n")[:2] == ["User-agent: *", "Disallow: /"]


async def test_every_picture_of_the_stylesheet_is_there(
    pages: Pages, browser: Browser
) -> None:
    client = await browser(pages)
    css = await (await client.get("/dex/static/main.css")).text()

    pictures = set(re.findall(r'url\("([^"]+)"\)', css))
    assert len(pictures) > 5
    for picture in pictures:
        assert (await client.get(f"/dex/static/{picture}")).status == 200


# — Themes -----------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["", "light", "coreos", "tectonic", "dark", "auto"])
async def test_a_theme_brings_all_its_files(browser: Browser, theme: str) -> None:
    client = await browser(Pages.open(Frontend(theme=theme), ISSUER))

    for name in ("styles.css", "logo.png", "logo.svg", "favicon.png"):
        assert (await client.get(f"/dex/theme/{name}")).status == 200


@pytest.mark.parametrize("theme", ["neon", "..", "../templates", "/etc"])
def test_a_theme_that_is_not_there_is_a_mistake(theme: str) -> None:
    with pytest.raises(ConfigError, match=r"frontend.theme: .*light, dark and auto"):
        Pages.open(Frontend(theme=theme), ISSUER)


def _colours(*files: str) -> dict[str, str]:
    text = "".join((SHIPPED / file).read_text("utf-8") for file in files)
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", text))


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark", "auto"])
def test_the_colours_can_be_told_apart(theme: str) -> None:
    colours = _colours("static/main.css", f"themes/{theme}/styles.css")

    # WCAG 2.2, 1.4.3: 4.5 for text; 1.4.11: 3 for what is needed to see a field.
    for text, back in (
        ("text", "page"),
        ("text", "panel"),
        ("text", "field"),
        ("text", "hover"),
        ("text", "tag"),
        ("subtle", "page"),
        ("subtle", "glow"),
        ("subtle", "panel"),
        ("link", "page"),
        ("link", "panel"),
        ("on-accent", "accent"),
        ("on-accent", "accent-hover"),
        ("error", "panel"),
        ("error", "error-back"),
        ("done", "done-back"),
    ):
        assert _contrast(colours[text], colours[back]) >= 4.5, (text, back)
    for line, back in (
        ("field-line", "panel"),
        ("field-line", "field"),
        ("accent", "panel"),
    ):
        assert _contrast(colours[line], colours[back]) >= 3, (line, back)


def test_auto_is_dark_at_night() -> None:
    assert _colours("themes/auto/styles.css") == _colours("themes/dark/styles.css")


# — An operator's folder ---------------------------------------------------------------


def _write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


async def test_an_operator_replaces_what_they_like(
    tmp_path: Path, browser: Browser
) -> None:
    folder = _write(
        tmp_path,
        {
            "templates/error.html": "<h1>{{ issuer }}: {{ message }}{{ extra.tel }}",
            "static/extra.css": "a{}",
            "themes/acme/styles.css": "b{}",
            "themes/acme/logo.png": "png",
            "robots.txt": "User-agent: none\n",
        },
    )
    frontend = Frontend(dir=str(folder), theme="acme", extra={"tel": " (call 123)"})
    pages = Pages.open(frontend, ISSUER)
    client = await browser(pages)

    text = text_of(pages, "error.html", {"message": "<no>"})
    assert text == "<h1>dex: &lt;no&gt; (call 123)"
    page = read(pages, "login.html", FULL["login.html"])
    assert page.one("img")["src"].startswith("/dex/theme/logo.png?v=")
    for path, content in (
        ("static/extra.css", "a{}"),
        ("theme/styles.css", "b{}"),
        ("theme/logo.png", "png"),
        ("robots.txt", "User-agent: none\n"),
    ):
        assert await (await client.get(f"/dex/{path}")).text() == content
    for path in ("static/main.css", "theme/favicon.png"):
        assert (await client.get(f"/dex/{path}")).status == 200


def test_an_operator_changes_part_of_a_page(tmp_path: Path) -> None:
    folder = _write(
        tmp_path,
        {
            "templates/login.html": '{% extends "dexcore/login.html" %}'
            "{% block below %}<p>Call {{ extra.phone }}.</p>{{ super() }}{% endblock %}"
        },
    )
    frontend = Frontend(dir=str(folder), extra={"phone": "123"})
    page = read(Pages.open(frontend, ISSUER), "login.html", FULL["login.html"])

    assert "Call 123. New here?" in page.text
    assert "Log in with LDAP" in page.text


async def test_hidden_files_of_a_folder_stay_hidden(
    tmp_path: Path, browser: Browser
) -> None:
    folder = _write(
        tmp_path, {"static/.htpasswd": "x", "static/..data/a.css": "y", "static/b": "z"}
    )
    (folder / "static/a.css").symlink_to("..data/a.css")
    client = await browser(Pages.open(Frontend(dir=str(folder)), ISSUER))

    assert (await client.get("/dex/static/.htpasswd")).status == 404
    assert (await client.get("/dex/static/..data/a.css")).status == 404
    assert await (await client.get("/dex/static/a.css")).text() == "y"
    kept = await client.get("/dex/static/b")
    assert kept.headers["Content-Type"] == "application/octet-stream"


def test_a_folder_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"frontend.dir: .*none is not a folder"):
        Pages.open(Frontend(dir=str(tmp_path / "none")), ISSUER)


@pytest.mark.parametrize(
    "go",
    [
        '{{ template "header.html" . }}',
        "{{ .Code }}",
        "{{- if .Invalid -}}",
        '{{ url .ReqPath "static/main.css" }}',
        '{{ extra "phone" }}',
        "{{ range $c := .Connectors }}",
        "{{ end }}",
        "{{/* a remark */}}",
        "{{ $x }}",
        "{{ lower .ErrMsg }}",
    ],
)
def test_a_page_written_for_go_is_named(tmp_path: Path, go: str) -> None:
    folder = _write(tmp_path, {"templates/header.html": f"<p>\n{go}</p>"})

    with pytest.raises(ConfigError, match="Ours are Jinja2: rewrite") as refused:
        Pages.open(Frontend(dir=str(folder)), ISSUER)
    assert "header.html, line 2: {{" in str(refused.value)


@pytest.mark.parametrize(
    "jinja",
    [
        '{{ url("static/main.css") }}',
        "{{ issuer ~ ' ' ~ extra.phone }}",
        "{{ connectors|length }} {{ 'a' if signup_url else 'b' }}",
        "{# a remark #}{% if signup_url %}{{ signup_url }}{% endif %}",
        "{{- req_path -}} {{ status }} {{ theme }}",
        "{{ range(3)|list }} {{ url ('x') }}",
    ],
)
def test_a_page_written_for_jinja_is_not_taken_for_another(
    tmp_path: Path, jinja: str
) -> None:
    folder = _write(tmp_path, {"templates/login.html": f"<p>{jinja}</p>"})
    frontend = Frontend(dir=str(folder), extra={"phone": "123"})

    page = text_of(Pages.open(frontend, ISSUER), "login.html", FULL["login.html"])
    assert page.startswith("<p>")


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"templates/a.html": "\n{% if x %}"}, r"a\.html, line 2: Unexpected end"),
        ({"templates/oob.html": "{{ 1 + }}"}, r"oob\.html, line 1: "),
        ({"templates/oob.html": "{{ x|nope }}"}, r"oob\.html, line 1: No filter"),
    ],
)
def test_a_broken_page_is_named(
    tmp_path: Path, files: Mapping[str, str], complaint: str
) -> None:
    folder = _write(tmp_path, files)

    with pytest.raises(ConfigError, match=complaint):
        Pages.open(Frontend(dir=str(folder)), ISSUER)


# — Plugins ----------------------------------------------------------------------------


def test_a_plugin_comes_before_us_and_after_the_operator(tmp_path: Path) -> None:
    plugin = _write(tmp_path / "a", {"oob.html": "plugin", "error.html": "plugin"})
    folder = _write(tmp_path / "b", {"templates/oob.html": "operator"})
    pages = Pages.open(Frontend(dir=str(folder)), ISSUER, [plugin])

    assert text_of(pages, "oob.html", FULL["oob.html"]) == "operator"
    assert text_of(pages, "error.html", FULL["error.html"]) == "plugin"
    assert "Log in with LDAP" in text_of(pages, "login.html", FULL["login.html"])


async def test_a_plugin_renders_with_aiohttp_jinja2(
    tmp_path: Path, aiohttp_client: Any
) -> None:
    plugin = _write(
        tmp_path,
        {
            "hello.html": '{% extends "base.html" %}{% block content %}'
            '<h1>Hello {{ name }}</h1><a href="{{ url("auth") }}">in</a>{% endblock %}'
        },
    )

    async def hello(request: web.Request) -> web.Response:
        return aiohttp_jinja2.render_template("hello.html", request, {"name": "<J>"})

    app = web.Application()
    app.router.add_get("/hello", hello)
    Pages.open(Frontend(), ISSUER, [plugin]).install(app)
    client = await aiohttp_client(app)

    page = Page(await (await client.get("/hello")).text())
    assert "Hello <J>" in page.text
    assert page.one("a", href="/dex/auth")


def test_an_issuer_at_the_root_has_its_files_there() -> None:
    pages = Pages.open(Frontend(), Issuer("https://id.example.com"))
    page = read(pages, "error.html", {})

    assert all(
        each["href"].startswith(("/static/", "/theme/")) for each in page.all("link")
    )
    assert "/robots.txt" in {route.path for route in pages.routes()}


_ASKED_FOR = {
    "post_url": "/dex/auth/local/login?state=abc",
    "back_link": "/dex/auth?back=abc",
    "username": "jane",
    "prompt": "Email",
    "invalid": True,
    "connector_name": "Staff",
    "signup_url": "/dex/signup",
}


@pytest.mark.parametrize("changed", ["", *_ASKED_FOR])
@pytest.mark.parametrize("value", ["", "another", CANARY])
def test_a_page_that_was_shown_before_is_as_a_page_shown_first(
    pages: Pages, changed: str, value: str
) -> None:
    text_of(pages, "password.html", _ASKED_FOR)
    values = {**_ASKED_FOR, changed: value} if changed else _ASKED_FOR

    again = text_of(pages, "password.html", values)
    # A mapping may change, so a page with one is drawn from its template each time.
    assert again == text_of(pages, "password.html", {**values, "hidden": {}})


def test_an_operators_page_may_do_anything_with_its_values(tmp_path: Path) -> None:
    template = tmp_path / "templates" / "password.html"
    template.parent.mkdir()
    template.write_text("{{ username | upper }} {{ post_url | length }}")
    own = Pages.open(Frontend(dir=str(tmp_path)), ISSUER)

    for name, url, shown in (("jane", "/a", "JANE 2"), ("joe", "/abc", "JOE 4")):
        values = {**_ASKED_FOR, "username": name, "post_url": url}
        assert text_of(own, "password.html", values) == shown
