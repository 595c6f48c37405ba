"""Refresh tokens: made, rotated, revoked by family (RFC 6749 section 6, RFC 9700 4.14).

A refresh token is an id and a secret.  The secret carries a MAC over itself and the id,
so that an old secret of a family can be told from one that was never issued, without
keeping a list.
"""

from __future__ import annotations

import hmac

from base64 import b32decode, b32encode
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

import attrs

from ...errors import NotFound
from ...oauth2 import subjects
from ...oauth2.extras import NO_EXTRAS, Extras
from ...oauth2.ids import derived_id, is_supplemented, random_bytes
from ...storage import (
    AuthCode,
    Collections,
    OfflineSessions,
    RefreshToken,
    RefreshTokenRef,
    Storage,
    Supplement,
)
from .authorization import family_of
from .revocations import Revocations

_RANDOM, _MAC = 20, 15  # bytes: 56 characters together

#: Without a reuse interval, a predecessor that comes this soon after its rotation has
#: lost a race against a sibling process; later it may be a thief.
LOST_RACE = timedelta(seconds=10)

# A supplement goes with its token; this is for those that dex has deleted.
_LONGEST = timedelta(days=3650)

Standing = Literal["current", "repeat", "lost", "stolen", "unknown"]


@attrs.frozen
class RefreshPolicy:
    """``expiry.refreshTokens``; a zero duration is off."""

    rotate: bool = True
    reuse_interval: timedelta = timedelta(0)
    absolute_lifetime: timedelta = timedelta(0)
    idle_lifetime: timedelta = timedelta(0)

    def expired(self, record: RefreshToken, now: datetime) -> bool:
        """Return whether *record* is too old, or was not used for too long."""
        return (
            bool(self.absolute_lifetime)
            and now > record.created_at + self.absolute_lifetime
        ) or (bool(self.idle_lifetime) and now > record.last_used + self.idle_lifetime)

    def repeats(self, record: RefreshToken, now: datetime) -> bool:
        """Return whether *now* is within the reuse interval of the last rotation."""
        return bool(self.reuse_interval) and now <= (
            record.last_used + self.reuse_interval
        )


@attrs.frozen(eq=False)
class RefreshSecrets:
    """Makes secrets, and knows its own."""

    key: bytes = attrs.field(repr=False)

    def new(self, refresh_id: str) -> str:
        """Return a secret for the refresh token *refresh_id*."""
        return self._spelled(refresh_id, random_bytes(_RANDOM))

    def made(self, refresh_id: str, secret: str) -> bool:
        """Return whether *secret* was ever issued for *refresh_id*."""
        try:
            raw = b32decode(secret.upper())
        except ValueError:
            return False
        # Exactly as it was issued: one value has one spelling.
        again = self._spelled(refresh_id, raw[:_RANDOM])
        return hmac.compare_digest(again.encode(), secret.encode())

    def _spelled(self, refresh_id: str, noise: bytes) -> str:
        mac = hmac.digest(self.key, refresh_id.encode() + b"|" + noise, "sha256")
        return b32encode(noise + mac[:_MAC]).decode().lower()


@attrs.frozen(eq=False)
class RefreshTokens:
    """The life of refresh tokens; ``lifetime`` is of the tokens they are traded for."""

    storage: Storage
    secrets: RefreshSecrets
    policy: RefreshPolicy
    revocations: Revocations
    lifetime: timedelta
    now: Callable[[], datetime]

    def standing(self, record: RefreshToken, secret: str) -> Standing:
        """Return what *secret* is to *record*.

        ``current``: trade it.  ``repeat``: within the reuse interval, so the same
        successor again.  ``lost``: a race; refuse.  ``stolen``: an old one; revoke the
        family.  ``unknown``: never issued; refuse.
        """
        now = self.now()
        if _same(secret, record.token):
            repeat = self.policy.rotate and self.policy.repeats(record, now)
            return "repeat" if repeat else "current"
        if record.obsolete_token and _same(secret, record.obsolete_token):
            if self.policy.repeats(record, now):
                return "repeat"
            if not self.policy.reuse_interval and now <= record.last_used + LOST_RACE:
                return "lost"
            return "stolen"
        return "stolen" if self.secrets.made(record.id, secret) else "unknown"

    def rotated(self, record: RefreshToken) -> RefreshToken:
        """Return *record* after it has been used."""
        if not self.policy.rotate:
            return attrs.evolve(record, last_used=self.now(), connector_data=b"")
        return attrs.evolve(
            record,
            token=self.secrets.new(record.id),
            obsolete_token=record.token,
            last_used=self.now(),
            connector_data=b"",
        )

    def made_from(self, code: AuthCode, extras: Extras = NO_EXTRAS) -> RefreshToken:
        """Return a new refresh token for what *code* stands for, not stored yet.

        *extras* are what will supplement it.
        """
        refresh_id = refresh_id_for(code.id, supplemented=extras != NO_EXTRAS)
        now = self.now()
        return RefreshToken(
            id=refresh_id,
            client_id=code.client_id,
            token=self.secrets.new(refresh_id),
            created_at=now,
            last_used=now,
            connector_id=code.connector_id,
            connector_data=code.connector_data,
            claims=code.claims,
            scopes=code.scopes,
            nonce=code.nonce,
        )

    def supplement(self, record: RefreshToken, extras: Extras) -> Supplement | None:
        """Return what must be stored beside *record*, if anything."""
        if not is_supplemented(record.id):
            return None
        lifetime = self.policy.absolute_lifetime or _LONGEST
        return Supplement(record.id, extras, record.created_at + lifetime)

    async def revoke_family(self, record: RefreshToken) -> None:
        """Revoke the refresh token and every token that came of it."""
        # The record goes last: when this is cut short, whoever asks again still finds
        # it, and all of this happens.
        await self.revocations.revoke(family_of(record.id), self._over())
        await self.storage.unit(partial(forget, record=record))

    def _over(self) -> datetime:
        return self.now() + self.lifetime + timedelta(minutes=1)


