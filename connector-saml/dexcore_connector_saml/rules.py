"""What has to be right about a response whose origin is known.

The section numbers without a document are of the profile for browsers (SAML profiles,
section 4.1).
"""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs

from .messages import Assertion, AuthnStatement, Confirmation, Envelope
from .xml import Rejected

__all__ = ["MAX_AGE", "Expected", "check_assertion", "check_envelope"]

BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"

#: How old a message may be: it was made for a browser that is on its way to us.
MAX_AGE = timedelta(minutes=10)

_LONGEST_NAME_ID = 256  # core, section 8.3.7


@attrs.frozen
class Expected:
    """What we asked for, and who we are.

    ``issuers``: who may answer, empty for whoever has signed.  ``skew``: by how much
    the clocks may differ.
    """

    request_id: str
    acs_url: str
    audience: str
    issuers: frozenset[str]
    skew: timedelta
    now: datetime


def check_envelope(envelope: Envelope, expected: Expected, *, signed: bool) -> None:
    """Raise :class:`Rejected` unless the response is ours, fresh and addressed to us.

    What an unsigned one says is checked as well: it cannot make anything right, but it
    can be wrong.
    """
    if envelope.version != "2.0":
        raise Rejected(f"the version {envelope.version!r} of the response")
    # Section 4.1.4.3: no response but to the request that this browser has sent.
    if envelope.in_response_to != expected.request_id:
        raise Rejected("a response to another request")
    # Bindings, section 3.5.5.2: a signed message must say where it goes.
    if envelope.destination != expected.acs_url and (envelope.destination or signed):
        raise Rejected(f"a response for {envelope.destination!r}")
    if envelope.issuer:
        _check_issuer(envelope.issuer, expected)
    elif signed:
        raise Rejected("a signed response without an issuer")  # section 4.1.4.2
    _check_age("response", envelope.issue_instant, expected)


def check_assertion(
    assertion: Assertion, envelope: Envelope, expected: Expected
) -> datetime:
    """Raise :class:`Rejected` unless the assertion is for us, and about its bearer.

    Returns the moment from which on it will not be accepted any more.
    """
    if assertion.version != "2.0":
        raise Rejected(f"the version {assertion.version!r} of the assertion")
    _check_issuer(assertion.issuer, expected)
    if envelope.issuer and envelope.issuer != assertion.issuer:
        raise Rejected(
            f"a response of {envelope.issuer!r} with an assertion of "
            f"{assertion.issuer!r}"
        )
    if envelope.id == assertion.id:  # it was encrypted, or the parser had seen it
        raise Rejected("an assertion with the ID of its response")
    _check_age("assertion", assertion.issue_instant, expected)
    if not assertion.name_id.strip():
        raise Rejected("a NameID without text")
    if len(assertion.name_id) > _LONGEST_NAME_ID:
        raise Rejected(f"a NameID of more than {_LONGEST_NAME_ID} characters")
    until = _check_subject(assertion.confirmations, expected)
    _check_conditions(assertion, expected)
    _check_authn(assertion.authn, expected)
    latest = min(until, assertion.issue_instant + MAX_AGE)
    return latest + expected.skew


def _check_issuer(issuer: str, expected: Expected) -> None:
    if not issuer or (expected.issuers and issuer not in expected.issuers):
        raise Rejected(f"the issuer {issuer!r}")


def _check_age(what: str, instant: datetime, expected: Expected) -> None:
    if instant > expected.now + expected.skew:
        raise Rejected(f"a {what} from the future ({instant})")
    if instant + MAX_AGE + expected.skew < expected.now:
        raise Rejected(f"a {what} that is too old ({instant})")


def _check_subject(
    confirmations: tuple[Confirmation, ...], expected: Expected
) -> datetime:
    """Return the end of the first of *confirmations* that holds (section 4.1.4.2)."""
    reasons = []
    for each in confirmations:
        reason = _wrong(each, expected)
        if not reason and each.not_on_or_after is not None:
            return each.not_on_or_after
        reasons.append(reason)
    raise Rejected("no subject confirmation holds: " + "; ".join(reasons))


def _wrong(confirmation: Confirmation, expected: Expected) -> str:
    """Return what is wrong with *confirmation*, if anything."""
    if confirmation.method != BEARER:
        return f"the method {confirmation.method!r}"
    if not confirmation.has_data:
        return "no data"
    if confirmation.recipient != expected.acs_url:
        return f"the recipient {confirmation.recipient!r}"
    if confirmation.in_response_to != expected.request_id:
        return "an answer to another request"
    if confirmation.not_before is not None:
        return "a NotBefore, which a bearer cannot have"
    if confirmation.not_on_or_after is None:
        return "no NotOnOrAfter"
    if _has_passed(confirmation.not_on_or_after, expected):
        return f"it has ended ({confirmation.not_on_or_after})"
    return ""


def _check_conditions(assertion: Assertion, expected: Expected) -> None:
    """Core, section 2.5."""
    begins, ends = assertion.not_before, assertion.not_on_or_after
    if begins is not None and begins > expected.now + expected.skew:
        raise Rejected(f"an assertion that begins later ({begins})")
    if ends is not None and _has_passed(ends, expected):
        raise Rejected(f"an assertion that has ended ({ends})")
    # Section 4.1.4.2: there must be one, and each of them has to name us.
    if not assertion.audiences:
        raise Rejected("an assertion for any audience")
    for each in assertion.audiences:
        if expected.audience not in each.values:
            raise Rejected(f"an assertion for {', '.join(each.values)}")
    # We go on using what it says in refresh tokens, and make tokens of our own from it.
    if assertion.one_time_use:
        raise Rejected("an assertion that must not be kept (OneTimeUse)")
    if assertion.proxy_restricted:
        raise Rejected("an assertion that must not be passed on (ProxyRestriction)")


def _check_authn(statements: tuple[AuthnStatement, ...], expected: Expected) -> None:
    if not statements:
        raise Rejected("an assertion without AuthnStatement")  # section 4.1.4.2
    for each in statements:
        if each.instant > expected.now + expected.skew:
            raise Rejected(f"a login in the future ({each.instant})")
        ends = each.session_not_on_or_after
        if ends is not None and _has_passed(ends, expected):
            raise Rejected(f"a session that has ended ({ends})")


def _has_passed(moment: datetime, expected: Expected) -> bool:
    # Subtracted on the side that cannot overflow: the moment may be in the year 9999.
    return expected.now - expected.skew > moment
