"""Messages of LDAP (RFC 4511) as bytes.  The only module that imports ldap3.

ldap3 knows how messages are written and read.  Its connections are not used: their
timeouts end a read and not an operation, they take answers of any size, and they
prepare passwords (RFC 4013) so that one of invisible characters becomes empty, which
many servers take for an anonymous login.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from ldap3 import DEREF_NEVER, SIMPLE
from ldap3.core.exceptions import LDAPExceptionError
from ldap3.core.results import RESULT_CODES
from ldap3.operation.bind import bind_operation
from ldap3.operation.extended import extended_operation
from ldap3.operation.search import search_operation
from ldap3.protocol.convert import build_controls_list
from ldap3.protocol.rfc2696 import paged_search_control
from ldap3.protocol.rfc4511 import LDAPMessage, MessageID, ProtocolOp, UnbindRequest
from ldap3.utils.asn1 import (
    BIND_RESPONSE_CONTEXT,
    EXTENDED_RESPONSE_CONTEXT,
    decode_message_fast,
    decode_sequence,
    encode,
)
from pyasn1.error import PyAsn1Error

from .entries import Entry

SUCCESS = 0
TIME_LIMIT, SIZE_LIMIT = 3, 4
CONSTRAINT_VIOLATION, NO_SUCH_OBJECT = 19, 32
INVALID_CREDENTIALS = 49
BUSY, UNAVAILABLE, UNWILLING = 51, 52, 53

#: What an answer is, by its tag (RFC 4511 appendix B).
BIND, ENTRY, DONE, REFERENCE, EXTENDED = 1, 4, 5, 19, 24

_START_TLS = "1.3.6.1.4.1.1466.20037"  # RFC 4511 section 4.14.1
_PAGED = b"1.2.840.113556.1.4.319"  # RFC 2696
_NO_ATTRIBUTES = "1.1"  # RFC 4511 section 4.5.1.8
_SCOPES = {"base": 0, "one": 1, "sub": 2}

# ldap3 has forgotten that any answer may be a referral (RFC 4511 section 4.1.9).
BIND_RESPONSE_CONTEXT.setdefault(3, decode_sequence)
EXTENDED_RESPONSE_CONTEXT.setdefault(3, decode_sequence)


class Malformed(ValueError):
    """These bytes are no message of LDAP."""


class BadFilter(ValueError):
    """This text is no search filter."""


@attrs.frozen
class Result:
    """How an operation ended; ``cookie`` asks for the next page of a search."""

    code: int
    message: str = ""
    cookie: bytes = b""

    def __str__(self) -> str:
        name = RESULT_CODES.get(self.code, "unknown")
        told = " ".join(self.message.replace("\0", " ").split())
        return f"{name} ({self.code})" + (f": {told}" if told else "")


@attrs.frozen
class Message:
    """One answer.  ``id`` 0 is a notice the server sends by itself."""

    id: int
    tag: int
    entry: Entry | None = None
    result: Result | None = None


def bind_request(id: int, dn: str, password: bytes) -> bytes:
    """Return a simple bind.  Neither *dn* nor *password* may be empty."""
    if not dn or not password:
        raise ValueError("a bind without a name or a password proves nothing")
    return _message(id, "bindRequest", bind_operation(3, SIMPLE, dn, password))


def search_request(
    id: int,
    base: str,
    scope: str,
    filter: str,
    attributes: Iterable[str],
    *,
    size_limit: int = 0,
    seconds: int = 0,
    page: int = 0,
    cookie: bytes = b"",
) -> bytes:
    """Return a search; *page* entries at a time, if not 0.  Raises `BadFilter`."""
    try:
        request = search_operation(
            base,
            filter,
            _SCOPES[scope],
            DEREF_NEVER,
            list(attributes) or [_NO_ATTRIBUTES],
            size_limit,
            seconds,
            False,
            auto_escape=False,
            auto_encode=False,
        )
        controls = [paged_search_control(False, page, cookie)] if page else None
        return _message(id, "searchRequest", request, controls)
    except (LDAPExceptionError, PyAsn1Error, IndexError, AttributeError) as error:
        raise BadFilter(f"the filter {filter!r} cannot be used: {error}") from None


def check_filter(filter: str) -> None:
    """Raise `BadFilter` if *filter* is none."""
    search_request(1, "", "base", filter, ())


def start_tls_request(id: int) -> bytes:
    """Return the request to encrypt this connection."""
    return _message(id, "extendedReq", extended_operation(_START_TLS))


def unbind_request(id: int) -> bytes:
    """Return the farewell."""
    return _message(id, "unbindRequest", UnbindRequest())


def parse_message(data: bytes) -> Message:
    """Return the answer that *data* is.  Raises `Malformed`."""
    try:
        decoded = decode_message_fast(data)
        tag, payload = decoded["protocolOp"], decoded["payload"]
        id = int(decoded["messageID"])
        if tag == ENTRY:
            return Message(id, tag, entry=_entry(payload))
        if tag == REFERENCE:
            return Message(id, tag)
        if tag in (BIND, DONE, EXTENDED):
            cookie = _cookie(decoded["controls"])
            return Message(id, tag, result=_result(payload, cookie))
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        raise Malformed("what it answers is not LDAP") from None
    raise Malformed(f"it answers with an operation of its own ({tag})")


def _message(id: int, kind: str, request: Any, controls: Any = None) -> bytes:
    message = LDAPMessage()
    message["messageID"] = MessageID(id)
    message["protocolOp"] = ProtocolOp().setComponentByName(kind, request)
    if controls:
        message["controls"] = build_controls_list(controls)
    encoded: bytes = encode(message)
    return encoded


def _entry(payload: Any) -> Entry:
    # Each part is (class, constructed, tag, value).
    attributes = {
        bytes(kind[3]).decode(): tuple(bytes(value[3]) for value in values[3])
        for _, _, _, (kind, values) in payload[1][3]
    }
    return Entry(bytes(payload[0][3]).decode(), attributes)


def _result(payload: Any, cookie: bytes) -> Result:
    code, message = payload[0][3], payload[2][3]
    if not isinstance(code, int) or code < 0:
        raise Malformed("a result without a code")
    return Result(code, bytes(message).decode(errors="replace"), cookie)


def _cookie(controls: Any) -> bytes:
    for _, _, _, parts in controls or ():
        if bytes(parts[0][3]) == _PAGED:
            value = bytes(parts[-1][3])
            size_and_cookie = decode_sequence(value, 0, len(value))[0][3]
            return bytes(size_and_cookie[1][3])
    return b""
