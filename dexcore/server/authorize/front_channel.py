"""Tokens that go by the browser: the grant ``implicit``, and the hybrid flow.

OpenID Connect Core sections 3.2 and 3.3.  They are issued by whoever issues all others,
and allowed by whoever allows all others.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from ...errors import AccessDenied, InvalidGrant, InvalidRequest
from ...oauth2.grant_types import IMPLICIT
from ...oauth2.response_types import CODE, ID_TOKEN, TOKEN
from ...storage import AuthCode, AuthRequest, Storage, metadata_of
from ..audit import Audit
from ..policy import Policy
from ..tokens.authorization import Authorization, family_of
from ..tokens.issuer import TokenIssuer
from ..tokens.refresh import refresh_id_for
from .flow import Flow


@attrs.frozen(eq=False)
class FrontChannel:
    """Issues what an authorization response carries beside the code."""

    grant_type: ClassVar = IMPLICIT

    storage: Storage
    policy: Policy
    issuer: TokenIssuer
    audit: Audit

    async def authorize(self, flow: Flow, login: AuthCode) -> Authorization:
        """Return what the tokens will be issued for, as the policy allows it.

        *login* is what the code stands for, or would.  Raises a refusal.
        """
        request = flow.request
        for_a_key = (
            flow.extras.dpop_jkt or metadata_of(flow.client).dpop_bound_access_tokens
        )
        if for_a_key and TOKEN in request.response_types:
            # RFC 9449 section 5: at the token endpoint the key is proved.
            raise InvalidRequest("An access token for a key does not go by a browser.")
        authorization = Authorization(
            client=flow.client,
            claims=login.claims,
            scopes=login.scopes,
            connector_id=login.connector_id,
            nonce=login.nonce,
            auth_time=login.auth_time,
            session_id=login.session_id,
            # That of whatever the code will be traded for.
            family=family_of(refresh_id_for(login.id)),
            code=login.id if CODE in request.response_types else "",
            extras=flow.extras.lasting,
        )
        try:
            return await self.policy.allow(
                self.storage, authorization, self.grant_type, attended=True
            )
        except InvalidGrant as refused:
            # RFC 6749 section 4.2.2.1: no such error on this channel.
            raise AccessDenied(refused.description) from None

    async def issue(
        self, request: AuthRequest, authorization: Authorization
    ) -> dict[str, str]:
        """Return the parameters of the response that are tokens."""
        found = await self.issuer.issue_by_browser(
            authorization, request.response_types
        )
        self.audit.record(
            "token issued",
            grant_type=self.grant_type,
            client_id=authorization.client.id,
            connector_id=authorization.connector_id,
            user_id=authorization.claims.user_id,
        )
        return found


def carries_tokens(request: AuthRequest) -> bool:
    """Return whether the response to *request* has a token in it."""
    types = request.response_types
    return TOKEN in types or ID_TOKEN in types
