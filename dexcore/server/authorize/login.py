"""Step 2: the end user proves who they are.

The browser goes to our own form, or upstream; see :mod:`.callback` for how it comes
back from there.  After a correct password the walk goes on inside the same request.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

import attrs

from aiohttp import web
from multidict import CIMultiDict, MultiDict

from ...connector import (
    Callback,
    CallbackConnector,
    Challenge,
    FormPost,
    Identity,
    NegotiateConnector,
    PasswordConnector,
    Redirect,
    Scopes,
)
from ...errors import (
    AccessDenied,
    Forbidden,
    LoginRequired,
    MethodNotAllowed,
    StorageUnavailable,
    TemporarilyUnavailable,
    TooManyRequests,
    UnmetAuthenticationRequirements,
    UpstreamUnavailable,
    WrongRequest,
)
from ...oauth2 import claims_parameter
from ...oauth2 import scopes as oauth2_scopes
from ...oauth2.authentication import INTEGRATED, PASSWORD, told_acr
from ..audit import Audit
from ..channels import read_form, read_query, see_other
from ..connectors import Connectors, OpenConnector, guarded
from ..guard import Guard, account
from ..identity import claims_of, told_by, wants_groups
from ..middleware import ADDRESS
from ..pages import Pages
from ..policy import NotAllowed, Policy
from ..tokens.subjects import NoSubject, Subjects
from ..urls import Issuer
from .flow import Flow, Flows, Passed, Step, StepRoute
from .told import settled

T = TypeVar("T")

_GONE = "Requested resource does not exist."


@attrs.frozen(eq=False)
class Logins:
    """What every way to log in has in common.

    ``remember``: what counts for a way that does not ask whether to.
    """

    connectors: Connectors
    policy: Policy
    subjects: Subjects
    audit: Audit
    now: Callable[[], datetime]
    remember: bool = False

    async def connector(self, flow: Flow) -> OpenConnector:
        """Return the flow's connector, if the client and the grant may use it."""
        grant_type = self.policy.grant_type(flow.request)
        try:
            return await self.policy.connector(
                flow.client, flow.request.connector_id, grant_type
            )
        except NotAllowed as refused:
            if refused.why == "client":
                raise Forbidden(str(refused)) from None
            reason = _GONE if refused.why == "missing" else str(refused)
            raise WrongRequest(reason) from None

    def established(
        self,
        flow: Flow,
        identity: Identity,
        *,
        method: str = "",
        remember: bool | None = None,
    ) -> Flow:
        """Return the flow with its end user, who has logged in by *method* (RFC 8176).

        Whatever an earlier login had proved beside the password is forgotten.  Raises
        ``LoginRequired`` if the client expects somebody else, ``AccessDenied`` if it
        cannot know them, and ``UnmetAuthenticationRequirements`` if it insists on
        another kind of login.
        """
        claims, connector_id = claims_of(identity), flow.request.connector_id
        try:
            known = self.subjects.known(flow.client, claims, connector_id)
        except NoSubject as unfit:
            self.refused(flow, str(unfit), user_id=identity.user_id)
            raise AccessDenied(str(unfit)) from None
        if not flow.expects(known):
            self.refused(flow, "Not the expected user.", user_id=identity.user_id)
            raise LoginRequired(
                "Somebody else has logged in than id_token_hint names."
                if flow.hint not in ("", *known)
                else "Somebody else has logged in than the claims parameter names."
            )
        told = told_by(identity, (method,) if method else ())
        if not claims_parameter.fits_acr(flow.extras.claims, told.acr):
            # OpenID Connect Core section 5.5.1.1.
            self.refused(flow, "Not the demanded acr.", user_id=identity.user_id)
            raise UnmetAuthenticationRequirements(
                "The login was not of a kind that the claims parameter demands (acr)."
            )
        request = attrs.evolve(
            flow.request,
            logged_in=True,
            claims=claims,
            connector_data=identity.connector_data,
            auth_time=self.now(),
            mfa_validated=False,
        )
        self.audit.record(
            "login successful",
            client_id=flow.client.id,
            connector_id=request.connector_id,
            user_id=identity.user_id,
            username=identity.username,
            preferred_username=identity.preferred_username,
            email=identity.email + ("" if identity.email_verified else " (unverified)"),
            groups=identity.groups,
        )
        flow = settled(flow, told)
        return attrs.evolve(
            flow,
            request=request,
            extras=self.subjects.settled(
                flow.client, claims, connector_id, flow.extras
            ),
            consented=False,
            fresh=True,
            remember=self.remember if remember is None else remember,
            told=told,
        )

    def refused(self, flow: Flow, reason: str, **who: object) -> None:
        """Note that somebody could not log in."""
        self.audit.record(
            "login refused",
            client_id=flow.client.id,
            connector_id=flow.request.connector_id,
            reason=reason,
            **who,
        )

    async def ask(
        self, flow: Flow, opened: OpenConnector, call: Coroutine[Any, Any, T]
    ) -> T:
        """Await a connector's word; its refusal is a page with its safe reason."""
        try:
            return await guarded(opened, call)
        except AccessDenied as refusal:
            self.refused(flow, refusal.description)
            raise Forbidden(refusal.description) from None
        except UnmetAuthenticationRequirements as refusal:
            self.refused(flow, refusal.description)
            if claims_parameter.acr_values(flow.extras.claims, essential=True):
                raise
            # The client has demanded nothing that it could take back.
            raise Forbidden(refusal.description) from None


