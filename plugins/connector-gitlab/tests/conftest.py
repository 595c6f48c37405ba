"""A GitLab, and the connector to it."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from dexcore_connector_gitlab.config import Config
from dexcore_connector_gitlab.connector import open_gitlab

from dexcore.testing.upstreams.gitlab import GitLab
from dexcore.testing.upstreams.visiting import opening


@pytest.fixture
def gitlab():
    with GitLab() as gitlab:
        yield gitlab


@pytest.fixture
async def open_login(gitlab):
    """Return what opens the connector; arguments are keys of ``config:``."""
    async with AsyncExitStack() as stack:

        async def open_login(**keys):
            keys = {"baseURL": gitlab.url, **keys}
            return await stack.enter_async_context(
                opening(gitlab, "gitlab", open_gitlab, Config, keys)
            )

        yield open_login


@pytest.fixture
async def login(open_login):
    """The connector with nothing configured that need not be."""
    return await open_login()
