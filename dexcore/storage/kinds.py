"""The record kinds, as data: what a storage plugin needs to know of each."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import attrs

from . import records

R = TypeVar("R")


@attrs.frozen
class Kind(Generic[R]):
    """One kind of record.

    ``name`` is dex's name of it (its SQL table), ``collection`` the attribute of
    :class:`~dexcore.storage.Collections`, ``key`` the fields that identify a record (no
    field: there is one record), ``folded`` whether keys compare in lower case,
    ``expiry`` the fields of which the earliest ends the record's life, and ``own``
    whether the kind is ours, unknown to dex: a storage keeps those outside dex's
    tables, with the codec of :mod:`dexcore.storage.codec` or its own.
    """

    name: str
    collection: str
    record: type[R]
    key: tuple[str, ...]
    folded: bool = False
    expiry: tuple[str, ...] = ()
    own: bool = False

    def key_of(self, record: R) -> tuple[str, ...]:
        """Return the key *record* is found by."""
        return self.fold(tuple(getattr(record, field) for field in self.key))

    def fold(self, key: tuple[str, ...]) -> tuple[str, ...]:
        """Return *key* as it is compared."""
        return tuple(part.lower() for part in key) if self.folded else key


KINDS: tuple[Kind[Any], ...] = (
    Kind("client", "clients", records.Client, ("id",)),
    Kind(
        "auth_request",
        "auth_requests",
        records.AuthRequest,
        ("id",),
        expiry=("expiry",),
    ),
    Kind("auth_code", "auth_codes", records.AuthCode, ("id",), expiry=("expiry",)),
    Kind("refresh_token", "refresh_tokens", records.RefreshToken, ("id",)),
    Kind("password", "passwords", records.Password, ("email",), folded=True),
    Kind("keys", "keys", records.Keys, ()),
    Kind(
        "offline_session",
        "offline_sessions",
        records.OfflineSessions,
        ("user_id", "conn_id"),
    ),
    Kind("connector", "connectors", records.Connector, ("id",)),
    Kind(
        "device_request",
        "device_requests",
        records.DeviceRequest,
        ("user_code",),
        expiry=("expiry",),
    ),
    Kind(
        "device_token",
        "device_tokens",
        records.DeviceToken,
        ("device_code",),
        expiry=("expiry",),
    ),
    Kind(
        "user_identity",
        "user_identities",
        records.UserIdentity,
        ("user_id", "connector_id"),
    ),
    Kind(
        "auth_session",
        "auth_sessions",
        records.AuthSession,
        ("id",),
        expiry=("absolute_expiry", "idle_expiry"),
    ),
    Kind("shared_secret", "shared_secrets", records.SharedSecret, ("name",), own=True),
    Kind("upcoming_key", "upcoming_keys", records.UpcomingKey, ("slot",), own=True),
    Kind(
        "spent_code",
        "spent_codes",
        records.SpentCode,
        ("id",),
        expiry=("expiry",),
        own=True,
    ),
    Kind(
        "revocation",
        "revocations",
        records.Revocation,
        ("id",),
        expiry=("expiry",),
        own=True,
    ),
    Kind(
        "parked_form",
        "parked_forms",
        records.ParkedForm,
        ("id",),
        expiry=("expiry",),
        own=True,
    ),
    Kind("replay", "replays", records.Replay, ("id",), expiry=("expiry",), own=True),
    Kind(
        "supplement",
        "supplements",
        records.Supplement,
        ("id",),
        expiry=("expiry",),
        own=True,
    ),
    Kind(
        "registered_client",
        "registered_clients",
        records.RegisteredClient,
        ("id",),
        expiry=("expiry",),
        own=True,
    ),
)

_BY_RECORD = {kind.record: kind for kind in KINDS}


def kind_of(record: type[R]) -> Kind[R]:
    """Return the kind whose records are of class *record*."""
    return _BY_RECORD[record]
