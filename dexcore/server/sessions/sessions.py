"""The sessions themselves: found by their cookie, begun by a login, kept by use."""

from __future__ import annotations

import hashlib
import hmac

from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

from aiohttp import hdrs, web

from ...errors import AccessDenied, NotFound
from ...oauth2.extras import NO_EXTRAS, Extras
from ...oauth2.ids import is_supplemented, new_id
from ...storage import (
    AuthSession,
    Claims,
    ClientAuthState,
    Collections,
    OfflineSessions,
    Storage,
    Supplement,
    UserIdentity,
)
from ..middleware import ADDRESS
from .cookie import SessionCookie
from .states import BrowserStates

# More cookies of our name than this and somebody plays with them.
_MOST_COOKIES = 3
# dex's MySQL columns hold 384 characters; beyond this a browser's name says no more.
_LONGEST_USER_AGENT = 256


@attrs.frozen
class Found:
    """A live session, its user, and what the user left behind for refreshing.

    ``told`` is what its login told beyond dex's records, as it was kept.
    """

    session: AuthSession
    user: UserIdentity
    offline: OfflineSessions | None = None
    told: Extras = NO_EXTRAS


@attrs.frozen
class LoggedIn:
    """Who has just logged in, at which client, and from where.

    ``connector_data`` is what the connector will need to look the user up again;
    ``None``: nothing is kept of it.  ``told`` is what to keep beside the session.
    """

    claims: Claims
    connector_id: str
    client_id: str
    ip_address: str = ""
    user_agent: str = ""
    connector_data: bytes | None = None
    told: Extras = NO_EXTRAS

    @classmethod
    def of(
        cls,
        request: web.BaseRequest,
        claims: Claims,
        connector_id: str,
        client_id: str,
        connector_data: bytes | None = None,
        told: Extras = NO_EXTRAS,
    ) -> LoggedIn:
        """Return this with what the request tells about the browser."""
        return cls(
            claims,
            connector_id,
            client_id,
            request.get(ADDRESS) or request.remote or "",
            request.headers.get(hdrs.USER_AGENT, "")[:_LONGEST_USER_AGENT],
            connector_data,
            told,
        )


