"""A Gitea, and the connector to it."""

from __future__ import annotations

import logging

from datetime import timedelta

import attrs
import pytest

from dexcore_connector_gitea.config import Config
from dexcore_connector_gitea.connector import open_gitea
from dexcore_storage_memory.storage import MemoryStorage
from multidict import MultiDict

from dexcore.config import structure
from dexcore.connector import Callback, ConnectorContext, Scopes
from dexcore.oauth2.times import utcnow
from dexcore.testing.upstreams.gitea import Gitea

CALLBACK = "https://dex.example/callback"
BOTH = Scopes(offline_access=True, groups=True)


@pytest.fixture
def gitea():
    with Gitea() as gitea:
        yield gitea


@attrs.define
class Clock:
    """Goes as clocks do, from another time if it is moved."""

    offset: timedelta = timedelta(0)

    def __call__(self):
        return utcnow() + self.offset

    def advance(self, **by):
        self.offset += timedelta(**by)


@attrs.frozen
class Login:
    """The connector, and what people do with it."""

    gitea: Gitea
    connector: object
    context: ConnectorContext
    clock: Clock

    def at(self, gitea):
        """Return the same, at another Gitea."""
        return attrs.evolve(self, gitea=gitea)

    async def log_in(self, login="jane", scopes=BOTH, **back):
        """Log somebody in; *back* is what else the browser brings back."""
        begun = await self.connector.begin(scopes, CALLBACK, "the state")
        brought = {**self.gitea.visit(begun.url, login), **back}
        assert brought["state"] == "the state"
        empty = MultiDict()
        return await self.connector.finish(
            scopes,
            Callback(MultiDict(brought), empty, empty, CALLBACK, begun.connector_data),
        )

    async def refresh(self, identity, scopes=BOTH):
        return await self.connector.refresh(scopes, identity)

    async def remember(self, identity):
        """Do what the server does after a login, or a refresh."""
        await self.context.keep(identity, identity.connector_data)


@pytest.fixture
async def open_login(gitea):
    """Return what opens the connector; arguments are keys of ``config:``."""
    opened = []

    async def open_login(**keys):
        keys = {
            "clientID": gitea.client_id,
            "clientSecret": gitea.client_secret,
            "redirectURI": CALLBACK,
            "baseURL": gitea.url,
            **keys,
        }
        storage = MemoryStorage()
        context = ConnectorContext("gitea", storage, logging.getLogger("gitea"))
        connector = await open_gitea(structure(keys, Config), context)
        clock = Clock()
        connector.token_endpoint.now = clock
        opened.append((connector, storage))
        return Login(gitea, connector, context, clock)

    yield open_login
    for connector, storage in opened:
        await connector.close()
        await storage.close()


@pytest.fixture
async def login(open_login):
    """The connector with nothing configured that need not be."""
    return await open_login()
