import pytest

from dexcore.testing.connector import OpenIDContract
from dexcore.testing.upstreams.openid import OpenIDProvider


class TestOpenid(OpenIDContract):
    type = "openid"

    @pytest.fixture
    def upstream(self):
        with OpenIDProvider() as provider:
            provider.add_user("jane")
            provider.add_client("dexcore", "the-secret-of-dexcore")
            yield provider

    @pytest.fixture
    def config(self, upstream):
        return {"issuer": upstream.issuer, "clientSecret": "the-secret-of-dexcore"}
