"""Step 2, the way back: what the browser brings from upstream.

A POST from another site (SAML, ``form_post``) does not carry our cookies, which are
``SameSite=Lax``.  Its form is kept for a moment under a fresh single-use id, and the
browser sent to a GET of ours, which does carry them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote

import attrs

from aiohttp import web
from multidict import MultiDict

from ...connector import Callback, CallbackConnector
from ...errors import MethodNotAllowed, WrongRequest
from ..channels import UPSTREAM_FORM_LIMIT, read_form, read_query, see_other
from ..middleware import VIA_TRUSTED_PROXY
from ..parking import PARKED, Parking
from ..urls import Issuer
from .flow import Flow, Flows, Passed, Step, StepRoute
from .login import Logins, headers_for_connectors, scopes_of

_GONE = "Requested resource does not exist."


@attrs.frozen(eq=False)
class UpstreamCallback(Step):
    """``/callback`` and ``/callback/{connector}``."""

    path: ClassVar = "/callback"

    flows: Flows
    logins: Logins
    parking: Parking
    issuer: Issuer

    async def take(self, web_request: web.Request, flow: Flow) -> Passed:
        """Let every flow pass: this step only receives browsers that come back."""
        return flow

    def routes(self) -> tuple[StepRoute, ...]:
        """Return both paths."""
        return (
            StepRoute(self.path, self.answer),
            StepRoute(self.path + "/{connector}", self.answer),
        )

    async def answer(self, web_request: web.Request) -> Passed:
        """Find the flow the browser comes back to, and who it is."""
        query = read_query(web_request)
        form: Mapping[str, str] = {}
        if web_request.method == "POST":
            form = await read_form(web_request, UPSTREAM_FORM_LIMIT)
            if not self.flows.carries(web_request, _flow_id(query, form)):
                return await self._park(web_request, form)
        elif web_request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("Method not supported")
        elif PARKED in query:
            form = await self.parking.take(query[PARKED])
        flow = await self.flows.begun(web_request, _flow_id(query, form))
        return await self._finish(web_request, flow, query, form)

    async def _finish(
        self,
        web_request: web.Request,
        flow: Flow,
        query: Mapping[str, str],
        form: Mapping[str, str],
    ) -> Flow:
        by_path = web_request.match_info.get("connector")
        if by_path is not None and by_path != flow.request.connector_id:
            raise WrongRequest(_GONE)
        via_proxy = by_path is not None and web_request.get(VIA_TRUSTED_PROXY, False)
        opened = await self.logins.connector(flow)
        connector = opened.connector
        if flow.request.logged_in or not isinstance(connector, CallbackConnector):
            raise WrongRequest(_GONE)
        callback = Callback(
            query=MultiDict(query),
            form=MultiDict(form),
            headers=headers_for_connectors(web_request, via_proxy=via_proxy),
            callback_url=self.issuer.absolute("/callback"),
            connector_data=flow.request.connector_data,
            via_proxy=via_proxy,
        )
        identity = await self.logins.ask(
            flow, opened, connector.finish(scopes_of(flow), callback)
        )
        return self.logins.established(flow, identity)

    async def _park(
        self, web_request: web.Request, form: Mapping[str, str]
    ) -> web.Response:
        if not _flow_id({}, form):
            raise WrongRequest("User session error.")
        parked = await self.parking.park(web_request, form)
        return see_other(
            f"{self.issuer.base}{_own_path(web_request)}?{PARKED}={parked}"
        )


def _flow_id(query: Mapping[str, str], form: Mapping[str, str]) -> str:
    """Return what we sent upstream as ``state`` or ``RelayState``."""
    return form.get("RelayState") or form.get("state") or query.get("state") or ""


def _own_path(web_request: web.Request) -> str:
    connector = web_request.match_info.get("connector")
    if connector is None:
        return "/callback"
    return f"/callback/{quote(connector, safe='')}"
