"""docs/subjects.md shows whom each client knows Jane as: so it does."""

import json
import re

import attrs
import pytest

from dexcore import hookimpl
from dexcore.config import loads
from dexcore.connector import ConnectorType, Identity, PasswordConnector

from .shown import blocks, read

PAGE = read("subjects.md")
SHOWN = blocks(PAGE, "yaml")
KNOWN_AS = dict(re.findall(r"^\| `(\w+)` \| `(\S+)` \|$", PAGE, re.MULTILINE))
BASE = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2: {skipApprovalScreen: true}
connectors:
- {type: likeGitHub, id: github, name: GitHub}
"""
JANE = Identity(
    "2342749", username="Jane Doe", email="jane@example.com", email_verified=True
)


class LikeGitHub(PasswordConnector):
    async def login(self, scopes, username, password):
        return JANE


@attrs.frozen
class Nothing:
    """No options."""


class Plugin:
    @hookimpl
    def dex_connector_types(self):
        async def open_it(config, context):
            return LikeGitHub()

        return [ConnectorType("likeGitHub", Nothing, open_it)]


def test_the_page_tells_of_every_client_it_configures():
    clients = loads(BASE + SHOWN[0]).static_clients
    assert {client.id for client in clients} == KNOWN_AS.keys()


@pytest.mark.parametrize("client_id", sorted(KNOWN_AS))
async def test_each_client_knows_jane_as_the_page_says(make_world, client_id):
    world = await make_world(BASE + SHOWN[0], Plugin())
    uri = f"https://{client_id}.example.com/callback"
    at = {"client_id": client_id, "redirect_uri": uri, "scope": "openid"}
    secret = f"a-secret-of-the-{client_id}"
    answer = await world.exchange(
        await world.code(**at), redirect_uri=uri, auth=(client_id, secret)
    )
    claims = await world.claims(json.loads(answer.text)["id_token"])
    assert claims["sub"] == KNOWN_AS[client_id]


async def test_the_change_the_page_shows_leads_to_what_it_shows_before(make_world):
    world = await make_world(BASE + SHOWN[1], Plugin())
    uri = "https://shop.example.com/callback"
    code = await world.code(client_id="shop", redirect_uri=uri, scope="openid")
    answer = await world.exchange(
        code, redirect_uri=uri, auth=("shop", "a-secret-of-the-shop")
    )
    claims = await world.claims(json.loads(answer.text)["id_token"])
    assert claims["sub"] == KNOWN_AS["shop"]
