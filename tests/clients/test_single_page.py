"""An app that is nothing but a page logs in: oidc-client-ts, in Chromium.

It pushes its requests with oauth4webapi, which works in browsers, too.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import json
import threading

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
EMAIL, PASSWORD = "jane@example.com", "password"
PAGE = """<!doctype html><title>App</title>
<script>const ISSUER = "{issuer}";</script>
<script src="/oidc.js"></script><script src="/app.js"></script>"""
# Nothing of it may be looked up, updated or reported to anybody.
CHROMIUM = [
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
# What a promise of the library comes to: the user, or why not.
OUTCOME = (
    "(user) => user && ({...user}), (error) => ({error: error.error || `${error}`})"
)


class SinglePage(http.server.BaseHTTPRequestHandler):
    """The app: its page, whatever the address, and its scripts."""

    def __init__(self, files: dict[str, str], *args: object) -> None:
        self.files = files
        super().__init__(*args)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        script = path.endswith(".js")
        self.send_response(200)
        kind = "text/javascript" if script else "text/html"
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.files[path if script else "/"].encode())

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def single_page_app(node_modules: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Serve it; fill in its page afterwards."""
    library = node_modules / "oidc-client-ts/dist/browser/oidc-client-ts.min.js"
    files = {
        "/": "",
        "/oidc.js": library.read_text("utf-8"),
        "/oauth4webapi.js": (node_modules / "oauth4webapi/build/index.js").read_text(
            "utf-8"
        ),
        "/app.js": (HERE / "single_page.js").read_text("utf-8"),
    }
    handler = functools.partial(SinglePage, files)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", files
        finally:
            server.shutdown()
            thread.join()


@attrs.frozen
class App:
    """The app at ``url``, open in a browser's ``page``."""

    url: str
    page: Page

    def does(self, call: str) -> Any:
        """Return what the call of a manager comes to."""
        return self.page.evaluate(f"() => {call}.then({OUTCOME})")

    def leaves(self, call: str) -> None:
        """Make a call that sends the browser elsewhere."""
        self.page.evaluate(f"() => {{ {call}; }}")

    def logs_in(self, manager: str = "manager") -> dict[str, Any]:
        """Log Jane in by redirects; return the user."""
        self.leaves(f"{manager}.signinRedirect()")
        enter(self.page)
        self.page.wait_for_url(f"{self.url}/in?*")
        user: dict[str, Any] = self.does(f"{manager}.signinRedirectCallback()")
        assert user["profile"]["email"] == EMAIL
        return user


def enter(page: Page) -> None:
    """Fill in the form of the provider."""
    page.get_by_label("Email Address").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


@pytest.fixture
def open_app(
    requires_program: Callable[..., str],
    node_modules: Path,
    serve_provider: Callable[..., Any],
) -> Iterator[Callable[..., App]]:
    """Return what opens the app; arguments say more of its provider."""
    program = requires_program("chromium", install="apt-get install chromium")
    with single_page_app(node_modules) as (url, files), sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        spa = {
            "id": "spa",
            "name": "A single page",
            "public": True,
            "redirectURIs": [f"{url}/in", f"{url}/silent", f"{url}/popup"],
            "postLogoutRedirectURIs": [f"{url}/out", f"{url}/silent-out"],
        }

        def start(oauth2: dict[str, object] | None = None, **more: object) -> App:
            provider = serve_provider(
                sessions={"ssoSharedWithDefault": "all"},
                staticClients=[spa],
                oauth2={"skipApprovalScreen": True, **(oauth2 or {})},
                web={"allowedOrigins": [url]},
                **more,
            )
            files["/"] = PAGE.format(issuer=provider.issuer)
            page = chromium.new_page()
            page.goto(url)
            return App(url, page)

        yield start
        chromium.close()


