"""A refresh token becomes new tokens (RFC 6749 section 6).

The upstream connector is asked before the transaction, never inside it; then one
compare-and-swap decides who has rotated the token.
"""

from __future__ import annotations

import asyncio

from typing import ClassVar
from weakref import WeakValueDictionary

import attrs

from ...connector import Identity, RefreshConnector
from ...errors import (
    AccessDenied,
    InvalidGrant,
    InvalidScope,
    NotFound,
)
from ...oauth2 import scopes as oauth2_scopes
from ...oauth2 import subjects
from ...oauth2.extras import Extras
from ...oauth2.grant_types import REFRESH_TOKEN
from ...oauth2.ids import is_supplemented
from ...oauth2.words import quote_all
from ...storage import (
    ZERO_TIME,
    Claims,
    Client,
    Collections,
    OfflineSessions,
    RefreshToken,
    RefreshTokenRef,
    Storage,
)
from ..audit import Audit
from ..connectors import OpenConnector, guarded
from ..identity import claims_of, identity_of, user_told, wanted
from ..policy import NotAllowed, Policy
from ..sessions.bound import TokenSessions
from ..tokens.authorization import Authorization, family_of
from ..tokens.refresh import RefreshTokens, extras_of, superseded, wire
from .grant import Form, Grant, Sender, required

_WRONG = "Refresh token is invalid or has already been claimed by another client."
_TRIES = 5


class _Overtaken(Exception):
    """Another replica has rotated the token since we read it."""


@attrs.frozen(eq=False)
class RefreshTokenGrant(Grant):
    """Rotation with reuse detection (RFC 9700 section 4.14.2)."""

    grant_type: ClassVar = REFRESH_TOKEN
    attended: ClassVar = True  # when the first of the family was issued

    storage: Storage
    policy: Policy
    refresh_tokens: RefreshTokens
    audit: Audit
    sessions: TokenSessions | None = None
    # Requests of one family wait for each other here, so that the upstream provider is
    # asked once; across replicas the compare-and-swap decides alone.
    _turns: WeakValueDictionary[str, asyncio.Lock] = attrs.field(
        factory=WeakValueDictionary, init=False
    )

    async def authorize(
        self, form: Form, client: Client, sender: Sender
    ) -> Authorization:
        """Trade the refresh token."""
        refresh_id, secret = subjects.decode_refresh(required(form, "refresh_token"))
        turn = self._turns.setdefault(refresh_id, asyncio.Lock())
        async with turn:
            return await self._traded(refresh_id, secret, client, form, sender)

    async def _traded(
        self, refresh_id: str, secret: str, client: Client, form: Form, sender: Sender
    ) -> Authorization:
        """Return what the record stands for: rotated, or as it was in the interval."""
        for _ in range(_TRIES):
            record, session, extras = await self._read(refresh_id)
            self._check(record, client)
            if superseded(record, session):
                raise InvalidGrant(_WRONG)
            # For this answer only: the token stays good for all that was granted.
            asked = self.policy.resources.narrowed(extras, form)
            before = _authorization(record, client, form, asked, sender)
            standing = self.refresh_tokens.standing(record, secret)
            if standing == "stolen":
                await self._revoke(record)
            if standing not in ("current", "repeat"):
                raise InvalidGrant(_WRONG)
            if self.sessions is not None:
                origin = await self.sessions.origin(record, session, client)
                before = attrs.evolve(
                    before,
                    session_id=origin.session_id,
                    auth_time=origin.auth_time,
                )
            opened = await self._connector(record, client)
            # Before the token is spent on an answer that is a refusal.
            allowed = await self.allowed(before, self.storage)
            if standing == "repeat":
                return allowed
            identity = await _ask_upstream(opened, record, session, extras)
            fresh = _fresh_extras(record, identity, extras)
            try:
                record = await self._rotate(record, identity, fresh, extras)
            except (_Overtaken, NotFound):
                continue
            return attrs.evolve(
                allowed,
                claims=record.claims,
                refresh_token=wire(record),
                extras=self.policy.resources.narrowed(fresh, form),
            )
        raise InvalidGrant(_WRONG)

    async def _read(
        self, refresh_id: str
    ) -> tuple[RefreshToken, OfflineSessions | None, Extras]:
        async def all_of_it(
            collections: Collections,
        ) -> tuple[RefreshToken, OfflineSessions | None, Extras]:
            record = await collections.refresh_tokens.get(refresh_id)
            session = await collections.offline_sessions.find(
                record.claims.user_id, record.connector_id
            )
            return record, session, await extras_of(collections, refresh_id)

        try:
            return await self.storage.view(all_of_it)
        except NotFound:
            raise InvalidGrant(_WRONG) from None

    def _check(self, record: RefreshToken, client: Client) -> None:
        if record.client_id != client.id:
            raise InvalidGrant(_WRONG)
        if self.refresh_tokens.policy.expired(record, self.refresh_tokens.now()):
            raise InvalidGrant("Refresh token expired.")

    async def _revoke(self, record: RefreshToken) -> None:
        self.audit.record(
            "refresh reuse",
            client_id=record.client_id,
            connector_id=record.connector_id,
            user_id=record.claims.user_id,
        )
        await self.refresh_tokens.revoke_family(record)

    async def _connector(self, record: RefreshToken, client: Client) -> OpenConnector:
        try:
            return await self.policy.connector(
                client, record.connector_id, self.grant_type
            )
        except NotAllowed as refused:
            raise InvalidGrant(str(refused)) from None

    async def _rotate(
        self,
        record: RefreshToken,
        identity: Identity | None,
        extras: Extras,
        before: Extras,
    ) -> RefreshToken:
        fresh = attrs.evolve(
            self.refresh_tokens.rotated(record),
            claims=_refreshed(record.claims, identity),
        )
        data = identity.connector_data if identity else b""

        def rotate(old: RefreshToken) -> RefreshToken:
            if old.token != record.token or old.last_used != record.last_used:
                raise _Overtaken
            return fresh

        def note(old: OfflineSessions) -> OfflineSessions:
            ref = old.refresh.get(record.client_id)
            if ref is not None and ref.id != record.id:
                return old
            ref = ref or RefreshTokenRef(record.id, record.client_id, record.created_at)
            ref = attrs.evolve(ref, last_used=fresh.last_used)
            return attrs.evolve(
                old,
                refresh={**old.refresh, record.client_id: ref},
                connector_data=data or old.connector_data,
            )

        async def both(collections: Collections) -> RefreshToken:
            stored = await collections.refresh_tokens.update(record.id, change=rotate)
            user = (record.claims.user_id, record.connector_id)
            # There is none if a write was cut long ago: then this heals it.
            await collections.offline_sessions.update_or_create(
                *user, change=note, first=note(OfflineSessions(*user))
            )
            if extras != before:
                await collections.supplements.update(
                    record.id, change=lambda old: attrs.evolve(old, extras=extras)
                )
            return stored

        return await self.storage.unit(both)


