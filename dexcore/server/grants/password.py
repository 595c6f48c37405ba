"""A client brings its user's password (RFC 6749 section 4.3).

RFC 9700 section 2.4 says that nobody must: it is off until the file names the connector
that checks the passwords.  Guesses count together with those at the login form.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from ...connector import Identity, PasswordConnector, Scopes
from ...errors import (
    AccessDenied,
    InvalidGrant,
    InvalidRequest,
    InvalidScope,
    StorageUnavailable,
    TemporarilyUnavailable,
    TooManyRequests,
    UpstreamUnavailable,
)
from ...oauth2 import scopes
from ...oauth2.extras import NO_EXTRAS, Extras
from ...oauth2.grant_types import PASSWORD
from ...oauth2.ids import new_id
from ...oauth2.words import quote_all
from ...storage import AuthCode, Claims, Client, Collections, Storage
from ..audit import Audit, user
from ..clients import Clients
from ..connectors import Connectors, OpenConnector, guarded
from ..guard import Guard, account
from ..identity import claims_of, user_told, wanted
from ..policy import Policy
from ..tokens.authorization import Authorization
from ..tokens.refresh import keep
from ..tokens.subjects import NoSubject, Subjects
from .grant import (
    Form,
    Grant,
    Sender,
    authorization_for,
    connector_named,
    lasting,
    required,
    traded,
)


@attrs.frozen(eq=False)
class PasswordGrant(Grant):
    """Asks the connector ``oauth2.passwordConnector``, and no other."""

    grant_type: ClassVar = PASSWORD

    storage: Storage
    clients: Clients
    connectors: Connectors
    policy: Policy
    subjects: Subjects
    guard: Guard
    audit: Audit
    connector_id: str

    async def authorize(
        self, form: Form, client: Client, sender: Sender
    ) -> Authorization:
        """Return who the user is, if the password is right."""
        asked = await self._scopes(form, client)
        extras = self.policy.resources.extras(form, client)
        username, password = required(form, "username"), required(form, "password")
        opened = await connector_named(
            self.policy, client, self.connector_id, self.grant_type
        )
        self.policy.check_unattended(client, self.connector_id)
        identity = await self._checked(
            opened, wanted(asked), client, sender.address, username, password
        )
        claims = claims_of(identity)
        extras = attrs.evolve(extras, user=user_told(identity, asked, NO_EXTRAS))
        extras = self._settled(client, claims, extras)
        login = AuthCode(
            id=new_id(),
            client_id=client.id,
            nonce=form.get("nonce", ""),
            scopes=asked,
            connector_id=self.connector_id,
            connector_data=identity.connector_data,
            claims=claims,
        )
        if scopes.OFFLINE_ACCESS not in asked:
            return authorization_for(login, client, extras=extras, jkt=sender.jkt)
        return await self._with_refresh_token(login, client, extras, sender)

    def _settled(self, client: Client, claims: Claims, extras: Extras) -> Extras:
        try:
            return self.subjects.settled(client, claims, self.connector_id, extras)
        except NoSubject as unfit:
            self._refused(client, str(unfit), claims.username)
            raise InvalidGrant(str(unfit)) from None

    async def _scopes(self, form: Form, client: Client) -> tuple[str, ...]:
        """Return what is asked for; clients of dex know ``invalid_request`` here."""
        asked = scopes.parse(form.get("scope", ""))
        if scopes.OPENID not in asked:
            raise InvalidRequest('Missing required scope(s) ["openid"].')
        unknown = scopes.unknown(asked)
        if unknown:
            raise InvalidRequest(f"Unrecognized scope(s) {quote_all(unknown)}")
        try:
            await self.clients.check_audiences(client, asked)
        except InvalidScope as refused:
            raise InvalidRequest(refused.description) from None
        return asked

    async def _checked(
        self,
        opened: OpenConnector,
        learn: Scopes,
        client: Client,
        address: str,
        username: str,
        password: str,
    ) -> Identity:
        connector, about = opened.connector, account(opened.record.id, username)
        if not isinstance(connector, PasswordConnector):
            raise InvalidRequest("The password connector does not check passwords.")
        # Only failures count; taken ahead, so that parallel guesses count too.
        try:
            self.guard.check(address, about=about)
        except TooManyRequests:
            self._refused(client, "Too many failed tries.", username)
            raise
        try:
            identity = await guarded(opened, connector.login(learn, username, password))
        except (StorageUnavailable, TemporarilyUnavailable, UpstreamUnavailable):
            # Nobody has looked at the password.
            self.guard.give_back(address, about=about)
            raise
        except AccessDenied as refusal:
            self._refused(client, refusal.description, username)
            raise InvalidGrant(refusal.description) from None
        if identity is None:
            self._refused(client, "Invalid credentials.", username)
            # RFC 6749 section 5.2: wrong credentials of an end user are invalid_grant.
            raise InvalidGrant("Invalid username or password")
        self.guard.give_back(address, about=about)
        self.audit.record(
            "login successful",
            client_id=client.id,
            connector_id=opened.record.id,
            **user(claims_of(identity)),
        )
        return identity

    async def _with_refresh_token(
        self, login: AuthCode, client: Client, extras: Extras, sender: Sender
    ) -> Authorization:
        kept = lasting(extras, client, sender)

        async def store(collections: Collections) -> Authorization:
            refresh_token = self.policy.refresh_token(login, client, kept)
            authorization = await self.allowed(
                authorization_for(
                    login, client, refresh_token, extras=extras, jkt=sender.jkt
                ),
                collections,
            )
            if refresh_token is not None:
                supplement = self.policy.refresh_tokens.supplement(refresh_token, kept)
                await keep(collections, refresh_token, login, supplement)
            return authorization

        return await traded(self.storage, self.connectors, store)

    def _refused(self, client: Client, reason: str, username: str) -> None:
        self.audit.record(
            "login refused",
            client_id=client.id,
            connector_id=self.connector_id,
            reason=reason,
            user=username,
        )
