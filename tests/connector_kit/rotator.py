"""Log in at Rotator, whose refresh tokens are good for one use."""

from urllib.parse import urlencode

import attrs

from dexcore import hookimpl
from dexcore.connector import (
    CallbackConnector,
    ConnectorContext,
    ConnectorType,
    Identity,
    Redirect,
    RefreshConnector,
)
from dexcore.errors import AccessDenied, UpstreamError
from dexcore.http import HttpClient
from dexcore.options import option


@attrs.frozen
class Config:
    url: str = option(help="Where Rotator is.")


@attrs.frozen(eq=False)
class Rotator(CallbackConnector, RefreshConnector):
    config: Config
    context: ConnectorContext
    http: HttpClient

    async def begin(self, scopes, callback_url, state):
        query = {"redirect_uri": callback_url, "state": state}
        return Redirect(f"{self.config.url}/authorize?{urlencode(query)}")

    async def finish(self, scopes, callback):
        if callback.query.get("error") == "access_denied":
            raise AccessDenied("You were not let in.")
        if "error" in callback.query or not callback.query.get("code"):
            raise UpstreamError("There is no code.")
        return await self.who(await self.token(callback.query["code"]))

    async def refresh(self, scopes, identity):
        token = await self.token(identity.connector_data.decode())
        await self.context.keep(identity, token.encode())
        return await self.who(token)

    async def token(self, old):
        answer = await self.http.post(f"{self.config.url}/token", form={"token": old})
        if answer.status == 400:
            raise AccessDenied("The token is not good.")
        return answer.check().object()["token"]

    async def who(self, token):
        answer = await self.http.get(f"{self.config.url}/user")
        if answer.status == 401:
            raise AccessDenied("There is no such user.")
        user = answer.check().object()
        return Identity(str(user["id"]), user["name"], connector_data=token.encode())

    async def close(self):
        await self.http.close()


async def open_rotator(config, context):
    return Rotator(config, context, HttpClient(timeout=context.timeout))


@hookimpl
def dex_connector_types():
    return [ConnectorType("rotator", Config, open_rotator)]
