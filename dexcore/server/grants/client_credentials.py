"""A client logs in as itself (RFC 6749 section 4.4)."""

from __future__ import annotations

from typing import ClassVar

import attrs

from ...errors import InvalidScope, UnauthorizedClient
from ...oauth2 import scopes
from ...oauth2.grant_types import CLIENT_CREDENTIALS
from ...oauth2.words import quote_all
from ...storage import Claims, Client
from ..policy import Policy
from ..tokens.authorization import Authorization
from .grant import Form, Grant, Sender

_FOR_USERS = (scopes.OFFLINE_ACCESS, scopes.FEDERATED_ID)


@attrs.frozen(eq=False)
class ClientCredentialsGrant(Grant):
    """Tokens about the client: no user, no connector, no refresh token.

    Its subject names no connector, so it is never that of a user.
    """

    grant_type: ClassVar = CLIENT_CREDENTIALS

    policy: Policy

    async def authorize(
        self, form: Form, client: Client, sender: Sender
    ) -> Authorization:
        """Return what the client may know about itself."""
        if client.public:
            raise UnauthorizedClient(
                "Public clients cannot use client_credentials grant."
            )
        return Authorization(
            client=client,
            claims=_claims(client),
            scopes=_scopes(form.get("scope", "")),
            connector_id="",
            nonce=form.get("nonce", ""),
            extras=self.policy.resources.extras(form, client),
            jkt=sender.jkt,
        )


def _scopes(text: str) -> tuple[str, ...]:
    asked = scopes.parse(text)
    for scope in _FOR_USERS:
        if scope in asked:
            raise InvalidScope(
                f"client_credentials grant does not support {scope} scope."
            )
    unknown = scopes.unknown(asked)
    if unknown:
        raise InvalidScope(f"Unrecognized scope(s) {quote_all(unknown)}")
    return asked


def _claims(client: Client) -> Claims:
    own = client.client_credentials_claims
    return Claims(
        user_id=client.id,
        username=client.name,
        preferred_username=client.name,
        groups=own.groups if own else (),
    )
