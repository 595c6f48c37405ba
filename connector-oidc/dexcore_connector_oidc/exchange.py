"""Tokens of the provider that somebody brings to exchange for ours (RFC 8693).

They were not given to us, so they say less: whoever has got a token for another
application must not become its owner here.
"""

from __future__ import annotations

from typing import Any

import attrs

from dexcore.errors import AccessDenied

from .calls import Calls, UserInfoRefused
from .claims import ClaimsReader
from .config import Config
from .kept import Log
from .provider import Provider
from .tokens import WrongToken, check_subject
from .verification import Verifier

__all__ = ["ACCESS_TOKEN", "ID_TOKEN", "TokenExchange"]

ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - a name
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105


@attrs.frozen(eq=False)
class TokenExchange:
    """Finds out whose token it is, and whether it was meant for us."""

    config: Config
    calls: Calls
    verifier: Verifier
    claims: ClaimsReader
    log: Log

    async def claims_of(
        self, provider: Provider, token_type: str, token: str
    ) -> dict[str, Any]:
        """Return the claims of the token's owner; raise ``AccessDenied``."""
        if token_type not in (ID_TOKEN, ACCESS_TOKEN):
            raise AccessDenied("Only ID tokens and access tokens can be exchanged.")
        if token_type == ACCESS_TOKEN and not self.config.get_user_info:
            raise AccessDenied("Only ID tokens can be exchanged.")
        try:
            if token_type == ID_TOKEN:
                return await self._of_id_token(provider, token)
            await self._check_access_token(provider, token)
            return await self.claims.userinfo(provider, token, {})
        except (WrongToken, UserInfoRefused) as error:
            self.log.info("a token was not exchanged: %s", error)
            raise AccessDenied("The token is not good here.") from None

    async def _of_id_token(self, provider: Provider, token: str) -> dict[str, Any]:
        claims = await self.verifier.exchanged_token(provider, token)
        check_subject(claims)
        self.verifier.check_exchangeable(claims)
        if self.config.get_user_info:
            told = await self.claims.userinfo(provider, token, claims)
            claims = {**claims, **told}
        return claims

    async def _check_access_token(self, provider: Provider, token: str) -> None:
        """Check that an access token was given to us, or is for us.

        A signed one may say so itself (RFC 9068), of others the provider does (RFC
        7662).  Whether it is still good the UserInfo endpoint says.
        """
        if self.config.insecure_skip_token_audience:
            return
        try:
            claims = await self.verifier.exchanged_token(provider, token, typ="at+jwt")
            self.verifier.check_exchangeable(claims, "azp", "client_id")
        except WrongToken:
            if not provider.introspection_endpoint:
                raise
            await self._introspect(provider, token)

    async def _introspect(self, provider: Provider, token: str) -> None:
        claims = await self.calls.introspect(provider, token)
        if claims.get("active") is not True:
            raise WrongToken("it is not active")
        self.verifier.check_exchangeable(claims, "client_id")
