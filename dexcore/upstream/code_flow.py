"""The way to an end user's tokens and back to them later, as most providers have it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs

from ..connector import Callback, ConnectorContext, Identity, Redirect
from .authorization import (
    authorization_url,
    challenge,
    code_of,
    new_verifier,
    redirect_uri_of,
)
from .token_endpoint import TokenEndpoint, TokenRefused
from .tokens import Tokens, TokensRevoked

__all__ = ["CodeFlow"]

_NOTHING = "There are no tokens of theirs to use."


def _is_about_the_token(refusal: TokenRefused) -> bool:
    return refusal.error == "invalid_grant"


@attrs.frozen(eq=False)
class CodeFlow:
    """The authorization code flow with PKCE (RFC 6749 section 4.1, RFC 7636).

    ``url`` is where browsers go, ``redirect_uri`` what the file says that they come
    back to, ``""`` for our own.  ``revoked`` says of a refused refresh token whether it
    is the token that is wrong, and not our client.
    """

    context: ConnectorContext = attrs.field(repr=False)
    token_endpoint: TokenEndpoint
    url: str
    redirect_uri: str = ""
    revoked: Callable[[TokenRefused], bool] = _is_about_the_token

    def begin(
        self,
        callback_url: str,
        state: str,
        scopes: Iterable[str] = (),
        *,
        pkce: bool = True,
    ) -> Redirect:
        """Return where the end user logs in; *pkce*: the provider knows it."""
        parameters = {
            "client_id": self.token_endpoint.client_id,
            "redirect_uri": self._redirect_uri(callback_url),
            "response_type": "code",
            "state": state,
        }
        if scope := " ".join(scopes):
            parameters["scope"] = scope
        verifier = new_verifier() if pkce else ""
        if verifier:
            parameters |= challenge(verifier)
        url = authorization_url(self.url, parameters)
        # The verifier comes back with the browser, sealed: nobody can read it there.
        return Redirect(url, verifier.encode("ascii"))

    async def finish(self, callback: Callback) -> Tokens:
        """Return the tokens of who came back.

        Raises what :func:`code_of` and :meth:`TokenEndpoint.exchange` do.
        """
        return await self.token_endpoint.exchange(
            code_of(callback),
            self._redirect_uri(callback.callback_url),
            callback.connector_data.decode("ascii"),
        )

    async def current(
        self, identity: Identity, connector_data: bytes
    ) -> tuple[Tokens, bytes]:
        """Return tokens that can be used, and what to keep of them.

        *connector_data* is what :meth:`Tokens.dump` has made.  Raises
        :class:`TokensRevoked` if there are none.
        """
        tokens = Tokens.load(connector_data)
        if tokens is None:
            raise TokensRevoked(_NOTHING)
        if tokens.access_token and not tokens.expired(self.token_endpoint.now()):
            return tokens, connector_data
        if not tokens.refresh_token:
            raise TokensRevoked(_NOTHING)
        tokens = await self.replaced(tokens.refresh_token)
        connector_data = tokens.dump()
        await self.context.keep(identity, connector_data)
        return tokens, connector_data

    async def replaced(self, refresh_token: str) -> Tokens:
        """Return what *refresh_token* is good for; raise :class:`TokensRevoked`."""
        try:
            return await self.token_endpoint.refresh(refresh_token)
        except TokenRefused as refusal:
            if not self.revoked(refusal):
                raise  # what is wrong with our client is not the end user's to hear
            raise TokensRevoked(str(refusal)) from refusal

    def _redirect_uri(self, callback_url: str) -> str:
        return redirect_uri_of(self.redirect_uri, callback_url, self.context.id)
