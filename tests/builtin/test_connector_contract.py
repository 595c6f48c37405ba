"""The connectors that come with the core keep the contract of all connectors."""

from __future__ import annotations

import pytest

from dexcore.testing.connector import (
    CallbackContract,
    PasswordContract,
    RefreshContract,
)

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


class TestLocal(PasswordContract, RefreshContract):
    """Its upstream is our own storage; what becomes of changes there is told apart."""

    type = "local"
    username = "jane@example.com"
    secrets = (HASH,)
    settings = {  # noqa: RUF012 - as the kit declares it
        "enablePasswordDB": True,
        "staticPasswords": [
            {"email": username, "hash": HASH, "userID": "1", "username": "jane"}
        ],
    }

    def connectors(self, config):
        """The password database brings its connector itself."""
        return []