def refresh_id_for(code_id: str, *, supplemented: bool = False) -> str:
    """Return the id of the refresh token that comes of a code, if one does.

    It is known from the start, so that tokens that go with the code already belong to
    the family; which does not depend on whether it will be *supplemented*.
    """
    return derived_id(f"refresh|{code_id}", supplemented=supplemented)


def superseded(record: RefreshToken, session: OfflineSessions | None) -> bool:
    """Return whether a later login of the user with the client replaced *record*.

    It has been removed then, unless the storage has no transactions and that login was
    cut in the middle.
    """
    ref = session.refresh.get(record.client_id) if session is not None else None
    return ref is not None and ref.id != record.id


def wire(record: RefreshToken) -> str:
    """Return *record* as the client holds it: an id and a secret in one string."""
    return subjects.encode_refresh(record.id, record.token)


async def extras_of(collections: Collections, record_id: str) -> Extras:
    """Return what supplements the record with the id *record_id*.

    Raises ``NotFound`` if that is gone, though the id says that it was there.
    """
    if not is_supplemented(record_id):
        return NO_EXTRAS
    return (await collections.supplements.get(record_id)).extras


async def drop_extras(collections: Collections, record_id: str) -> None:
    """Delete what supplements a record that has been used up."""
    if is_supplemented(record_id):
        try:
            await collections.supplements.delete(record_id)
        except NotFound:
            return


async def keep(
    collections: Collections,
    record: RefreshToken,
    code: AuthCode,
    supplement: Supplement | None = None,
) -> None:
    """Store *record* in the place of the one its user had with this client before."""
    if supplement is not None:
        await collections.supplements.create(supplement)
    await collections.refresh_tokens.create(record)
    ref = RefreshTokenRef(
        record.id,
        record.client_id,
        record.created_at,
        record.last_used,
        code.session_id,
    )
    before: RefreshTokenRef | None = None

    def enter(old: OfflineSessions) -> OfflineSessions:
        nonlocal before
        before = old.refresh.get(record.client_id)
        return attrs.evolve(
            old,
            refresh={**old.refresh, record.client_id: ref},
            connector_data=code.connector_data or old.connector_data,
        )

    user = (code.claims.user_id, code.connector_id)
    first = OfflineSessions(*user, {record.client_id: ref}, code.connector_data)
    await collections.offline_sessions.update_or_create(
        *user, change=enter, first=first
    )
    if before is not None and before.id != record.id:
        await _drop(collections, before.id)


async def forget(collections: Collections, record: RefreshToken) -> None:
    """Delete *record*, and what its user's offline session knows of it."""
    await _drop(collections, record.id)

    def leave(old: OfflineSessions) -> OfflineSessions:
        ref = old.refresh.get(record.client_id)
        if ref is None or ref.id != record.id:
            return old
        return attrs.evolve(old, refresh=_without(old.refresh, record.client_id))

    try:
        await collections.offline_sessions.update(
            record.claims.user_id, record.connector_id, change=leave
        )
    except NotFound:
        return


async def _drop(collections: Collections, refresh_id: str) -> None:
    try:
        await collections.refresh_tokens.delete(refresh_id)
    except NotFound:
        return
    await drop_extras(collections, refresh_id)


def _without(
    refs: Mapping[str, RefreshTokenRef], client_id: str
) -> dict[str, RefreshTokenRef]:
    return {name: ref for name, ref in refs.items() if name != client_id}


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


__all__ = [
    "LOST_RACE",
    "RefreshPolicy",
    "RefreshSecrets",
    "RefreshTokens",
    "drop_extras",
    "extras_of",
    "forget",
    "keep",
    "refresh_id_for",
    "superseded",
    "wire",
]
