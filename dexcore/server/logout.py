"""``/logout``: a client, or the end user, ends the browser's session.

OpenID Connect RP-Initiated Logout 1.0.  Who is logged out is what the cookie says; an
ID token only decides whether the end user must confirm.  The session ends here first;
then the browser goes to the upstream provider, if that can log out too, and at last to
where the client wants it.
"""

from __future__ import annotations

import logging

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import orjson

from aiohttp import hdrs, web
from multidict import CIMultiDict, MultiDict

from ..connector import Callback, LogoutConnector
from ..errors import (
    DexcoreError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    WrongRequest,
)
from ..oauth2.redirect_uris import add_parameters
from ..storage import AuthSession
from .channels import Handler, read_form, read_query, see_other
from .clients import Clients
from .connectors import Connectors, guarded
from .csrf import FIELD
from .hints import IdTokenHint, IdTokenHints
from .pages import Pages, allow_frames
from .parking import PARKED, Parking
from .sealing import Sealer
from .sessions.ending import Ending
from .sessions.forms import SessionForms
from .sessions.sessions import Found, Sessions
from .urls import Issuer

log = logging.getLogger("dexcore.logout")

PATH = "/logout"
CALLBACK = "/logout/callback"

#: How long the upstream provider may take to send the browser back.
AWAY = timedelta(minutes=10)

#: Seconds the upstream provider's connector has to say where that is.
_DEADLINE = 5.0
#: Seconds that clients have to log out in frames.
_FRAMES_SECONDS = 5
_COOKIE = "dexcore_logout"
_ASKED = "asked"


@attrs.frozen
class Target:
    """Where the browser goes in the end; nowhere without a ``uri``, which is checked.

    ``client_id`` is the client that asked, as far as that is known.
    """

    client_id: str = ""
    uri: str = ""
    state: str = ""


