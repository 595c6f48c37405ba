"""``/logout``: a client, or the end user, ends the browser's session.

OpenID Connect RP-Initiated Logout 1.0.  Who is logged out is what the cookie says; an
ID token only decides whether the end user must confirm.  The session ends here first;
then the browser goes to the upstream provider, if that can log out too, and at last to
where the client wants it.
"""

from __future__ import annotations

import logging

from collections.abc import Callable, Mapping

import attrs
import orjson

from aiohttp import hdrs, web

from ...errors import InvalidRequest, MethodNotAllowed, NotFound, WrongRequest
from ...oauth2.redirect_uris import add_parameters
from ...storage import AuthSession, Client
from ..channels import Handler, read_form, read_query, see_other
from ..clients import Clients
from ..csrf import FIELD
from ..hints import IdTokenHint, IdTokenHints
from ..pages import Pages, allow_frames
from ..parking import PARKED, Parking
from ..sealing import Sealer
from ..sessions.ending import Ending
from ..sessions.forms import SessionForms
from ..sessions.sessions import Found, Sessions
from ..tokens.session_names import SessionNames
from ..tokens.subjects import NoSubject, Subjects
from ..urls import Issuer
from .target import Target, checked
from .upstream import CALLBACK, UpstreamLogout

log = logging.getLogger("dexcore.logout")

PATH = "/logout"

#: Seconds that clients have to log out in frames.
_FRAMES_SECONDS = 5
_ASKED = "asked"


@attrs.frozen(eq=False)
class LogoutEndpoint:
    """Confirms, ends the session, and sends the browser on.

    ``frames`` are the addresses, by client id, that log out when a frame loads them.
    """

    sessions: Sessions
    ending: Ending
    forms: SessionForms
    hints: IdTokenHints
    subjects: Subjects
    session_names: SessionNames
    clients: Clients
    upstream: UpstreamLogout
    parking: Parking
    pages: Pages
    sealer: Sealer
    issuer: Issuer
    frames: Mapping[str, str]

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
        if hint is None or not await self._is_meant(params, hint, found):
            return self._ask(request, target, found)
        return await self._end(request, target, found)

    async def come_back(self, request: web.Request) -> web.StreamResponse:
        """Receive the browser from the upstream provider."""
        params = await self._parameters(request, CALLBACK, self.upstream.was_sent)
        if isinstance(params, web.Response):
            return params
        away = self.upstream.found(request)
        if away is None:
            # Nobody is under way; a session that is still there ends only by a word.
            found = await self.sessions.find(request)
            if found is not None:
                return self._ask(request, Target(), found)
            return self._leave(request, Target(), logged_out=False)
        connector_id, target = away
        await self.upstream.finish(request, connector_id, params)
        response = self._leave(request, target, logged_out=True)
        self.upstream.forget(response)
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
        return await checked(
            Target(
                client_id,
                params.get("post_logout_redirect_uri", ""),
                params.get("state", ""),
            ),
            self.clients,
        )

    async def _is_meant(
        self, params: Mapping[str, str], hint: IdTokenHint, found: Found
    ) -> bool:
        """Return whether the request is sure to mean this session (sections 2, 4)."""
        session, claims = found.session, found.user.claims
        client = await self._client(hint.client_id)
        named = hint.session_id
        if named and self.session_names.session_id(client, named) != session.id:
            return False
        try:
            known = self.subjects.known(client, claims, session.connector_id)
        except NoSubject:
            return False
        sid = self.session_names.name(client, session.id)
        names = (*known, sid, claims.email, claims.preferred_username)
        return hint.subject in known and (
            params.get("logout_hint", "") in ("", claims.username, *names)
        )

    async def _client(self, client_id: str) -> Client:
        """Return whose words for user and session these are."""
        try:
            return await self.clients.get(client_id)
        except NotFound:
            return Client(client_id)

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
        target = await checked(target, self.clients)
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
        response = await self.upstream.leave(session.connector_id, target)
        if response is None:
            response = self._leave(request, target, logged_out=True)
        frames = await self._frames(session)
        if frames:
            response = self._show_frames(request, frames, response)
        self.sessions.forget(response)
        return response

    async def _frames(self, session: AuthSession) -> tuple[str, ...]:
        """Return where the session's clients log out in a frame.

        OpenID Connect Front-Channel Logout 1.0 section 2.
        """
        found = []
        for client_id in sorted(self.frames.keys() & session.client_states.keys()):
            client = await self._client(client_id)
            sid = self.session_names.name(client, session.id)
            which = {"iss": self.issuer.url, "sid": sid}
            found.append(add_parameters(self.frames[client_id], which))
        return tuple(found)

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
        away = target.redirect()
        if away is not None:
            return away
        return self.pages.render("logout.html", request.path, logged_out=logged_out)
