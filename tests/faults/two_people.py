"""Two users whose things get mixed up: a connector that knows them."""

import attrs

from dexcore import hookimpl
from dexcore.connector import (
    ConnectorType,
    Identity,
    PasswordConnector,
    RefreshConnector,
)

USERS = ("ann", "bob")


class People(PasswordConnector, RefreshConnector):
    """Whose password is their name."""

    async def login(self, scopes, username, password):
        right = username in USERS and password == username
        return Identity(username, username=username) if right else None

    async def refresh(self, scopes, identity):
        return identity


@attrs.frozen
class Nothing:
    """No options."""


class Plugin:
    @hookimpl
    def dex_connector_types(self):
        async def open_people(config, context):
            return People()

        return [ConnectorType("people", Nothing, open_people)]
