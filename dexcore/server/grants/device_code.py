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
from ...storage import Client, Collections, DeviceToken, Storage
from ..connectors import Connectors
from ..policy import Policy
from ..tokens.authorization import Authorization
from ..tokens.devices import (
    APPROVED,
    DENIED,
    PENDING,
    client_of,
    login_of,
    polled,
)
from ..tokens.refresh import drop_extras, extras_of, keep
from .grant import Form, Grant, Sender, authorization_for, lasting, traded

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
        self, form: Form, client: Client, sender: Sender
    ) -> Authorization:
        """Answer a poll; raise what the device must know while there is no login."""
        device_code = form.get("device_code", "")
        if not device_code:
            raise InvalidRequest("No device code received")
        verifier = form.get("code_verifier", "")

        async def poll(
            collections: Collections,
        ) -> Authorization | AuthorizationPending:
            record, too_soon = await self._asked(collections, device_code, client)
            if record.status == PENDING:
                # Returned and not raised: the poll itself must be stored.
                return SlowDown() if too_soon else AuthorizationPending()
            pkce.verify(record.pkce, verifier)
            login = login_of(record)
            extras = await extras_of(collections, login.id)
            kept = lasting(extras, client, sender)
            refresh_token = self.policy.refresh_token(login, client, kept)
            extras = self.policy.resources.narrowed(extras, form)
            authorization = await self.allowed(
                authorization_for(
                    login, client, refresh_token, extras=extras, jkt=sender.jkt
                ),
                collections,
            )
            # The verb that decides; what follows only adds.
            await collections.device_tokens.take(device_code)
            await drop_extras(collections, login.id)
            if refresh_token is not None:
                supplement = self.policy.refresh_tokens.supplement(refresh_token, kept)
                await keep(collections, refresh_token, login, supplement)
            return authorization

        try:
            outcome = await traded(self.storage, self.connectors, poll)
        except NotFound:
            raise InvalidRequest(_WRONG) from None
        if isinstance(outcome, AuthorizationPending):
            raise outcome
        return outcome

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
