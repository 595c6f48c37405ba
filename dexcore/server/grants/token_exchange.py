"""A token of an upstream provider becomes one of ours (RFC 8693)."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from ...connector import Identity, TokenIdentityConnector
from ...errors import (
    AccessDenied,
    InvalidRequest,
    InvalidTarget,
    RequestNotSupported,
)
from ...oauth2 import scopes
from ...oauth2.extras import NO_EXTRAS, Extras
from ...oauth2.grant_types import TOKEN_EXCHANGE
from ...storage import Claims, Client
from ..audit import Audit, user
from ..connectors import OpenConnector, guarded
from ..identity import claims_of, user_told
from ..policy import Policy
from ..tokens.authorization import Authorization
from ..tokens.issuer import TOKEN_TYPE
from ..tokens.subjects import NoSubject, Subjects
from .grant import Form, Grant, Sender, connector_named

_ACCESS_TOKEN, _ID_TOKEN = TOKEN_TYPE + "access_token", TOKEN_TYPE + "id_token"
_ISSUED: dict[str, Literal["access_token", "id_token"]] = {
    _ACCESS_TOKEN: "access_token",
    _ID_TOKEN: "id_token",
}


@attrs.frozen(eq=False)
class TokenExchangeGrant(Grant):
    """The connector that ``connector_id`` names says whose the token is.

    With ``strict`` a token it does not accept is ``invalid_request`` (RFC 8693 section
    2.2.2); clients of dex know 401 ``access_denied``.
    """

    grant_type: ClassVar = TOKEN_EXCHANGE

    policy: Policy
    subjects: Subjects
    audit: Audit
    strict: bool

    async def authorize(
        self, form: Form, client: Client, sender: Sender
    ) -> Authorization:
        """Return whose token it is."""
        opened = await self._connector(form, client)
        wanted = form.get("requested_token_type", "") or _ACCESS_TOKEN
        if form.get("subject_token_type") not in _ISSUED:
            raise RequestNotSupported("Invalid subject_token_type.")
        if not form.get("subject_token"):
            raise InvalidRequest("Missing subject_token")
        if wanted not in _ISSUED:
            raise RequestNotSupported("Invalid requested_token_type.")
        self.policy.check_unattended(client, opened.record.id)
        extras = self.policy.resources.extras(form, client)
        if extras.resources and wanted == _ID_TOKEN:
            raise InvalidTarget("An ID token is for the client alone.")
        identity = await self._identity(opened, form, client)
        claims = claims_of(identity)
        extras = self._settled(opened, client, claims, extras)
        asked = _scopes(form.get("scope", ""))
        return Authorization(
            client=client,
            claims=claims,
            scopes=asked,
            connector_id=opened.record.id,
            only=_ISSUED[wanted],
            narrowed=asked != scopes.parse(form.get("scope", "")),
            extras=attrs.evolve(extras, user=user_told(identity, asked, NO_EXTRAS)),
            jkt=sender.jkt,
        )

    async def _connector(self, form: Form, client: Client) -> OpenConnector:
        connector_id = form.get("connector_id", "")
        if not connector_id:
            raise InvalidRequest("Requested connector does not exist.")
        return await connector_named(self.policy, client, connector_id, self.grant_type)

    async def _identity(
        self, opened: OpenConnector, form: Form, client: Client
    ) -> Identity:
        connector = opened.connector
        if not isinstance(connector, TokenIdentityConnector):
            # What dex says: the connector is not one that this grant knows.
            raise InvalidRequest("Requested connector does not exist.")
        call = connector.token_identity(
            form["subject_token_type"], form["subject_token"]
        )
        try:
            identity = await guarded(opened, call)
        except AccessDenied as refusal:
            reason = refusal.description or "The subject_token is not accepted."
            raise self._refusal(reason, client, opened) from None
        self._note("login successful", client, opened, **user(claims_of(identity)))
        return identity

    def _settled(
        self, opened: OpenConnector, client: Client, claims: Claims, extras: Extras
    ) -> Extras:
        try:
            return self.subjects.settled(client, claims, opened.record.id, extras)
        except NoSubject as unfit:
            raise self._refusal(str(unfit), client, opened) from None

    def _refusal(
        self, reason: str, client: Client, opened: OpenConnector
    ) -> InvalidRequest | AccessDenied:
        self._note("login refused", client, opened, reason=reason)
        if self.strict:
            return InvalidRequest(reason)
        return AccessDenied(reason, status=401)

    def _note(
        self, event: str, client: Client, opened: OpenConnector, **fields: object
    ) -> None:
        self.audit.record(
            event, client_id=client.id, connector_id=opened.record.id, **fields
        )


def _scopes(text: str) -> tuple[str, ...]:
    """Return the scopes we know; the others are ignored (RFC 6749 section 3.3).

    There is no refresh token to be had, whatever they say.
    """
    asked = scopes.parse(text)
    unknown = scopes.unknown(asked)
    return tuple(scope for scope in asked if scope not in unknown)
