"""Who is logged in: one session per browser, in memory, gone when the app stops."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from .provider import Login, Tokens

COOKIE = "example_app_session"

IDLE_SECONDS = 12 * 3600
LOGIN_SECONDS = 600
#: A stranger who opens many pages makes others log in again, but does not fill memory.
SESSIONS = 1000
LOGINS = 10


@attrs.frozen
class Outcome:
    """What the last button did, shown once."""

    title: str
    message: str = ""
    details: Mapping[str, Any] = attrs.field(factory=dict)
    failed: bool = False


@attrs.define
class Session:
    """One browser.  ``form_token`` is in every form of ours and in nobody else's."""

    id: str = attrs.field(factory=lambda: secrets.token_urlsafe(32))
    form_token: str = attrs.field(factory=lambda: secrets.token_urlsafe(32))
    tokens: Tokens | None = None
    outcome: Outcome | None = None
    used: float = 0.0
    #: Refresh tokens rotate: one request at a time may use them.
    lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    _logins: dict[str, Login] = attrs.field(factory=dict)

    def begin(self) -> Login:
        """Begin a login; several may be under way in several tabs."""
        login = Login()
        self._logins[login.state] = login
        while len(self._logins) > LOGINS:
            self._logins.pop(next(iter(self._logins)))
        return login

    def take(self, state: str) -> Login | None:
        """Return the login *state* belongs to, once, unless it began too long ago."""
        login = self._logins.pop(state, None)
        if login is None or time.monotonic() - login.at > LOGIN_SECONDS:
            return None
        return login

    def sent(self, form_token: str) -> bool:
        """Return whether a form came from a page of ours."""
        return hmac.compare_digest(form_token.encode(), self.form_token.encode())


@attrs.define
class Sessions:
    """All browsers, the one seen longest ago first."""

    clock: Callable[[], float] = time.monotonic
    _known: OrderedDict[str, Session] = attrs.field(factory=OrderedDict)

    def find(self, id: str) -> Session | None:
        """Return the session of a cookie, unless it idled too long."""
        session = self._known.get(id)
        if session is None:
            return None
        if self.clock() - session.used > IDLE_SECONDS:
            del self._known[id]
            return None
        session.used = self.clock()
        self._known.move_to_end(id)
        return session

    def new(self) -> Session:
        """Return a session for a browser that has none."""
        session = Session(used=self.clock())
        self._known[session.id] = session
        while len(self._known) > SESSIONS:
            self._known.popitem(last=False)
        return session

    def renew(self, session: Session) -> Session:
        """Give a session a new id at login, so that a planted one is worthless."""
        self._known.pop(session.id, None)
        session.id = secrets.token_urlsafe(32)
        session.form_token = secrets.token_urlsafe(32)
        self._known[session.id] = session
        return session

    def end(self, session: Session) -> None:
        """Forget a session."""
        self._known.pop(session.id, None)
