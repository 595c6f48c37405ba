"""Apps renew logins silently and log out, with the libraries they use for it."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading

from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from dexcore.testing.browser import Landing, SyncBrowser

SESSIONS = {"ssoSharedWithDefault": "all"}
EMAIL, PASSWORD = "jane@example.com", "password"
REDIRECT_URI = "http://127.0.0.1:5555/callback"


def client(**more: object) -> dict[str, object]:
    return {
        "id": "app",
        "secret": "ZXhhbXBsZS1hcHAtc2VjcmV0",
        "name": "An app",
        "redirectURIs": [REDIRECT_URI],
        **more,
    }


def test_openid_client_renews_silently_and_logs_out(run_app, serve_provider):
    bye = f"{REDIRECT_URI}/bye"
    provider = serve_provider(
        sessions=SESSIONS,
        staticClients=[client(postLogoutRedirectURIs=[bye])],
        oauth2={"skipApprovalScreen": True},
    )
    with SyncBrowser() as browser:
        visited = []

        def browse(url: str) -> str:
            visited.append(url)
            if url.startswith(f"{provider.issuer}/logout"):
                landing = browser.authorize(url)
                assert isinstance(landing, Landing)
                return landing.url
            return browser.log_in(url, EMAIL, PASSWORD).url

        learnt = run_app("openid_client_sessions.mjs", provider, browse)
    first, silent = learnt["first"], learnt["silent"]
    assert silent["sub"] == first["sub"]
    assert silent["sid"] == first["sid"] == learnt["fresh"]["sid"]
    assert silent["auth_time"] == first["auth_time"] == learnt["fresh"]["auth_time"]
    assert learnt["again"]["auth_time"] >= first["auth_time"]
    assert learnt["bye"] == f"{bye}?state=see+you"
    assert learnt["after"] == "login_required"


# — oidc-client-ts, in a browser -------------------------------------------------------

PAGE = """<!doctype html><title>App</title><script src="/oidc.js"></script><script>
const here = location.origin;
window.manager = new oidc.UserManager({
  authority: "ISSUER", client_id: "spa", scope: "openid email profile",
  redirect_uri: here + "/in", silent_redirect_uri: here + "/silent",
  post_logout_redirect_uri: here + "/out", automaticSilentRenew: false,
  loadUserInfo: true,
});
</script>"""
SILENT = """<!doctype html><script src="/oidc.js"></script><script>
new oidc.UserManager({}).signinSilentCallback();
</script>"""
# Nothing of it may be looked up, updated or reported to anybody.
CHROMIUM = [
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]


class SinglePage(http.server.BaseHTTPRequestHandler):
    """An app without a server of its own: its pages and the library."""

    def __init__(self, pages: dict[str, str], library: bytes, *args: object) -> None:
        self.pages, self.library = pages, library
        super().__init__(*args)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        script = path == "/oidc.js"
        body = self.library if script else self.pages.get(path, self.pages["/"])
        self.send_response(200)
        kind = "text/javascript" if script else "text/html"
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else body.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def single_page_app(node_modules: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Serve it; fill in its pages afterwards."""
    folder = node_modules / "oidc-client-ts" / "dist" / "browser"
    library = (folder / "oidc-client-ts.min.js").read_bytes()
    pages: dict[str, str] = {"/": "", "/silent": SILENT}
    handler = functools.partial(SinglePage, pages, library)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", pages
        finally:
            server.shutdown()
            thread.join()


def renewed(page: Page) -> str | dict[str, object]:
    """Renew silently in a frame; return the claims, or why not."""
    return page.evaluate(
        """() => manager.signinSilent({silentRequestTimeoutInSeconds: 20})
            .then((user) => user.profile, (error) => error.error || String(error))"""
    )


def test_oidc_client_ts_renews_in_a_frame_and_logs_out(
    requires_program, node_modules, serve_provider
):
    program = requires_program("chromium", install="apt-get install chromium")
    with single_page_app(node_modules) as (app, pages), sync_playwright() as playwright:
        spa = {
            "id": "spa",
            "name": "A single page",
            "public": True,
            "redirectURIs": [f"{app}/in", f"{app}/silent"],
            "postLogoutRedirectURIs": [f"{app}/out"],
        }
        provider = serve_provider(
            sessions=SESSIONS,
            staticClients=[spa],
            oauth2={"skipApprovalScreen": True},
            web={"allowedOrigins": [app]},
        )
        pages["/"] = PAGE.replace("ISSUER", provider.issuer)
        chromium = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        page = chromium.new_page()
        page.goto(app)
        assert renewed(page) == "login_required"
        page.evaluate("() => { manager.signinRedirect(); }")
        page.get_by_label("Email Address").fill(EMAIL)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{app}/in?*")
        profile = page.evaluate(
            "() => manager.signinRedirectCallback().then((user) => user.profile)"
        )
        assert profile["email"] == EMAIL
        again = renewed(page)
        assert again["sid"] == profile["sid"]
        assert again["sub"] == profile["sub"]
        page.evaluate("() => { manager.signoutRedirect({state: 'see you'}); }")
        page.wait_for_url(f"{app}/out?*")
        state = page.evaluate(
            "() => manager.signoutRedirectCallback().then((answer) => answer.userState)"
        )
        assert state == "see you"
        assert renewed(page) == "login_required"
        chromium.close()
