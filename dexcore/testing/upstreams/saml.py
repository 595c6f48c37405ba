"""A SAML 2.0 identity provider: a login form, signed responses, metadata.

::

    with SamlIdP() as idp:
        idp.users["jane"] = SamlUser({"mail": ["jane@example.com"], "name": ["Jane"]})
        config = {"ssoURL": idp.sso_url, "caData": idp.ca_data, ...}

``idp.message`` changes what the next responses say, ``idp.tamper`` their bytes after
they were signed.  It needs lxml.
"""

from __future__ import annotations

import base64

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

import attrs

from aiohttp import web
from lxml import etree

from .base import Upstream
from .saml_messages import PROTOCOL, Message
from .saml_signing import ASSERTION, DSIG, Encryption, Form, SigningKey, sign

__all__ = ["Asked", "SamlIdP", "SamlUser"]

METADATA = "urn:oasis:names:tc:SAML:2.0:metadata"
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"


@attrs.frozen
class SamlUser:
    """Somebody who can log in, and what is said about them."""

    attributes: Mapping[str, Sequence[str]]
    password: str = "password"
    name_id: str = ""


@attrs.frozen
class Asked:
    """An ``AuthnRequest`` that has arrived, and the document itself."""

    id: str
    issuer: str
    acs_url: str
    destination: str
    name_id_format: str
    document: bytes = attrs.field(repr=False)


def _unchanged(message: Message) -> Message:
    return message


def _untouched(document: bytes) -> bytes:
    return document


class SamlIdP(Upstream):
    """An identity provider that signs what it is told to.

    ``key`` signs; ``published`` are the keys in the metadata, which ``metadata_key``
    signs if there is one.  ``sign_response``, ``sign_assertion``, ``form`` and
    ``encryption`` say how responses are protected.  ``asked_for`` are the requests that
    came, ``sent`` the documents that left.
    """

    def __init__(self, *, key: SigningKey | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.key = key or SigningKey.make()
        self.published = [self.key]
        self.metadata_key: SigningKey | None = None
        self.users: dict[str, SamlUser] = {}
        self.sign_response = True
        self.sign_assertion = True
        self.form = Form()
        self.encryption: Encryption | None = None
        self.message: Callable[[Message], Message] = _unchanged
        self.tamper: Callable[[bytes], bytes] = _untouched
        self.asked_for: list[Asked] = []
        self.sent: list[bytes] = []
        self.valid_until = ""
        self.entity_id = f"{self.url}/idp"
        self.sso_url = f"{self.url}/sso"
        self.metadata_url = f"{self.url}/metadata"

    @property
    def ca_data(self) -> str:
        """The certificate, as a configuration file has it."""
        return base64.b64encode(self.key.pem.encode()).decode()

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Return the login and the metadata."""
        return [
            web.post("/sso", self._login),
            web.post("/login", self._respond),
            web.get("/metadata", self._metadata),
        ]

    def document(self, message: Message) -> bytes:
        """Return *message* as it leaves: signed, perhaps encrypted, tampered with."""
        protected = {"response": self.sign_response, "assertion": self.sign_assertion}
        if self.encryption is not None:
            made = message.encrypted(self.encryption, self.key, **protected)
        else:
            made = message.signed(self.key, form=self.form, **protected)
        return self.tamper(made)

    async def _login(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        asked = _read(base64.b64decode(str(form["SAMLRequest"])))
        self.asked_for.append(asked)
        hidden = _hidden(
            request_id=asked.id,
            acs_url=asked.acs_url,
            audience=asked.issuer,
            RelayState=str(form.get("RelayState", "")),
        )
        return _page(
            f'<form method="post" action="/login">{hidden}'
            '<input name="username" autocomplete="username">'
            '<input name="password" type="password" autocomplete="current-password">'
            "<button>Log in</button></form>"
        )

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        user = self.users.get(form["username"])
        if user is None or user.password != form["password"]:
            return _page("<p>Wrong.</p>", status=401)
        message = Message(
            in_response_to=form["request_id"],
            acs_url=form["acs_url"],
            issuer=self.entity_id,
            audiences=((form["audience"],),),
            name_id=user.name_id or form["username"],
            attributes=user.attributes,
        )
        document = self.document(self.message(message))
        self.sent.append(document)
        hidden = _hidden(
            SAMLResponse=base64.b64encode(document).decode(),
            RelayState=form["RelayState"],
        )
        action = escape(form["acs_url"])
        return _page(
            f'<form method="post" action="{action}">{hidden}'
            "<button>Continue</button></form>"
        )

    async def _metadata(self, request: web.Request) -> web.StreamResponse:
        document = self.metadata()
        return web.Response(body=document, content_type="application/samlmetadata+xml")

    def metadata(self) -> bytes:
        """Return what it says about itself."""
        keys = "".join(
            f'<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="{DSIG}">'
            f"<ds:X509Data><ds:X509Certificate>{key.x509}</ds:X509Certificate>"
            "</ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
            for key in self.published
        )
        until = f' validUntil="{self.valid_until}"' if self.valid_until else ""
        document = (
            f'<md:EntityDescriptor xmlns:md="{METADATA}" ID="_metadata"'
            f' entityID="{self.entity_id}"{until}>'
            f'<md:IDPSSODescriptor protocolSupportEnumeration="{PROTOCOL}">{keys}'
            f'<md:SingleSignOnService Binding="{POST}" Location="{self.sso_url}"/>'
            "</md:IDPSSODescriptor></md:EntityDescriptor>"
        ).encode()
        if self.metadata_key is None:
            return document
        return sign(document, "_metadata", self.metadata_key)


def _read(document: bytes) -> Asked:
    root = etree.fromstring(document)
    assert root.tag == f"{{{PROTOCOL}}}AuthnRequest", root.tag
    policy = root.find(f"{{{PROTOCOL}}}NameIDPolicy")
    return Asked(
        id=root.get("ID", ""),
        issuer=root.findtext(f"{{{ASSERTION}}}Issuer", ""),
        acs_url=root.get("AssertionConsumerServiceURL", ""),
        destination=root.get("Destination", ""),
        name_id_format="" if policy is None else policy.get("Format", ""),
        document=document,
    )


def _hidden(**fields: str) -> str:
    return "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">'
        for name, value in fields.items()
    )


def _page(body: str, status: int = 200) -> web.Response:
    head = '<title>Identity provider</title><link rel="icon" href="data:,">'
    page = f"<!doctype html>{head}{body}"
    return web.Response(text=page, status=status, content_type="text/html")
