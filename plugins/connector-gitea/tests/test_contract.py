"""What every connector must do, Gitea's does."""

from __future__ import annotations

import pytest

from dexcore.testing.connector import (
    LiveRefreshContract,
    OAuthContract,
    UpstreamContract,
)
from dexcore.testing.upstreams.gitea import Gitea


class TestGitea(UpstreamContract, OAuthContract, LiveRefreshContract):
    """With tokens that are as good as expired at once; somebody leaves the team."""

    type = "gitea"

    @pytest.fixture
    def upstream(self):
        with Gitea() as gitea:
            gitea.expires_in = 5
            gitea.add("jane", id=7, teams=[("acme", "Owners"), ("acme", "Writers")])
            yield gitea

    @pytest.fixture
    def config(self, upstream):
        teams = ["Owners", "Writers"]
        return {
            "clientID": upstream.client_id,
            "clientSecret": upstream.client_secret,
            "redirectURI": "$ISSUER/callback",
            "baseURL": upstream.url,
            "orgs": [{"name": "acme", "teams": teams}],
        }

    async def change(self, upstream):
        upstream.users["jane"].teams.pop()

    async def remove(self, upstream):
        upstream.users["jane"].teams.clear()
