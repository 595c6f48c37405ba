"""``/auth``: new requests come in here, and walk as far as they can."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import attrs

from aiohttp import hdrs, web

from ...errors import NotFoundPage, WrongRequest
from ..channels import Handler, read_parameters, read_query
from ..policy import Policy
from .flow import COOKIES, PARAMETERS, Flow, Flows, Passed, Step
from .pushed import PushedRequests, is_pushed
from .request import AuthorizationRequests
from .response import AuthorizationResponse
from .select import choosing, chosen_for

AFTER_LOGIN = "/auth"


@attrs.frozen
class AuthorizationEndpoint:
    """The browser's way to a code: the steps, in their order, then the response.

    ``sessions``: one may spare the login, so that who wants to choose must say so.
    """

    flows: Flows
    requests: AuthorizationRequests
    steps: tuple[Step, ...]
    policy: Policy
    response: AuthorizationResponse
    pushed: PushedRequests
    sessions: bool = False

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
        params = await read_parameters(web_request)
        params, pushed = await self._asked(web_request, params)
        flow = await self.requests.receive(
            web_request,
            params,
            connector_id=params.get("connector_id", ""),
            unknown_client=WrongRequest("Invalid client_id provided."),
            pushed=pushed,
        )
        return await self._walk(web_request, flow)

    async def authorize_with(self, web_request: web.Request) -> web.StreamResponse:
        """Receive a request for the connector that the path names."""
        if web_request.method not in ("GET", "HEAD"):
            raise WrongRequest("Unsupported request method.")
        params, pushed = await self._asked(web_request, read_query(web_request))
        connector_id = web_request.match_info["connector"]
        flow = await self.requests.receive(
            web_request,
            params,
            connector_id=connector_id,
            unknown_client=NotFoundPage("Invalid client_id."),
            pushed=pushed,
        )
        if params.get("connector_id", connector_id) != connector_id:
            raise WrongRequest("Bad connector ID")
        return await self._walk(web_request, flow)

    async def _asked(
        self, web_request: web.Request, params: Mapping[str, str]
    ) -> tuple[Mapping[str, str], str]:
        """Return the parameters of the request, and what referred to them."""
        web_request[PARAMETERS] = params
        if not is_pushed(params):
            return params, ""
        return await self.pushed.find(params), params["request_uri"]

    async def _back(self, web_request: web.Request, flow_id: str) -> web.StreamResponse:
        """Let the end user choose again: the same request, no connector yet."""
        flow = await self.flows.begun(web_request, flow_id)
        if flow.request.logged_in:
            raise WrongRequest("This login is complete already. Please start again.")
        flow = chosen_for(flow, "")
        if self.sessions:
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
        response = await self._steps(web_request, flow)
        for cookie in web_request.get(COOKIES, ()):
            response.headers.add(hdrs.SET_COOKIE, cookie)
        return response

    async def _steps(self, web_request: web.Request, flow: Flow) -> web.StreamResponse:
        for step in self.steps:
            passed = await step.take(web_request, flow)
            if not isinstance(passed, Flow):
                return passed
            flow = passed
        await self.policy.check_login(flow.request, flow.client, flow.user)
        return await self.response.write(web_request, flow)
