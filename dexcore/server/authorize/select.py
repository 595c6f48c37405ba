"""Step 1: choose where to log in, when there is a choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import attrs

from aiohttp import web

from ...errors import InvalidRequest, LoginRequired, WrongRequest
from ...oauth2.prompts import CHOOSE
from ..connectors import Connectors, Listed
from ..pages import Pages
from ..policy import Policy
from ..urls import Issuer
from .flow import PARAMETERS, Flow, Flows, Passed, Step

#: What names a flow in links that must not tell its parameters.
FLOW = "flow"


@attrs.frozen
class Choice:
    """One connector on the login page."""

    id: str
    name: str
    type: str
    url: str
    available: bool


@attrs.frozen(eq=False)
class SelectConnector(Step):
    """Passes a flow that names its connector, or that has only one to go to."""

    flows: Flows
    connectors: Connectors
    policy: Policy
    pages: Pages
    issuer: Issuer
    always_show: bool
    signup: bool

    async def take(self, web_request: web.Request, flow: Flow) -> Passed:
        """Let the flow pass with its connector, or show the list."""
        # A connector that the path names is the login step's business.
        if flow.request.logged_in or "connector" in web_request.match_info:
            return flow
        grant_type = self.policy.grant_type(flow.request)
        offered = [
            listed
            for listed in await self.connectors.listed()
            if self.policy.offers(listed, flow.client, grant_type)
        ]
        chosen = flow.request.connector_id
        if chosen:
            if all(listed.id != chosen for listed in offered):
                raise InvalidRequest("Connector ID does not match a valid Connector")
            return flow
        if not offered:
            raise WrongRequest("No connectors available for this client.")
        if len(offered) == 1 and not self.always_show and flow.user is None:
            return chosen_for(flow, offered[0].id)
        if flow.silent:
            raise LoginRequired("The end user would have to choose how to log in.")
        page = self._page(web_request, flow, offered)
        if flow.extras.sealed:
            await self.flows.carry(web_request, flow, page)
        return page

    def _page(
        self, web_request: web.Request, flow: Flow, offered: list[Listed]
    ) -> web.Response:
        asked: Mapping[str, str] = web_request[PARAMETERS]
        # The client's own affairs are not for our links to tell.
        params = {FLOW: flow.request.id} if flow.extras.sealed else dict(asked)
        here = f"{self.issuer.path('/auth')}?{urlencode(params)}"
        account = self._account(flow, params) if flow.user is not None else {}
        if account:
            # Beside "Continue as" a connector means to log in as somebody else.
            params["prompt"] = choosing(flow).request.prompt
        choices = tuple(
            Choice(
                listed.id,
                listed.name,
                listed.type,
                self._url(listed.id, params),
                listed.available,
            )
            for listed in offered
        )
        return self.pages.render(
            "login.html",
            web_request.path,
            connectors=choices,
            signup_url=self.issuer.signup(here) if self.signup else "",
            **account,
        )

    def _account(self, flow: Flow, params: dict[str, str]) -> dict[str, Any]:
        """Return who may go on without logging in, and where."""
        if flow.user is None or flow.session is None:
            return {}
        claims = flow.user.claims
        asked = [each for each in flow.request.prompt.split() if each != CHOOSE]
        name = claims.username or claims.preferred_username or claims.email
        return {
            "account_name": name or claims.user_id,
            "account_email": claims.email if claims.email != name else "",
            "account_url": self._url(
                flow.session.connector_id, {**params, "prompt": " ".join(asked)}
            ),
        }

    def _url(self, connector_id: str, params: dict[str, str]) -> str:
        path = f"{self.issuer.path('/auth/')}{quote(connector_id, safe='')}"
        return f"{path}?{urlencode(params)}"


def choosing(flow: Flow) -> Flow:
    """Return *flow* with its end user asked which account to use."""
    asked = flow.request.prompt.split()
    if CHOOSE in asked:
        return flow
    request = attrs.evolve(flow.request, prompt=" ".join((*asked, CHOOSE)))
    return attrs.evolve(flow, request=request)


def chosen_for(flow: Flow, connector_id: str) -> Flow:
    """Return *flow* with its connector; raise ``WrongRequest`` if it names another."""
    if flow.extras.connector_id not in ("", connector_id):
        raise WrongRequest("Bad connector ID")
    request = attrs.evolve(flow.request, connector_id=connector_id)
    return attrs.evolve(flow, request=request)