@attrs.frozen(eq=False)
class Login(Step):
    """Sends the browser where it can log in, and keeps the password form."""

    path: ClassVar = "/auth/{connector}/login"

    flows: Flows
    logins: Logins
    pages: Pages
    issuer: Issuer
    guard: Guard
    signup: bool
    ask_to_remember: bool = False

    async def take(self, web_request: web.Request, flow: Flow) -> Passed:
        """Let the flow pass if somebody has logged in."""
        if flow.request.logged_in:
            return flow
        if flow.silent:
            raise LoginRequired("The end user would have to log in.")
        opened = await self.logins.connector(flow)
        connector = opened.connector
        if isinstance(connector, CallbackConnector):
            return await self._upstream(web_request, flow, opened, connector)
        if isinstance(connector, PasswordConnector):
            return await self._form(web_request, flow)
        raise WrongRequest(_GONE)

    def routes(self) -> tuple[StepRoute, ...]:
        """Return the password form."""
        return (StepRoute(self.path, self.answer),)

    # — away ---------------------------------------------------------------------------

    async def _upstream(
        self,
        web_request: web.Request,
        flow: Flow,
        opened: OpenConnector,
        connector: CallbackConnector,
    ) -> web.StreamResponse:
        begun = await self.logins.ask(
            flow,
            opened,
            connector.begin(
                attrs.evolve(scopes_of(flow), login_hint=flow.login_hint),
                self.issuer.absolute("/callback"),
                flow.request.id,
            ),
        )
        request = attrs.evolve(flow.request, connector_data=begun.connector_data)
        response = self._leave(web_request, begun)
        await self.flows.carry(
            web_request, attrs.evolve(flow, request=request), response
        )
        return response

    def _leave(
        self, web_request: web.Request, begun: Redirect | FormPost
    ) -> web.Response:
        if isinstance(begun, Redirect):
            return see_other(begun.url, status=302)
        return self.pages.render(
            "form_post.html", web_request.path, url=begun.url, fields=begun.fields
        )

    async def _form(self, web_request: web.Request, flow: Flow) -> web.Response:
        connector = quote(flow.request.connector_id, safe="")
        path = self.issuer.path(f"/auth/{connector}/login")
        response = see_other(f"{path}?state={flow.request.id}", status=302)
        await self.flows.carry(web_request, flow, response)
        return response

    # — the password form --------------------------------------------------------------

    async def answer(self, web_request: web.Request) -> Passed:
        """Show the form, or check what was typed into it."""
        if web_request.method not in ("GET", "HEAD", "POST"):
            raise MethodNotAllowed("Unsupported request method.")
        query = read_query(web_request)
        flow = await self.flows.begun(web_request, query.get("state", ""))
        if web_request.match_info["connector"] != flow.request.connector_id:
            raise WrongRequest(_GONE)
        if flow.request.logged_in:
            raise WrongRequest("This login is complete already. Please start again.")
        opened = await self.logins.connector(flow)
        connector = opened.connector
        if not isinstance(connector, PasswordConnector):
            raise WrongRequest(_GONE)
        if web_request.method != "POST":
            negotiated = await self._negotiated(web_request, flow, opened)
            return negotiated or await self._page(web_request, flow, opened)
        return await self._checked(web_request, flow, opened, connector)

    async def _checked(
        self,
        web_request: web.Request,
        flow: Flow,
        opened: OpenConnector,
        connector: PasswordConnector,
    ) -> Passed:
        form = await read_form(web_request)
        username = form.get("login", "")
        address = web_request.get(ADDRESS, "")
        about = account(opened.record.id, username)
        # Only failures count; taken ahead, so that parallel guesses count too.
        try:
            self.guard.check(address, about=about)
        except TooManyRequests:
            self.logins.refused(flow, "Too many failed tries.", user=username)
            raise
        password = form.get("password", "")
        try:
            identity = await self.logins.ask(
                flow,
                opened,
                connector.login(scopes_of(flow), username, password),
            )
        except (StorageUnavailable, TemporarilyUnavailable, UpstreamUnavailable):
            # Nobody has looked at the password.
            self.guard.give_back(address, about=about)
            raise
        if identity is None:
            self.logins.refused(flow, "Invalid credentials.", user=username)
            return await self._page(web_request, flow, opened, status=401, sent=form)
        self.guard.give_back(address, about=about)
        remember = form.get("remember_me") == "on"
        return self.logins.established(
            flow, identity, method=PASSWORD, remember=remember
        )

    async def _negotiated(
        self, web_request: web.Request, flow: Flow, opened: OpenConnector
    ) -> Passed | None:
        """Let the browser prove who it is without a form (RFC 4559)."""
        connector = opened.connector
        if not isinstance(connector, NegotiateConnector):
            return None
        callback = Callback(
            query=MultiDict(read_query(web_request)),
            form=MultiDict(),
            headers=headers_for_connectors(web_request, via_proxy=False),
            callback_url=self.issuer.absolute("/callback"),
        )
        outcome = await self.logins.ask(
            flow, opened, connector.negotiate(scopes_of(flow), callback)
        )
        if isinstance(outcome, Identity):
            return self.logins.established(flow, outcome, method=INTEGRATED)
        if not isinstance(outcome, Challenge):
            return None
        if outcome.form:
            page = await self._page(web_request, flow, opened, status=401)
        else:
            page = self._no_form(web_request)
        page.headers["WWW-Authenticate"] = outcome.www_authenticate
        return page

    def _no_form(self, web_request: web.Request) -> web.Response:
        return self.pages.render(
            "error.html",
            web_request.path,
            status=401,
            heading="Unauthorized",
            message="Log in to your computer with an account of this organization, and"
            " let your browser use it here.",
            error_id="",
        )

    async def _page(
        self,
        web_request: web.Request,
        flow: Flow,
        opened: OpenConnector,
        *,
        status: int = 200,
        sent: Mapping[str, str] | None = None,
    ) -> web.Response:
        """Show the form; *sent* is what was wrong in it."""
        connector = opened.connector
        prompt = connector.prompt if isinstance(connector, PasswordConnector) else ""
        several = len(await self.logins.connectors.listed()) > 1
        choose = several and not flow.extras.connector_id
        checked = self.logins.remember
        if sent is not None:
            checked = sent.get("remember_me") == "on"
        return self.pages.render(
            "password.html",
            web_request.path,
            status=status,
            post_url=_here(web_request),
            back_link=f"{self.back}?back={flow.request.id}" if choose else "",
            username=flow.login_hint if sent is None else sent.get("login", ""),
            prompt=prompt or "Username",
            invalid=sent is not None,
            connector_name=opened.record.name,
            signup_url=self._signup_url(web_request, opened),
            show_remember_me=self.ask_to_remember,
            remember_me_checked=checked,
        )

    @property
    def back(self) -> str:
        """The way back to the list of connectors."""
        return self.issuer.path("/auth")

    def _signup_url(self, web_request: web.Request, opened: OpenConnector) -> str:
        """Return where strangers sign up, and come back here afterwards."""
        if not self.signup or opened.record.type != "local":
            return ""
        return self.issuer.signup(_here(web_request))


