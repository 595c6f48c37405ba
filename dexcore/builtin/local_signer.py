"""``signer: {type: local}``: keys of our own, kept in the storage, rotated.

Two records hold the keys.  dex's says which key signs and which still verify; ours, the
*slot*, holds the key that comes next.  The life of a key:

1. It is made, put into the slot, and from then on published.  Its public half is also
   put into dex's record, so that dex publishes it too.
2. Once it has been published for as long as clients may keep an old key set, and the
   one before is old enough, it signs.  One compare-and-swap of dex's record decides, so
   of many replicas one rotates, and the others read what it did.
3. When the next one signs, it still verifies until the last token it signed expires.

Each step looks at the records as they are, so a rotation that was cut short anywhere
goes on at the next look.
"""

from __future__ import annotations

import asyncio
import logging

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import attrs

from .. import hookimpl, jose
from ..errors import AlreadyExists, PluginError
from ..jose import KeySet, SigningKey
from ..options import InvalidOption, option
from ..signer import JWKS_MAX_AGE, Signer, SignerContext, SignerType
from ..storage import ZERO_TIME, Keys, UpcomingKey, VerificationKey
from .turns import Turns

__all__ = ["PUBLISHED_AHEAD", "Config", "LocalSigner", "open_local_signer"]

#: How often the storage is asked what other replicas have done.
POLL = timedelta(seconds=10)

#: How long a key is published before it signs.  A replica learns of it one poll late,
#: or two if one fails; until then clients fetch key sets without it, and keep them.
PUBLISHED_AHEAD = timedelta(seconds=JWKS_MAX_AGE) + 2 * POLL

# Another replica may sign with the old key until its next poll, and clocks differ.
_SLACK = timedelta(seconds=60)

# RSA signatures per turn of the event loop: the two of one answer, half a millisecond.
_AT_ONCE = 2

Algorithm = Literal["RS256", "ES256", "EdDSA"]

_SLOT = "next"
_MARGIN = timedelta(days=1)


@attrs.frozen
class Config:
    """``signer.config``."""

    keys_rotation_period: timedelta = option(
        timedelta(hours=6),
        key="keysRotationPeriod",
        help="How long a key signs; at least the eleven minutes the next is published "
        "before.",
    )
    algorithm: Algorithm = option(
        "RS256",
        help="What new keys are for; a change shows at the next rotation. dex itself "
        "signs with RS256 and ES256 only.",
    )

    def __attrs_post_init__(self) -> None:
        if self.keys_rotation_period <= timedelta(0):
            raise InvalidOption(
                "keysRotationPeriod is not positive",
                key="keysRotationPeriod",
                remedy="Write how long a key signs, such as 6h.",
            )


@attrs.frozen
class _Published:
    """What this replica signs with and serves, and the records it was made from."""

    signing: SigningKey
    key_set: KeySet
    kids: tuple[str, ...]


