"""Refresh tokens that nobody has: what a login that was cut in the middle left behind.

Only a storage without transactions can have them.  One that was made and not entered
into its user's offline session was never answered; one that another took the place of
is refused wherever it comes (see ``superseded``).  Both would stay for ever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from ...errors import NotFound
from ...storage import OfflineSessions, RefreshToken, Storage
from .refresh import drop_extras, superseded

__all__ = ["remove_leftovers"]

#: A login that takes longer has been cut.
_SETTLED = timedelta(minutes=10)
_PAGE = 500  # records


async def remove_leftovers(storage: Storage, now: datetime) -> int:
    """Remove what no login that is over has left in order; return how many."""
    # The tokens first: whatever belongs to them has been there for minutes.
    unknown = {
        token.id: token
        async for token in _refresh_tokens(storage)
        if token.created_at < now - _SETTLED
    }
    async for session in _offline_sessions(storage):
        for ref in session.refresh.values():
            unknown.pop(ref.id, None)
    removed = 0
    for token in unknown.values():
        user = (token.claims.user_id, token.connector_id)
        session_now = await storage.offline_sessions.find(*user)
        if _is_left_over(token, session_now):
            removed += await _remove(storage, token)
    return removed


def _is_left_over(token: RefreshToken, session: OfflineSessions | None) -> bool:
    if session is not None and token.client_id in session.refresh:
        return superseded(token, session)
    # Used, it belongs to somebody: the next use enters it again.
    return token.last_used <= token.created_at


async def _remove(storage: Storage, token: RefreshToken) -> bool:
    try:
        await storage.refresh_tokens.delete(token.id)
    except NotFound:
        return False
    await drop_extras(storage, token.id)
    return True


async def _refresh_tokens(storage: Storage) -> AsyncIterator[RefreshToken]:
    after: tuple[str, ...] | None = None
    while page := await storage.refresh_tokens.list(after=after, limit=_PAGE):
        for token in page:
            yield token
        after = (page[-1].id,)


async def _offline_sessions(storage: Storage) -> AsyncIterator[OfflineSessions]:
    after: tuple[str, ...] | None = None
    while page := await storage.offline_sessions.list(after=after, limit=_PAGE):
        for session in page:
            yield session
        after = (page[-1].user_id, page[-1].conn_id)
