"""The life of a device code: asked for, approved or denied, traded once (RFC 8628).

Two records, as in dex: the request, which the user's code finds, and the token, which
the device polls.  While it is pending the token says whose it is; once approved it
holds the login, so that nothing is signed before the device comes for it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

from ...errors import AlreadyExists, NotFound, TemporarilyUnavailable
from ...oauth2.extras import NO_EXTRAS, Extras
from ...oauth2.ids import is_supplemented, new_device_code, new_user_code
from ...oauth2.pkce import PKCE
from ...storage import (
    AuthCode,
    Client,
    Collections,
    DeviceRequest,
    DeviceToken,
    Storage,
    Supplement,
)
from ...storage.codec import json_codec
from .refresh import extras_of

#: How long a device waits between two polls, in seconds (RFC 8628 section 3.5).
INTERVAL = 5

#: What becomes of a device code.  The first is dex's; a code that dex has completed
#: itself holds signed tokens, and is not for us to hand out.
PENDING, APPROVED, DENIED = "authorization_pending", "approved", "access_denied"

_TRIES = 5
_LOGIN = json_codec(AuthCode)


class WrongCode(Exception):
    """What the browser came back with fits no device that waits."""


@attrs.frozen(eq=False)
class Devices:
    """Begins and ends device logins.

    ``lifetime`` is of both codes; ``callback`` is the redirect URI that brings the
    browser back to us.
    """

    storage: Storage
    lifetime: timedelta
    callback: str
    now: Callable[[], datetime]

    async def begin(
        self,
        client: Client,
        scopes: tuple[str, ...],
        pkce: PKCE,
        extras: Extras = NO_EXTRAS,
    ) -> DeviceRequest:
        """Store a new pair of codes and return the request.

        *extras* are for the login that follows.
        """
        for _ in range(_TRIES):
            request = DeviceRequest(
                user_code=new_user_code(),
                device_code=new_device_code(supplemented=extras != NO_EXTRAS),
                client_id=client.id,
                scopes=scopes,
                expiry=self.now() + self.lifetime,
            )
            try:
                await self._store(request, pkce, extras)
            except AlreadyExists:
                continue  # somebody has the same user code just now
            return request
        raise TemporarilyUnavailable("Too many devices are waiting. Try again later.")

    async def _store(self, request: DeviceRequest, pkce: PKCE, extras: Extras) -> None:
        token = DeviceToken(
            device_code=request.device_code,
            status=PENDING,
            token=request.client_id,
            expiry=request.expiry,
            last_request=self.now(),
            pkce=pkce,
        )

        async def both(collections: Collections) -> None:
            await collections.device_requests.create(request)
            await collections.device_tokens.create(token)
            if is_supplemented(request.device_code):
                await collections.supplements.create(
                    Supplement(request.device_code, extras, request.expiry)
                )

        await self.storage.unit(both)

    async def find(self, user_code: str) -> DeviceRequest | None:
        """Return the request *user_code* stands for, unless it has expired."""
        request = await self.storage.device_requests.find(user_code)
        if request is None or request.expiry < self.now():
            return None
        return request

    async def asked(self, request: DeviceRequest) -> Extras:
        """Return what the device asked for beyond dex's record."""
        try:
            return await extras_of(self.storage, request.device_code)
        except NotFound:
            return NO_EXTRAS  # swept a moment ago, as the request will be

    async def approve(self, user_code: str, code_id: str) -> DeviceRequest:
        """Give the login behind the authorization code to the device that waits.

        Raises :class:`WrongCode`.  Of many that try, one succeeds.
        """

        async def give(collections: Collections) -> DeviceRequest:
            request = await collections.device_requests.get(user_code)
            login = await collections.auth_codes.get(code_id)
            self._check(request, login)
            await self._keep_supplement(collections, code_id, request)
            # The verbs that decide: each of the codes is good for one login.
            await collections.auth_codes.take(code_id)
            await collections.device_requests.take(user_code)
            await self._end(collections, request, APPROVED, login)
            return request

        try:
            return await self.storage.unit(give)
        except NotFound:
            raise WrongCode from None

    async def deny(self, user_code: str) -> None:
        """Let the device know that its user said no; raises :class:`WrongCode`."""

        async def refuse(collections: Collections) -> None:
            request = await collections.device_requests.take(user_code)
            await self._end(collections, request, DENIED)

        try:
            await self.storage.unit(refuse)
        except NotFound:
            raise WrongCode from None

    async def _keep_supplement(
        self, collections: Collections, code_id: str, request: DeviceRequest
    ) -> None:
        """Let what supplements the code live as long as the device may ask for it."""
        if is_supplemented(code_id):
            await collections.supplements.update(
                code_id, change=lambda old: attrs.evolve(old, expiry=request.expiry)
            )

    def _check(self, request: DeviceRequest, login: AuthCode) -> None:
        now = self.now()
        if (
            login.client_id != request.client_id
            or login.nonce != request.user_code
            or login.redirect_uri != self.callback
            or login.expiry < now
            or request.expiry < now
        ):
            raise WrongCode

    async def _end(
        self,
        collections: Collections,
        request: DeviceRequest,
        status: str,
        login: AuthCode | None = None,
    ) -> None:
        text = request.client_id
        if login is not None:
            # The nonce was ours; it is not for the ID token.
            text = text_of(attrs.evolve(login, nonce=""))

        def end(old: DeviceToken) -> DeviceToken:
            if old.status != PENDING or old.expiry < self.now():
                raise WrongCode
            return attrs.evolve(old, status=status, token=text)

        await collections.device_tokens.update(request.device_code, change=end)


def text_of(login: AuthCode) -> str:
    """Return *login* as an approved record holds it."""
    return _LOGIN.encode(login).decode()


def login_of(record: DeviceToken) -> AuthCode:
    """Return the login that an approved *record* holds."""
    login: AuthCode = _LOGIN.decode(record.token)
    return login


def client_of(record: DeviceToken) -> str:
    """Return the id of the client *record* belongs to; "" if dex has made it."""
    return login_of(record).client_id if record.status == APPROVED else record.token


def polled(record: DeviceToken, now: datetime) -> tuple[DeviceToken, bool]:
    """Return the pending *record* after its device has asked at *now*, and if too soon.

    Who asks too soon has to wait longer, and goes on doing so (RFC 8628 section 3.5).
    The first poll may come at once.
    """
    interval = record.poll_interval_seconds
    too_soon = now < record.last_request + timedelta(seconds=interval)
    interval = max(interval + INTERVAL if too_soon else interval, INTERVAL)
    asked = attrs.evolve(record, last_request=now, poll_interval_seconds=interval)
    return asked, too_soon