def test_it_renews_in_a_frame_and_logs_out(open_app):
    app = open_app()
    silently = "manager.signinSilent({silentRequestTimeoutInSeconds: 20})"
    assert app.does(silently) == {"error": "login_required"}
    profile = app.logs_in()["profile"]
    again = app.does(silently)["profile"]
    assert again["sid"] == profile["sid"]
    assert again["sub"] == profile["sub"]
    app.leaves("manager.signoutRedirect({state: 'see you'})")
    app.page.wait_for_url(f"{app.url}/out?*")
    assert app.does("manager.signoutRedirectCallback()")["userState"] == "see you"
    assert app.does(silently) == {"error": "login_required"}


def test_it_logs_in_in_a_window_of_its_own_and_out_in_a_frame(open_app):
    app = open_app()
    with app.page.expect_popup() as opened:
        app.leaves("window.user = manager.signinPopup()")
    enter(opened.value)
    user = app.does("user")
    assert user["profile"]["email"] == EMAIL
    assert opened.value.is_closed()
    assert app.does("manager.signoutSilent()") is None
    assert app.does("manager.getUser()") is None
    silently = "manager.signinSilent({silentRequestTimeoutInSeconds: 20})"
    assert app.does(silently) == {"error": "login_required"}


def test_it_renews_by_itself_with_a_refresh_token_and_gives_that_back(open_app):
    # It renews a minute before the access token expires.
    app = open_app(expiry={"idTokens": "65s"})
    user = app.logs_in("refreshing")
    frames: list[str] = []
    app.page.on("frameattached", lambda frame: frames.append(frame.url))
    app.leaves(
        "window.renewed = new Promise((told) => refreshing.events.addUserLoaded(told))"
    )
    renewed = app.does("renewed")
    assert renewed["access_token"] != user["access_token"]
    assert renewed["refresh_token"] != user["refresh_token"]
    assert renewed["profile"]["sub"] == user["profile"]["sub"]
    assert not frames
    app.leaves("refreshing.stopSilentRenew()")
    app.does("refreshing.getUser().then((user) => { window.before = {...user}; })")
    assert app.does("refreshing.revokeTokens(['refresh_token'])") is None
    assert app.does("refreshing.getUser()")["refresh_token"] is None
    app.does("refreshing.storeUser(new oidc.User(before))")
    assert app.does("refreshing.signinSilent()") == {"error": "invalid_grant"}


def test_it_logs_in_with_a_password(open_app):
    app = open_app(
        oauth2={
            "passwordConnector": "local",
            "grantTypes": ["authorization_code", "refresh_token", "password"],
        }
    )

    def tried(password: str) -> Any:
        return app.does(
            "refreshing.signinResourceOwnerCredentials("
            f"{{username: '{EMAIL}', password: '{password}'}})"
        )

    user = tried(PASSWORD)
    assert user["profile"]["email"] == EMAIL
    again = app.does("refreshing.signinSilent()")
    assert again["access_token"] != user["access_token"]
    assert tried("wrong")["error"] == "invalid_grant"


def said(token: str) -> dict[str, Any]:
    """Return what a token says."""
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return found


