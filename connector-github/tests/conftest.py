"""A GitHub Enterprise Server, and the connector to it."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from dexcore_connector_github.config import Config
from dexcore_connector_github.connector import open_github

from dexcore.testing.upstreams.github import GitHub
from dexcore.testing.upstreams.visiting import opening


@pytest.fixture
def github():
    with GitHub() as github:
        yield github


@pytest.fixture
async def open_login(github):
    """Return what opens the connector; arguments are keys of ``config:``."""
    async with AsyncExitStack() as stack:

        async def open_login(**keys):
            keys = {"hostName": github.host, "rootCA": github.ca, **keys}
            return await stack.enter_async_context(
                opening(github, "github", open_github, Config, keys)
            )

        yield open_login


@pytest.fixture
async def login(open_login):
    """The connector with nothing configured that need not be."""
    return await open_login()
