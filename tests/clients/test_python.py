"""Apps in Python log in: Authlib, requests-oauthlib, PyJWT, Kubernetes' client."""

from __future__ import annotations

import base64
import hashlib
import secrets

from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
import requests


@pytest.fixture(autouse=True)
def http_is_allowed(monkeypatch):
    """Let the libraries speak to an issuer without TLS."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


def verified(provider, token):
    """Return the claims of *token*, verified by PyJWT with the published keys."""
    keys = jwt.PyJWKClient(provider.metadata["jwks_uri"])
    return jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token),
        algorithms=provider.metadata["id_token_signing_alg_values_supported"],
        audience=provider.client_id,
        issuer=provider.issuer,
        options={"require": ["exp", "iat", "sub"]},
    )


def test_pyjwt_finds_the_key_and_verifies_both_id_tokens(provider):
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    query = {
        "client_id": provider.client_id,
        "redirect_uri": provider.redirect_uri,
        "response_type": "code",
        "scope": provider.scopes,
        "state": "s",
        "nonce": "n-0S6_WzA2Mj",
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    url = f"{provider.metadata['authorization_endpoint']}?{urlencode(query)}"
    landing = parse_qs(urlsplit(provider.log_in(url)).query)
    assert landing["state"] == ["s"]

    def tokens(**form):
        answer = requests.post(
            provider.metadata["token_endpoint"],
            data=form,
            auth=(provider.client_id, provider.client_secret),
            timeout=10,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    first = tokens(
        grant_type="authorization_code",
        code=landing["code"][0],
        redirect_uri=provider.redirect_uri,
        code_verifier=verifier,
    )
    claims = verified(provider, first["id_token"])
    assert claims["nonce"] == "n-0S6_WzA2Mj"
    assert claims["email"] == provider.email
    assert verified(provider, first["access_token"])["sub"] == claims["sub"]
    second = tokens(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert verified(provider, second["id_token"])["sub"] == claims["sub"]
    userinfo = requests.get(
        provider.metadata["userinfo_endpoint"],
        headers={"Authorization": f"Bearer {second['access_token']}"},
        timeout=10,
    )
    assert userinfo.json()["email"] == provider.email


def test_authlib_logs_in_verifies_refreshes_and_asks_for_userinfo(provider):
    from authlib.integrations.requests_client import OAuth2Session
    from joserfc import jwk
    from joserfc import jwt as joserfc_jwt

    verifier = secrets.token_urlsafe(48)
    with OAuth2Session(
        provider.client_id,
        provider.client_secret,
        scope=provider.scopes,
        redirect_uri=provider.redirect_uri,
        code_challenge_method="S256",
    ) as session:
        url, state = session.create_authorization_url(
            provider.metadata["authorization_endpoint"],
            code_verifier=verifier,
            nonce="a-nonce",
        )
        token = session.fetch_token(
            provider.metadata["token_endpoint"],
            authorization_response=provider.log_in(url),
            code_verifier=verifier,
            state=state,
        )
        published = requests.get(provider.metadata["jwks_uri"], timeout=10).json()
        keys = jwk.KeySet.import_key_set(published)
        claims = joserfc_jwt.decode(token["id_token"], keys).claims
        assert claims["nonce"] == "a-nonce"
        refreshed = session.refresh_token(provider.metadata["token_endpoint"])
        assert refreshed["refresh_token"] != token["refresh_token"]
        again = joserfc_jwt.decode(refreshed["id_token"], keys).claims
        assert again["sub"] == claims["sub"]
        userinfo = session.get(provider.metadata["userinfo_endpoint"]).json()
        assert userinfo["email"] == claims["email"] == provider.email


def test_authlib_logs_in_as_itself_and_with_a_password(provider):
    from authlib.integrations.requests_client import OAuth2Session

    endpoint = provider.metadata["token_endpoint"]
    with OAuth2Session(provider.client_id, provider.client_secret) as robot:
        token = robot.fetch_token(
            endpoint, grant_type="client_credentials", scope="openid groups"
        )
        assert verified(provider, token["id_token"])["groups"] == ["robots"]
        assert verified(provider, token["access_token"])["groups"] == ["robots"]
        assert "refresh_token" not in token
    with OAuth2Session(
        provider.client_id, provider.client_secret, scope=provider.scopes
    ) as session:
        token = session.fetch_token(
            endpoint, username=provider.email, password=provider.password
        )
        claims = verified(provider, token["id_token"])
        assert claims["email"] == provider.email
        refreshed = session.refresh_token(endpoint)
        assert verified(provider, refreshed["id_token"])["sub"] == claims["sub"]


def test_authlib_hears_that_a_password_is_wrong(provider):
    from authlib.integrations.base_client import OAuthError
    from authlib.integrations.requests_client import OAuth2Session

    with (
        OAuth2Session(
            provider.client_id, provider.client_secret, scope="openid"
        ) as session,
        pytest.raises(OAuthError, match="invalid_grant"),
    ):
        session.fetch_token(
            provider.metadata["token_endpoint"],
            username=provider.email,
            password="wrong",
        )


def test_oauthlib_connects_a_device(provider):
    from oauthlib.oauth2 import DeviceClient
    from requests_oauthlib import OAuth2Session

    codes = requests.post(
        provider.metadata["device_authorization_endpoint"],
        data={"scope": provider.scopes},
        auth=(provider.client_id, provider.client_secret),
        timeout=10,
    ).json()
    assert "Device connected" in provider.connect(codes["verification_uri_complete"])
    with OAuth2Session(client=DeviceClient(provider.client_id)) as device:
        token = device.fetch_token(
            provider.metadata["token_endpoint"],
            device_code=codes["device_code"],
            client_secret=provider.client_secret,
            include_client_id=True,
        )
    assert verified(provider, token["id_token"])["email"] == provider.email


def test_a_flask_app_with_authlib_logs_in_and_refreshes_by_itself(provider):
    from authlib.integrations.flask_client import OAuth
    from flask import Flask, session

    app = Flask(__name__)
    app.secret_key = "only for this test"
    updates = []

    def keep(token, refresh_token=None, access_token=None):
        updates.append(token)

    oauth = OAuth(app)
    oauth.register(
        "dex",
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        server_metadata_url=f"{provider.issuer}/.well-known/openid-configuration",
        client_kwargs={"scope": provider.scopes, "code_challenge_method": "S256"},
        update_token=keep,
    )

    @app.get("/login")
    def login():
        return oauth.dex.authorize_redirect(provider.redirect_uri)

    @app.get("/callback")
    def callback():
        # Verifies the ID token: signature, iss, aud, nonce, expiry, at_hash.
        token = oauth.dex.authorize_access_token()
        session["token"] = {
            name: token[name] for name in ("access_token", "refresh_token")
        }
        return dict(token["userinfo"])

    @app.get("/me")
    def me():
        expired = {**session["token"], "token_type": "bearer", "expires_at": 1}
        return oauth.dex.userinfo(token=expired)

    browser = app.test_client()
    landing = provider.log_in(browser.get("/login").location)
    claims = browser.get("/callback?" + urlsplit(landing).query).json
    assert claims["email"] == provider.email
    assert browser.get("/me").json["sub"] == claims["sub"]
    assert verified(provider, updates[0]["id_token"])["sub"] == claims["sub"]


def test_requests_oauthlib_logs_in_refreshes_and_asks_for_userinfo(provider):
    from requests_oauthlib import OAuth2Session

    with OAuth2Session(
        provider.client_id,
        redirect_uri=provider.redirect_uri,
        scope=provider.scopes.split(),
        pkce="S256",
    ) as session:
        url, _ = session.authorization_url(provider.metadata["authorization_endpoint"])
        token = session.fetch_token(
            provider.metadata["token_endpoint"],
            authorization_response=provider.log_in(url),
            client_secret=provider.client_secret,
        )
        claims = verified(provider, token["id_token"])
        refreshed = session.refresh_token(
            provider.metadata["token_endpoint"],
            auth=(provider.client_id, provider.client_secret),
        )
        assert verified(provider, refreshed["id_token"])["sub"] == claims["sub"]
        userinfo = session.get(provider.metadata["userinfo_endpoint"]).json()
        assert userinfo["email"] == provider.email


def test_the_python_client_of_kubernetes_gets_a_new_id_token(provider):
    """Its ``auth-provider: oidc`` sends the client's secret twice."""
    from kubernetes.client import Configuration
    from kubernetes.config.kube_config import KubeConfigLoader
    from requests_oauthlib import OAuth2Session

    app = OAuth2Session(
        provider.client_id, redirect_uri=provider.redirect_uri, scope=provider.scopes
    )
    url, _ = app.authorization_url(provider.metadata["authorization_endpoint"])
    tokens = app.fetch_token(
        provider.metadata["token_endpoint"],
        authorization_response=provider.log_in(url),
        client_secret=provider.client_secret,
    )
    # It looks at the expiry only, so any header and signature will do.
    expired = base64.urlsafe_b64encode(b'{"exp":1}').decode().rstrip("=")
    user = {
        "idp-issuer-url": provider.issuer,
        "client-id": provider.client_id,
        "client-secret": provider.client_secret,
        "id-token": f"e30.{expired}.",
        "refresh-token": tokens["refresh_token"],
    }
    loader = KubeConfigLoader(
        {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "k", "user": "jane"}}],
            "clusters": [{"name": "k", "cluster": {"server": "http://127.0.0.1:1"}}],
            "users": [
                {
                    "name": "jane",
                    "user": {"auth-provider": {"name": "oidc", "config": user}},
                }
            ],
        }
    )
    configuration = Configuration()
    loader.load_and_set(configuration)
    (bearer,) = configuration.api_key.values()
    claims = verified(provider, bearer.removeprefix("Bearer "))
    assert claims["email"] == provider.email
