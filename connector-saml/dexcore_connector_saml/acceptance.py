"""From the form's field to who logged in: the order of all that is checked.

Cheap things come first, and nothing is believed before the signature is verified: size,
base64, bytes, structure, signatures, then what the response says.
"""

from __future__ import annotations

import base64
import binascii

from collections.abc import Sequence
from datetime import datetime

import attrs

from cryptography.hazmat.primitives.asymmetric import rsa

from . import grammar, signatures
from .decryption import decrypt
from .grammar import ASSERTION_TAG, ENCRYPTED, RESPONSE
from .messages import Assertion, Status, read_assertion, read_envelope
from .rules import Expected, check_assertion, check_envelope
from .signatures import Signers
from .xml import MESSAGE, Element, Rejected, children, parse

__all__ = ["Accepted", "NotLoggedIn", "Policy", "accept"]

# Base64 makes four characters of three bytes; some break its lines.
_MOST_CHARACTERS = MESSAGE.bytes * 3 // 2
_SPACE = str.maketrans("", "", " \t\r\n")


class NotLoggedIn(Exception):
    """The identity provider says that nobody has logged in."""

    def __init__(self, status: Status) -> None:
        super().__init__(
            f"status {status.code!r} {status.detail!r}: {status.message[:500]!r}"
        )
        self.status = status


@attrs.frozen
class Policy:
    """Whose responses are accepted, and how they have to be protected.

    ``signers``: ``None`` if signatures are not looked at, which is insecure.  ``keys``
    are ours, to decrypt with.
    """

    signers: Signers | None
    keys: Sequence[rsa.RSAPrivateKey] = attrs.field(default=(), repr=False)
    want_response_signed: bool = False
    want_assertion_signed: bool = False


@attrs.frozen
class Accepted:
    """An assertion that is good, and the moment from which on it no longer is."""

    assertion: Assertion
    until: datetime


def accept(encoded: str, policy: Policy, expected: Expected) -> Accepted:
    """Return what the field ``SAMLResponse`` proves.

    Raises :class:`~.xml.Rejected` for whatever is not as it has to be and
    :class:`NotLoggedIn` for a response that says no.  Takes milliseconds of a
    processor: to be called in a worker thread.
    """
    response = parse(_decoded(encoded))
    grammar.check(response, RESPONSE)
    status = read_envelope(response).status
    if not status.success:
        raise NotLoggedIn(status)
    if policy.signers is None:
        return _unverified(response, policy, expected)
    return _verified(response, policy, policy.signers, expected)


def _decoded(encoded: str) -> bytes:
    if len(encoded) > _MOST_CHARACTERS:
        raise Rejected(f"{len(encoded)} characters, which is too much")
    packed = encoded.translate(_SPACE)
    try:
        data = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        raise Rejected("not base64") from None
    # RFC 4648, section 3.5: of several spellings of the same bytes, the usual one.
    if base64.b64encode(data).decode() != packed:
        raise Rejected("base64 that is not in its canonical form")
    return data


def _verified(
    response: Element, policy: Policy, signers: Signers, expected: Expected
) -> Accepted:
    """Verify every signature there is, and read only the bytes they cover."""
    signed = _covered(response, response, signers, expected.now)
    envelope = response if signed is None else signed
    grammar.check(envelope, RESPONSE)
    held, inside = _one_assertion(response), _one_assertion(envelope)
    if held.tag == ENCRYPTED:
        inside = held = _opened(inside, policy, signed=signed is not None)
        assertion = _covered(held, held, signers, expected.now)
    else:
        # Where it stands in the document: what it inherits there may be signed too.
        assertion = _covered(response, held, signers, expected.now)
    if signed is None and assertion is None:
        raise Rejected("no signature")
    if policy.want_response_signed and signed is None:
        raise Rejected("a response that is not signed itself")
    if policy.want_assertion_signed and assertion is None:
        raise Rejected("an assertion that is not signed itself")
    # Without a signature of its own, it stands in what the response's covers.
    trusted = inside if assertion is None else assertion
    return _judged(envelope, trusted, expected, signed=signed is not None)


def _unverified(response: Element, policy: Policy, expected: Expected) -> Accepted:
    assertion = _one_assertion(response)
    if assertion.tag == ENCRYPTED:
        assertion = _opened(assertion, policy, signed=False)
    return _judged(response, assertion, expected, signed=False)


def _covered(
    root: Element, place: Element, signers: Signers, now: datetime
) -> Element | None:
    """Return *place* as its own signature covers it; ``None`` if it has none."""
    if signatures.signature_of(place) is None:
        return None
    signatures.check_form(place, allow_sha1=signers.allow_sha1)
    return signatures.verify(root, place, signers, now)


def _opened(encrypted: Element, policy: Policy, *, signed: bool) -> Element:
    opened = parse(decrypt(encrypted, policy.keys, signed=signed))
    grammar.check(opened, ASSERTION_TAG)
    return opened


def _one_assertion(response: Element) -> Element:
    found = children(response, ASSERTION_TAG, ENCRYPTED)
    if len(found) != 1:
        raise Rejected(f"{len(found)} assertions")
    return found[0]


def _judged(
    response: Element, trusted: Element, expected: Expected, *, signed: bool
) -> Accepted:
    grammar.check(trusted, ASSERTION_TAG)
    envelope, assertion = read_envelope(response), read_assertion(trusted)
    if not envelope.status.success:
        raise NotLoggedIn(envelope.status)
    check_envelope(envelope, expected, signed=signed)
    return Accepted(assertion, check_assertion(assertion, envelope, expected))
