"""``/token``: what every grant has in common, in the order it happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs

from aiohttp import hdrs, web

from ...errors import (
    AuthorizationPending,
    InvalidRequest,
    OAuthError,
    UnsupportedGrantType,
)
from ...oauth2.dpop import HEADER
from ...storage import Collections
from ..audit import Audit
from ..channels import answer_json, read_form
from ..clients import Clients
from ..dpop import Proofs
from ..middleware import ADDRESS
from ..tokens.issuer import TokenIssuer
from .grant import Form, Grant, Sender


@attrs.frozen(eq=False)
class TokenEndpoint:
    """RFC 6749 section 3.2.  ``grants`` are the ones that are on, by name."""

    path: ClassVar = "/token"

    clients: Clients
    grants: Mapping[str, Grant]
    storage: Collections
    issuer: TokenIssuer
    proofs: Proofs
    audit: Audit

    async def exchange(self, request: web.Request) -> web.Response:
        """Answer a token request."""
        if request.method != "POST":
            raise InvalidRequest("method not allowed")
        form = await read_form(request)
        client_id, jkt = form.get("client_id", ""), ""
        try:
            grant = self._grant(form)
            client = await self.clients.authenticate(
                request.headers.get(hdrs.AUTHORIZATION), form
            )
            client_id = client.id
            grant.policy.check_grant(client, grant.grant_type)
            if HEADER in request.headers:
                jkt = await self.proofs.of_client(request, client)
            sender = Sender(request.get(ADDRESS) or "", jkt)
            authorization = await grant.authorize(form, client, sender)
            authorization = await grant.allowed(authorization, self.storage)
        except AuthorizationPending as pending:
            # A device asks every few seconds: that is nothing to write down.
            return answer_json(pending.parameters(), pending.status)
        except OAuthError as refusal:
            self.audit.record(
                "token refused",
                grant_type=form.get("grant_type", ""),
                client_id=client_id,
                error=refusal.error,
                reason=refusal.description,
            )
            raise
        response = await self.issuer.issue(authorization)
        self.audit.record(
            "token issued",
            grant_type=grant.grant_type,
            client_id=client_id,
            connector_id=authorization.connector_id,
            user_id=authorization.claims.user_id,
        )
        return answer_json(response, headers=self.proofs.headers() if jkt else None)

    def _grant(self, form: Form) -> Grant:
        name = form.get("grant_type")
        if not name:
            raise InvalidRequest("Required param: grant_type.")
        try:
            return self.grants[name]
        except KeyError:
            raise UnsupportedGrantType(
                "This grant type is not supported, or not switched on."
            ) from None
