"""Log in at Gate, with a password or a ticket."""

import attrs

from dexcore import hookimpl
from dexcore.connector import (
    Challenge,
    ConnectorType,
    Identity,
    NegotiateConnector,
    PasswordConnector,
)
from dexcore.http import HttpClient
from dexcore.options import option


@attrs.frozen
class Config:
    url: str = option(help="Where Gate is.")


@attrs.frozen(eq=False)
class Gate(PasswordConnector, NegotiateConnector):
    config: Config
    http: HttpClient

    async def login(self, scopes, username, password):
        if not username or not password:
            return None
        form = {"name": username, "password": password}
        answer = await self.http.post(f"{self.config.url}/login", form=form)
        if answer.status == 401:
            return None
        return Identity(str(answer.check().object()["id"]))

    async def negotiate(self, scopes, callback):
        scheme, _, ticket = callback.headers.get("Authorization", "").partition(" ")
        if scheme != "Negotiate":
            return Challenge()
        form = {"name": "jane", "password": ticket}
        answer = await self.http.post(f"{self.config.url}/login", form=form)
        if answer.status == 401:
            return None
        return Identity(str(answer.check().object()["id"]))

    async def close(self):
        await self.http.close()


async def open_gate(config, context):
    return Gate(config, HttpClient(timeout=context.timeout))


@hookimpl
def dex_connector_types():
    return [ConnectorType("gate", Config, open_gate)]