@attrs.frozen(eq=False)
class LogoutEndpoint:
    """Confirms, ends the session, and sends the browser on.

    ``frames`` are the addresses, by client id, that log out when a frame loads them.
    """

    sessions: Sessions
    ending: Ending
    forms: SessionForms
    hints: IdTokenHints
    clients: Clients
    connectors: Connectors
    parking: Parking
    pages: Pages
    sealer: Sealer
    issuer: Issuer
    frames: Mapping[str, str]
    now: Callable[[], datetime]

    def routes(self) -> list[tuple[str, Handler]]:
        """Return paths below the issuer, and what answers there."""
        return [(PATH, self.answer), (CALLBACK, self.come_back)]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a client's request, or the end user's word."""
        params = await self._parameters(request, PATH, self._knows_browser)
        if isinstance(params, web.Response):
            return params
        found = await self.sessions.find(request)
        if request.method == "POST" and FIELD in params:
            return await self._confirmed(request, params, found)
        hint = self._hint(params)
        target = await self._target(params, hint)
        if found is None:
            return self._leave(request, target, logged_out=False)
        if not _is_meant(params, hint, found):
            return self._ask(request, target, found)
        return await self._end(request, target, found)

    async def come_back(self, request: web.Request) -> web.StreamResponse:
        """Receive the browser from the upstream provider."""
        params = await self._parameters(request, CALLBACK, self._sent_away)
        if isinstance(params, web.Response):
            return params
        away = self._away(request)
        if away is None:
            # Nobody is under way; a session that is still there ends only by a word.
            found = await self.sessions.find(request)
            if found is not None:
                return self._ask(request, Target(), found)
            return self._leave(request, Target(), logged_out=False)
        connector_id, target = away
        await self._finish_upstream(request, connector_id, params)
        response = self._leave(request, target, logged_out=True)
        response.headers.add(hdrs.SET_COOKIE, self._away_cookie("", 0))
        return response

    # — what is asked ------------------------------------------------------------------

    async def _parameters(
        self,
        request: web.Request,
        path: str,
        has_cookie: Callable[[web.Request], bool],
    ) -> Mapping[str, str] | web.Response:
        """Return the parameters, or send the browser to come again with its cookies."""
        query = read_query(request)
        if request.method in ("GET", "HEAD"):
            return await self.parking.take(query[PARKED]) if PARKED in query else query
        if request.method != "POST":
            refusal = MethodNotAllowed("Use GET or POST.")
            refusal.headers = {"Allow": "GET, HEAD, POST"}
            raise refusal
        form = {**query, **await read_form(request)}
        if FIELD in form or has_cookie(request):
            return form
        parked = await self.parking.park(request, form)
        return see_other(f"{self.issuer.path(path)}?{PARKED}={parked}")

    def _knows_browser(self, request: web.Request) -> bool:
        return bool(self.sessions.cookie.read(request))

    def _sent_away(self, request: web.Request) -> bool:
        return _COOKIE in request.cookies

    def _hint(self, params: Mapping[str, str]) -> IdTokenHint | None:
        """Return the hint if it is one; what is not says nothing (section 4)."""
        token = params.get("id_token_hint", "")
        if not token:
            return None
        try:
            return self.hints.read(token)
        except InvalidRequest:
            log.info("logout with an id_token_hint that is not ours")
            return None

    async def _target(
        self, params: Mapping[str, str], hint: IdTokenHint | None
    ) -> Target:
        """Return where to go afterwards; raise ``WrongRequest`` if we may not."""
        client_id = params.get("client_id", "")
        if hint is not None:
            if client_id and client_id not in hint.audience:
                raise WrongRequest("client_id is not the one id_token_hint is for.")
            client_id = client_id or hint.client_id
        return await self._checked(
            Target(
                client_id,
                params.get("post_logout_redirect_uri", ""),
                params.get("state", ""),
            )
        )

    async def _checked(self, target: Target) -> Target:
        if not target.uri:
            return target
        if not target.client_id:
            raise WrongRequest(
                "post_logout_redirect_uri requires id_token_hint or client_id."
            )
        try:
            client = await self.clients.get(target.client_id)
        except NotFound:
            raise WrongRequest("Invalid client.") from None
        if target.uri not in client.post_logout_redirect_uris:
            raise WrongRequest("Unregistered post_logout_redirect_uri.")
        return target

    # — the end user's word ------------------------------------------------------------

    def _ask(self, request: web.Request, target: Target, found: Found) -> web.Response:
        asked = self.sealer.seal(_ASKED, orjson.dumps(attrs.astuple(target)))
        claims = found.user.claims
        return self.pages.render(
            "logout.html",
            request.path,
            show_confirmation=True,
            username=claims.username or claims.preferred_username or claims.email,
            post_url=self.issuer.path(PATH),
            hidden={**self.forms.issue(found.session), _ASKED: asked},
            back_url=self.issuer.path(""),
        )

    async def _confirmed(
        self, request: web.Request, params: Mapping[str, str], found: Found | None
    ) -> web.StreamResponse:
        plain = self.sealer.open(_ASKED, params.get(_ASKED, ""))
        target = Target(*orjson.loads(plain)) if plain is not None else Target()
        target = await self._checked(target)
        if found is None:
            return self._leave(request, target, logged_out=False)
        self.forms.check(request, params, found.session)
        return await self._end(request, target, found)

    # — the end ------------------------------------------------------------------------

    async def _end(
        self, request: web.Request, target: Target, found: Found
    ) -> web.StreamResponse:
        session = found.session
        await self.ending.end(session.id, "Logged out.")
        response = await self._upstream(session, target)
        if response is None:
            response = self._leave(request, target, logged_out=True)
        frames = self._frames(session)
        if frames:
            response = self._show_frames(request, frames, response)
        response.headers.add(hdrs.SET_COOKIE, self.sessions.cookie.clear())
        return response

    def _frames(self, session: AuthSession) -> tuple[str, ...]:
        """Return where the session's clients log out in a frame.

        OpenID Connect Front-Channel Logout 1.0 section 2.
        """
        which = {"iss": self.issuer.url, "sid": session.id}
        return tuple(
            add_parameters(self.frames[client_id], which)
            for client_id in sorted(session.client_states)
            if client_id in self.frames
        )

    def _show_frames(
        self, request: web.Request, frames: tuple[str, ...], after: web.Response
    ) -> web.Response:
        """Return a page of *frames* that goes on to where *after* would have gone."""
        url = after.headers.get("Location", "")
        page = self.pages.render(
            "frontchannel.html", request.path, frames=frames, continue_url=url
        )
        allow_frames(page, frames)
        if url:
            # For browsers without scripts: an application that hangs holds nobody up.
            page.headers["Refresh"] = f"{_FRAMES_SECONDS}; url={url}"
        for cookie in after.headers.getall(hdrs.SET_COOKIE, ()):
            page.headers.add(hdrs.SET_COOKIE, cookie)
        return page

    def _leave(
        self, request: web.Request, target: Target, *, logged_out: bool
    ) -> web.Response:
        if target.uri:
            uri = target.uri
            if target.state:
                uri = add_parameters(uri, {"state": target.state})
            return see_other(uri, status=302)
        return self.pages.render("logout.html", request.path, logged_out=logged_out)

    # — upstream -----------------------------------------------------------------------

    async def _upstream(
        self, session: AuthSession, target: Target
    ) -> web.Response | None:
        """Send the browser to log out upstream too, if that can be done."""
        connector_id = session.connector_id
        try:
            opened = await self.connectors.get(connector_id)
            if not isinstance(opened.connector, LogoutConnector):
                return None
            url = await guarded(
                opened,
                opened.connector.logout_url(self.issuer.absolute(CALLBACK)),
                _DEADLINE,
            )
        except DexcoreError as error:
            _note(connector_id, error)
            return None
        if not url:
            return None
        until = (self.now() + AWAY).timestamp()
        away = orjson.dumps((connector_id, until, *attrs.astuple(target)))
        response = see_other(url)
        cookie = self._away_cookie(self.sealer.seal(_COOKIE, away), AWAY.seconds)
        response.headers.add(hdrs.SET_COOKIE, cookie)
        return response

    def _away(self, request: web.Request) -> tuple[str, Target] | None:
        plain = self.sealer.open(_COOKIE, request.cookies.get(_COOKIE, ""))
        if plain is None:
            return None
        connector_id, until, *target = orjson.loads(plain)
        if datetime.fromtimestamp(until, UTC) < self.now():
            return None
        return connector_id, Target(*target)

    async def _finish_upstream(
        self, request: web.Request, connector_id: str, params: Mapping[str, str]
    ) -> None:
        """Let the connector look at what came back; we are done whatever it says."""
        sent: MultiDict[str] = MultiDict(params)
        nothing: MultiDict[str] = MultiDict()
        headers = CIMultiDict(
            (name, value)
            for name, value in request.headers.items()
            if not name.lower().startswith("x-remote-")
        )
        callback = Callback(
            query=nothing if request.method == "POST" else sent,
            form=sent if request.method == "POST" else nothing,
            headers=headers,
            callback_url=self.issuer.absolute(CALLBACK),
        )
        try:
            opened = await self.connectors.get(connector_id)
            if isinstance(opened.connector, LogoutConnector):
                await guarded(opened, opened.connector.finish_logout(callback))
        except DexcoreError as error:
            _note(connector_id, error)

    def _away_cookie(self, value: str, age: int) -> str:
        secure = "; Secure" if self.issuer.secure else ""
        return (
            f"{_COOKIE}={value}; Path={self.issuer.path(PATH)}; Max-Age={age}; "
            f"HttpOnly{secure}; SameSite=Lax"
        )


def _is_meant(
    params: Mapping[str, str], hint: IdTokenHint | None, found: Found
) -> bool:
    """Return whether the request is sure to mean this session (sections 2 and 4)."""
    if hint is None or hint.subject != found.subject:
        return False
    if hint.session_id not in ("", found.session.id):
        return False
    claims = found.user.claims
    names = (found.subject, found.session.id, claims.email, claims.preferred_username)
    return params.get("logout_hint", "") in ("", claims.username, *names)


def _note(connector_id: str, error: DexcoreError) -> None:
    fields: dict[str, Any] = {"connector_id": connector_id, "err": str(error)}
    log.warning("upstream logout failed", extra={"fields": fields})
