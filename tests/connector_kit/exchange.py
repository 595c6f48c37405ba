"""Log in at Exchange, whose tokens tell who somebody is, and log out there."""

from urllib.parse import urlencode

import attrs

from dexcore import hookimpl
from dexcore.connector import (
    CallbackConnector,
    ConnectorType,
    Identity,
    LogoutConnector,
    Redirect,
    TokenIdentityConnector,
)
from dexcore.errors import AccessDenied, UpstreamError
from dexcore.http import HttpClient
from dexcore.options import option


@attrs.frozen
class Config:
    url: str = option(help="Where Exchange is.")
    api_key: str = option("", secret=True, help="What it knows us by.")


@attrs.frozen(eq=False)
class Exchange(CallbackConnector, TokenIdentityConnector, LogoutConnector):
    config: Config
    http: HttpClient

    async def begin(self, scopes, callback_url, state):
        query = {"redirect_uri": callback_url, "state": state}
        return Redirect(f"{self.config.url}/authorize?{urlencode(query)}")

    async def finish(self, scopes, callback):
        if callback.query.get("error") == "access_denied":
            raise AccessDenied("You were not let in.")
        if "error" in callback.query or not callback.query.get("code"):
            raise UpstreamError("There is no code.")
        return await self.who(callback.query["code"])

    async def token_identity(self, token_type, token):
        if not token_type.endswith(":access_token"):
            raise AccessDenied("Only access tokens tell who somebody is.")
        return await self.who(token)

    async def who(self, token):
        form = {"token": token}
        answer = await self.http.post(f"{self.config.url}/who", form=form)
        if answer.status == 401:
            raise AccessDenied("The token is not good.")
        return Identity(str(answer.check().object()["id"]))

    async def logout_url(self, return_to):
        return f"{self.config.url}/logout?{urlencode({'to': return_to})}"

    async def finish_logout(self, callback):
        if "error" in callback.query:
            raise UpstreamError("It did not work.")

    async def close(self):
        await self.http.close()


async def open_exchange(config, context):
    return Exchange(config, HttpClient(timeout=context.timeout))


@hookimpl
def dex_connector_types():
    return [ConnectorType("exchange", Config, open_exchange)]
