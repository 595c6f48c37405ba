"""Tokens of the upstream provider: signed by it, for us, and still good."""

from __future__ import annotations

import asyncio
import time

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from dexcore.errors import UpstreamError
from dexcore.http import HttpClient
from dexcore.jose import InvalidJWS, PublicKeys, UnknownKey, Verified

from . import tokens
from .config import Config
from .kept import Kept, Log
from .provider import Provider
from .tokens import WrongToken

__all__ = ["Verifier"]

#: Seconds after which keys are fetched again: a withdrawn key counts no longer.
LIFETIME = 3600.0

_REDIRECTS = 3


@attrs.frozen(eq=False)
class Verifier:
    """Verifies what the provider has signed.  Raises ``WrongToken``.

    ``now`` returns seconds since 1970.
    """

    config: Config
    keys: Kept[PublicKeys]
    now: Callable[[], float] = time.time

    @classmethod
    def open(
        cls,
        config: Config,
        http: HttpClient,
        provider: Kept[Provider],
        log: Log,
    ) -> Verifier:
        """Make one that fetches the provider's keys at first use."""

        async def fetch() -> PublicKeys:
            url = (await provider.get()).endpoint("jwks_uri")
            answer = await http.get(url, redirects=_REDIRECTS)
            document = answer.check().object()
            try:
                # Beside the event loop: RSA keys take their time.
                return await asyncio.to_thread(PublicKeys.of(document).load)
            except InvalidJWS as error:
                raise UpstreamError(f"{answer.call}: {error}") from error

        return cls(config, Kept(fetch, LIFETIME, log))

    async def id_token(
        self,
        provider: Provider,
        token: str,
        *,
        nonce: str = "",
        max_age: int = -1,
        access_token: str,
    ) -> dict[str, Any]:
        """Return the claims of an ID token that was given to us.

        *nonce* and *max_age* are what we sent with the authorization request, if
        anything; *access_token* is what the ID token came with.
        """
        verified = await self._verified(provider.algorithms, token)
        claims = verified.claims
        tokens.check_type(verified)
        tokens.check_issuer(claims, provider.issuer)
        tokens.check_subject(claims)
        tokens.check_audience(claims, self.config.client_id)
        tokens.check_times(claims, self.now())
        tokens.check_nonce(claims, nonce)
        tokens.check_age(claims, max_age, self.now())
        tokens.check_access_token_hash(verified, access_token)
        return claims

    async def exchanged_token(
        self, provider: Provider, token: str, *, typ: str = ""
    ) -> dict[str, Any]:
        """Return the claims of a JWT that somebody brought; whose is to be checked.

        It is an ID token, or says that it is a *typ*.
        """
        verified = await self._verified(provider.algorithms, token)
        claims = verified.claims
        tokens.check_type(verified, typ)
        tokens.check_issuer(claims, provider.issuer)
        tokens.check_times(claims, self.now())
        return claims

    async def userinfo(self, provider: Provider, token: str) -> dict[str, Any]:
        """Return the claims of a signed UserInfo answer (Core section 5.3.2)."""
        algorithms = dict.fromkeys(
            (*provider.userinfo_algorithms, *provider.algorithms)
        )
        claims = (await self._verified([*algorithms], token)).claims
        # It should say whom it is from and for; then it must be right.
        if "iss" in claims:
            tokens.check_issuer(claims, provider.issuer)
        if "aud" in claims:
            tokens.check_one_of(claims, (self.config.client_id,))
        return claims

    def check_exchangeable(self, claims: Mapping[str, Any], *also: str) -> None:
        """The token of *claims* may be exchanged here; raise ``WrongToken``.

        It must be for us or for one of the configured audiences.  *also* are claims
        that say the same of an access token, which is for an API: to whom it was given.
        """
        if self.config.insecure_skip_token_audience:
            return
        taken = (*filter(None, (self.config.client_id,)), *self.config.token_audiences)
        given = [claims.get(name) for name in also]
        if not any(each in taken for each in given):
            tokens.check_one_of(claims, taken)

    async def close(self) -> None:
        """Cancel what is under way."""
        await self.keys.close()

    async def _verified(self, algorithms: Sequence[str], token: str) -> Verified:
        keys = await self.keys.get()
        try:
            try:
                return keys.verify(token, algorithms)
            except UnknownKey:
                # OpenID Connect Core section 10.1.1: it may have a new one.
                newer = await self.keys.newer_than(keys)
                if newer is keys:
                    raise
                return newer.verify(token, algorithms)
        except InvalidJWS as error:
            raise WrongToken(str(error).rstrip(".")) from None
