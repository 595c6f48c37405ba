"""A connector alone, without a server, and people who log in through it.

For tests of connectors to OAuth 2.0 providers, beside the contract kit: they open the
connector, visit a double of the provider in the browser's place, and move the clock::

    async with opening(github, "github", open_github, Config, keys) as login:
        identity = await login.log_in("jane")
        login.clock.advance(hours=9)
        fresh = await login.refresh(identity)

The storage it lends the connector needs ``dexcore-storage-memory``.
"""

from __future__ import annotations

import importlib
import logging

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import attrs

from multidict import CIMultiDict, MultiDict

from ...config import structure
from ...connector import Callback as BroughtBack
from ...connector import ConnectorContext, Identity, Scopes
from ...oauth2.times import utcnow
from .oauth2 import OAuth2Provider

__all__ = ["BOTH", "CALLBACK", "Clock", "Login", "opening"]

#: Where browsers come back to; nothing listens there.
CALLBACK = "https://dex.example/callback"

#: Everything an app can ask for.
BOTH = Scopes(offline_access=True, groups=True)


@attrs.define
class Clock:
    """Goes as clocks do, from another time if it is moved."""

    offset: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        """Return the time."""
        return utcnow() + self.offset

    def advance(self, **by: float) -> None:
        """Move it; the arguments are those of ``timedelta``."""
        self.offset += timedelta(**by)


@attrs.frozen
class Login:
    """The connector, and what people do with it."""

    upstream: OAuth2Provider
    connector: Any
    context: ConnectorContext
    clock: Clock

    def at(self, upstream: OAuth2Provider) -> Login:
        """Return the same, at another provider."""
        return attrs.evolve(self, upstream=upstream)

    async def log_in(
        self, login: str = "jane", scopes: Scopes = BOTH, **back: str
    ) -> Identity:
        """Log somebody in; *back* is what else the browser brings back."""
        begun = await self.connector.begin(scopes, CALLBACK, "the state")
        brought = {**self.upstream.visit(begun.url, login), **back}
        assert brought["state"] == "the state"
        callback = BroughtBack(
            MultiDict(brought),
            MultiDict(),
            CIMultiDict(),
            CALLBACK,
            begun.connector_data,
        )
        found: Identity = await self.connector.finish(scopes, callback)
        return found

    async def refresh(self, identity: Identity, scopes: Scopes = BOTH) -> Identity:
        """Return who they are now."""
        found: Identity = await self.connector.refresh(scopes, identity)
        return found

    async def remember(self, identity: Identity) -> None:
        """Do what the server does after a login, or a refresh."""
        await self.context.keep(identity, identity.connector_data)


@asynccontextmanager
async def opening(
    upstream: OAuth2Provider,
    id: str,
    open: Callable[[Any, ConnectorContext], Awaitable[Any]],
    config: type[Any],
    keys: Mapping[str, Any],
) -> AsyncIterator[Login]:
    """Open the connector *id* with *keys* of the file, and close it afterwards.

    *keys* are completed by how *upstream* knows us.
    """
    storage = importlib.import_module("dexcore_storage_memory.storage").MemoryStorage()
    context = ConnectorContext(id, storage, logging.getLogger(id))
    ours = {
        "clientID": upstream.client_id,
        "clientSecret": upstream.client_secret,
        "redirectURI": CALLBACK,
    }
    connector = await open(structure({**ours, **keys}, config), context)
    clock = Clock()
    connector.flow.token_endpoint.now = clock
    try:
        yield Login(upstream, connector, context, clock)
    finally:
        await connector.close()
        await storage.close()
