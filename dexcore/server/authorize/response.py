"""The end of the path: a code, or tokens, on their way to the client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

import attrs

from aiohttp import hdrs, web

from ...errors import LoginRequired, NotFound, WrongRequest
from ...oauth2.extras import NO_EXTRAS
from ...oauth2.ids import is_supplemented, new_id
from ...oauth2.redirect_uris import OOB
from ...oauth2.response_types import CODE
from ...storage import AuthCode, Collections, Storage, Supplement
from ..audit import Audit
from ..channels import ReplyTo
from ..pages import Pages
from ..sessions.sessions import Sessions
from ..sessions.states import BrowserStates
from .flow import Flow, Flows
from .front_channel import FrontChannel, carries_tokens
from .pushed import forget

#: RFC 6749 section 4.1.2 recommends at most ten minutes.
CODE_LIFETIME = timedelta(minutes=10)


@attrs.frozen(eq=False)
class AuthorizationResponse:
    """Writes the response (RFC 6749 section 4.1.2, OpenID Connect Core section 3)."""

    storage: Storage
    flows: Flows
    pages: Pages
    audit: Audit
    now: Callable[[], datetime]
    front_channel: FrontChannel
    sessions: Sessions | None = None

    async def write(self, web_request: web.Request, flow: Flow) -> web.Response:
        """Store a code, issue tokens, as was asked for, and send them to the client."""
        code, authorization = self._code(flow), None
        if self.sessions is not None:
            session_id = await self._session_id(self.sessions, web_request, flow)
            code = attrs.evolve(code, session_id=session_id)
        if carries_tokens(flow.request):
            authorization = await self.front_channel.authorize(flow, code)
        # What decides comes before anything is signed.
        await self._complete(flow, code)
        parameters = {}
        if CODE in flow.request.response_types:
            parameters["code"] = code.id
            self.audit.record(
                "code issued",
                client_id=code.client_id,
                connector_id=code.connector_id,
                user_id=code.claims.user_id,
            )
        if authorization is not None:
            parameters |= await self.front_channel.issue(flow.request, authorization)
        response = self._deliver(web_request, flow, parameters, code.session_id)
        if self.sessions is not None and code.session_id and not flow.fresh:
            self._mend(self.sessions.states, web_request, response, code.session_id)
        self.flows.finish(response, flow)
        return response

    async def _complete(self, flow: Flow, code: AuthCode) -> None:
        """Store that *flow* has ended, and what of it is still to be traded."""
        if (
            self.sessions is None
            and not flow.stored
            and flow.extras == NO_EXTRAS
            and CODE in flow.request.response_types
        ):
            await self.storage.auth_codes.create(code)
        else:
            await self.storage.unit(_completing(flow, code, self.sessions))

    def _code(self, flow: Flow) -> AuthCode:
        request = flow.request
        return AuthCode(
            id=new_id(supplemented=flow.extras.lasting != NO_EXTRAS),
            client_id=request.client_id,
            redirect_uri=request.redirect_uri,
            nonce=request.nonce,
            scopes=request.scopes,
            connector_id=request.connector_id,
            connector_data=request.connector_data,
            claims=request.claims,
            expiry=self.now() + CODE_LIFETIME,
            auth_time=request.auth_time,
            pkce=request.pkce,
        )

    async def _session_id(
        self, sessions: Sessions, web_request: web.Request, flow: Flow
    ) -> str:
        """Return the session that the tokens will belong to, ``""`` if there is none.

        After a page of ours the cookie has to say; by then the user may have logged
        out, or somebody else in.
        """
        request, session = flow.request, flow.session
        if session is None:
            found = await sessions.find(web_request)
            session = found.session if found is not None else None
        if session is not None and (session.user_id, session.connector_id) == (
            request.claims.user_id,
            request.connector_id,
        ):
            return session.id
        if request.auth_time < request.expiry - self.flows.lifetime:
            # Nobody has logged in since this began: it stands on the session alone.
            raise LoginRequired("The session has ended.")
        return ""

    def _deliver(
        self,
        web_request: web.Request,
        flow: Flow,
        parameters: Mapping[str, str],
        session_id: str,
    ) -> web.Response:
        request = flow.request
        if request.redirect_uri == OOB:
            return self.pages.render(
                "oob.html", self.flows.issuer.path("/approval"), code=parameters["code"]
            )
        reply_to = self.flows.reply_to(request, flow.extras)
        if self.sessions is not None and session_id:
            states = self.sessions.states
            reply_to = watching(states, reply_to, flow, states.of(session_id))
        return reply_to.send(parameters, self.pages, web_request.path)

    def _mend(
        self,
        states: BrowserStates,
        web_request: web.Request,
        response: web.Response,
        session_id: str,
    ) -> None:
        """Let the browser hold what the client was told, if it has lost it."""
        if states.read(web_request) != states.of(session_id):
            response.headers.add(hdrs.SET_COOKIE, states.make(session_id))


def watching(
    states: BrowserStates, reply_to: ReplyTo, flow: Flow, state: str
) -> ReplyTo:
    """Return *reply_to* with what the client can watch browser state *state* by."""
    redirect_uri = flow.request.redirect_uri
    session_state = states.session_state(flow.client.id, redirect_uri, state)
    return attrs.evolve(reply_to, session_state=session_state)


def _completing(
    flow: Flow, code: AuthCode, sessions: Sessions | None = None
) -> Callable[[Collections], Awaitable[None]]:
    async def complete(collections: Collections) -> None:
        if flow.stored:
            try:
                # Of many that finish one flow at once, one gets a code.
                await collections.auth_requests.take(flow.request.id)
            except NotFound:
                raise WrongRequest("User session error.") from None
            await flow.forget_extras(collections)
        if sessions is not None and code.session_id:
            try:
                await collections.auth_sessions.update(
                    code.session_id,
                    change=partial(sessions.used, client_id=code.client_id),
                )
            except NotFound:
                # It ended a moment ago, and whoever ended it must be believed.
                raise LoginRequired("The session has ended.") from None
        if flow.extras.request_uri:
            await forget(collections, flow.extras.request_uri)
        if CODE not in flow.request.response_types:
            return  # nobody comes back for anything
        if is_supplemented(code.id):
            await collections.supplements.create(
                Supplement(code.id, flow.extras.lasting, code.expiry)
            )
        await collections.auth_codes.create(code)

    return complete
