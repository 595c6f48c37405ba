"""Apps renew logins silently and log out, with the libraries they use for it."""

from __future__ import annotations

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
