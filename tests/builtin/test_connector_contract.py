"""The connectors that come with the core keep the contract of all connectors."""

from __future__ import annotations

import attrs
import pytest

from dexcore.testing.connector import (
    CallbackContract,
    LiveRefreshContract,
    PasswordContract,
    RefreshContract,
)
from dexcore.testing.tokens import TokenError

# bcrypt, cost 10, of "password".
HASH = "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"


class TestMockPassword(PasswordContract, RefreshContract):
    type = "mockPassword"

    @pytest.fixture
    def config(self):
        return {"username": "jane", "password": "password"}


class TestMockCallback(CallbackContract, RefreshContract):
    """It believes every callback and every token, so ``token_identity`` is left out."""

    type = "mockCallback"

    async def test_it_logs_nobody_in_who_brings_nothing(self, connector):
        """There is nothing to bring: everybody is the same person."""
        assert await self.log_in(connector) == await self.log_in(connector)


class TestLocal(PasswordContract, LiveRefreshContract):
    """Its upstream is our own storage."""

    type = "local"
    username = "jane@example.com"
    settings = {
        "enablePasswordDB": True,
        "staticPasswords": [
            {"email": "joe@example.com", "hash": HASH, "userID": "2", "username": "joe"}
        ],
    }

    def connectors(self, config):
        """The password database brings its connector itself."""
        return []
