"""Apps for Node renew logins silently, log out, and hear of it."""

from __future__ import annotations

import attrs
import pytest

from dexcore.testing.browser import Landing, SyncBrowser

EMAIL, PASSWORD = "jane@example.com", "password"


@pytest.mark.parametrize(
    "script", ["sessions_openid_client.mjs", "sessions_oauth4webapi.mjs"]
)
def test_an_app_renews_silently_and_logs_out(
    run_app, serve_provider, free_port, script
):
    app = f"http://127.0.0.1:{free_port()}"
    bye = f"{app}/callback/bye"
    client = {
        "id": "app",
        "secret": "ZXhhbXBsZS1hcHAtc2VjcmV0",
        "name": "An app",
        "redirectURIs": [f"{app}/callback"],
        "postLogoutRedirectURIs": [bye],
    }
    listens = "oauth4webapi" in script
    if listens:
        client["backchannelLogoutURI"] = f"{app}/backchannel"
    provider = attrs.evolve(
        serve_provider(
            sessions={"ssoSharedWithDefault": "all"},
            staticClients=[client],
            oauth2={"skipApprovalScreen": True},
        ),
        redirect_uri=f"{app}/callback",
    )
    with SyncBrowser() as browser:

        def browse(url: str) -> str:
            if url.startswith(f"{provider.issuer}/logout"):
                landing = browser.authorize(url)
                assert isinstance(landing, Landing)
                return landing.url
            return browser.log_in(url, EMAIL, PASSWORD).url

        learnt = run_app(script, provider, browse)
    first, silent = learnt["first"], learnt["silent"]
    assert silent["sub"] == first["sub"]
    assert silent["sid"] == first["sid"] == learnt["fresh"]["sid"]
    assert silent["auth_time"] == first["auth_time"] == learnt["fresh"]["auth_time"]
    assert learnt["again"]["auth_time"] >= first["auth_time"]
    assert learnt["bye"] == f"{bye}?state=see+you"
    assert learnt["after"] == "login_required"
    if listens:
        assert learnt["heard"]["path"] == "/backchannel"
        assert learnt["heard"]["sub"] == first["sub"]
        assert learnt["heard"]["sid"] == first["sid"]
