"""A device polls until its user has logged in elsewhere (RFC 8628 section 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar

import attrs

from ...errors import (
    AccessDenied,
    AuthorizationPending,
    ExpiredToken,
    InvalidRequest,
    NotFound,
    SlowDown,
)
from ...oauth2 import pkce
from ...oauth2.grant_types import DEVICE_CODE
from ...storage import AuthCode, Client, Collections, DeviceToken, RefreshToken, Storage
from ..connectors import Connectors
from ..policy import Policy
from ..tokens.authorization import Authorization, family_of
from ..tokens.devices import (
    APPROVED,
    DENIED,
    PENDING,
    client_of,
    login_of,
    polled,
)
from ..tokens.refresh import keep, wire
from .grant import Form, Grant, traded

_WRONG = "Invalid Device code."


@attrs.frozen(eq=False)
class DeviceCodeGrant(Grant):
    """One transaction a poll; the one that gets tokens ends the device code."""

    grant_type: ClassVar = DEVICE_CODE
    attended: ClassVar = True

    storage: Storage
    connectors: Connectors
    policy: Policy
    now: Callable[[], datetime]

    async def authorize(
        self, form: Form, client: Client, address: str
    ) -> Authorization:
        """Answer a poll; raise what the device must know while there is no login."""
        device_code = form.get("device_code", "")
        if not device_code:
            raise InvalidRequest("No device code received")
        verifier = form.get("code_verifier", "")

        async def poll(
            collections: Collections,
        ) -> tuple[AuthCode, RefreshToken | None] | AuthorizationPending:
            record, too_soon = await self._asked(collections, device_code, client)
            if record.status == PENDING:
                # Returned and not raised: the poll itself must be stored.
                return SlowDown() if too_soon else AuthorizationPending()
            pkce.verify(record.pkce, verifier)
            login = login_of(record)
            refresh_token = self.policy.refresh_token(login)
            # The verb that decides; what follows only adds.
            await collections.device_tokens.take(device_code)
            if refresh_token is not None:
                await keep(collections, refresh_token, login)
            return login, refresh_token

        try:
            outcome = await traded(self.storage, self.connectors, poll)
        except NotFound:
            raise InvalidRequest(_WRONG) from None
        if isinstance(outcome, AuthorizationPending):
            raise outcome
        login, refresh_token = outcome
        return _authorization(login, client, refresh_token)

    async def _asked(
        self, collections: Collections, device_code: str, client: Client
    ) -> tuple[DeviceToken, bool]:
        """Return the record after this poll, and whether that came too soon."""
        too_soon = False

        def ask(record: DeviceToken) -> DeviceToken:
            nonlocal too_soon
            if record.status not in (PENDING, APPROVED, DENIED):
                raise ExpiredToken("The device code was used at another server.")
            # A device code that dex has begun does not say whose it is.
            if client_of(record) not in ("", client.id):
                raise InvalidRequest(_WRONG)
            if record.status == DENIED:
                raise AccessDenied("The end user said no.", status=400)
            if record.expiry < self.now():
                raise ExpiredToken("The device code has expired.")
            if record.status == APPROVED:
                return record
            asked, too_soon = polled(record, self.now())
            return asked

        record = await collections.device_tokens.update(device_code, change=ask)
        return record, too_soon


def _authorization(
    login: AuthCode, client: Client, refresh_token: RefreshToken | None
) -> Authorization:
    return Authorization(
        client=client,
        claims=login.claims,
        scopes=login.scopes,
        connector_id=login.connector_id,
        nonce=login.nonce,
        auth_time=login.auth_time,
        session_id=login.session_id,
        family=family_of(refresh_token.id if refresh_token else login.id),
        refresh_token=wire(refresh_token) if refresh_token else "",
    )
