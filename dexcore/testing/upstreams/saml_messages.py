"""SAML messages for tests: right by default, and wrong in every way that is asked for.

::

    key = SigningKey.make("idp")
    message = Message(in_response_to="r1", acs_url="https://sp.example/acs")
    document = message.signed(key)
    evil = attrs.evolve(message, audiences=(("https://other.example",),)).signed(key)

It needs lxml.
"""

from __future__ import annotations

import operator
import os

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape

import attrs

from .saml_signing import (
    ASSERTION,
    Encryption,
    Form,
    SigningKey,
    element,
    encrypt,
    sign,
)

__all__ = ["Message"]

PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"

Time = datetime | str | None


def _after(minutes: int) -> Any:
    """Return what makes a moment, *minutes* after that of the message."""

    def moment(message: Message) -> datetime:
        return message.now + timedelta(minutes=minutes)

    return attrs.Factory(moment, takes_self=True)


_NOW, _SOON = _after(0), _after(5)
_ACS_URL: Any = attrs.Factory(operator.attrgetter("acs_url"), takes_self=True)
_ISSUER: Any = attrs.Factory(operator.attrgetter("issuer"), takes_self=True)
_REQUEST: Any = attrs.Factory(operator.attrgetter("in_response_to"), takes_self=True)


@attrs.frozen
class Message:
    """A response with one assertion.

    Times are moments, text as it is to stand there, or ``None`` to be left out; so is
    other text that is ``None``.  ``lines`` names XML to put in: before the assertion
    (``"extensions"``), after it (``"after"``), and at the end of the assertion
    (``"statements"``), of the conditions and of the subject.
    """

    in_response_to: str | None = "_request"
    acs_url: str = "https://sp.example/acs"
    issuer: str = "https://idp.example"
    now: datetime = attrs.field(factory=lambda: datetime.now(UTC))
    id: str = attrs.field(factory=lambda: f"_r{os.urandom(16).hex()}")
    assertion_id: str = attrs.field(factory=lambda: f"_a{os.urandom(16).hex()}")
    version: str = "2.0"
    assertion_version: str = "2.0"
    name_id: str = "jane"
    name_id_format: str = PERSISTENT
    attributes: Mapping[str, Sequence[str]] = attrs.field(
        factory=lambda: {
            "name": ["Jane Doe"],
            "mail": ["jane@example.com"],
            "groups": ["admins", "devs"],
        }
    )
    status: str = SUCCESS
    sub_status: str = ""
    audiences: Sequence[Sequence[str]] = (("https://sp.example/acs",),)
    destination: str | None = _ACS_URL
    recipient: str | None = _ACS_URL
    confirmed_request: str | None = _REQUEST
    response_issuer: str | None = _ISSUER
    method: str = BEARER
    issued: Time = _NOW
    response_issued: Time = _NOW
    not_before: Time = _NOW
    not_on_or_after: Time = _SOON
    confirmation_not_before: Time = None
    confirmation_ends: Time = _SOON
    authenticated: Time = _NOW
    context: str = PASSWORD
    session_ends: Time = None
    conditions: bool = True
    lines: Mapping[str, str] = attrs.field(factory=dict)

    def response(self) -> bytes:
        """Return the whole, without signatures."""
        status = element("samlp:StatusCode", {"Value": self.status}, self._sub())
        attributes = {
            "xmlns:samlp": PROTOCOL,
            "ID": self.id,
            "Version": self.version,
            "IssueInstant": _time(self.response_issued),
            "Destination": self.destination,
            "InResponseTo": self.in_response_to,
        }
        issuer = "" if self.response_issuer is None else _issuer(self.response_issuer)
        return element(
            "samlp:Response",
            attributes,
            issuer
            + self.lines.get("extensions", "")
            + element("samlp:Status", {}, status + self.lines.get("status", ""))
            + self.assertion().decode()
            + self.lines.get("after", ""),
        ).encode()

    def assertion(self) -> bytes:
        """Return the assertion, without its signature."""
        attributes = {
            "xmlns:saml": ASSERTION,
            "ID": self.assertion_id,
            "Version": self.assertion_version,
            "IssueInstant": _time(self.issued),
        }
        content = _issuer(self.issuer) + self._subject() + self._conditions()
        content += self._statements() + self.lines.get("statements", "")
        return element("saml:Assertion", attributes, content).encode()

    def signed(
        self,
        key: SigningKey,
        *,
        response: bool = True,
        assertion: bool = True,
        form: Form | None = None,
    ) -> bytes:
        """Return the whole, signed at one place or both."""
        form = form or Form()
        document = self.response()
        if assertion:
            document = sign(document, self.assertion_id, key, form)
        return sign(document, self.id, key, form) if response else document

    def encrypted(
        self, how: Encryption, key: SigningKey, *, response: bool, assertion: bool
    ) -> bytes:
        """Return the whole with its assertion encrypted; signatures as in `signed`."""
        document = self.signed(key, response=False, assertion=assertion)
        document = encrypt(document, how)
        return sign(document, self.id, key) if response else document

    # — its parts ----------------------------------------------------------------------

    def _sub(self) -> str:
        if not self.sub_status:
            return ""
        return element("samlp:StatusCode", {"Value": self.sub_status})

    def _subject(self) -> str:
        data = {
            "NotBefore": _time(self.confirmation_not_before),
            "NotOnOrAfter": _time(self.confirmation_ends),
            "Recipient": self.recipient,
            "InResponseTo": self.confirmed_request,
        }
        return element(
            "saml:Subject",
            {},
            element("saml:NameID", {"Format": self.name_id_format}, self._name_id())
            + self.lines.get("subject", "")
            + element(
                "saml:SubjectConfirmation",
                {"Method": self.method},
                element("saml:SubjectConfirmationData", data),
            ),
        )

    def _name_id(self) -> str:
        return self.lines.get("name_id", escape(self.name_id))

    def _conditions(self) -> str:
        if not self.conditions:
            return ""
        audiences = [
            element(
                "saml:AudienceRestriction",
                {},
                "".join(element("saml:Audience", {}, escape(each)) for each in some),
            )
            for some in self.audiences
        ]
        times = {
            "NotBefore": _time(self.not_before),
            "NotOnOrAfter": _time(self.not_on_or_after),
        }
        content = "".join(audiences) + self.lines.get("conditions", "")
        return element("saml:Conditions", times, content)

    def _statements(self) -> str:
        made = ""
        if self.authenticated is not None:
            reference = element("saml:AuthnContextClassRef", {}, escape(self.context))
            made += element(
                "saml:AuthnStatement",
                {
                    "AuthnInstant": _time(self.authenticated),
                    "SessionNotOnOrAfter": _time(self.session_ends),
                },
                element("saml:AuthnContext", {}, reference),
            )
        attributes = [
            element(
                "saml:Attribute",
                {"Name": name},
                "".join(
                    element("saml:AttributeValue", {}, escape(value))
                    for value in values
                ),
            )
            for name, values in self.attributes.items()
        ]
        attributes.append(self.lines.get("attributes", ""))
        return made + element("saml:AttributeStatement", {}, "".join(attributes))


def _issuer(name: str) -> str:
    return element("saml:Issuer", {"xmlns:saml": ASSERTION}, escape(name))


def _time(moment: Time) -> str | None:
    if isinstance(moment, datetime):
        return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return moment
