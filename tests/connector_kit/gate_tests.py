import pytest

from aiohttp import web

from dexcore.testing.connector import (
    NegotiateContract,
    PasswordContract,
    UpstreamContract,
)
from dexcore.testing.upstreams import Upstream


def login(seen):
    if (seen.form["name"], seen.form["password"]) in RIGHT:
        return {"id": 7}
    return web.Response(status=401)


RIGHT = {("jane", "correct horse"), ("jane", "dGlja2V0")}


class TestGate(UpstreamContract, NegotiateContract, PasswordContract):
    type = "gate"
    password = "correct horse"

    @pytest.fixture
    def upstream(self):
        with Upstream({"/login": login}) as upstream:
            yield upstream

    @pytest.fixture
    def config(self, upstream):
        return {"url": upstream.url}

    async def authorization(self, upstream):
        return "Negotiate dGlja2V0"
