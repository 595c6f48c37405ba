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
from dexcore.upstream import (
    TokenEndpoint,
    authorization_url,
    challenge,
    code_of,
    new_verifier,
    redirect_uri_of,
)

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
    return OAuth(context.id, config, http, endpoint)


@attrs.frozen(eq=False)
class OAuth(CallbackConnector):
    """A provider that has an endpoint for user info.

    There is nothing to ask at a refresh, as in dex: no refresh tokens are issued.
    """

    id: str
    config: Config
    http: HttpClient
    token_endpoint: TokenEndpoint

    async def close(self) -> None:
        """Close connections."""
        await self.http.close()

    async def begin(self, scopes: Scopes, callback_url: str, state: str) -> Redirect:
        """Return where the end user logs in."""
        config = self.config
        parameters = {
            "client_id": config.client_id,
            "redirect_uri": self._redirect_uri(callback_url),
            "response_type": "code",
            "state": state,
        }
        if config.scopes:
            parameters["scope"] = " ".join(config.scopes)
        verifier = new_verifier() if config.pkce_challenge else ""
        if verifier:
            parameters |= challenge(verifier)
        url = authorization_url(config.authorization_url, parameters)
        # The verifier comes back with the browser, sealed: nobody can read it there.
        return Redirect(url, verifier.encode("ascii"))

    async def finish(self, scopes: Scopes, callback: Callback) -> Identity:
        """Return who came back."""
        config = self.config
        tokens = await self.token_endpoint.exchange(
            code_of(callback),
            self._redirect_uri(callback.callback_url),
            callback.connector_data.decode("ascii"),
        )
        answer = await self.http.get(
            config.user_info_url, headers={"Authorization": tokens.authorization}
        )
        if answer.status != 200:
            answer.check()
            raise UpstreamError(f"{answer.call} answered {answer.status}.")
        info = answer.object()
        groups = groups_of(config, info, tokens.access_token) if scopes.groups else []
        return identity_of(config, info, tuple(groups))

    def _redirect_uri(self, callback_url: str) -> str:
        return redirect_uri_of(self.config.redirect_uri, callback_url, self.id)
