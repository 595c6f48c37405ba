"""The connector: people log in with another OpenID Connect provider."""

from __future__ import annotations

import base64
import logging

from functools import partial
from typing import Any

import attrs
import orjson

from dexcore.connector import (
    Callback,
    CallbackConnector,
    ConnectorContext,
    Document,
    Identity,
    LogoutConnector,
    MetadataConnector,
    Redirect,
    RefreshConnector,
    Scopes,
    TokenIdentityConnector,
)
from dexcore.errors import AccessDenied, UpstreamError
from dexcore.http import TLS, HttpClient
from dexcore.upstream import (
    TokensRevoked,
    authorization_url,
    redirect_uri_of,
    refresh_with_newest,
)

from .authentication import ClientAuthentication
from .authorization import Pending, request_url
from .callback import SAID_NO, code_of
from .calls import Calls, Refused, TokenAnswer, UserInfoRefused
from .claims import ClaimsReader
from .config import Config
from .exchange import TokenExchange
from .identity import IdentityReader
from .kept import Kept, Log
from .provider import Provider, discover
from .rotation import Rotations
from .verification import Verifier

__all__ = ["OIDC", "open_oidc"]

#: The most seconds for one call: the firewall around us allows fifteen for all of them.
TIMEOUT = 6.0

#: Seconds after which the provider is asked again what it is like.
LIFETIME = 3600.0

# RFC 6749 section 5.2 and what providers add to it: the refresh token is no good.
_LOGIN_IS_OVER = ("invalid_grant", "access_denied", *SAID_NO)


@attrs.define(eq=False)
class OIDC(
    CallbackConnector,
    RefreshConnector,
    TokenIdentityConnector,
    LogoutConnector,
    MetadataConnector,
):
    """One upstream provider, and the client that we are to it."""

    config: Config
    context: ConnectorContext = attrs.field(repr=False)
    log: Log
    http: HttpClient
    provider: Kept[Provider]
    calls: Calls
    verifier: Verifier
    claims: ClaimsReader
    exchange: TokenExchange
    identities: IdentityReader
    rotations: Rotations = attrs.field(factory=Rotations)

    # — logging in ---------------------------------------------------------------------

    async def begin(self, scopes: Scopes, callback_url: str, state: str) -> Redirect:
        """Return the authorization request, and what only this login knows."""
        if not self.config.client_id:
            raise UpstreamError("Nobody can log in: clientID is not configured.")
        redirect_uri = self._redirect_uri(callback_url)
        provider = await self.provider.get()
        pending = Pending.new(self.config, provider)
        url = request_url(
            self.config,
            provider,
            scopes,
            pending,
            redirect_uri=redirect_uri,
            state=state,
        )
        return Redirect(url, pending.pack())

    async def finish(self, scopes: Scopes, callback: Callback) -> Identity:
        """Trade the code the browser brought, and return whose it is."""
        provider = await self.provider.get()
        pending = Pending.unpack(callback.connector_data)
        code = code_of(callback.form or callback.query, provider, self.log)
        redirect_uri = self._redirect_uri(callback.callback_url)
        try:
            answer = await self.calls.exchange(
                provider, code, redirect_uri, pending.verifier
            )
        except Refused as refused:
            if refused.error != "invalid_grant":
                raise
            self.log.warning("the code was refused: %s", refused)
            raise AccessDenied(
                "The identity provider does not take the login back. "
                "Please start again."
            ) from None
        if not answer.id_token:
            raise UpstreamError("The token endpoint gave no ID token.")
        claims = await self.claims.granted(
            provider, answer, pending.nonce, scopes.max_age
        )
        if scopes.offline_access and not answer.refresh_token:
            self.log.warning(
                "the provider gave no refresh token, so ours will not work; perhaps "
                "it wants offline_access among the scopes"
            )
        return self.identities.read(claims, _packed(answer.refresh_token))

    # — refreshing ---------------------------------------------------------------------

    async def refresh(self, scopes: Scopes, identity: Identity) -> Identity:
        """Return the end user as the provider knows them now."""
        if not _unpacked(identity.connector_data):
            raise AccessDenied(
                "The identity provider gave no refresh token at the login."
            )
        return await refresh_with_newest(
            self.context, identity, partial(self._refreshed, identity)
        )

    async def _refreshed(self, identity: Identity, data: bytes) -> Identity:
        old = _unpacked(data)
        provider = await self.provider.get()
        answer = await self.rotations.refresh(
            old, partial(self._rotate, provider, identity, old)
        )
        claims = await self._refreshed_claims(provider, answer)
        found = self.identities.read(claims, _packed(answer.refresh_token or old))
        if found.user_id != identity.user_id:
            raise AccessDenied("The identity provider answered with another user.")
        return found

    async def _rotate(
        self, provider: Provider, identity: Identity, old: str
    ) -> TokenAnswer:
        """Trade the refresh token *old*; keep the one that takes its place at once."""
        try:
            answer = await self.calls.refresh(provider, old)
        except Refused as refused:
            if refused.error not in _LOGIN_IS_OVER:
                raise
            raise TokensRevoked(str(refused)) from None
        if answer.refresh_token not in ("", old):
            await self.context.keep(identity, _packed(answer.refresh_token))
        return answer

    async def _refreshed_claims(
        self, provider: Provider, answer: TokenAnswer
    ) -> dict[str, Any]:
        if not answer.id_token and not self.config.get_user_info:
            # Core section 12.2: there need not be one.
            raise UpstreamError(
                "The provider gives no ID token when it refreshes; write "
                "getUserInfo: true."
            )
        try:
            return await self.claims.granted(provider, answer)
        except UserInfoRefused as refused:
            if refused.status != 401:
                raise
            self.log.info("an end user is refused: %s", refused)
            raise AccessDenied(
                "The identity provider has ended this login. Please log in again."
            ) from None

    # — token exchange -----------------------------------------------------------------

    async def token_identity(self, token_type: str, token: str) -> Identity:
        """Return whose *token* it is, an ID token or an access token (RFC 8693)."""
        provider = await self.provider.get()
        claims = await self.exchange.claims_of(provider, token_type, token)
        return self.identities.read(claims)

    # — our side -----------------------------------------------------------------------

    async def metadata(self, callback_url: str) -> Document:
        """Return the public key we authenticate with, for the provider's jwks_uri."""
        key = self.calls.authentication.key
        keys = [] if key is None else [dict(key.public)]
        return Document(orjson.dumps({"keys": keys}), "application/jwk-set+json")

    # — logging out --------------------------------------------------------------------

    async def logout_url(self, return_to: str) -> str | None:
        """Return where the provider logs out (RP-Initiated Logout section 2)."""
        url = (await self.provider.get()).end_session_endpoint
        if not url or not return_to:
            return url or None
        return authorization_url(
            url,
            {
                "client_id": self.config.client_id,
                "post_logout_redirect_uri": return_to,
            },
        )

    async def finish_logout(self, callback: Callback) -> None:
        """Nothing comes back that would have to be checked."""

    async def close(self) -> None:
        """Close connections."""
        await self.rotations.close()
        await self.verifier.close()
        await self.provider.close()
        await self.http.close()

    # — how ----------------------------------------------------------------------------

    def _redirect_uri(self, callback_url: str) -> str:
        return redirect_uri_of(self.config.redirect_uri, callback_url, self.context.id)