@attrs.frozen(eq=False)
class Sessions:
    """Every reader of the session cookie comes through here.

    ``lifetime`` is how long after a login a session ends, ``idle`` how long unused.
    """

    storage: Storage
    cookie: SessionCookie
    states: BrowserStates
    lifetime: timedelta
    idle: timedelta
    now: Callable[[], datetime]

    def cookies(self, session: AuthSession, *, remember: bool) -> tuple[str, str]:
        """Return the ``Set-Cookie`` lines of whoever has just logged in."""
        return (
            self.cookie.make(session, remember=remember),
            self.states.make(session.id, remember=remember),
        )

    def forget(self, response: web.StreamResponse) -> None:
        """Let the browser forget its session."""
        response.headers.add(hdrs.SET_COOKIE, self.cookie.clear())
        response.headers.add(hdrs.SET_COOKIE, self.states.leave())

    def alive(self, session: AuthSession) -> bool:
        """Return whether *session* has neither ended nor been unused for too long."""
        now = self.now()
        return now <= session.absolute_expiry and now <= session.idle_expiry

    async def find(
        self, request: web.BaseRequest, *, offline: bool = False
    ) -> Found | None:
        """Return the session the browser is in: one read, nothing without a cookie.

        Of several cookies exactly one may be of a live session; else somebody has
        planted one, and which is not for us to guess.
        """
        proofs = self.cookie.read(request)
        if not 0 < len(proofs) <= _MOST_COOKIES:
            return None

        async def look(collections: Collections) -> Found | None:
            live = []
            for id, secret in proofs:
                session = await collections.auth_sessions.find(id)
                if session is not None and self._proved(session, secret):
                    live.append(session)
            if len(live) != 1:
                return None
            [session] = live
            key = (session.user_id, session.connector_id)
            user = await collections.user_identities.find(*key)
            if user is None or user.blocked_until > self.now():
                return None
            left = await collections.offline_sessions.find(*key) if offline else None
            told = NO_EXTRAS
            if is_supplemented(session.secret):
                beside = await collections.supplements.find(beside_of(session))
                if beside is None:
                    return None
                told = beside.extras
            return Found(session, user, left, told)

        return await self.storage.view(look)

    async def begin(
        self, who: LoggedIn, presented: AuthSession | None
    ) -> tuple[AuthSession, UserIdentity]:
        """Store the session of a login, and what we remember of its user.

        What proves the session is new after every login, so that whoever knew the old
        cookie is out (session fixation).  The name clients know it by stays only when
        the same user logs in again in the session that the browser *presented*.
        Raises ``AccessDenied`` if the user is blocked.
        """
        now, fresh = self.now(), self._fresh(who)
        first = UserIdentity(
            who.claims.user_id,
            who.connector_id,
            who.claims,
            created_at=now,
            last_login=now,
        )

        def remember(user: UserIdentity) -> UserIdentity:
            if user.blocked_until > now:
                raise AccessDenied("The user is blocked.")
            return attrs.evolve(user, claims=who.claims, last_login=now)

        async def both(collections: Collections) -> tuple[AuthSession, UserIdentity]:
            key = (who.claims.user_id, who.connector_id)
            user = await collections.user_identities.update_or_create(
                *key, change=remember, first=first
            )
            if who.connector_data is not None:
                await _keep_data(collections, key, who.connector_data)
            if who.told != NO_EXTRAS:
                await collections.supplements.create(
                    Supplement(beside_of(fresh), who.told, fresh.absolute_expiry)
                )
            return await _stored(collections, fresh, presented), user

        return await self.storage.unit(both)

    def used(self, session: AuthSession, client_id: str) -> AuthSession:
        """Return *session* after it has got *client_id* a code; raise ``NotFound``.

        A client that did not see the login itself came in by another's.
        """
        if not self.alive(session):
            raise NotFound("The session has ended.")
        now = self.now()
        state = session.client_states.get(client_id) or ClientAuthState(via_sso=True)
        state = attrs.evolve(
            state,
            authenticated_at=session.created_at,
            last_activity=now,
            last_token_issued_at=now,
        )
        return attrs.evolve(
            session,
            client_states={**session.client_states, client_id: state},
            last_activity=now,
            idle_expiry=now + self.idle,
        )

    def _proved(self, session: AuthSession, secret: str) -> bool:
        same = hmac.compare_digest(session.secret.encode(), secret.encode())
        return same and bool(session.secret) and self.alive(session)

    def _fresh(self, who: LoggedIn) -> AuthSession:
        now = self.now()
        state = ClientAuthState(authenticated_at=now, last_activity=now)
        return AuthSession(
            id=new_id(),
            secret=new_id(supplemented=who.told != NO_EXTRAS),
            user_id=who.claims.user_id,
            connector_id=who.connector_id,
            client_states={who.client_id: state},
            created_at=now,
            last_activity=now,
            ip_address=who.ip_address,
            user_agent=who.user_agent,
            absolute_expiry=now + self.lifetime,
            idle_expiry=now + self.idle,
        )


async def _stored(
    collections: Collections, fresh: AuthSession, presented: AuthSession | None
) -> AuthSession:
    """Return the session as stored: *presented* renewed if it is the same user's."""

    def renew(old: AuthSession) -> AuthSession:
        if presented is None or old.secret != presented.secret:
            raise NotFound("Somebody has logged in there meanwhile.")
        states = {**old.client_states, **fresh.client_states}
        return attrs.evolve(fresh, id=old.id, client_states=states)

    if presented is not None and same_user(presented, fresh):
        try:
            renewed = await collections.auth_sessions.update(presented.id, change=renew)
        except NotFound:
            pass
        else:
            await forget_beside(collections, presented)
            return renewed
    await collections.auth_sessions.create(fresh)
    return fresh


def beside_of(session: AuthSession) -> str:
    """Return the id of the supplement of *session*, if its secret says it has one.

    Each login has a secret of its own, so what one told is never taken for another's.
    """
    return "s" + hashlib.sha256(session.secret.encode()).hexdigest()[:40]


async def forget_beside(collections: Collections, session: AuthSession) -> None:
    """Delete what was kept beside *session*."""
    if is_supplemented(session.secret):
        try:
            await collections.supplements.delete(beside_of(session))
        except NotFound:
            return


async def _keep_data(
    collections: Collections, key: tuple[str, str], data: bytes
) -> None:
    def enter(old: OfflineSessions) -> OfflineSessions:
        if not data or old.connector_data == data:
            return old
        return attrs.evolve(old, connector_data=data)

    await collections.offline_sessions.update_or_create(
        *key, change=enter, first=OfflineSessions(*key, connector_data=data)
    )


def same_user(one: AuthSession, other: AuthSession) -> bool:
    """Return whether both are sessions of the same user of the same connector."""
    return (one.user_id, one.connector_id) == (other.user_id, other.connector_id)
