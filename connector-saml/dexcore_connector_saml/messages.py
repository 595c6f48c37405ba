"""What a response says, as our own types, read from elements of the right shape."""

from __future__ import annotations

import re

from collections.abc import Iterable
from datetime import UTC, datetime

import attrs

from .grammar import only, tag
from .xml import XSI, Element, Rejected, children, label, text

__all__ = [
    "Assertion",
    "Attribute",
    "Audiences",
    "AuthnStatement",
    "Confirmation",
    "Envelope",
    "Status",
    "read_assertion",
    "read_envelope",
]

SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
ENTITY = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"

# Core, section 1.3.3: in UTC, and so with a Z.
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,30}))?Z", re.ASCII)


@attrs.frozen
class Status:
    """How it went.  ``code`` is the first level's, which decides."""

    code: str
    detail: str = ""
    message: str = ""

    @property
    def success(self) -> bool:
        """Whether the end user has logged in."""
        return self.code == SUCCESS


@attrs.frozen
class Envelope:
    """The response without its assertion."""

    id: str
    version: str
    issue_instant: datetime
    status: Status
    issuer: str = ""
    destination: str = ""
    in_response_to: str = ""


@attrs.frozen
class Confirmation:
    """Under which circumstances the assertion is about whoever brings it."""

    method: str
    has_data: bool = False
    recipient: str = ""
    in_response_to: str = ""
    not_before: datetime | None = None
    not_on_or_after: datetime | None = None


@attrs.frozen
class Audiences:
    """One restriction: the reader has to be one of them."""

    values: tuple[str, ...]


@attrs.frozen
class AuthnStatement:
    """When the end user has logged in and how, and until when that counts."""

    instant: datetime
    session_not_on_or_after: datetime | None = None
    context: str = ""


@attrs.frozen
class Attribute:
    """What is said about the end user.  ``simple``: each value is text."""

    name: str
    values: tuple[str, ...]
    simple: bool = True


@attrs.frozen
class Assertion:
    """Who somebody is, says whom, to whom and until when."""

    id: str
    version: str
    issue_instant: datetime
    issuer: str
    name_id: str
    confirmations: tuple[Confirmation, ...]
    not_before: datetime | None
    not_on_or_after: datetime | None
    audiences: tuple[Audiences, ...]
    one_time_use: bool
    proxy_restricted: bool
    authn: tuple[AuthnStatement, ...]
    attributes: tuple[Attribute, ...] = attrs.field(repr=False)

    @property
    def session_ends(self) -> datetime | None:
        """When the first of the sessions ends that it tells of, if any does."""
        ends = [each.session_not_on_or_after for each in self.authn]
        return min((end for end in ends if end is not None), default=None)


def read_envelope(response: Element) -> Envelope:
    """Read a ``samlp:Response``; raise :class:`Rejected`."""
    issuers = children(response, tag("saml:Issuer"))
    return Envelope(
        id=response.get("ID", ""),
        version=response.get("Version", ""),
        issue_instant=_time(response, "IssueInstant"),
        status=_status(only(response, "samlp:Status")),
        issuer=_issuer(issuers[0]) if issuers else "",
        destination=response.get("Destination", ""),
        in_response_to=response.get("InResponseTo", ""),
    )


def read_assertion(assertion: Element) -> Assertion:
    """Read a ``saml:Assertion``; raise :class:`Rejected`."""
    subject = only(assertion, "saml:Subject")
    conditions = only(assertion, "saml:Conditions")
    statements = children(assertion, tag("saml:AttributeStatement"))
    return Assertion(
        id=assertion.get("ID", ""),
        version=assertion.get("Version", ""),
        issue_instant=_time(assertion, "IssueInstant"),
        issuer=_issuer(only(assertion, "saml:Issuer")),
        name_id=text(only(subject, "saml:NameID")),
        confirmations=tuple(
            _confirmation(each)
            for each in children(subject, tag("saml:SubjectConfirmation"))
        ),
        not_before=_time_if_any(conditions, "NotBefore"),
        not_on_or_after=_time_if_any(conditions, "NotOnOrAfter"),
        audiences=tuple(
            Audiences(tuple(text(audience) for audience in children(each)))
            for each in children(conditions, tag("saml:AudienceRestriction"))
        ),
        one_time_use=bool(children(conditions, tag("saml:OneTimeUse"))),
        proxy_restricted=any(
            each.get("Count") in ("0", None) or children(each)
            for each in children(conditions, tag("saml:ProxyRestriction"))
        ),
        authn=tuple(
            _authn(each) for each in children(assertion, tag("saml:AuthnStatement"))
        ),
        attributes=tuple(
            _attribute(each) for statement in statements for each in children(statement)
        ),
    )


def parse_time(written: str) -> datetime:
    """Return the moment; raise ``ValueError``."""
    found = _TIME.fullmatch(written)
    if found is None:
        raise ValueError(f"{written!r} is not a time in UTC")
    moment = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    return moment.replace(microsecond=int((found[2] or "0")[:6].ljust(6, "0")))


def _status(status: Element) -> Status:
    code = only(status, "samlp:StatusCode")
    return Status(
        code=code.get("Value", ""),
        detail=" ".join(each.get("Value", "") for each in children(code)),
        message=" ".join(
            text(each) for each in children(status, tag("samlp:StatusMessage"))
        ),
    )


def _issuer(node: Element) -> str:
    # Core, section 2.2.5: an issuer is an entity unless it says something else.
    if node.get("Format", ENTITY) != ENTITY:
        raise Rejected(f"an issuer of the format {node.get('Format')!r}")
    return text(node)


def _confirmation(node: Element) -> Confirmation:
    method = node.get("Method", "")
    found = children(node, tag("saml:SubjectConfirmationData"))
    if not found:
        return Confirmation(method)
    data = found[0]
    return Confirmation(
        method,
        has_data=True,
        recipient=data.get("Recipient", ""),
        in_response_to=data.get("InResponseTo", ""),
        not_before=_time_if_any(data, "NotBefore"),
        not_on_or_after=_time_if_any(data, "NotOnOrAfter"),
    )


def _authn(node: Element) -> AuthnStatement:
    contexts = children(
        only(node, "saml:AuthnContext"), tag("saml:AuthnContextClassRef")
    )
    return AuthnStatement(
        _time(node, "AuthnInstant"),
        _time_if_any(node, "SessionNotOnOrAfter"),
        text(contexts[0]) if contexts else "",
    )


def _attribute(node: Element) -> Attribute:
    values = [
        each
        for each in children(node)
        if each.get(f"{{{XSI}}}nil") not in ("true", "1")
    ]
    return Attribute(
        node.get("Name", ""),
        tuple(text(each) for each in values),
        simple=not any(map(children, values)),
    )


def _time(node: Element, name: str) -> datetime:
    try:
        return parse_time(node.get(name, ""))
    except ValueError as error:
        raise Rejected(f"the {name} of {label(node)}: {error}") from None


def _time_if_any(node: Element, name: str) -> datetime | None:
    return None if node.get(name) is None else _time(node, name)


def values_of(attributes: Iterable[Attribute], name: str) -> tuple[str, ...] | None:
    """Return all values of the attributes called *name*; ``None`` if there is none.

    Raises :class:`Rejected` if one of them is not text.
    """
    found = [each for each in attributes if each.name == name]
    if not all(each.simple for each in found):
        raise Rejected(f"the attribute {name!r} has a value that is not text")
    return tuple(value for each in found for value in each.values) if found else None
