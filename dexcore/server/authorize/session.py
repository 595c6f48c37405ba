"""Single sign-on: a session spares the login, and every login begins one.

Two steps: :class:`ReuseSession` comes before anything is asked, :class:`BeginSession`
right after somebody has logged in.  Neither is there when sessions are off.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import attrs

from aiohttp import web

from ...connector import PasswordConnector, RefreshConnector
from ...oauth2 import claims_parameter
from ...oauth2.authentication import PASSWORD
from ...oauth2.extras import Extras
from ...oauth2.scopes import OFFLINE_ACCESS
from ..audit import Audit
from ..connectors import Connectors
from ..policy import Policy
from ..sessions.ending import Ending
from ..sessions.sessions import Found, LoggedIn, Sessions, same_user
from ..sessions.sharing import Sharing
from ..tokens.subjects import NoSubject, Subjects
from .flow import Flow, Passed, Step, remember_cookie
from .told import settled


@attrs.frozen(eq=False)
class ReuseSession(Step):
    """Lets the user of the browser's session in, if this request may have them."""

    sessions: Sessions
    sharing: Sharing
    connectors: Connectors
    policy: Policy
    subjects: Subjects
    always_show: bool
    audit: Audit
    now: Callable[[], datetime]

    async def take(self, web_request: web.Request, flow: Flow) -> Passed:
        """Let the flow pass, with its end user if the session says who that is."""
        request = flow.request
        if request.logged_in:
            return flow
        offline = OFFLINE_ACCESS in request.scopes
        found = await self.sessions.find(web_request, offline=offline)
        if found is None or self._too_old(flow, found):
            return flow
        told = _told_once(self.connectors, found)
        if not claims_parameter.fits_acr(flow.extras.claims, told.acr):
            # OpenID Connect Core section 5.5.1.1: another login may do.
            return flow
        if not await self._may_have(flow, found):
            return flow
        flow = attrs.evolve(flow, session=found.session, user=found.user)
        chosen = bool(request.connector_id)
        if "select_account" in request.prompt or (
            self.always_show and not chosen and not flow.silent
        ):
            return flow
        self.audit.record(
            "login by session",
            client_id=flow.client.id,
            connector_id=found.session.connector_id,
            user_id=found.session.user_id,
            sid=found.session.id,
        )
        request = attrs.evolve(
            request,
            logged_in=True,
            claims=found.user.claims,
            connector_id=found.session.connector_id,
            # When the end user has proved who they are; using a session proves nothing.
            auth_time=found.session.created_at,
            mfa_validated=False,
        )
        flow = settled(attrs.evolve(flow, request=request), told)
        return attrs.evolve(
            flow,
            extras=self.subjects.settled(
                flow.client, request.claims, request.connector_id, flow.extras
            ),
        )

    async def _may_have(self, flow: Flow, found: Found) -> bool:
        """Return whether the client may know the session's user at all."""
        connector_id = found.session.connector_id
        listed = await self.connectors.listed()
        grant_type = self.policy.grant_type(flow.request)
        return (
            self._is_meant(flow, found)
            and flow.request.connector_id in ("", connector_id)
            and any(
                each.id == connector_id
                and self.policy.offers(each, flow.client, grant_type)
                for each in listed
            )
            and self._can_refresh(flow, found)
            and await self.sharing.reaches(found.session, flow.client)
        )

    def _is_meant(self, flow: Flow, found: Found) -> bool:
        """Return whether the client can know the user, and expects no other."""
        claims, connector_id = found.user.claims, found.session.connector_id
        try:
            known = self.subjects.known(flow.client, claims, connector_id)
        except NoSubject:
            return False
        return flow.expects(known)

    def _can_refresh(self, flow: Flow, found: Found) -> bool:
        """Return whether a refresh token could be kept up without another login.

        Its connector may need what only a login with ``offline_access`` leaves behind.
        """
        if OFFLINE_ACCESS not in flow.request.scopes or found.offline is not None:
            return True
        opened = self.connectors.peek(found.session.connector_id)
        return opened is not None and not isinstance(opened.connector, RefreshConnector)

    def _too_old(self, flow: Flow, found: Found) -> bool:
        """Return whether the end user must prove again who they are."""
        request = flow.request
        # A client counts in whole seconds, from auth_time; 0 is prompt=login.
        age = self.now().timestamp() - int(found.session.created_at.timestamp())
        return (
            "login" in request.prompt.split()
            or request.max_age == 0
            or 0 <= request.max_age < age
        )


@attrs.frozen(eq=False)
class BeginSession(Step):
    """Stores the session of whoever has just logged in, and gives out its cookie."""

    sessions: Sessions
    connectors: Connectors
    ending: Ending

    async def take(self, web_request: web.Request, flow: Flow) -> Passed:
        """Let the flow pass, in a session of its own."""
        if not flow.fresh:
            return flow
        presented = flow.session
        if presented is None:
            found = await self.sessions.find(web_request)
            presented = found.session if found is not None else None
        request = flow.request
        who = LoggedIn.of(
            web_request,
            request.claims,
            request.connector_id,
            flow.client.id,
            self._data(flow),
            self._told(flow),
        )
        session, user = await self.sessions.begin(who, presented)
        if presented is not None and not same_user(presented, session):
            await self.ending.end(presented.id, "Somebody else has logged in.")
        for cookie in self.sessions.cookies(session, remember=flow.remember):
            remember_cookie(web_request, cookie)
        # A token says the same auth_time now and whenever the session is used again.
        request = attrs.evolve(request, auth_time=session.created_at)
        return attrs.evolve(flow, request=request, session=session, user=user)

    def _told(self, flow: Flow) -> Extras:
        """Return what to keep of what the login told, whoever asks later.

        Not what goes without saying, so that most sessions have nothing beside them.
        """
        if flow.told.amr == _usual(self.connectors, flow.request.connector_id):
            return attrs.evolve(flow.told, amr=())
        return flow.told

    def _data(self, flow: Flow) -> bytes | None:
        """Return what must be kept so that a session can have refresh tokens.

        What a directory knows is good for refreshing; a redirect connector was asked
        for something to refresh with only if the client wanted offline access.
        """
        opened = self.connectors.peek(flow.request.connector_id)
        if opened is None or not isinstance(opened.connector, RefreshConnector):
            return None
        if OFFLINE_ACCESS in flow.request.scopes or isinstance(
            opened.connector, PasswordConnector
        ):
            return flow.request.connector_data
        return None


def _usual(connectors: Connectors, connector_id: str) -> tuple[str, ...]:
    """Return the ``amr`` of those logins through a connector that keep none."""
    opened = connectors.peek(connector_id)
    typed = opened is not None and isinstance(opened.connector, PasswordConnector)
    return (PASSWORD,) if typed else ()


def _told_once(connectors: Connectors, found: Found) -> Extras:
    """Return what the login of the session told."""
    amr = found.told.amr or _usual(connectors, found.session.connector_id)
    return attrs.evolve(found.told, amr=amr)
