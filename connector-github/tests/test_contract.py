"""What every connector must do, GitHub's does."""

from __future__ import annotations

import pytest

from dexcore.testing.browser import Browser
from dexcore.testing.connector import (
    LiveRefreshContract,
    OAuthContract,
    UpstreamContract,
)
from dexcore.testing.upstreams.github import GitHub


class TestOAuthApp(OAuthContract, LiveRefreshContract):
    """Its tokens do not expire; somebody leaves the organization."""

    type = "github"

    @pytest.fixture
    def upstream(self):
        with GitHub() as github:
            self.trusted = github.ca
            self.prepare(github)
            teams = [("acme", "Core"), ("acme", "Writers")]
            github.add("jane", id=7, name="Jane", orgs=["acme"], teams=teams)
            yield github

    @pytest.fixture
    def config(self, upstream):
        return {
            "clientID": upstream.client_id,
            "clientSecret": upstream.client_secret,
            "redirectURI": "$ISSUER/callback",
            "hostName": upstream.host,
            "rootCA": upstream.ca,
            "orgs": [{"name": "acme"}],
        }

    def prepare(self, github):
        github.asks = True

    def browser(self, stop_at):
        return Browser(stop_at=stop_at, ca=self.trusted)

    async def change(self, upstream):
        upstream.users["jane"].teams.pop()

    async def remove(self, upstream):
        upstream.users["jane"].orgs.clear()


class TestGitHubApp(UpstreamContract, TestOAuthApp):
    """Its tokens expire, here at once, and its refresh tokens are good once."""

    def prepare(self, github):
        github.as_app()
        github.expires_in = 5  # as good as expired

    async def remove(self, upstream):
        upstream.revoke("jane")
