"""The tokens that no longer count before they expire.

Every replica holds them in memory and reads the new ones from the storage every few
seconds, so that checking a token costs no query.
"""

from __future__ import annotations

import asyncio
import logging

from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

from ...errors import AlreadyExists, StorageError
from ...storage import Collections, Revocation
from .authorization import family_in

log = logging.getLogger("dexcore.server")

POLL_SECONDS = 2.0
_PAGE = 1000
# Replicas' clocks differ: look back this far for what others wrote.
_OVERLAP = timedelta(minutes=5)
# No token's id begins like this.
_CLIENT = "client-"


@attrs.define
class Revocations:
    """Revokes tokens, alone (by ``jti``) or a family at once."""

    storage: Collections
    now: Callable[[], datetime]
    _expiry: dict[str, datetime] = attrs.Factory(dict)

    def covers(self, jti: str) -> bool:
        """Return whether the token with this id has been revoked."""
        known = self._expiry
        return bool(known) and (jti in known or family_in(jti) in known)

    def ended(self, client_id: str) -> bool:
        """Return whether this client has been removed."""
        known = self._expiry
        return bool(known) and _CLIENT + client_id in known

    async def end_client(self, client_id: str, expiry: datetime) -> None:
        """Revoke all tokens of a client, which end until *expiry* anyway."""
        await self.revoke(_CLIENT + client_id, expiry)

    async def revoke(self, what: str, expiry: datetime) -> None:
        """Revoke a ``jti`` or a family until *expiry*, when its tokens end anyway."""
        try:
            await self.storage.revocations.create(self._record(what, expiry))
        except AlreadyExists:
            log.debug("revoked twice in one millisecond: %s", what)
        # Not before it is stored: who is told to ask again must not hear of a success
        # that the next start would not know of.
        self._expiry[what] = expiry

    async def load(self, since: datetime | None = None) -> None:
        """Read what has been revoked, by us or by another replica."""
        after = (_stamp(since),) if since else None
        while True:
            page = await self.storage.revocations.list(after=after, limit=_PAGE)
            for record in page:
                self._expiry[record.id[13:]] = record.expiry
            if len(page) < _PAGE:
                return
            after = (page[-1].id,)

    async def run(self) -> None:
        """Keep up with the other replicas until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.load(self.now() - _OVERLAP)
            except StorageError as error:
                log.warning("revocations could not be read: %s", error)
            self._forget()

    def _record(self, what: str, expiry: datetime) -> Revocation:
        return Revocation(f"{_stamp(self.now())}-{what}", expiry)

    def _forget(self) -> None:
        now = self.now()
        for what in [what for what, expiry in self._expiry.items() if expiry < now]:
            del self._expiry[what]


def _stamp(moment: datetime) -> str:
    return f"{int(moment.timestamp() * 1000):012x}"
