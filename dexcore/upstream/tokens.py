"""What an upstream provider gave us for the end user, and what we keep of it."""

from __future__ import annotations

import asyncio

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs

from ..connector import ConnectorContext, Identity
from ..errors import AccessDenied, UpstreamError
from ..storage.codec import json_codec
from ..storage.records import ZERO_TIME

__all__ = ["Tokens", "TokensRevoked", "refresh_with_newest"]

#: A token that expires sooner is not used any more (seconds): calls take a while.
_MARGIN = 10

#: How long another replica may take to keep what it has just replaced (seconds).
_PATIENCE = 1.0

_LOG_IN_AGAIN = "Please log in again: the upstream provider has ended this login."


class TokensRevoked(UpstreamError):
    """What we keep of the end user's is worth nothing to the provider any more."""


@attrs.frozen
class Tokens:
    """What a token endpoint gave (RFC 6749 section 5.1).

    ``expiry`` is ``ZERO_TIME`` if it did not say; ``fields`` are all of the answer.
    """

    access_token: str = attrs.field(default="", repr=False)
    refresh_token: str = attrs.field(default="", repr=False)
    expiry: datetime = ZERO_TIME
    token_type: str = "Bearer"  # noqa: S105 - it is no secret
    fields: Mapping[str, Any] = attrs.field(factory=dict, repr=False, eq=False)

    @property
    def authorization(self) -> str:
        """The ``Authorization`` header of a call on the end user's behalf."""
        return f"{self.token_type} {self.access_token}"

    def expired(self, now: datetime) -> bool:
        """Say whether the access token should not be used any more."""
        if self.expiry == ZERO_TIME:
            return False
        return self.expiry <= now + timedelta(seconds=_MARGIN)

    def dump(self) -> bytes:
        """Return them as ``connector_data``, as dex writes it."""
        kept = _Kept(self.access_token, self.refresh_token, self.expiry)
        return _KEPT.encode(kept)

    @classmethod
    def load(cls, connector_data: bytes) -> Tokens | None:
        """Return the tokens of *connector_data*; ``None`` if there are none in it."""
        try:
            kept: _Kept = _KEPT.decode(connector_data)
        except ValueError:
            return None
        if not kept.access_token and not kept.refresh_token:
            return None
        return cls(kept.access_token, kept.refresh_token, kept.expiry)


@attrs.frozen
class _Kept:
    access_token: str
    refresh_token: str
    expiry: datetime


_KEPT = json_codec(
    _Kept,
    {
        _Kept: {
            "access_token": "accessToken",
            "refresh_token": "refreshToken,omitempty",
        }
    },
)


async def refresh_with_newest(
    context: ConnectorContext,
    identity: Identity,
    attempt: Callable[[bytes], Awaitable[Identity]],
) -> Identity:
    """Return what *attempt* makes of the ``connector_data`` of *identity*.

    A refresh for another client of theirs may have replaced it just now: if *attempt*
    raises :class:`TokensRevoked` it is made again with the newer.  Raises
    ``AccessDenied`` if there is none, or it is revoked as well.
    """
    try:
        return await attempt(identity.connector_data)
    except TokensRevoked as error:
        context.log.info("%s", error, extra={"fields": {"connector_id": context.id}})
    await asyncio.sleep(_PATIENCE)
    kept = await context.kept(identity)
    if kept in (b"", identity.connector_data):
        raise AccessDenied(_LOG_IN_AGAIN)
    try:
        return await attempt(kept)
    except TokensRevoked:
        raise AccessDenied(_LOG_IN_AGAIN) from None
