"""Log in at Poster, which answers by forms that it has signed."""

import hashlib
import hmac
import json

from datetime import UTC, datetime, timedelta

import attrs

from dexcore import hookimpl
from dexcore.connector import CallbackConnector, ConnectorType, FormPost, Identity
from dexcore.errors import AccessDenied, AlreadyExists
from dexcore.options import option
from dexcore.storage import Replay


@attrs.frozen
class Config:
    url: str = option(help="Where Poster is.")
    secret: str = option(secret=True, help="What it signs with.")


@attrs.frozen(eq=False)
class Poster(CallbackConnector):
    config: Config
    replays: object = attrs.field(repr=False)

    async def begin(self, scopes, callback_url, state):
        fields = {"to": callback_url, "RelayState": state}
        return FormPost(f"{self.config.url}/sso", fields, state.encode())

    async def finish(self, scopes, callback):
        said = callback.form.get("SAMLResponse", "")
        body, _, mac = said.rpartition(".")
        key = self.config.secret.encode()
        wanted = hmac.new(key, body.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(wanted.encode(), mac.encode()):
            raise AccessDenied("The signature is wrong.")
        answer = json.loads(body)
        if answer["to"] != callback.connector_data.decode():
            raise AccessDenied("The answer is for another login.")
        expiry = datetime.now(UTC) + timedelta(hours=1)
        try:
            await self.replays.create(Replay("poster:" + mac, expiry))
        except AlreadyExists:
            raise AccessDenied("The answer has been used.") from None
        return Identity(answer["user"])


async def open_poster(config, context):
    return Poster(config, context.storage.replays)


@hookimpl
def dex_connector_types():
    return [ConnectorType("poster", Config, open_poster)]
