"""Log in with OpenID Connect, each check on a line of its own."""

import base64
import time

from secrets import token_urlsafe
from urllib.parse import urlencode

import attrs

from dexcore import hookimpl
from dexcore.connector import CallbackConnector, ConnectorType, Identity, Redirect
from dexcore.errors import AccessDenied, UpstreamError
from dexcore.http import HttpClient
from dexcore.jose import InvalidJWS, left_half_hash, verify_with_jwks
from dexcore.options import option


@attrs.frozen
class Config:
    issuer: str = option(help="The provider.")
    client_secret: str = option(secret=True, help="What it knows us by.")


@attrs.frozen(eq=False)
class OpenID(CallbackConnector):
    config: Config
    http: HttpClient

    async def begin(self, scopes, callback_url, state):
        nonce = token_urlsafe()
        query = {
            "client_id": "dexcore",
            "redirect_uri": callback_url,
            "response_type": "code",
            "scope": "openid",
            "state": state,
            "nonce": nonce,
        }
        url = f"{self.config.issuer}/authorize?{urlencode(query)}"
        return Redirect(url, nonce.encode())

    async def finish(self, scopes, callback):
        if callback.query.get("error") == "access_denied":
            raise AccessDenied("You were not let in.")
        if "error" in callback.query or not callback.query.get("code"):
            raise UpstreamError("There is no code.")
        tokens = await self.tokens(callback)
        answer = await self.http.get(f"{self.config.issuer}/jwks")
        keys = answer.check().object()
        claims = self.checked(tokens, keys, callback.connector_data.decode())
        return Identity(claims["sub"])

    async def tokens(self, callback):
        form = {
            "grant_type": "authorization_code",
            "code": callback.query["code"],
            "redirect_uri": callback.callback_url,
        }
        pair = base64.b64encode(f"dexcore:{self.config.client_secret}".encode())
        headers = {"Authorization": f"Basic {pair.decode()}"}
        url = f"{self.config.issuer}/token"
        answer = await self.http.post(url, form=form, headers=headers)
        return answer.check().object()

    def checked(self, tokens, keys, nonce):
        try:
            claims, _ = verify_with_jwks(tokens["id_token"], keys, ("ES256",))
        except InvalidJWS as error:
            raise UpstreamError("The signature is wrong.") from error
        hash = left_half_hash("ES256", tokens["access_token"])
        right = {
            "iss": claims.get("iss") == self.config.issuer,
            "aud": claims.get("aud") == "dexcore",
            "azp": claims.get("azp", "dexcore") == "dexcore",
            "sub": bool(claims.get("sub")),
            "nonce": claims.get("nonce") == nonce,
            "exp": claims.get("exp", 0) > time.time(),
            "at_hash": claims.get("at_hash", hash) == hash,
        }
        if not all(right.values()):
            raise UpstreamError(f"The ID token is wrong: {right}")
        return claims

    async def close(self):
        await self.http.close()


async def open_openid(config, context):
    return OpenID(config, HttpClient(timeout=context.timeout))


@hookimpl
def dex_connector_types():
    return [ConnectorType("openid", Config, open_openid)]
