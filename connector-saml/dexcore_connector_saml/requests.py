"""What we write: the request to log in, and metadata about ourselves."""

from __future__ import annotations

import base64

from collections.abc import Sequence
from datetime import datetime

import attrs

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from . import signatures
from .certificates import PrivateKey
from .decryption import CONTENT
from .xml import PROTOCOL, XENC, Element, element, serialize

__all__ = ["POST", "ServiceProvider", "authn_request", "metadata"]

POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"


@attrs.frozen
class ServiceProvider:
    """Who we are to an identity provider.

    ``keys``: the first signs, if ``signs``, and all of them decrypt; ``certificate`` is
    that of the first.
    """

    entity_id: str
    acs_url: str
    name_id_format: str
    keys: tuple[PrivateKey, ...] = attrs.field(default=(), repr=False)
    certificate: x509.Certificate | None = None
    signs: bool = False
    want_assertion_signed: bool = False

    @property
    def decryption_keys(self) -> tuple[rsa.RSAPrivateKey, ...]:
        """The keys others can encrypt for."""
        return tuple(each for each in self.keys if isinstance(each, rsa.RSAPrivateKey))


def authn_request(
    sp: ServiceProvider,
    sso_url: str,
    id: str,
    now: datetime,
    force: bool = False,
    contexts: Sequence[str] = (),
) -> str:
    """Return the form's field ``SAMLRequest`` (core, section 3.4.1).

    *force*: the end user has to log in, though the identity provider knows them.
    *contexts*: one of these has to be how they do (section 3.3.2.2.1).
    It is not compressed: that is for the redirect binding (bindings, section 3.4.4.1).
    """
    sign = sp.signs and sp.certificate is not None
    content = [element("saml:Issuer", text=sp.entity_id)]
    if sign:
        content.append(signatures.placeholder())
    content.append(
        element(
            "samlp:NameIDPolicy", {"AllowCreate": "true", "Format": sp.name_id_format}
        )
    )
    if contexts:
        content.append(
            element(
                "samlp:RequestedAuthnContext",
                {"Comparison": "exact"},
                *(element("saml:AuthnContextClassRef", text=each) for each in contexts),
            )
        )
    request = element(
        "samlp:AuthnRequest",
        {
            "ID": id,
            "Version": "2.0",
            "IssueInstant": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "Destination": sso_url,
            **({"ForceAuthn": "true"} if force else {}),
            "ProtocolBinding": POST,
            "AssertionConsumerServiceURL": sp.acs_url,
        },
        *content,
    )
    if sign and sp.certificate is not None:
        request = signatures.sign(request, sp.keys[0], sp.certificate)
    return base64.b64encode(serialize(request)).decode()


def metadata(sp: ServiceProvider) -> bytes:
    """Return the document an identity provider registers us by (metadata, 2.4.4)."""
    content: list[Element] = []
    if sp.certificate is not None:
        content.append(_key("signing", sp.certificate))
        if sp.decryption_keys and sp.decryption_keys[0] is sp.keys[0]:
            content.append(_key("encryption", sp.certificate, *_encryption_methods()))
    content.append(element("md:NameIDFormat", text=sp.name_id_format))
    consumer = {"Binding": POST, "Location": sp.acs_url, "index": "0"}
    content.append(
        element("md:AssertionConsumerService", {**consumer, "isDefault": "true"})
    )
    role = element(
        "md:SPSSODescriptor",
        {
            "protocolSupportEnumeration": PROTOCOL,
            "AuthnRequestsSigned": _boolean(sp.signs),
            "WantAssertionsSigned": _boolean(sp.want_assertion_signed),
        },
        *content,
    )
    document = element("md:EntityDescriptor", {"entityID": sp.entity_id}, role)
    return serialize(document, declaration=True)


def _key(use: str, certificate: x509.Certificate, *methods: Element) -> Element:
    der = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
    info = element(
        "ds:KeyInfo",
        None,
        element("ds:X509Data", None, element("ds:X509Certificate", text=der)),
    )
    return element("md:KeyDescriptor", {"use": use}, info, *methods)


def _encryption_methods() -> list[Element]:
    names = [name for name, content in CONTENT.items() if content.authenticated]
    return [
        element("md:EncryptionMethod", {"Algorithm": name})
        for name in (*names, f"{XENC}rsa-oaep-mgf1p")
    ]


def _boolean(value: bool) -> str:
    return "true" if value else "false"