def _authorization(
    record: RefreshToken, client: Client, form: Form, extras: Extras, sender: Sender
) -> Authorization:
    return Authorization(
        client=client,
        claims=record.claims,
        scopes=_narrowed(record, form.get("scope", "")),
        connector_id=record.connector_id,
        nonce=record.nonce,
        auth_time=ZERO_TIME,
        family=family_of(record.id),
        refresh_token=wire(record),
        always_identify=True,
        extras=extras,
        jkt=sender.jkt,
    )


async def _ask_upstream(
    opened: OpenConnector,
    record: RefreshToken,
    session: OfflineSessions | None,
    extras: Extras,
) -> Identity | None:
    connector = opened.connector
    if not isinstance(connector, RefreshConnector):
        return None
    data = record.connector_data
    if session is not None and session.connector_data:
        data = session.connector_data
    try:
        return await guarded(
            opened,
            connector.refresh(
                wanted(record.scopes, extras), identity_of(record.claims, data, extras)
            ),
        )
    except AccessDenied as refusal:
        raise InvalidGrant(
            refusal.description or "The user may not log in any more."
        ) from None


def _refreshed(old: Claims, identity: Identity | None) -> Claims:
    """Return what upstream says now; the user id never changes."""
    if identity is None:
        return old
    return attrs.evolve(claims_of(identity), user_id=old.user_id)


def _fresh_extras(
    record: RefreshToken, identity: Identity | None, extras: Extras
) -> Extras:
    """Return what upstream says now beyond dex's record, if there is a place for it.

    How the end user had logged in stays (OpenID Connect Core section 12.2).
    """
    if identity is None or not is_supplemented(record.id):
        return extras
    return attrs.evolve(extras, user=user_told(identity, record.scopes, extras))


def _narrowed(record: RefreshToken, asked: str) -> tuple[str, ...]:
    """Return the scopes of this answer: all, or fewer (RFC 6749 section 6)."""
    scopes = oauth2_scopes.parse(asked)
    if not scopes:
        return record.scopes
    extra = [scope for scope in scopes if scope not in record.scopes]
    if extra:
        raise InvalidScope(
            f"Requested scopes contain unauthorized scope(s): {quote_all(extra)}."
        )
    return scopes
