import aiohttp.web
import pytest

from dexcore.testing import connector as kit
from dexcore.testing.upstreams import Upstream, agree


class TestToy(kit.UpstreamContract, kit.OAuthContract, kit.LiveRefreshContract):
    type = "toy"

    @pytest.fixture
    def upstream(self):
        with Upstream({"/authorize": agree, "/token": {"access_token": "t"}}) as toy:
            toy.answers["/user"] = {"id": 7, "name": "jane"}
            yield toy

    @pytest.fixture
    def config(self, upstream):
        return {"url": upstream.url, "clientSecret": "s3cret"}

    async def change(self, upstream):
        upstream.answers["/user"] = {"id": 7, "name": "Jane"}

    async def remove(self, upstream):
        upstream.answers["/user"] = lambda seen: aiohttp.web.Response(status=401)
