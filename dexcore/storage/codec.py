"""Records as JSON, the way dex writes it, to the byte.

:func:`json_codec` makes a codec from a type: a record, or what a column holds (a tuple
of strings, a mapping of records).  The JSON is Go's: ``<``, ``>`` and ``&`` are
escaped, an empty tuple is ``null`` unless ``None`` means something else, bytes are
base64, times are RFC 3339 with as many digits as they need, maps are sorted by key.
Reading takes ``null`` and missing members as "not set", and ignores members it does not
know.
"""

from __future__ import annotations

import base64
import operator
import types
import typing

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import attrs
import orjson

from . import records
from .kinds import Kind

T = TypeVar("T")
R = TypeVar("R")

#: Per class, field → JSON key; ``,omitempty`` leaves out zero values, as in Go: of what
#: may be ``None`` only that, unless it is a tuple.
Names = Mapping[type, Mapping[str, str]]

#: The keys of the structures inside dex's own columns and documents.
DEX_NAMES: Names = {
    records.RefreshTokenRef: {
        "id": "ID",
        "client_id": "ClientID",
        "created_at": "CreatedAt",
        "last_used": "LastUsed",
        "session_id": "SessionID",
    },
    records.ClientAuthState: {
        "authenticated_at": "AuthenticatedAt",
        "last_activity": "LastActivity",
        "last_token_issued_at": "LastTokenIssuedAt",
        "via_sso": "ViaSSO",
    },
    records.LogoutState: {
        "post_logout_redirect_uri": "PostLogoutRedirectURI",
        "state": "State",
        "client_id": "ClientID",
        "connector_id": "ConnectorID",
    },
    records.MFASecret: {
        "authenticator_id": "authenticatorID",
        "created_at": "createdAt",
        "last_used_counter": "lastUsedCounter,omitempty",
    },
    records.WebAuthnCredential: {
        "credential_id": "credentialID",
        "public_key": "publicKey",
        "attestation_type": "attestationType",
        "sign_count": "signCount",
        "clone_warning": "cloneWarning",
        "backup_eligible": "backupEligible",
        "backup_state": "backupState",
        "display_name": "displayName",
        "created_at": "createdAt",
    },
    records.VerificationKey: {"public_key": "publicKey"},
}


@attrs.frozen
class JSONCodec(Generic[T]):
    """``encode`` a value to JSON bytes; ``decode`` bytes (or text) to a value.

    ``decode`` raises :class:`ValueError` for what is not JSON or not of this shape.
    """

    encode: Callable[[T], bytes]
    decode: Callable[[bytes | str], T]


def json_codec(shape: Any, names: Names = DEX_NAMES) -> JSONCodec[Any]:
    """Return the codec of *shape*: a record class or the type of one of its fields."""
    plain, value = _converters(shape, names)
    return JSONCodec(
        lambda given: escape(orjson.dumps(plain(given))),
        lambda data: _decoded(data, value),
    )


def record_codec(kind: Kind[R]) -> JSONCodec[R]:
    """Return the codec of the records of *kind*, all fields in one document."""
    return json_codec(kind.record)


def escape(document: bytes) -> bytes:
    """Return a JSON document with the characters Go escapes escaped."""
    for character, escaped in _ESCAPES:
        if character in document:
            document = document.replace(character, escaped)
    return document


_ESCAPES = (
    (b"<", rb"\u003c"),
    (b">", rb"\u003e"),
    (b"&", rb"\u0026"),
    ("\u2028".encode(), rb"\u2028"),
    ("\u2029".encode(), rb"\u2029"),
)


# — Times ------------------------------------------------------------------------------


class PreciseTime(datetime):
    """A datetime that remembers the nanoseconds dex wrote, so that they can go back.

    ``nanosecond`` (0 to 999) comes after the microseconds; comparing and calculating
    ignore it.
    """

    nanosecond: int = 0


def rfc3339(time: datetime) -> str:
    """Return *time* as Go writes it in JSON: ``2026-08-06T12:30:45.123456789Z``."""
    if time.tzinfo is UTC and time.microsecond % 10 and type(time) is datetime:
        return time.isoformat()[:-6] + "Z"  # nothing to leave out: nine of ten times
    return time_text(time, "T")[:-6] + "Z"


def time_text(time: datetime, separator: str) -> str:
    """Return *time* in UTC with no more digits than it needs, ending in ``+00:00``."""
    if time.tzinfo is not UTC:
        time = time.astimezone(UTC) if time > records.ZERO_TIME else records.ZERO_TIME
    text = time.isoformat(separator)
    nanosecond = getattr(time, "nanosecond", 0)
    if nanosecond:
        fraction = f"{time.microsecond:06d}{nanosecond:03d}".rstrip("0")
        return f"{text[:19]}.{fraction}+00:00"
    if time.microsecond and not time.microsecond % 10:
        return text[:-6].rstrip("0") + "+00:00"
    return text