@attrs.define(eq=False)
class LocalSigner(Signer):
    """Signs with the keys in the storage.  :meth:`open` it first."""

    config: Config
    context: SignerContext
    _published: _Published | None = attrs.field(default=None, init=False)
    _due: datetime = attrs.field(default=ZERO_TIME, init=False)
    _next: SigningKey | None = attrs.field(default=None, init=False)
    _looked: bool = attrs.field(default=False, init=False)
    _refreshing: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    _turns: Turns = attrs.field(factory=lambda: Turns(_AT_ONCE), init=False)

    @property
    def key_set(self) -> KeySet:
        """The keys as they are now."""
        return self._now_published().key_set

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Those of the keys, and those the configuration may be changed to."""
        return tuple(dict.fromkeys((*self.key_set.algorithms, *get_args(Algorithm))))

    async def open(self) -> None:
        """Load the keys; make the first one if there is none.

        Raises ``StorageError``, or ``PluginError`` if the stored key cannot be used.
        """
        keys = await self._keys()
        slot = await self.context.storage.upcoming_keys.find(_SLOT)
        try:
            await self._publish(keys, slot)
        except ValueError as error:
            raise PluginError(str(error)) from error

    async def sign(self, payload: bytes, *, typ: str | None = None) -> str:
        """Return *payload* as a compact JWS by the current key."""
        key = self._now_published().signing
        if key.slow:
            # By the same key afterwards, though another may sign by then: at_hash is
            # for this one's algorithm.
            await self._turns.mine()
        return key.sign(payload, typ)

    async def run(self) -> None:
        """Refresh until cancelled.  What fails is logged and tried again."""
        while True:
            try:
                await self.refresh()
            except Exception as error:
                self._log.warning("cannot refresh the signing keys: %r", error)
            await asyncio.sleep(self._pause())
            # Not before: the first answers need the processor more.
            await asyncio.to_thread(jose.warm_up)

    async def refresh(self) -> None:
        """See what other replicas have done, and do what is due.

        Raises ``StorageError``; the keys then stay as they were.
        """
        async with self._refreshing:
            await self._refresh(force=False)

    async def rotate(self) -> None:
        """Let the next key sign now, however short it has been published."""
        async with self._refreshing:
            await self._refresh(force=True)

    # — One look -----------------------------------------------------------------------

    async def _refresh(self, *, force: bool) -> None:
        # The slot first: a key that leaves it in between is then in the other record.
        found = await self.context.storage.upcoming_keys.find(_SLOT)
        keys = await self._keys()
        slot = await self._slot(found, keys)
        if force or self._is_due(keys, slot):
            keys = await self._promote(keys, await self._load(slot), force=force)
            await self._publish(keys, slot)
            slot = await self._slot(slot, keys)
        keys = await self._announce(keys, slot)
        await self._publish(keys, slot)
        self._looked = True

    async def _keys(self) -> Keys:
        """Return dex's record; make the first key if there is none.

        The first key signs at once: nobody can have kept a key set of before.
        """
        found = await self.context.storage.keys.find()
        if found is not None and found.signing_key:
            return found
        jwk = await asyncio.to_thread(jose.generate, self.config.algorithm)
        first = Keys(
            signing_key=jwk,
            signing_key_pub=jose.public(jwk),
            next_rotation=self.context.now() + self.config.keys_rotation_period,
        )

        def change(old: Keys) -> Keys:
            if old.signing_key:
                return old
            return attrs.evolve(first, verification_keys=old.verification_keys)

        return await self.context.storage.keys.update_or_create(
            change=change, first=first
        )

    async def _slot(self, found: UpcomingKey | None, keys: Keys) -> UpcomingKey:
        """Return the slot as *found*, or with a new key where it needs one."""
        if found is None or await self._is_stale(found, keys):
            return await self._fill_slot(found)
        return found

    async def _is_stale(self, slot: UpcomingKey, keys: Keys) -> bool:
        """Say whether the key in the slot cannot be the next."""
        kid = _kid(slot.private_key)
        if kid == _kid(keys.signing_key):
            return True
        # While dex ran alone on this storage it may have stopped publishing our key.
        if self._is_published_long_enough(slot) and not self._is_announced(kid, keys):
            return True
        try:
            key = await self._load(slot)
        except ValueError as error:
            self._log.error("the next signing key is replaced: %s", error)
            return True
        # Only at the start, or two replicas with different configurations would replace
        # each other's key for ever.
        return not self._looked and key.algorithm != self.config.algorithm

    async def _load(self, slot: UpcomingKey) -> SigningKey:
        if self._next is None or self._next.kid != _kid(slot.private_key):
            self._next = await asyncio.to_thread(SigningKey.load, slot.private_key)
        return self._next

    def _is_due(self, keys: Keys, slot: UpcomingKey) -> bool:
        return (
            self.context.now() >= keys.next_rotation
            and self._is_published_long_enough(slot)
            and self._is_announced(_kid(slot.private_key), keys)
        )

    def _is_published_long_enough(self, slot: UpcomingKey) -> bool:
        return self.context.now() >= slot.published_at + PUBLISHED_AHEAD

    def _is_announced(self, kid: str, keys: Keys) -> bool:
        now = self.context.now()
        return any(
            kid == _kid(one.public_key) and one.expiry > now
            for one in keys.verification_keys
        )

    async def _promote(self, keys: Keys, key: SigningKey, *, force: bool) -> Keys:
        """Let *key* sign instead of the one in *keys*, unless somebody was faster."""
        now, before = self.context.now(), _kid(keys.signing_key)
        retires = now + self.context.token_lifetime + _SLACK

        def change(old: Keys) -> Keys:
            too_early = now < old.next_rotation and not force
            if _kid(old.signing_key) != before or too_early:
                return old
            return Keys(
                signing_key=key.private,
                signing_key_pub=key.public,
                verification_keys=(
                    *(
                        one
                        for one in old.verification_keys
                        if one.expiry > now
                        and _kid(one.public_key) not in (before, key.kid)
                    ),
                    VerificationKey(_public_half(old), retires),
                ),
                next_rotation=now + self.config.keys_rotation_period,
            )

        stored = await self.context.storage.keys.update(change=change)
        if _kid(stored.signing_key) == key.kid:
            self._log.info("keys rotated: %s signs", key.kid)
        return stored

    async def _fill_slot(self, seen: UpcomingKey | None) -> UpcomingKey:
        """Put a new key where *seen* was, unless somebody was faster."""
        jwk = await asyncio.to_thread(jose.generate, self.config.algorithm)
        made = UpcomingKey(_SLOT, jwk, self.context.now())
        slots = self.context.storage.upcoming_keys
        if seen is None:
            try:
                await slots.create(made)
            except AlreadyExists:
                return await slots.get(_SLOT)
            return made
        used = _kid(seen.private_key)
        return await slots.update(
            _SLOT, change=lambda old: made if _kid(old.private_key) == used else old
        )

    async def _announce(self, keys: Keys, slot: UpcomingKey) -> Keys:
        """Put the next public key into dex's record, so that dex publishes it too."""
        now, kid = self.context.now(), _kid(slot.private_key)
        expiry = now + self.config.keys_rotation_period + self.context.token_lifetime
        announced = VerificationKey(jose.public(slot.private_key), expiry + _MARGIN)

        def change(old: Keys) -> Keys:
            if kid == _kid(old.signing_key) or any(
                kid == _kid(one.public_key) and one.expiry > now + PUBLISHED_AHEAD
                for one in old.verification_keys
            ):
                return old
            others = (
                one for one in old.verification_keys if _kid(one.public_key) != kid
            )
            return attrs.evolve(old, verification_keys=(*others, announced))

        if change(keys) is keys:
            return keys
        return await self.context.storage.keys.update(change=change)

    # — What this replica shows --------------------------------------------------------

    async def _publish(self, keys: Keys, slot: UpcomingKey | None) -> None:
        """Swap what is published for what the records say now; ``ValueError``."""
        now = self.context.now()
        alive = [one for one in keys.verification_keys if one.expiry > now]
        others = [one.public_key for one in alive]
        if slot is not None:
            others.insert(0, jose.public(slot.private_key))
        kids = tuple(map(_kid, (keys.signing_key, *others)))
        self._due = self._next_event(keys, slot, alive)
        if self._published is None or self._published.kids != kids:
            self._published = await asyncio.to_thread(
                _load_all, self._published, keys.signing_key or {}, others, kids
            )

    def _next_event(
        self, keys: Keys, slot: UpcomingKey | None, alive: list[VerificationKey]
    ) -> datetime:
        rotation = keys.next_rotation
        if slot is not None:
            rotation = max(rotation, slot.published_at + PUBLISHED_AHEAD)
        return min([rotation, *(one.expiry for one in alive)])

    def _pause(self) -> float:
        """Return how many seconds to sleep: until something is due, a poll at most."""
        left = (self._due - self.context.now()).total_seconds()
        # Never less than a second: what is due may have failed.
        return min(max(left, 1.0), POLL.total_seconds())

    def _now_published(self) -> _Published:
        if self._published is None:
            raise PluginError("The signer is not open.")
        return self._published

    @property
    def _log(self) -> logging.Logger:
        return self.context.log


def _load_all(
    before: _Published | None,
    signing_jwk: Mapping[str, Any],
    others: list[Mapping[str, Any]],
    kids: tuple[str, ...],
) -> _Published:
    signing = (
        before.signing
        if before is not None and before.signing.kid == kids[0]
        else SigningKey.load(signing_jwk)
    )
    return _Published(signing, KeySet.of(signing, others), kids)


def _kid(jwk: Mapping[str, Any] | None) -> str:
    return str((jwk or {}).get("kid", ""))


def _public_half(keys: Keys) -> dict[str, Any]:
    return jose.public(keys.signing_key_pub or keys.signing_key or {})


async def open_local_signer(config: Config, context: SignerContext) -> LocalSigner:
    """Open the signer on the storage of *context*."""
    signer = LocalSigner(config, context)
    await signer.open()
    return signer


@hookimpl
def dex_signer_types() -> list[SignerType[Config]]:
    """Offer ``local``."""
    return [SignerType("local", Config, open_local_signer)]