def _here(web_request: web.Request) -> str:
    """Return the path and query that were asked for.

    Without the host, which a request line may name too (RFC 9112 section 3.2.2): that
    is for a client to say and not for us to link to.
    """
    return web_request.rel_url.raw_path_qs


def headers_for_connectors(
    web_request: web.Request, *, via_proxy: bool
) -> CIMultiDict[str]:
    """Return the headers a connector may see.

    ``X-Remote-*`` says who the user is, so it counts only from a trusted proxy.
    """
    headers = CIMultiDict(web_request.headers)
    if not via_proxy:
        for name in {name for name in headers if name.lower().startswith("x-remote-")}:
            del headers[name]
    return headers


def scopes_of(flow: Flow) -> Scopes:
    """Return what a connector needs to know of what was asked for."""
    request, extras = flow.request, flow.extras
    essential = claims_parameter.acr_values(extras.claims, essential=True)
    wished = (*claims_parameter.acr_values(extras.claims), *extras.acr_values)
    # What no upstream could tell is not for it to read either.
    acr_values = [each for each in essential or wished if told_acr(each)]
    return Scopes(
        offline_access=oauth2_scopes.OFFLINE_ACCESS in request.scopes,
        groups=wants_groups(request.scopes, extras),
        max_age=0 if "login" in request.prompt.split() else request.max_age,
        acr_values=tuple(dict.fromkeys(acr_values)),
        acr_essential=bool(essential),
        ui_locales=extras.ui_locales,
    )
