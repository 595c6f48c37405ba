"""Clients that prove themselves with a key: ``private_key_jwt``.

RFC 7521 section 4.2, RFC 7523 section 3, OpenID Connect Core section 9.
"""

from __future__ import annotations

import hashlib

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import attrs

from ..errors import AlreadyExists, InvalidClient
from ..jose import InvalidJWS
from ..oauth2.client_metadata import PRIVATE_KEY_JWT
from ..storage import Client, Collections, Replay, metadata_of
from .client_keys import ClientKeys
from .urls import Issuer

__all__ = ["ClientAssertions"]

_WRONG = "Invalid client credentials."

#: How far ahead an assertion may expire; its id is kept until then.
_LONGEST, _LONGEST_STRICT = timedelta(hours=1), timedelta(minutes=5)
#: How far clients' clocks may be ahead of ours.
_SKEW = timedelta(seconds=60)
_LONGEST_ID = 256  # characters

# draft-ietf-oauth-rfc7523bis section 5: what new clients call it.
_TYPES = ("client-authentication+jwt",)


@attrs.frozen(eq=False)
class ClientAssertions:
    """Checks assertions, each of which counts once, at whichever replica.

    ``audiences`` are what they may be addressed to, ``longest`` how far ahead they may
    expire.
    """

    keys: ClientKeys
    storage: Collections
    audiences: frozenset[str]
    longest: timedelta
    now: Callable[[], datetime]

    @classmethod
    def of(
        cls,
        keys: ClientKeys,
        storage: Collections,
        issuer: Issuer,
        now: Callable[[], datetime],
        *,
        strict: bool,
    ) -> ClientAssertions:
        """Return what checks them; *strict*: our issuer is the only audience."""
        audiences = [issuer.url]
        if not strict:
            # OpenID Connect Core section 9 named it, so that older clients send it.
            audiences.append(issuer.absolute("/token"))
        longest = _LONGEST_STRICT if strict else _LONGEST
        return cls(keys, storage, frozenset(audiences), longest, now)

    async def check(self, client: Client, assertion: str) -> None:
        """Raise ``InvalidClient`` unless *assertion* proves that this is *client*.

        Whoever does not have the client's key learns no more than that it is wrong.
        """
        metadata = metadata_of(client)
        if metadata.token_endpoint_auth_method != PRIVATE_KEY_JWT:
            raise InvalidClient(_WRONG)
        try:
            claims = await self.keys.verify(
                client,
                assertion,
                algorithm=metadata.token_endpoint_auth_signing_alg,
                types=_TYPES,
            )
        except InvalidJWS:
            raise InvalidClient(_WRONG) from None
        expiry = self._check_claims(client.id, claims)
        await self._spend(client.id, claims["jti"], expiry)

    def _check_claims(self, client_id: str, claims: Mapping[str, Any]) -> datetime:
        """Return when the assertion expires (RFC 7523 section 3)."""
        now = self.now()
        if claims.get("iss") != client_id or claims.get("sub") != client_id:
            _refuse("iss and sub must be the client_id")
        # One audience, as a string: what is addressed to others as well may be used by
        # them here (draft-ietf-oauth-rfc7523bis section 4).
        audience = claims.get("aud")
        if not isinstance(audience, str) or audience not in self.audiences:
            _refuse("aud must be our issuer, as a string")
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= _LONGEST_ID:
            _refuse(f"jti must be an id of at most {_LONGEST_ID} characters")
        expires = claims.get("exp")
        latest = now + self.longest + _SKEW
        if not isinstance(expires, (int, float)) or expires > latest.timestamp():
            minutes = int(self.longest.total_seconds() / 60)
            _refuse(f"exp must be at most {minutes} minutes ahead")
        if expires <= now.timestamp():
            _refuse("it has expired")
        soon = (now + _SKEW).timestamp()
        if claims.get("nbf", 0) > soon or claims.get("iat", 0) > soon:
            _refuse("it is from the future")
        return datetime.fromtimestamp(expires, UTC)

    async def _spend(self, client_id: str, jti: str, expiry: datetime) -> None:
        digest = hashlib.sha256(f"{client_id}\0{jti}".encode()).hexdigest()
        # A replica whose clock is behind must still find it.
        replay = Replay(f"client_assertion:{digest}", expiry + _SKEW)
        try:
            await self.storage.replays.create(replay)
        except AlreadyExists:
            _refuse("it has been used before")


def _refuse(why: str) -> NoReturn:
    raise InvalidClient(f"The client assertion is refused: {why}.")
