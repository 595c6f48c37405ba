"""Apps for Node push their requests, sign them, and do without a browser."""

from __future__ import annotations

import json
import time

import attrs
import pytest

from dexcore.testing.browser import BrowserError, SyncBrowser
from dexcore.testing.client_key import ClientKey

EMAIL, PASSWORD = "jane@example.com", "password"
REDIRECT_URI = "http://127.0.0.1:5555/callback"
API, COMPANY = "https://api.example.com/", "https://idp.example.com"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


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
        "subject": "pairwise",
    }
    trusted = {"issuer": COMPANY, "connectorID": "company", "jwks": key.jwks}
    provider = serve_provider(
        oauth2={
            "skipApprovalScreen": True,
            "dpop": {"requireNonce": True},
            "grantTypes": ["authorization_code", "client_credentials", JWT_BEARER],
            "jwtBearer": {"trustedIssuers": [trusted]},
        },
        # Not for logins, so that these go on without a choice.
        connectors=[
            {
                "type": "mockCallback",
                "id": "company",
                "name": "The company",
                "grantTypes": [JWT_BEARER],
            }
        ],
        staticClients=[
            client("pushes", secret=secret, metadata=must_push),
            client("signs", secret=secret, metadata=must_sign),
            client("both", metadata=must_push | must_sign | proves),
            client("api", secret=secret),
        ],
        resources=[{"id": API, "name": "The API", "servers": ["api"]}],
        subjects={"salt": "a-salt-that-nobody-else-knows"},
    )
    now = int(time.time())
    assertion = {
        "iss": COMPANY,
        "sub": "jane",
        "aud": provider.issuer,
        "client_id": "both",
        "jti": "1",
        "iat": now,
        "exp": now + 300,
        "email": EMAIL,
    }
    app = attrs.evolve(
        provider,
        client_secret=secret,
        key=key.jwk,
        assertion=key.sign(assertion, typ="oauth-id-jag+jwt"),
    )
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
    # To this one Jane is somebody whom the others do not know.
    assert learnt["pushed"]["sub"] == learnt["signed"]["sub"] != learnt["both"]["sub"]
    assert learnt["posted"] == ["code", "iss", "state"]
    assert learnt["userinfo"]["cnf"] == learnt["bound"]
    assert len(learnt["bound"]["jkt"]) == 43
    assert learnt["forged"] == "invalid_request_object"
    for token in (learnt["robot"], learnt["vouched"]):
        assert token["active"] is True
        assert (token["aud"], token["client_id"]) == (API, "both")
        assert (token["token_type"], token["cnf"]) == ("DPoP", learnt["bound"])
    assert learnt["robot"]["sub"] != learnt["vouched"]["sub"]
    assert learnt["twice"] == "invalid_grant"
    # openid-client asks again by itself.
    assert learnt.get("nonces", 1) == 1