def test_it_proves_its_key_names_its_api_and_says_what_it_wants(open_app):
    api = "https://api.example.com/"
    app = open_app(
        oauth2={"dpop": {"requireNonce": True}},
        resources=[{"id": api, "name": "The API"}],
    )
    asked: list[str] = []
    app.page.on("request", lambda request: asked.append(request.url))
    wishes = {
        "login_hint": EMAIL,
        "acr_values": "gold",
        "max_age": 3600,
        "ui_locales": "de en",
        "extraQueryParams": {
            "claims": '{"id_token": {"name": null}, "userinfo": {"email": null}}'
        },
    }
    app.leaves(f"proving.signinRedirect({json.dumps(wishes)})")
    # The hint fills in who it is.
    name = app.page.get_by_label("Email Address")
    assert name.input_value() == EMAIL
    assert app.page.locator("html").get_attribute("lang") == "en"
    enter(app.page)
    app.page.wait_for_url(f"{app.url}/in#*")
    assert app.page.evaluate("location.search") == ""
    user = app.does("proving.signinRedirectCallback()")
    first = said(user["id_token"])
    assert first["amr"] == ["pwd"]
    assert first["name"] == "jane"
    assert "email" not in first
    # Its tokens are for its key, and for us and the API until it names one.
    assert user["token_type"] == "DPoP"
    token = said(user["access_token"])
    assert token["aud"] == [token["iss"], api]
    (begun,) = (parse_qs(urlsplit(url).query) for url in asked if "dpop_jkt=" in url)
    assert [token["cnf"]["jkt"]] == begun["dpop_jkt"]
    told = app.does("proving.getUser().then(userinfo)")
    assert told["email"] == EMAIL
    assert told["sub"] == user["profile"]["sub"]
    renewed = app.does(f"proving.signinSilent({{resource: '{api}'}})")
    narrow = said(renewed["access_token"])
    assert (narrow["aud"], narrow["cnf"]) == (api, token["cnf"])
    assert renewed["refresh_token"] != user["refresh_token"]
    assert app.does("proving.getUser().then(userinfo)")["error"] == "invalid_token"
    # In a frame it says who is meant.
    framed = app.does("proving.signinSilent({forceIframeAuth: true})")
    assert any("id_token_hint=" in url for url in asked)
    assert said(framed["id_token"])["sid"] == first["sid"]
    assert said(framed["access_token"])["cnf"] == token["cnf"]
    status = app.does("proving.querySessionStatus()")
    assert status["sub"] == first["sub"]
    # What it pushes no browser carries, and what its key is for no other.
    pushed = app.does("push()")
    with app.page.expect_popup() as opened:
        app.leaves(f"open({json.dumps(pushed['url'])})")
    opened.value.wait_for_url(f"{app.url}/in?*")
    traded = app.does(f"trade({json.dumps(opened.value.url)})")
    opened.value.close()
    assert said(traded["id_token"])["email"] == EMAIL
    assert said(traded["access_token"])["cnf"] != token["cnf"]
    # Why a token is refused stands in a header, which scripts can read.
    assert app.does("refusal('no token')")["error"] == "invalid_token"
    # A login that is too old, or is to be another one, is made again.
    app.leaves("proving.signinRedirect({max_age: 0})")
    enter(app.page)
    app.page.wait_for_url(f"{app.url}/in#*")
    again = said(app.does("proving.signinRedirectCallback()")["id_token"])
    assert again["sid"] == first["sid"]
    assert again["auth_time"] >= first["auth_time"]
    app.leaves("proving.signinRedirect({prompt: 'select_account'})")
    app.page.get_by_role("link", name="Continue as jane").click()
    app.page.wait_for_url(f"{app.url}/in#*")
    chosen = said(app.does("proving.signinRedirectCallback()")["id_token"])
    assert chosen["auth_time"] == again["auth_time"]


def test_it_notices_in_frames_that_somebody_logs_out_elsewhere(open_app):
    """OpenID Connect Session Management 1.0."""
    app = open_app()
    app.leaves("watching.signinRedirect()")
    enter(app.page)
    app.page.wait_for_url(f"{app.url}/in?*")
    app.leaves(
        """
        window.told = [];
        addEventListener("message", ({data}) => told.push(data));
        window.gone = new Promise((tell) => watching.events.addUserSignedOut(tell));
        """
    )
    asked: list[str] = []
    app.page.on("request", lambda request: asked.append(request.url))
    session_state = app.does("watching.signinRedirectCallback()")["session_state"]
    assert session_state
    app.page.wait_for_function("told.length >= 2")
    # As long as nothing happens, nobody is asked but the frame.
    assert set(app.page.evaluate("told")) == {"unchanged"}
    assert not [url for url in asked if "prompt=none" in url]
    with app.page.expect_popup() as opened:
        app.leaves("open(ISSUER + '/logout')")
    opened.value.get_by_role("button", name="Log out").click()
    opened.value.get_by_role("heading", name="You are logged out").wait_for()
    assert app.does("gone") is None
    assert [url for url in asked if "prompt=none" in url]
