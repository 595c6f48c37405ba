"""Apps take answers by query, fragment and form, and look whose they are."""

from __future__ import annotations

import json

from dexcore.testing.browser import Landing, SyncBrowser

EMAIL, PASSWORD = "jane@example.com", "password"
FRONT = {
    "oauth2": {
        "responseTypes": ["code", "id_token", "token"],
        "skipApprovalScreen": True,
    }
}


def browse(url: str) -> str:
    """Log Jane in; say where the browser landed, and what it was to post there."""
    with SyncBrowser() as browser:
        landing = browser.authorize(url) if "prompt=none" in url else None
        if not isinstance(landing, Landing):
            landing = browser.log_in(url, EMAIL, PASSWORD)
    return json.dumps({"url": landing.url, "form": dict(landing.form)})


def test_openid_client_logs_in_by_every_way(run_app, serve_provider):
    provider = serve_provider(**FRONT)
    learnt = run_app("responses_openid_client.mjs", provider, browse)
    ways = [
        "code by form_post",
        "hybrid",
        "hybrid by form_post",
        "implicit",
        "implicit by form_post",
    ]
    for way in ways:
        assert learnt[way]["email"] == EMAIL, way
    assert len({learnt[way]["sub"] for way in ways}) == 1
    assert "iss" in learnt["forged"]
    assert "iss" in learnt["missing"]


def test_oauth4webapi_checks_hybrid_answers_and_their_issuer(run_app, serve_provider):
    provider = serve_provider(**FRONT)
    learnt = run_app("responses_oauth4webapi.mjs", provider, browse)
    assert learnt["modes"] == ["query", "fragment", "form_post"]
    assert learnt["code"] is learnt["posted"] is True
    assert learnt["silent"] == "login_required"
    assert "iss" in learnt["forged"]
    assert "iss" in learnt["missing"]
