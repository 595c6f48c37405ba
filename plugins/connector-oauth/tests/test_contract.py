"""What every connector must do, the one for OAuth 2.0 does."""

from __future__ import annotations

import pytest

from dexcore.testing.connector import OAuthContract, UpstreamContract
from dexcore.testing.upstreams.oauth2 import OAuth2Provider, User


class TestOAuth(UpstreamContract, OAuthContract):
    """With a provider that takes HTTP Basic."""

    type = "oauth"

    @pytest.fixture
    def upstream(self):
        with OAuth2Provider() as provider:
            provider.users["jane"] = User({"id": 7, "groups": ["admins"]})
            yield provider

    @pytest.fixture
    def config(self, upstream):
        return {
            "clientID": upstream.client_id,
            "clientSecret": upstream.client_secret,
            "redirectURI": "$ISSUER/callback",
            "authorizationURL": f"{upstream.url}/authorize",
            "tokenURL": f"{upstream.url}/token",
            "userInfoURL": f"{upstream.url}/userinfo",
        }


class TestOldProvider(TestOAuth):
    """With one that takes the secret in the form only, and answers forms."""

    @pytest.fixture
    def upstream(self):
        with OAuth2Provider() as provider:
            provider.accepts, provider.form_answers = ("post",), True
            provider.asks = True
            provider.users["jane"] = User({"id": "jane"})
            yield provider
