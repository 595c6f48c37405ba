"""Log in at Toy, which speaks a little OAuth 2.0."""

from urllib.parse import urlencode

import attrs

from dexcore import hookimpl
from dexcore.connector import (
    CallbackConnector,
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
    url: str = option(help="Where Toy is.")
    client_secret: str = option(secret=True, help="What Toy gave us.")


@attrs.frozen(eq=False)
class Toy(CallbackConnector, RefreshConnector):
    config: Config
    http: HttpClient

    async def begin(self, scopes, callback_url, state):
        query = {"redirect_uri": callback_url, "state": state, "response_type": "code"}
        return Redirect(f"{self.config.url}/authorize?{urlencode(query)}")

    async def finish(self, scopes, callback):
        if callback.query.get("error") == "access_denied":
            raise AccessDenied("You were not let in.")
        if "error" in callback.query or not callback.query.get("code"):
            raise UpstreamError("Toy sent no code.")
        form = {"code": callback.query["code"], "secret": self.config.client_secret}
        answer = await self.http.post(f"{self.config.url}/token", form=form)
        return await self.who(answer.check().object()["access_token"])

    async def refresh(self, scopes, identity):
        return await self.who(identity.connector_data.decode())

    async def who(self, token):
        headers = {"Authorization": f"Bearer {token}"}
        answer = await self.http.get(f"{self.config.url}/user", headers=headers)
        if answer.status == 401:
            raise AccessDenied("Toy does not know you any more.")
        user = answer.check().object()
        return Identity(str(user["id"]), user["name"], connector_data=token.encode())

    async def close(self):
        await self.http.close()


async def open_toy(config, context):
    return Toy(config, HttpClient(timeout=context.timeout))


@hookimpl
def dex_connector_types():
    return [ConnectorType("toy", Config, open_toy)]
