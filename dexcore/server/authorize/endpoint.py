"""``/auth``: new requests come in here, and walk as far as they can."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import attrs

from aiohttp import hdrs, web

from ...errors import NotFoundPage, OAuthError, Refusal, WrongRequest
from ...oauth2.extras import NO_EXTRAS, Extras
from ...oauth2.prompts import CHOOSE
from ..channels import REPLY_TO, Handler, read_parameters, read_query
from ..policy import Policy
from ..sessions.states import BrowserStates
from .flow import COOKIES, PARAMETERS, Flow, Flows, Passed, Step
from .pushed import PushedRequests, is_pushed
from .request import AuthorizationRequests
from .request_objects import RequestObjects
from .response import AuthorizationResponse, watching
from .select import FLOW, choosing, chosen_for

AFTER_LOGIN = "/auth"


@attrs.frozen
class AuthorizationEndpoint:
    """The browser's way to a code: the steps, in their order, then the response.

    ``states``: sessions are on.  One may spare the login, so that who wants to choose
    must say so; and who was refused silently can watch for a change.
    """

    flows: Flows
    requests: AuthorizationRequests
    steps: tuple[Step, ...]
    policy: Policy
    response: AuthorizationResponse
    pushed: PushedRequests
    objects: RequestObjects
    states: BrowserStates | None = None

    def routes(self) -> list[tuple[str, Handler]]:
        """Return paths and handlers: ours, and the steps'."""
        return [
            ("/auth", self.authorize),
            ("/auth/{connector}", self.authorize_with),
            *(
                (route.path, self._walking(route.handler))
                for step in self.steps
                for route in step.routes()
            ),
        ]

    async def authorize(self, web_request: web.Request) -> web.StreamResponse:
        """Receive a request, or a browser that comes back by a link of ours."""
        query = read_query(web_request)
        if "client_id" not in query:
            if "req" in query and "hmac" in query:
                flow = await self.flows.resume(web_request, AFTER_LOGIN)
                return await self._walk(web_request, flow)
            if "back" in query:
                return await self._back(web_request, query["back"])
            if FLOW in query:
                flow = await self._under_way(web_request, query)
                return await self._walk(web_request, flow)
        params, how = await self._asked(web_request, await read_parameters(web_request))
        flow = await self.requests.receive(
            web_request,
            params,
            connector_id=params.get("connector_id", ""),
            unknown_client=WrongRequest("Invalid client_id provided."),
            how=how,
        )
        return await self._walk(web_request, flow)

    async def authorize_with(self, web_request: web.Request) -> web.StreamResponse:
        """Receive a request for the connector that the path names."""
        if web_request.method not in ("GET", "HEAD"):
            raise WrongRequest("Unsupported request method.")
        query = read_query(web_request)
        connector_id = web_request.match_info["connector"]
        if FLOW in query and "client_id" not in query:
            flow = chosen_for(await self._under_way(web_request, query), connector_id)
            return await self._walk(web_request, flow)
        params, how = await self._asked(web_request, query)
        flow = await self.requests.receive(
            web_request,
            params,
            connector_id=connector_id,
            unknown_client=NotFoundPage("Invalid client_id."),
            how=how,
        )
        if params.get("connector_id", connector_id) != connector_id:
            raise WrongRequest("Bad connector ID")
        return await self._walk(web_request, flow)

    async def _asked(
        self, web_request: web.Request, params: Mapping[str, str]
    ) -> tuple[Mapping[str, str], Extras]:
        """Return the parameters of the request, and how they came."""
        web_request[PARAMETERS] = params
        if is_pushed(params):
            return await self.pushed.find(params)
        if not params.get("request"):
            return params, NO_EXTRAS
        try:
            return await self.objects.open(params), Extras(signed=True)
        except OAuthError:
            # The client shall hear of it, if what stands beside says where it is.
            with suppress(Refusal):
                beside = {k: v for k, v in params.items() if k != "request"}
                await self.requests.receive(
                    web_request,
                    beside,
                    connector_id="",
                    unknown_client=WrongRequest("Invalid client_id provided."),
                )
            raise

    async def _under_way(
        self, web_request: web.Request, query: Mapping[str, str]
    ) -> Flow:
        """Return the flow that a link on our list of connectors goes on with.

        All that the link may say is whether the end user chooses an account.
        """
        flow = await self._begun(web_request, query[FLOW])
        web_request[PARAMETERS] = {FLOW: flow.request.id}
        prompt = query.get("prompt", flow.request.prompt)
        if {*prompt.split()} ^ {*flow.request.prompt.split()} <= {CHOOSE}:
            request = attrs.evolve(flow.request, prompt=prompt)
            flow = attrs.evolve(flow, request=request)
        return flow

    async def _begun(self, web_request: web.Request, flow_id: str) -> Flow:
        flow = await self.flows.begun(web_request, flow_id)
        if flow.request.logged_in:
            raise WrongRequest("This login is complete already. Please start again.")
        return flow

    async def _back(self, web_request: web.Request, flow_id: str) -> web.StreamResponse:
        """Let the end user choose again: the same request, no connector yet."""
        flow = await self._begun(web_request, flow_id)
        flow = chosen_for(flow, flow.extras.connector_id)
        if self.states is not None:
            flow = choosing(flow)
        web_request[PARAMETERS] = self.requests.parameters_of(flow)
        return await self._walk(web_request, flow)

    def _walking(self, handler: Callable[[web.Request], Awaitable[Passed]]) -> Handler:
        async def handle(web_request: web.Request) -> web.StreamResponse:
            passed = await handler(web_request)
            if isinstance(passed, Flow):
                return await self._walk(web_request, passed)
            return passed

        return handle

    async def _walk(self, web_request: web.Request, flow: Flow) -> web.StreamResponse:
        try:
            response = await self._steps(web_request, flow)
        except OAuthError:
            if self.states is not None and flow.silent:
                state = self.states.read(web_request)
                web_request[REPLY_TO] = watching(
                    self.states, web_request[REPLY_TO], flow, state
                )
            raise
        for cookie in web_request.get(COOKIES, ()):
            response.headers.add(hdrs.SET_COOKIE, cookie)
        return response

    async def _steps(self, web_request: web.Request, flow: Flow) -> web.StreamResponse:
        self.policy.check_request(flow.request, flow.client)
        for step in self.steps:
            passed = await step.take(web_request, flow)
            if not isinstance(passed, Flow):
                return passed
            flow = passed
        await self.policy.check_login(flow.request, flow.client, flow.user)
        return await self.response.write(web_request, flow)
