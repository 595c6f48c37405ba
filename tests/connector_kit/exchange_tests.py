import pytest

from aiohttp import web

from dexcore.testing.connector import (
    LogoutContract,
    OAuthContract,
    TokenIdentityContract,
    UpstreamContract,
)
from dexcore.testing.upstreams import Upstream, agree


def who(seen):
    return {"id": 7} if seen.form["token"] == "c" else web.Response(status=401)


class TestExchange(
    UpstreamContract, OAuthContract, TokenIdentityContract, LogoutContract
):
    type = "exchange"

    @pytest.fixture
    def upstream(self):
        with Upstream({"/authorize": agree, "/who": who}) as upstream:
            yield upstream

    @pytest.fixture
    def config(self, upstream):
        return {"url": upstream.url, "apiKey": "s3cret"}

    async def token(self, upstream):
        return "c"
