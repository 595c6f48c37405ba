"""What every connector must do, GitLab's does."""

from __future__ import annotations

from typing import ClassVar

import pytest

from dexcore.testing.connector import (
    LiveRefreshContract,
    OAuthContract,
    TokenIdentityContract,
    UpstreamContract,
)
from dexcore.testing.upstreams.gitlab import OWNER, GitLab


class TestGitLab(
    UpstreamContract, OAuthContract, LiveRefreshContract, TokenIdentityContract
):
    """With groups from the user info."""

    type = "gitlab"
    keys: ClassVar = {"groups": ["ops", "ops:owner"], "getGroupsPermission": True}

    @pytest.fixture
    def upstream(self):
        with GitLab() as gitlab:
            gitlab.add("jane", id=7, name="Jane", groups={"ops": OWNER})
            yield gitlab

    @pytest.fixture
    def config(self, upstream):
        return {
            "clientID": upstream.client_id,
            "clientSecret": upstream.client_secret,
            "redirectURI": "$ISSUER/callback",
            "baseURL": upstream.url,
            **self.keys,
        }

    async def change(self, upstream):
        upstream.users["jane"].groups["ops"] = 10

    async def remove(self, upstream):
        upstream.users["jane"].groups.clear()

    async def token(self, upstream):
        return upstream.token("jane", "read_user openid read_api")["access_token"]


class TestInherited(OAuthContract, LiveRefreshContract):
    """With groups from the API; somebody takes back what they allowed."""

    type = "gitlab"
    keys: ClassVar = {"inheritedGroups": True, "getGroupsPermission": True}
    upstream, config, change = TestGitLab.upstream, TestGitLab.config, TestGitLab.change

    async def remove(self, upstream):
        upstream.revoke("jane")
