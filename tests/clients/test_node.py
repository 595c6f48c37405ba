"""Apps written for Node log in: openid-client (certified) and oauth4webapi."""

from __future__ import annotations

import attrs
import pytest

from dexcore.testing.client_key import ClientKey

KEY_JWT = "private_key_jwt"


@pytest.mark.parametrize("script", ["openid_client.mjs", "oauth4webapi.mjs"])
def test_an_app_logs_in_verifies_refreshes_and_asks_for_userinfo(
    run_node, provider, script
):
    learnt = run_node(script)
    assert learnt["claims"]["email"] == learnt["userinfo"]["email"] == provider.email
    assert learnt["claims"]["groups"] == ["admins"]
    assert learnt["refreshed"]["sub"] == learnt["claims"]["sub"]
    assert learnt["rotated"] is True
    assert learnt["introspection"]["active"] is True
    assert learnt["after"] == "invalid_grant"


@pytest.mark.parametrize("script", ["openid_client.mjs", "oauth4webapi.mjs"])
def test_an_app_proves_itself_with_a_key(run_app, serve_provider, script):
    key = ClientKey("ES256")
    provider = serve_provider(
        staticClients=[
            {
                "id": "keyed",
                "name": "An app with a key",
                "redirectURIs": ["http://127.0.0.1:5555/callback"],
                "metadata": {
                    "token_endpoint_auth_method": KEY_JWT,
                    "token_endpoint_auth_signing_alg": "ES256",
                    "jwks": key.jwks,
                },
            }
        ],
        compat="strict",
    )
    app = attrs.evolve(provider, client_id="keyed", client_secret="", key=key.jwk)
    learnt = run_app(script, app, provider.log_in)
    assert learnt["claims"]["aud"] == "keyed"
    assert learnt["refreshed"]["sub"] == learnt["claims"]["sub"]
    assert learnt["introspection"]["active"] is True
    assert learnt["after"] == "invalid_grant"


@pytest.mark.parametrize("proof", ["secret", "key"])
@pytest.mark.parametrize(
    "script", ["registration_openid_client.mjs", "registration_oauth4webapi.mjs"]
)
def test_an_app_registers_changes_and_removes_itself(
    run_app, serve_provider, script, proof
):
    token, key = "an-initial-access-token", None
    provider = serve_provider(
        registration={"enabled": True, "initialAccessTokens": [token]}
    )
    said = {}
    if proof == "key":
        made = ClientKey("ES256")
        key, said = made.jwk, {"jwks": made.jwks, "token_endpoint_auth_method": KEY_JWT}
    app = attrs.evolve(provider, initial_access_token=token, key=key, registers=said)
    learnt = run_app(script, app, provider.log_in)
    assert learnt["client"]["client_name"] == "An app that nobody knows"
    assert ("client_secret" in learnt["client"]) == (proof == "secret")
    assert learnt["claims"]["aud"] == learnt["client"]["client_id"]
    assert learnt["refreshed"]["sub"] == learnt["claims"]["sub"]
    assert learnt["read"].items() <= learnt["client"].items()
    changed = {"client_name", "client_secret"} & learnt["client"].keys()
    for name in changed:
        assert learnt["replaced"][name] != learnt["read"][name]
    assert learnt["renewed"]["sub"] == learnt["claims"]["sub"]
    assert learnt["removed"] == 204
    assert learnt["after"] == "invalid_client"


@pytest.mark.parametrize(
    "script", ["grants_openid_client.mjs", "grants_oauth4webapi.mjs"]
)
def test_a_device_a_robot_and_a_gateway_get_tokens(run_node, provider, script):
    learnt = run_node(script, provider.connect)
    assert learnt["claims"]["email"] == provider.email
    assert learnt["refreshed"]["sub"] == learnt["claims"]["sub"]
    assert learnt["again"] == "invalid_request"
    waiting = ["authorization_pending", "slow_down"]
    assert learnt.get("waiting", waiting) == waiting
    assert learnt["robot"]["groups"] == ["robots"]
    assert learnt["robot"]["sub"] != learnt["claims"]["sub"]
    assert learnt["who"]["email"] == "kilgore@kilgore.trout"
    assert learnt["issued"] == "urn:ietf:params:oauth:token-type:access_token"
    assert learnt["password"]["sub"] == learnt["claims"]["sub"]


