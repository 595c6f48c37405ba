"""What a token's browser session still means for it."""

from __future__ import annotations

from datetime import datetime

import attrs

from ...errors import InvalidGrant
from ...storage import (
    ZERO_TIME,
    Client,
    OfflineSessions,
    RefreshToken,
    RefreshTokenRef,
    Storage,
)
from ..tokens.refresh import RefreshTokens
from ..tokens.session_names import SessionNames
from .ending import is_bound
from .sessions import Sessions


@attrs.frozen
class Origin:
    """The session a refresh token came of, and when its user had logged in."""

    session_id: str = ""
    auth_time: datetime = ZERO_TIME


@attrs.frozen(eq=False)
class TokenSessions:
    """Asks for the session behind a token."""

    storage: Storage
    sessions: Sessions
    session_names: SessionNames
    refresh_tokens: RefreshTokens

    async def origin(
        self, record: RefreshToken, offline: OfflineSessions | None, client: Client
    ) -> Origin:
        """Return where *record* comes from.

        Raises ``InvalidGrant``, and revokes the family, if it was to end with a session
        that has ended.
        """
        ref = _ref(record, offline)
        if ref is None or not ref.session_id:
            return Origin()
        session = await self.storage.auth_sessions.find(ref.session_id)
        alive = session is not None and self.sessions.alive(session)
        if is_bound(client) and not alive:
            await self.refresh_tokens.revoke_family(record)
            raise InvalidGrant("The session this refresh token belongs to has ended.")
        if session is None:
            return Origin(ref.session_id)
        state = session.client_states.get(client.id)
        # OpenID Connect Core section 12.2: the original authentication.
        return Origin(ref.session_id, state.authenticated_at if state else ZERO_TIME)

    async def access_counts(self, client_id: str, name: str) -> bool:
        """Return whether an access token of *client_id* may outlive its session.

        *name* is what the token calls that.  A query only for clients whose tokens may
        not.
        """
        if not name:
            return True
        client = await self.storage.clients.find(client_id)
        if client is None or not is_bound(client):
            return True
        return await self._is_alive(self.session_names.session_id(client, name))

    async def refresh_counts(self, client: Client, record: RefreshToken) -> bool:
        """Return whether refresh token *record* of *client* may outlive its session."""
        if not is_bound(client):
            return True
        offline = await self.storage.offline_sessions.find(
            record.claims.user_id, record.connector_id
        )
        ref = _ref(record, offline)
        if ref is None or not ref.session_id:
            return True
        return await self._is_alive(ref.session_id)

    async def _is_alive(self, session_id: str) -> bool:
        session = await self.storage.auth_sessions.find(session_id)
        return session is not None and self.sessions.alive(session)


def _ref(
    record: RefreshToken, offline: OfflineSessions | None
) -> RefreshTokenRef | None:
    ref = offline.refresh.get(record.client_id) if offline is not None else None
    return ref if ref is not None and ref.id == record.id else None