async def open_oidc(config: Config, context: ConnectorContext) -> OIDC:
    """Ask the provider what it is like.

    While it does not answer, this raises, and the server tries again.
    """
    log: Log = logging.LoggerAdapter(
        context.log, {"fields": {"connector_id": context.id}}
    )
    authentication = await ClientAuthentication.open(config)
    http = HttpClient(
        TLS(config.root_cas, config.insecure_skip_verify),
        timeout=min(context.timeout, TIMEOUT),
    )
    provider = Kept(lambda: discover(http, config), LIFETIME, log)
    try:
        found = await provider.get()
    except BaseException:
        await http.close()
        raise
    for warning in _doubts(config, found):
        log.warning(warning)
    calls = Calls(http, authentication)
    verifier = Verifier.open(config, http, provider, log)
    claims = ClaimsReader(config, calls, verifier)
    return OIDC(
        config=config,
        context=context,
        log=log,
        http=http,
        provider=provider,
        calls=calls,
        verifier=verifier,
        claims=claims,
        exchange=TokenExchange(config, calls, verifier, claims, log),
        identities=IdentityReader.of(config),
    )


def _doubts(config: Config, provider: Provider) -> list[str]:
    """Return what an operator should know, though it need not be wrong."""
    doubts = []
    method = config.pkce_challenge
    if method and method not in provider.pkce_methods:
        doubts.append(f"the provider does not advertise pkceChallenge {method}")
    if config.provider_discovery_overrides.device_auth_url:
        doubts.append("deviceAuthURL has no effect: nothing here asks it")
    endpoints = (
        provider.token_endpoint,
        provider.jwks_uri,
        provider.userinfo_endpoint,
    )
    if config.issuer.startswith("https:") and any(
        url.startswith("http:") for url in endpoints
    ):
        doubts.append("the issuer is https, but some of its endpoints are http")
    if config.insecure_skip_verify:
        doubts.append("insecureSkipVerify: anybody can pretend to be the provider")
    return doubts


def _packed(refresh_token: str) -> bytes:
    """Return ``connector_data`` as dex writes it; none for no token.

    Empty data leaves in place what an earlier login has brought.
    """
    if not refresh_token:
        return b""
    encoded = base64.b64encode(refresh_token.encode()).decode()
    return orjson.dumps({"RefreshToken": encoded})


def _unpacked(data: bytes) -> str:
    try:
        return base64.b64decode(orjson.loads(data)["RefreshToken"]).decode()
    except (ValueError, KeyError, TypeError):
        return ""
