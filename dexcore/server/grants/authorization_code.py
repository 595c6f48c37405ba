"""A code becomes tokens, once (RFC 6749 section 4.1.3, RFC 7636 section 4.6)."""

from __future__ import annotations

import hashlib

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ClassVar

import attrs

from ...errors import InvalidGrant, NotFound, OAuthError
from ...oauth2 import pkce
from ...oauth2.grant_types import AUTHORIZATION_CODE
from ...storage import (
    PKCE,
    AuthCode,
    Client,
    Collections,
    RefreshToken,
    SpentCode,
    Storage,
)
from ..audit import Audit
from ..connectors import Connectors
from ..policy import Policy
from ..tokens.authorization import Authorization, family_of
from ..tokens.refresh import (
    RefreshTokens,
    drop_extras,
    extras_of,
    keep,
    refresh_id_for,
)
from .grant import (
    Form,
    Grant,
    Sender,
    authorization_for,
    lasting,
    required,
    traded,
)

_WRONG = "Invalid or expired code parameter."


@attrs.frozen(eq=False)
class AuthorizationCodeGrant(Grant):
    """One transaction decides: of many that bring a code, one gets tokens."""

    grant_type: ClassVar = AUTHORIZATION_CODE
    attended: ClassVar = True

    storage: Storage
    connectors: Connectors
    policy: Policy
    refresh_tokens: RefreshTokens
    audit: Audit
    now: Callable[[], datetime]

    async def authorize(
        self, form: Form, client: Client, sender: Sender
    ) -> Authorization:
        """Trade the code."""
        code_id = required(form, "code")
        redirect_uri = form.get("redirect_uri", "")
        verifier = form.get("code_verifier", "")

        async def trade(collections: Collections) -> Authorization:
            code = await collections.auth_codes.get(code_id)
            self._check(code, client, redirect_uri, verifier)
            extras = await extras_of(collections, code_id)
            kept = lasting(extras, client, sender)
            refresh_token = self.policy.refresh_token(code, client, kept)
            extras = self.policy.resources.narrowed(extras, form)
            authorization = await self.allowed(
                authorization_for(
                    code, client, refresh_token, code.id, extras, sender.jkt
                ),
                collections,
            )
            # The verb that decides; what follows only adds.
            await collections.auth_codes.take(code_id)
            await collections.spent_codes.create(
                self._spent(code, verifier, refresh_token)
            )
            await drop_extras(collections, code_id)
            if refresh_token is not None:
                supplement = self.refresh_tokens.supplement(refresh_token, kept)
                await keep(collections, refresh_token, code, supplement)
            return authorization

        try:
            return await traded(self.storage, self.connectors, trade)
        except NotFound:
            await self._used_before(code_id, client, verifier)
            raise InvalidGrant(_WRONG) from None

    def _check(
        self, code: AuthCode, client: Client, redirect_uri: str, verifier: str
    ) -> None:
        if code.client_id != client.id or code.expiry < self.now():
            raise InvalidGrant(_WRONG)
        # It is on its way to our own page; only the device gets tokens for it.
        if code.redirect_uri == self.policy.device_callback:
            raise InvalidGrant(_WRONG)
        # RFC 6749 section 5.2: a redirect URI that does not match is invalid_grant.
        if code.redirect_uri != redirect_uri:
            raise InvalidGrant("redirect_uri did not match URI from initial request.")
        pkce.verify(code.pkce, verifier)

    def _spent(
        self, code: AuthCode, verifier: str, refresh_token: RefreshToken | None
    ) -> SpentCode:
        return SpentCode(
            id=_digest(code.id),
            client_id=code.client_id,
            handle=family_of(refresh_id_for(code.id)),
            user_id=code.claims.user_id,
            connector_id=code.connector_id,
            refresh_id=refresh_token.id if refresh_token else "",
            pkce=code.pkce if verifier else PKCE(),
            expiry=self.now() + self.refresh_tokens.lifetime,
        )

    async def _used_before(self, code_id: str, client: Client, verifier: str) -> None:
        """Revoke what the first use got (RFC 6749 section 4.1.2).

        Unless both proved the same verifier: then the client itself has tried twice.
        """
        spent = await self.storage.spent_codes.find(_digest(code_id))
        if spent is None or spent.client_id != client.id:
            return
        if spent.pkce.code_challenge and _proves(spent.pkce, verifier):
            return
        self.audit.record(
            "code used twice",
            client_id=client.id,
            connector_id=spent.connector_id,
            user_id=spent.user_id,
        )
        record = (
            await self.storage.refresh_tokens.find(spent.refresh_id)
            if spent.refresh_id
            else None
        )
        if record is not None:
            await self.refresh_tokens.revoke_family(record)
        else:
            await self.refresh_tokens.revocations.revoke(
                spent.handle, spent.expiry + timedelta(minutes=1)
            )


def _proves(challenge: PKCE, verifier: str) -> bool:
    try:
        pkce.verify(challenge, verifier)
    except OAuthError:
        return False
    return True


def _digest(code_id: str) -> str:
    return hashlib.sha256(code_id.encode()).hexdigest()
