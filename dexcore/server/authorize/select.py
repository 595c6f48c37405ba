"""Step 1: choose where to log in, when there is a choice."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import attrs

from aiohttp import web

from ...errors import InvalidRequest, LoginRequired, WrongRequest
from ..connectors import Connectors, Listed
from ..pages import Pages
from ..policy import Policy
from ..urls import Issuer
from .flow import PARAMETERS, Flow, Passed, Step


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
        if len(offered) == 1 and not self.always_show:
            return chosen_for(flow, offered[0].id)
        if flow.silent:
            raise LoginRequired("The end user would have to choose how to log in.")
        return self._page(web_request, offered)

    def _page(self, web_request: web.Request, offered: list[Listed]) -> web.Response:
        query = urlencode(web_request[PARAMETERS])
        here = f"{self.issuer.path('/auth')}?{query}"
        choices = tuple(
            Choice(
                listed.id,
                listed.name,
                listed.type,
                f"{self.issuer.path('/auth/')}{quote(listed.id, safe='')}?{query}",
                listed.available,
            )
            for listed in offered
        )
        return self.pages.render(
            "login.html",
            web_request.path,
            connectors=choices,
            signup_url=self.issuer.signup(here) if self.signup else "",
        )


def chosen_for(flow: Flow, connector_id: str) -> Flow:
    """Return *flow* with its connector."""
    request = attrs.evolve(flow.request, connector_id=connector_id)
    return attrs.evolve(flow, request=request)
