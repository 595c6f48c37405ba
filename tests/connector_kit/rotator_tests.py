import secrets

import pytest

from aiohttp import web

from dexcore.testing.connector import (
    LiveRefreshContract,
    OAuthContract,
    UpstreamContract,
)
from dexcore.testing.upstreams import Upstream, agree


class Rotating(Upstream):
    def __init__(self):
        super().__init__({"/authorize": agree, "/token": self.token})
        self.answers["/user"] = {"id": 7, "name": "jane"}
        self.good = set()

    def token(self, seen):
        old, new = seen.form["token"], secrets.token_hex()
        if old != "c" and old not in self.good:
            return web.Response(status=400)
        self.good = self.good - {old} | {new}
        return {"token": new}


class TestRotator(UpstreamContract, OAuthContract, LiveRefreshContract):
    type = "rotator"

    @pytest.fixture
    def upstream(self):
        with Rotating() as upstream:
            yield upstream

    @pytest.fixture
    def config(self, upstream):
        return {"url": upstream.url}

    async def change(self, upstream):
        upstream.answers["/user"] = {"id": 7, "name": "Jane"}

    async def remove(self, upstream):
        upstream.good.clear()
