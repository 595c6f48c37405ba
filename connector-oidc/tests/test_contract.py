"""What every connector promises."""

import pytest

from dexcore.testing.connector import (
    LiveRefreshContract,
    LogoutContract,
    OpenIDContract,
    TokenIdentityContract,
)
from dexcore.testing.upstreams.openid import OpenIDProvider


class TestOIDC(
    OpenIDContract, LiveRefreshContract, TokenIdentityContract, LogoutContract
):
    type = "oidc"
    token_type = "urn:ietf:params:oauth:token-type:id_token"

    @pytest.fixture
    def upstream(self):
        with OpenIDProvider() as provider:
            provider.add_user("jane", groups=["admins"])
            provider.add_client("dexcore", "the-secret-of-dexcore")
            yield provider

    @pytest.fixture
    def config(self, upstream):
        return {
            "issuer": upstream.issuer,
            "clientID": "dexcore",
            "clientSecret": "the-secret-of-dexcore",
            "redirectURI": "$ISSUER/callback",
            "insecureEnableGroups": True,
        }

    async def change(self, upstream):
        upstream.add_user("jane", groups=["authors"])

    async def remove(self, upstream):
        upstream.revoke("jane")

    async def token(self, upstream):
        return upstream.tokens("jane")["id_token"]


class TestOIDCThatAsksForEverything(TestOIDC):
    """Refresh tokens rotate, userinfo is asked for, access tokens are exchanged."""

    token_type = "urn:ietf:params:oauth:token-type:access_token"

    @pytest.fixture
    def upstream(self):
        with OpenIDProvider(path="/realms/x", algorithm="RS256") as provider:
            provider.add_user("jane", groups=["admins"])
            provider.add_client("dexcore", "the-secret-of-dexcore")
            provider.userinfo_claims = frozenset({"email", "email_verified", "groups"})
            provider.rotates = provider.requires_pkce = provider.names_itself = True
            provider.id_token_at_refresh = False
            yield provider

    @pytest.fixture
    def config(self, upstream):
        return {
            "issuer": upstream.issuer,
            "clientID": "dexcore",
            "clientSecret": "the-secret-of-dexcore",
            "getUserInfo": True,
            "insecureEnableGroups": True,
        }

    async def token(self, upstream):
        return upstream.tokens("jane")["access_token"]
