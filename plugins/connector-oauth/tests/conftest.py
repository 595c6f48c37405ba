"""An OAuth 2.0 provider, and the connector to it."""

from __future__ import annotations

import logging

import attrs
import pytest

from dexcore_connector_oauth.config import Config
from dexcore_connector_oauth.connector import open_oauth
from multidict import MultiDict

from dexcore.config import structure
from dexcore.connector import Callback, ConnectorContext, Scopes
from dexcore.storage import Collections
from dexcore.testing.upstreams.oauth2 import OAuth2Provider, User

CALLBACK = "https://dex.example/callback"
BOTH = Scopes(offline_access=True, groups=True)


def keys_of(provider, **more):
    """What the file says about *provider*."""
    return {
        "clientID": provider.client_id,
        "clientSecret": provider.client_secret,
        "redirectURI": CALLBACK,
        "authorizationURL": f"{provider.url}/authorize",
        "tokenURL": f"{provider.url}/token",
        "userInfoURL": f"{provider.url}/userinfo",
        **more,
    }


@attrs.frozen
class Login:
    """The connector, and what people do with it."""

    provider: OAuth2Provider
    connector: object

    async def log_in(self, login="jane", scopes=BOTH, **back):
        """Log somebody in; *back* is what else the browser brings back."""
        begun = await self.connector.begin(scopes, CALLBACK, "the state")
        brought = {**self.provider.visit(begun.url, login), **back}
        assert brought["state"] == "the state"
        empty = MultiDict()
        return await self.connector.finish(
            scopes,
            Callback(MultiDict(brought), empty, empty, CALLBACK, begun.connector_data),
        )

    async def says(self, scopes=BOTH, **info):
        """Log Jane in, of whom the provider says *info*."""
        self.provider.users["jane"] = User({"id": "1", **info})
        return await self.log_in(scopes=scopes)


@pytest.fixture
def provider():
    with OAuth2Provider() as provider:
        yield provider


@pytest.fixture
async def open_login(provider):
    """Return what opens the connector; arguments are keys of ``config:``."""
    opened = []

    async def open_login(to=provider, **keys):
        context = ConnectorContext("oauth", Collections(), logging.getLogger("oauth"))
        config = structure(keys_of(to, **keys), Config)
        connector = await open_oauth(config, context)
        opened.append(connector)
        return Login(to, connector)

    yield open_login
    for connector in opened:
        await connector.close()


@pytest.fixture
async def login(open_login):
    """The connector with nothing configured that need not be."""
    return await open_login()
