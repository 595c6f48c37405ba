"""A provider that does as it is told, and a connector to it."""

import logging

import pytest

from dexcore_connector_oidc import Config
from dexcore_connector_oidc.connector import open_oidc
from multidict import CIMultiDict, MultiDict

from dexcore.config import structure
from dexcore.connector import Callback, ConnectorContext, Scopes
from dexcore.storage import Collections
from dexcore.testing.browser import Browser
from dexcore.testing.people import PASSWORD
from dexcore.testing.upstreams.openid import OpenIDProvider

CALLBACK = "http://127.0.0.1:5556/dex/callback"
EVERYTHING = Scopes(offline_access=True, groups=True)
STATE = "b6zmm5mguyebwvajyf2sdwwcw"


class Way:
    """The way of a browser: to the provider, and back to the connector."""

    def __init__(self, connector):
        self.connector = connector

    async def begin(self, scopes=EVERYTHING):
        return await self.connector.begin(scopes, CALLBACK, STATE)

    async def go(self, begun, name="jane"):
        """Sign in upstream; return what the browser brings back."""
        async with Browser() as browser:
            landing = await browser.log_in(begun.url, name, PASSWORD)
        return callback(landing.params, begun.connector_data)

    async def finish(self, brought, scopes=EVERYTHING):
        return await self.connector.finish(scopes, brought)

    async def log_in(self, name="jane", scopes=EVERYTHING):
        begun = await self.begin(scopes)
        return await self.finish(await self.go(begun, name), scopes)


def callback(query, connector_data=b"", form=()):
    return Callback(
        MultiDict(query), MultiDict(form), CIMultiDict(), CALLBACK, connector_data
    )


@pytest.fixture(name="callback")
def _callback():
    return callback


@pytest.fixture
def provider():
    """A provider with a user, Jane, and a client, dexcore."""
    with OpenIDProvider() as provider:
        provider.add_user("jane", groups=["admins", "authors"])
        provider.add_client()
        yield provider


@pytest.fixture
async def open_connector(provider):
    """Return what opens a connector with these options of the file."""
    opened = []

    async def open_it(id="upstream", seconds=10.0, **options):
        document = {
            "issuer": provider.issuer,
            "clientID": "dexcore",
            "clientSecret": "secret",
            **options,
        }
        config = structure(document, Config, where="config")
        log = logging.getLogger("dexcore.connector.oidc")
        context = ConnectorContext(id, Collections(), log, timeout=seconds)
        opened.append(await open_oidc(config, context))
        return opened[-1]

    yield open_it
    for connector in opened:
        await connector.close()


@pytest.fixture
def way_of(open_connector):
    """Return what opens a connector, and the way through it."""

    async def way_of(**options):
        return Way(await open_connector(**options))

    return way_of


@pytest.fixture
async def way(way_of):
    return await way_of(insecureEnableGroups=True)