def parse_time(text: str) -> datetime:
    """Return the time in *text*, in UTC; raise :class:`ValueError`.

    Takes RFC 3339 and what SQLite holds: any separator, no zone, no seconds, only a
    date.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is not UTC:
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else _in_utc(time)
    if len(text) > _MICROSECONDS and text[19] == ".":
        return _with_nanoseconds(time, text)
    return time


_MICROSECONDS = len("2026-08-06T12:30:45.123456Z")


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        return records.ZERO_TIME


def _with_nanoseconds(time: datetime, text: str) -> datetime:
    digits = text[26:29]
    digits = digits[: len(digits) - len(digits.lstrip("0123456789"))]
    if not digits or not int(digits):
        return time
    precise = PreciseTime.combine(time.date(), time.timetz())
    precise.nanosecond = int(digits.ljust(3, "0"))
    return precise


# — Shapes -----------------------------------------------------------------------------

_Convert = Callable[[Any], Any]
_ZERO: dict[Any, Any] = {str: "", int: 0, bool: False}


def _decoded(data: bytes | str, value: _Convert) -> Any:
    try:
        return value(orjson.loads(data))
    except (ValueError, TypeError) as error:
        raise ValueError(f"This is not the expected JSON: {error}") from error


def _converters(shape: Any, names: Names) -> tuple[_Convert, _Convert]:
    """Return how *shape* becomes what orjson writes, and how it comes back."""
    if shape is datetime:
        return rfc3339, _time
    if shape is bytes:
        return lambda data: base64.b64encode(data).decode(), _bytes
    if attrs.has(shape):
        return _record(shape, names)
    origin, of = typing.get_origin(shape), typing.get_args(shape)
    if origin in (types.UnionType, typing.Union):
        return _optional(of, names)
    if origin is tuple:
        return _sequence(of[0], names)
    if origin is Mapping:
        return _mapping(of[1], names)
    return _same, _scalar(shape)


def _same(value: Any) -> Any:
    return value


def _scalar(shape: type[Any]) -> _Convert:
    zero = _ZERO[shape]

    def to_value(data: Any) -> Any:
        if type(data) is shape:
            return data
        return zero if data is None else _refuse(data, shape)

    return to_value


def _list(data: Any) -> list[Any]:
    if type(data) is list:
        return data
    return [] if data is None else _refuse(data, list)


def _dict(data: Any) -> dict[str, Any]:
    if type(data) is dict:
        return data
    return {} if data is None else _refuse(data, dict)


def _refuse(data: Any, shape: type[T]) -> T:
    raise TypeError(f"{type(data).__name__} instead of {shape.__name__}")


def _time(data: str | None) -> datetime:
    return records.ZERO_TIME if data is None else parse_time(data)


def _bytes(data: str | None) -> bytes:
    return base64.b64decode(data) if data else b""


def _optional(of: tuple[Any, ...], names: Names) -> tuple[_Convert, _Convert]:
    (shape,) = (one for one in of if one is not type(None))
    plain, value = _converters(shape, names)
    if typing.get_origin(shape) is tuple:
        # None and () differ here: Go's nil slice and its empty one.
        item, _ = _converters(typing.get_args(shape)[0], names)
        return (
            lambda given: None if given is None else [item(one) for one in given],
            lambda data: None if data is None else value(data),
        )
    return (
        lambda given: None if given is None else plain(given),
        lambda data: None if data is None else value(data),
    )


def _sequence(of: Any, names: Names) -> tuple[_Convert, _Convert]:
    plain, value = _converters(of, names)
    return (
        (lambda given: given or None)
        if of is str
        else (lambda given: [plain(one) for one in given] or None),
        lambda data: tuple([value(one) for one in _list(data)]),
    )


def _mapping(of: Any, names: Names) -> tuple[_Convert, _Convert]:
    if of is Any:
        # A JWK: its members stay in their order.
        return dict, _dict
    plain, value = _converters(of, names)
    return (
        lambda given: {key: plain(given[key]) for key in sorted(given)},
        lambda data: {key: value(one) for key, one in _dict(data).items()},
    )


def _record(shape: type[Any], names: Names) -> tuple[_Convert, _Convert]:
    hints = typing.get_type_hints(shape)
    # ``None``: nothing to convert; never left out.
    plains: list[tuple[str, str, _Convert | None, _Convert | None]] = []
    # In the order of the arguments; what has the type already is not converted.
    values: list[tuple[str, Any, _Convert, Any]] = []
    for field in attrs.fields(shape):
        key, _, option = names.get(shape, {}).get(field.name, field.name).partition(",")
        hint = hints[field.name]
        plain, value = _converters(hint, names)
        omitted = _empty(hint) if option == "omitempty" else None
        plains.append((key, field.name, None if plain is _same else plain, omitted))
        default = field.default if field.default is not attrs.NOTHING else value(None)
        values.append((key, hint if hint in _ZERO else None, value, default))

    def to_plain(record: Any) -> dict[str, Any]:
        found = {}
        for key, name, plain, omitted in plains:
            given = getattr(record, name)
            if omitted is None or not omitted(given):
                found[key] = given if plain is None else plain(given)
        return found

    def to_value(data: Any) -> Any:
        data = _dict(data)
        arguments = []
        for key, exact, value, default in values:
            if key in data:
                found = data[key]
                arguments.append(found if type(found) is exact else value(found))
            else:
                arguments.append(default)
        return shape(*arguments)

    return to_plain, to_value


def _empty(shape: Any) -> Callable[[Any], bool]:
    """Return what tells whether Go leaves out a value of *shape* with ``omitempty``."""
    of = typing.get_args(shape)
    if type(None) in of and not any(typing.get_origin(one) is tuple for one in of):
        # A pointer: one to false is not empty.
        return lambda given: given is None
    return operator.not_
