"""A Gitea, and the connector to it."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from dexcore_connector_gitea.config import Config
from dexcore_connector_gitea.connector import open_gitea

from dexcore.testing.upstreams.gitea import Gitea
from dexcore.testing.upstreams.visiting import opening


@pytest.fixture
def gitea():
    with Gitea() as gitea:
        yield gitea


@pytest.fixture
async def open_login(gitea):
    """Return what opens the connector; arguments are keys of ``config:``."""
    async with AsyncExitStack() as stack:

        async def open_login(**keys):
            keys = {"baseURL": gitea.url, **keys}
            return await stack.enter_async_context(
                opening(gitea, "gitea", open_gitea, Config, keys)
            )

        yield open_login


@pytest.fixture
async def login(open_login):
    """The connector with nothing configured that need not be."""
    return await open_login()
