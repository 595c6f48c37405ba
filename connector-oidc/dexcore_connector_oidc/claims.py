"""What the provider says of an end user: its ID token, and the UserInfo on top."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from dexcore.errors import UpstreamError

from .calls import Calls, TokenAnswer
from .config import Config
from .provider import Provider
from .tokens import WrongToken
from .verification import Verifier

__all__ = ["ClaimsReader"]


@attrs.frozen(eq=False)
class ClaimsReader:
    """Collects claims as the configuration says."""

    config: Config
    calls: Calls
    verifier: Verifier

    async def granted(
        self,
        provider: Provider,
        answer: TokenAnswer,
        nonce: str = "",
        max_age: int = -1,
    ) -> dict[str, Any]:
        """Return the claims of whom the token endpoint gave tokens for.

        *nonce* and *max_age* are what was sent, if this is a login.  Raises
        ``UpstreamError``.
        """
        claims: dict[str, Any] = {}
        try:
            if answer.id_token:
                claims = await self.verifier.id_token(
                    provider,
                    answer.id_token,
                    nonce=nonce,
                    max_age=max_age,
                    access_token=answer.access_token,
                )
            if self.config.get_user_info:
                told = await self.userinfo(provider, answer.access_token, claims)
                claims = {**claims, **told}
        except WrongToken as wrong:
            raise UpstreamError(f"The provider's token is wrong: {wrong}.") from None
        return claims

    async def userinfo(
        self, provider: Provider, access_token: str, known: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the UserInfo, which must be about whom we *know* from an ID token.

        Raises ``WrongToken``, ``UserInfoRefused``, ``UpstreamError``.
        """
        answer = await self.calls.userinfo(provider, access_token)
        if "application/jwt" in answer.headers.get("Content-Type", "").lower():
            told = await self.verifier.userinfo(provider, answer.text())
        else:
            told = answer.object()
        # Core section 5.3.2: or else it must not be used.
        if "sub" not in told or told["sub"] != known.get("sub", told["sub"]):
            raise WrongToken("the UserInfo is about somebody else (sub)")
        return told
