"""Apps for Node push their requests, sign them, and do both."""

from __future__ import annotations

import json

import attrs
import pytest

from dexcore.testing.browser import BrowserError, SyncBrowser
from dexcore.testing.client_key import ClientKey

EMAIL, PASSWORD = "jane@example.com", "password"
REDIRECT_URI = "http://127.0.0.1:5555/callback"


def client(client_id, **more):
    return {
        "id": client_id,
        "name": f"An app that {client_id}",
        "redirectURIs": [REDIRECT_URI],
        **more,
    }


@pytest.mark.parametrize(
    "script", ["requests_openid_client.mjs", "requests_oauth4webapi.mjs"]
)
def test_an_app_pushes_and_signs_its_requests(run_app, serve_provider, script):
    key, secret = ClientKey("ES256"), "a-secret-of-the-app"
    must_push = {"require_pushed_authorization_requests": True}
    must_sign = {
        "jwks": key.jwks,
        "request_object_signing_alg": "ES256",
        "require_signed_request_object": True,
    }
    proves = {
        "token_endpoint_auth_method": "private_key_jwt",
        "dpop_bound_access_tokens": True,
    }
    provider = serve_provider(
        oauth2={"skipApprovalScreen": True, "dpop": {"requireNonce": True}},
        staticClients=[
            client("pushes", secret=secret, metadata=must_push),
            client("signs", secret=secret, metadata=must_sign),
            client("both", metadata=must_push | must_sign | proves),
        ],
        resources=[{"id": "https://api.example.com/", "name": "The API"}],
    )
    app = attrs.evolve(provider, client_secret=secret, key=key.jwk)
    with SyncBrowser(stop_at=REDIRECT_URI) as browser:

        def browse(url: str) -> str:
            try:
                landing = browser.log_in(url, EMAIL, PASSWORD)
            except BrowserError as refused:
                return json.dumps({"page": refused.page and refused.page.status})
            return json.dumps({"url": landing.url, "form": dict(landing.form)})

        learnt = run_app(script, app, browse)
    # What the browser carries of a pushed request is a reference, good for one login.
    assert learnt["carried"] == ["client_id", "request_uri"]
    assert learnt["pushed"]["email"] == EMAIL
    assert learnt["again"] == 400
    assert learnt["refusals"] == [
        "invalid_scope",
        "invalid_request",  # a redirect URI that is not registered
        "invalid_target",
        "invalid_request",  # a reference to another request
        "invalid_client",
        "invalid_request",  # not signed
    ]
    assert learnt["unpushed"] == learnt["unsigned"] == "invalid_request"
    assert learnt["silent"] == "login_required"
    # What the object says counts, and nothing of what the browser added.
    assert learnt["signed"]["email"] == EMAIL
    assert "groups" not in learnt["signed"]
    assert learnt["api"]["aud"] == [provider.issuer, provider.resource]
    assert learnt["api"]["scope"] == "openid offline_access"
    # With a redirect URI that is not registered nobody is redirected.
    assert learnt["wrong"] == ["invalid_request_object"] * 3 + [400]
    assert learnt["both"]["aud"] == "both"
    assert learnt["posted"] == ["code", "iss", "state"]
    assert learnt["userinfo"]["cnf"] == learnt["bound"]
    assert len(learnt["bound"]["jkt"]) == 43
    assert learnt["forged"] == "invalid_request_object"
    # openid-client asks again by itself.
    assert learnt.get("nonces", 1) == 1
