"""The end of the path: a code, on its way to the client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import attrs

from aiohttp import web

from ...errors import NotFound, WrongRequest
from ...oauth2.ids import new_id
from ...oauth2.redirect_uris import OOB
from ...storage import AuthCode, Collections, Storage
from ..audit import Audit
from ..channels import ReplyTo
from ..pages import Pages
from .flow import Flow, Flows

#: RFC 6749 section 4.1.2 recommends at most ten minutes.
CODE_LIFETIME = timedelta(minutes=10)


@attrs.frozen(eq=False)
class AuthorizationResponse:
    """Writes the response (RFC 6749 section 4.1.2)."""

    storage: Storage
    flows: Flows
    pages: Pages
    audit: Audit
    now: Callable[[], datetime]

    async def write(self, flow: Flow) -> web.Response:
        """Store a code and send it to the client."""
        code = self._code(flow)
        if flow.stored:
            await self.storage.unit(_complete(flow, code))
        else:
            await self.storage.auth_codes.create(code)
        self.audit.record(
            "code issued",
            client_id=code.client_id,
            connector_id=code.connector_id,
            user_id=code.claims.user_id,
        )
        response = self._deliver(flow, code)
        self.flows.finish(response, flow)
        return response

    def _code(self, flow: Flow) -> AuthCode:
        request = flow.request
        return AuthCode(
            id=new_id(),
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

    def _deliver(self, flow: Flow, code: AuthCode) -> web.Response:
        request = flow.request
        if request.redirect_uri == OOB:
            return self.pages.render(
                "oob.html", self.flows.issuer.path("/approval"), code=code.id
            )
        return ReplyTo(request.redirect_uri, request.state).redirect({"code": code.id})


def _complete(flow: Flow, code: AuthCode) -> Callable[[Collections], Awaitable[None]]:
    async def complete(collections: Collections) -> None:
        try:
            # Of many that finish one flow at once, one gets a code.
            await collections.auth_requests.take(flow.request.id)
        except NotFound:
            raise WrongRequest("User session error.") from None
        await collections.auth_codes.create(code)

    return complete
