"""The end of a session: who hears of it, and what ends with it."""

from __future__ import annotations

import logging

import attrs

from ...errors import NotFound, StorageError
from ...storage import AuthSession, Claims, Client, RefreshToken, Storage
from ..audit import Audit
from ..clients import Clients
from ..tokens.refresh import RefreshTokens
from ..tokens.subjects import Subjects
from .backchannel import BackChannel
from .sessions import forget_beside

log = logging.getLogger("dexcore.logout")

#: ``refreshTokenLifetime`` of clients whose tokens end with the session.
WITH_SESSION = "session"


@attrs.frozen(eq=False)
class Ending:
    """Ends sessions: by a logout, by another login, by their user from elsewhere."""

    storage: Storage
    clients: Clients
    refresh_tokens: RefreshTokens
    subjects: Subjects
    notices: BackChannel
    audit: Audit

    async def end(self, session_id: str, reason: str) -> AuthSession | None:
        """End the session; return it, or ``None`` if it had ended before.

        Of many that end it at once one tells the clients.  The record goes first: from
        then on the cookie is of no use, and tokens that are bound to it are refused at
        their next use, even if the rest of this is cut short.
        """
        try:
            session = await self.storage.auth_sessions.take(session_id)
        except NotFound:
            return None
        self.audit.record(
            "session ended",
            sid=session.id,
            connector_id=session.connector_id,
            user_id=session.user_id,
            reason=reason,
        )
        for client_id in sorted(session.client_states):
            try:
                await self._tell(session, client_id)
            except StorageError as error:
                fields = {"sid": session.id, "client_id": client_id, "err": str(error)}
                log.error("logout is incomplete", extra={"fields": fields})
        try:
            await forget_beside(self.storage, session)
        except StorageError as error:
            # It goes when the session would have ended by itself.
            fields = {"sid": session.id, "err": str(error)}
            log.error("logout is incomplete", extra={"fields": fields})
        return session

    async def forget_client(self, session: AuthSession, client_id: str) -> None:
        """End what *client_id* may do for the session's user while they are away."""
        record = await self._refresh_token(session, client_id, bound=False)
        if record is not None:
            await self.refresh_tokens.revoke_family(record)

    async def _tell(self, session: AuthSession, client_id: str) -> None:
        client = await self.clients.find(client_id)
        if client is None:
            return
        self.notices.announce(session, client, await self._subject(session, client))
        if is_bound(client):
            record = await self._refresh_token(session, client_id, bound=True)
            if record is not None:
                await self.refresh_tokens.revoke_family(record)

    async def _subject(self, session: AuthSession, client: Client) -> str:
        """Return what *client* calls the session's user, as far as that is certain."""
        claims = Claims(user_id=session.user_id)
        if self.subjects.needs_claims(client):
            user = await self.storage.user_identities.find(
                session.user_id, session.connector_id
            )
            claims = user.claims if user is not None else claims
        return self.subjects.announced(client, claims, session.connector_id)

    async def _refresh_token(
        self, session: AuthSession, client_id: str, *, bound: bool
    ) -> RefreshToken | None:
        """Return the user's refresh token; *bound*: only if it is of this session."""
        offline = await self.storage.offline_sessions.find(
            session.user_id, session.connector_id
        )
        ref = offline.refresh.get(client_id) if offline is not None else None
        if ref is None or (bound and ref.session_id != session.id):
            return None
        return await self.storage.refresh_tokens.find(ref.id)


def is_bound(client: Client) -> bool:
    """Return whether the client's refresh tokens end with the session."""
    return client.refresh_token_lifetime == WITH_SESSION
