"""Sending browsers to an OAuth 2.0 provider, and asking it who came back."""

from __future__ import annotations

import attrs

from dexcore.connector import (
    Callback,
    CallbackConnector,
    ConnectorContext,
    Identity,
    Redirect,
    Scopes,
)
from dexcore.errors import UpstreamError
from dexcore.http import TLS, HttpClient
from dexcore.upstream import CodeFlow, TokenEndpoint

from .claims import groups_of, identity_of
from .config import Config


async def open_oauth(config: Config, context: ConnectorContext) -> OAuth:
    """Open ``oauth``.  The provider is not asked until somebody logs in."""
    http = HttpClient(
        TLS(config.root_cas, config.insecure_skip_verify), timeout=context.timeout
    )
    if config.insecure_skip_verify:
        context.log.warning(
            "insecureSkipVerify: the certificate of the provider is not checked",
            extra={"fields": {"connector_id": context.id}},
        )
    endpoint = TokenEndpoint(
        http, config.token_url, config.client_id, config.client_secret
    )
    flow = CodeFlow(context, endpoint, config.authorization_url, config.redirect_uri)
    return OAuth(config, http, flow)


@attrs.frozen(eq=False)
class OAuth(CallbackConnector):
    """A provider that has an endpoint for user info.

    There is nothing to ask at a refresh, as in dex: no refresh tokens are issued.
    """

    config: Config
    http: HttpClient
    flow: CodeFlow

    async def close(self) -> None:
        """Close connections."""
        await self.http.close()

    async def begin(self, scopes: Scopes, callback_url: str, state: str) -> Redirect:
        """Return where the end user logs in."""
        config = self.config
        return self.flow.begin(
            callback_url, state, config.scopes, pkce=bool(config.pkce_challenge)
        )

    async def finish(self, scopes: Scopes, callback: Callback) -> Identity:
        """Return who came back."""
        config = self.config
        tokens = await self.flow.finish(callback)
        answer = await self.http.get(
            config.user_info_url, headers={"Authorization": tokens.authorization}
        )
        if answer.status != 200:
            answer.check()
            raise UpstreamError(f"{answer.call} answered {answer.status}.")
        info = answer.object()
        groups = groups_of(config, info, tokens.access_token) if scopes.groups else []
        return identity_of(config, info, tuple(groups))