def test_an_api_that_wants_rfc_9068_is_content_with_strict(run_app, serve_provider):
    told_a_password = {"passwordConnector": "local"}
    strict = serve_provider(compat="strict", oauth2=told_a_password)
    learnt = run_app("api_oauth4webapi.mjs", strict, strict.log_in)
    assert learnt["api"]["sub"] == learnt["claims"]["sub"]
    assert learnt["api"]["client_id"] == strict.client_id
    assert learnt["api"]["scope"] == learnt["scope"] == strict.scopes
    assert learnt["mistaken"]["refused"]


def test_an_api_that_wants_rfc_9068_takes_no_token_of_dex(run_node):
    assert run_node("api_oauth4webapi.mjs")["api"]["refused"]


KNOWS_MORE = {
    "type": "mockCallback",
    "id": "up",
    "name": "Up",
    "config": {
        "acr": "gold",
        "amr": ["hwk"],
        "claims": {"given_name": "Kilgore", "address": {"country": "US"}},
    },
}


@pytest.mark.parametrize("compat", ["dex", "strict"])
@pytest.mark.parametrize(
    "script", ["claims_openid_client.mjs", "claims_oauth4webapi.mjs"]
)
def test_an_app_asks_for_single_claims(run_app, serve_provider, script, compat):
    provider = serve_provider(
        connectors=[KNOWS_MORE],
        enablePasswordDB=False,
        staticPasswords=[],
        oauth2={},
        compat=compat,
    )
    learnt = run_app(script, provider, provider.log_in)
    for claims in (learnt["claims"], learnt["refreshed"]):
        assert claims["email"] == "kilgore@kilgore.trout"
        assert (claims["acr"], claims["amr"]) == ("gold", ["hwk"])
        assert not {"given_name", "address", "name", "groups"} & claims.keys()
    assert isinstance(learnt["claims"]["auth_time"], int)
    assert learnt["userinfo"]["given_name"] == "Kilgore"
    assert learnt["userinfo"]["address"] == {"country": "US"}
    assert "email" not in learnt["userinfo"]
    assert learnt["refused"] == "unmet_authentication_requirements"
    assert learnt["somebody"] == "login_required"


@pytest.mark.parametrize("nonce", [False, True], ids=["", "nonce"])
@pytest.mark.parametrize(
    "script", ["proofs_openid_client.mjs", "proofs_oauth4webapi.mjs"]
)
def test_an_app_proves_its_key_and_names_its_api(
    run_app, serve_provider, script, nonce
):
    native = {"id": "native", "name": "An app", "public": True}
    provider = serve_provider(
        oauth2={"dpop": {"requireNonce": nonce}},
        staticClients=[native | {"redirectURIs": ["http://127.0.0.1:5555/callback"]}],
        resources=[{"id": "https://api.example.com/", "name": "The API"}],
    )
    app = attrs.evolve(provider, client_id="native", client_secret="")
    learnt = run_app(script, app, provider.log_in)
    assert learnt["type"].lower() == "dpop"
    assert learnt["userinfo"]["email"] == provider.email
    api = learnt["accepted"]
    assert (api["aud"], api["client_id"]) == (provider.resource, "native")
    assert api["sub"] == learnt["claims"]["sub"]
    assert len(api["cnf"]["jkt"]) == 43
    assert learnt["stolen"] in ("invalid_grant", "OAUTH_JWT_CLAIM_COMPARISON_FAILED")
    assert learnt.get("refused", "invalid_token") == "invalid_token"
    assert set(learnt.get("nonces", [])) <= ({"use_dpop_nonce"} if nonce else set())
