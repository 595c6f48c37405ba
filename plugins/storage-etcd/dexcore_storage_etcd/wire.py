"""The messages of etcd's version 3 API that we exchange, as bytes and back.

Only the fields we use; numbers as in etcd's ``rpc.proto`` and ``kv.proto``.  A field
that is not set is not sent, one that we do not know is skipped (Protocol Buffers,
"Encoding").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

# — What we send -----------------------------------------------------------------------


def range_request(
    key: bytes, *, end: bytes = b"", limit: int = 0, revision: int = 0
) -> bytes:
    """Ask for *key*, or all keys from it up to *end*; at *revision*, if given."""
    return _bytes(1, key) + _bytes(2, end) + _integer(3, limit) + _integer(4, revision)


def put(key: bytes, value: bytes, lease: int = 0) -> bytes:
    """Write *value* under *key*, to go with *lease*."""
    return _bytes(1, key) + _bytes(2, value) + _integer(3, lease)


def delete(key: bytes, *, previous: bool = False) -> bytes:
    """Remove *key*; *previous*: and answer what it held."""
    return _bytes(1, key) + _integer(3, previous)


def unchanged(key: bytes, revision: int) -> bytes:
    """Compare: *key* was last written at *revision*, 0: is not there."""
    # The result EQUAL is 0 and not sent; MOD is 2.  The revision is one of several
    # that exclude each other, so it is sent even if it is 0.
    return _integer(2, 2) + _bytes(3, key) + b"\x30" + _varint(revision)


def transaction(
    compares: Iterable[bytes] = (),
    then: Iterable[bytes] = (),
    otherwise: Iterable[bytes] = (),
) -> bytes:
    """If all *compares* hold do *then*, else *otherwise*: :func:`op_range` and others.

    Without *compares* always *then*.
    """
    return b"".join(
        _message(number, one)
        for number, all in enumerate((compares, then, otherwise), 1)
        for one in all
    )


def op_range(request: bytes) -> bytes:
    """Return :func:`range_request` as an operation of a transaction."""
    return _message(1, request)


def op_put(request: bytes) -> bytes:
    """Return :func:`put` as an operation of a transaction."""
    return _message(2, request)


def op_delete(request: bytes) -> bytes:
    """Return :func:`delete` as an operation of a transaction."""
    return _message(3, request)


def op_transaction(request: bytes) -> bytes:
    """Return a transaction as an operation of another."""
    return _message(4, request)


def lease_grant(seconds: int) -> bytes:
    """Ask for a lease of so many *seconds*."""
    return _integer(1, seconds)


def authenticate(name: str, password: str) -> bytes:
    """Ask for a token."""
    return _bytes(1, name.encode()) + _bytes(2, password.encode())


# — What we receive --------------------------------------------------------------------


@attrs.frozen
class KeyValue:
    """A key and what it holds; ``revision`` is when it was last written."""

    key: bytes = b""
    value: bytes = b""
    revision: int = 0
    lease: int = 0


@attrs.frozen
class Range:
    """The keys that were asked for, at ``revision``; ``more``: not all of them."""

    revision: int
    found: tuple[KeyValue, ...] = ()
    more: bool = False


@attrs.frozen
class Transaction:
    """Whether the compares held, at ``revision``, and the operations' answers."""

    succeeded: bool
    revision: int
    answers: tuple[bytes, ...] = ()


def read_range(data: bytes) -> Range:
    """Return what a range, in a transaction or not, found."""
    fields = [*_fields(data)]
    return Range(
        _revision(fields),
        tuple(_key_value(one) for one in _all(fields, 2)),
        bool(_one(fields, 3)),
    )


def read_delete(data: bytes) -> tuple[KeyValue, ...]:
    """Return what was removed, if it was asked for."""
    return tuple(_key_value(one) for one in _all([*_fields(data)], 3))


def read_transaction(data: bytes) -> Transaction:
    """Return what a transaction did."""
    fields = [*_fields(data)]
    answers = tuple(
        _as_bytes(answer) for one in _all(fields, 3) for _, answer in _fields(one)
    )
    return Transaction(bool(_one(fields, 2)), _revision(fields), answers)


def read_lease(data: bytes) -> int:
    """Return the id of a lease."""
    return _one([*_fields(data)], 2)


def read_token(data: bytes) -> str:
    """Return the token, to be sent with every call."""
    return b"".join(_all([*_fields(data)], 2)).decode()


# — Protocol Buffers -------------------------------------------------------------------

_Field = tuple[int, "int | bytes"]
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value) if value else b""


def _bytes(number: int, value: bytes) -> bytes:
    return _message(number, value) if value else b""


def _message(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _fields(data: bytes) -> Iterator[_Field]:
    at, end = 0, len(data)
    while at < end:
        tag, at = _read_varint(data, at)
        if tag & 7 == _VARINT:
            value, at = _read_varint(data, at)
            yield tag >> 3, value
        elif tag & 7 == _BYTES:
            length, at = _read_varint(data, at)
            if at + length > end:
                raise ValueError("etcd's answer is cut short.")
            yield tag >> 3, data[at : at + length]
            at += length
        elif tag & 7 in (_FIXED64, _FIXED32):
            at += 8 if tag & 7 == _FIXED64 else 4
        else:
            raise ValueError("etcd's answer is not a protocol buffer.")


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at == len(data):
            raise ValueError("etcd's answer is cut short.")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _one(fields: list[_Field], number: int) -> int:
    for found, value in fields:
        if found == number and isinstance(value, int):
            return value
    return 0


def _all(fields: list[_Field], number: int) -> list[bytes]:
    return [_as_bytes(value) for found, value in fields if found == number]


def _as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise ValueError("etcd's answer has a number where a message should be.")


def _revision(fields: list[_Field]) -> int:
    headers = _all(fields, 1)
    return _one([*_fields(headers[0])], 3) if headers else 0


def _key_value(data: bytes) -> KeyValue:
    key = value = b""
    revision = lease = 0
    for number, field in _fields(data):
        if number == 1:
            key = _as_bytes(field)
        elif number == 5:
            value = _as_bytes(field)
        elif number == 3 and isinstance(field, int):
            revision = field
        elif number == 6 and isinstance(field, int):
            lease = field
    return KeyValue(key, value, revision, lease)
