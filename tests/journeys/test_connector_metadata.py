"""What an upstream provider reads about us."""

import attrs
import pytest

from dexcore import hookimpl
from dexcore.connector import ConnectorType, Document, MetadataConnector
from dexcore.errors import UpstreamUnavailable

CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
connectors:
- {type: told, id: 'a b%41/ä', name: Told}
- {type: told, id: down, name: Down}
- {type: mockCallback, id: mock, name: Mock}
"""


@attrs.frozen
class Nothing:
    """No options."""


@attrs.frozen
class Told(MetadataConnector):
    id: str

    async def metadata(self, callback_url):
        if self.id == "down":
            raise UpstreamUnavailable("no keys from hsm.internal")
        return Document(f"<md url='{callback_url}'/>".encode(), "application/xml")


class Plugin:
    @hookimpl
    def dex_connector_types(self):
        async def open_told(config, context):
            return Told(context.id)

        return [ConnectorType("told", Nothing, open_told)]


@pytest.fixture
async def told(make_world):
    return await make_world(CONFIG, Plugin())


async def test_a_connector_publishes_what_it_says_about_us(told):
    path = "/dex/connectors/a%20b%2541%2F%C3%A4/metadata"
    answer = await told.browser().get(path)
    assert answer.status == 200
    assert answer.text == "<md url='http://127.0.0.1:5556/dex/callback'/>"
    assert answer.headers["Content-Type"] == "application/xml"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("id", "status"), [("mock", 404), ("nobody", 404), ("down", 503)]
)
async def test_where_there_is_nothing_to_read_a_page_says_so(told, id, status):
    answer = await told.browser().get(f"/dex/connectors/{id}/metadata")
    assert answer.status == status
    assert "internal" not in answer.text


async def test_metadata_is_only_read(told):
    answer = await told.browser().post("/dex/connectors/mock/metadata", data={"a": "b"})
    assert answer.status == 405
