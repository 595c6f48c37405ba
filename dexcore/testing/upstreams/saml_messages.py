"""SAML messages for tests: right by default, and wrong in every way that is asked for.

They are written as text and signed here, by no library that a connector verifies with::

    key = SigningKey.make("idp")
    message = Message(in_response_to="r1", acs_url="https://sp.example/acs")
    document = message.signed(key)
    evil = attrs.evolve(message, audiences=(("https://other.example",),)).signed(key)

It needs lxml.
"""

from __future__ import annotations

import base64
import operator
import os

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import attrs

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from lxml import etree

__all__ = ["Encryption", "Form", "Message", "SigningKey", "encrypt", "sign"]

PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
ASSERTION = "urn:oasis:names:tc:SAML:2.0:assertion"
DSIG = "http://www.w3.org/2000/09/xmldsig#"
EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = f"{DSIG}enveloped-signature"
RSA_SHA1 = f"{DSIG}rsa-sha1"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
ECDSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
SHA1 = f"{DSIG}sha1"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
AES256_GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
AES256_CBC = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
RSA_OAEP = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
RSA_1_5 = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"

_HASHES: Mapping[str, Any] = {
    "sha1": hashes.SHA1,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}

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
class SigningKey:
    """A key with a certificate that nobody but its owner has signed."""

    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = attrs.field(repr=False)
    certificate: x509.Certificate

    @classmethod
    def make(
        cls,
        name: str = "idp",
        *,
        bits: int = 2048,
        curve: ec.EllipticCurve | None = None,
        starts: datetime | None = None,
        ends: datetime | None = None,
        issuer: SigningKey | None = None,
    ) -> SigningKey:
        """Return a new RSA key, or one on *curve*; *issuer* signs its certificate."""
        key = (
            ec.generate_private_key(curve)
            if curve
            else rsa.generate_private_key(65537, bits)
        )
        now = datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(starts or now - timedelta(days=1))
            .not_valid_after(ends or now + timedelta(days=30))
            .sign(issuer.key if issuer else key, hashes.SHA256())
        )
        return cls(key, certificate)

    @property
    def pem(self) -> str:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def private_pem(self) -> str:
        """The private key."""
        return self.key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode()

    @property
    def x509(self) -> str:
        """The certificate as it stands in XML."""
        der = self.certificate.public_bytes(Encoding.DER)
        return base64.b64encode(der).decode()

    def sign(self, data: bytes, method: str) -> bytes:
        """Return the signature value of *data* (XML Signature, section 6.4)."""
        hash = _HASHES[method.rpartition("-")[2]]()
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), hash)
        r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(hash)))
        size = (self.key.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")


@attrs.frozen
class Form:
    """What a signature looks like.

    ``uri``: by default the ID of what is signed.  ``transforms`` may have the inner XML
    of a ``ds:Transform`` after a blank.  ``key_info``: the inner XML of ``ds:KeyInfo``;
    ``None`` for the certificate, "" for no element at all.  ``data``: what is digested,
    if it is not what a right signature would digest.
    """

    method: str = ""
    digest: str = SHA256
    c14n: str = EXC_C14N
    transforms: tuple[str, ...] = (ENVELOPED, EXC_C14N)
    uri: str | None = None
    prefixes: tuple[str, ...] = ()
    key_info: str | None = None
    data: bytes | None = None
    position: int | None = None


@attrs.frozen
class Encryption:
    """How an assertion is encrypted, and for whom."""

    certificate: x509.Certificate
    content: str = AES256_GCM
    key: str = RSA_OAEP
    inside: bool = True


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
    session_ends: Time = None
    conditions: bool = True
    lines: Mapping[str, str] = attrs.field(factory=dict)

    def response(self) -> bytes:
        """Return the whole, without signatures."""
        status = _element("samlp:StatusCode", {"Value": self.status}, self._sub())
        attributes = {
            "xmlns:samlp": PROTOCOL,
            "ID": self.id,
            "Version": self.version,
            "IssueInstant": _time(self.response_issued),
            "Destination": self.destination,
            "InResponseTo": self.in_response_to,
        }
        issuer = "" if self.response_issuer is None else _issuer(self.response_issuer)
        return _element(
            "samlp:Response",
            attributes,
            issuer
            + self.lines.get("extensions", "")
            + _element("samlp:Status", {}, status + self.lines.get("status", ""))
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
        return _element("saml:Assertion", attributes, content).encode()

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
        return _element("samlp:StatusCode", {"Value": self.sub_status})

    def _subject(self) -> str:
        data = {
            "NotBefore": _time(self.confirmation_not_before),
            "NotOnOrAfter": _time(self.confirmation_ends),
            "Recipient": self.recipient,
            "InResponseTo": self.confirmed_request,
        }
        return _element(
            "saml:Subject",
            {},
            _element("saml:NameID", {"Format": self.name_id_format}, self._name_id())
            + self.lines.get("subject", "")
            + _element(
                "saml:SubjectConfirmation",
                {"Method": self.method},
                _element("saml:SubjectConfirmationData", data),
            ),
        )

    def _name_id(self) -> str:
        return self.lines.get("name_id", escape(self.name_id))

    def _conditions(self) -> str:
        if not self.conditions:
            return ""
        audiences = [
            _element(
                "saml:AudienceRestriction",
                {},
                "".join(_element("saml:Audience", {}, escape(each)) for each in some),
            )
            for some in self.audiences
        ]
        times = {
            "NotBefore": _time(self.not_before),
            "NotOnOrAfter": _time(self.not_on_or_after),
        }
        content = "".join(audiences) + self.lines.get("conditions", "")
        return _element("saml:Conditions", times, content)

    def _statements(self) -> str:
        made = ""
        if self.authenticated is not None:
            reference = _element("saml:AuthnContextClassRef", {}, PASSWORD)
            made += _element(
                "saml:AuthnStatement",
                {
                    "AuthnInstant": _time(self.authenticated),
                    "SessionNotOnOrAfter": _time(self.session_ends),
                },
                _element("saml:AuthnContext", {}, reference),
            )
        attributes = [
            _element(
                "saml:Attribute",
                {"Name": name},
                "".join(
                    _element("saml:AttributeValue", {}, escape(value))
                    for value in values
                ),
            )
            for name, values in self.attributes.items()
        ]
        attributes.append(self.lines.get("attributes", ""))
        return made + _element("saml:AttributeStatement", {}, "".join(attributes))


def sign(document: bytes, id: str, key: SigningKey, form: Form | None = None) -> bytes:
    """Return *document* with an enveloped signature over the element called *id*."""
    form = form or Form()
    root = etree.fromstring(document)
    (target,) = root.xpath("//*[@ID=$id]", id=id)
    default = RSA_SHA256 if isinstance(key.key, rsa.RSAPrivateKey) else ECDSA_SHA256
    method = form.method or default
    data = form.data
    if data is None:
        data = _exclusive(target, form.prefixes, comments=False)
    digest = base64.b64encode(_digest(data, form.digest)).decode()
    signature = etree.fromstring(_signature(form, method, id, digest, key))
    place = form.position
    if place is None:
        place = 1 if len(target) and target[0].tag == f"{{{ASSERTION}}}Issuer" else 0
    target.insert(place, signature)
    # As a reader will find it, with what it inherits there.
    root = etree.fromstring(etree.tostring(root))
    (target,) = root.xpath("//*[@ID=$id]", id=id)
    info, value = target[place][0], target[place][1]
    canonical = _exclusive(info, form.prefixes, comments=False)
    if not form.c14n.startswith(EXC_C14N):
        canonical = etree.tostring(info, method="c14n", with_comments=False)
    signed = key.sign(canonical, method)
    value.text = base64.b64encode(signed).decode()
    return etree.tostring(root)


def encrypt(document: bytes, how: Encryption) -> bytes:
    """Return *document* with its assertion encrypted (XML Encryption 1.1)."""
    root = etree.fromstring(document)
    assertion = root.find(f"{{{ASSERTION}}}Assertion")
    assert assertion is not None
    plain = etree.tostring(assertion, method="c14n", exclusive=True)
    place = root.index(assertion)
    root.remove(assertion)
    root.insert(place, etree.fromstring(encrypted_assertion(plain, how)))
    return etree.tostring(root)


def encrypted_assertion(plain: bytes, how: Encryption) -> bytes:
    """Return a ``saml:EncryptedAssertion`` of these bytes."""
    bits = int(how.content.partition("#aes")[2][:3])
    secret = os.urandom(bits // 8)
    public = how.certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    scheme: Any = padding.PKCS1v15()
    if how.key != RSA_1_5:
        sha1 = hashes.SHA1()  # noqa: S303 - what the specification says
        scheme = padding.OAEP(padding.MGF1(sha1), sha1, None)
    wrapped = base64.b64encode(public.encrypt(secret, scheme)).decode()
    data = base64.b64encode(_enciphered(secret, plain, how.content)).decode()
    key = (
        '<xenc:EncryptedKey xmlns:xenc="http://www.w3.org/2001/04/xmlenc#">'
        f'<xenc:EncryptionMethod Algorithm="{how.key}"/>'
        f"<xenc:CipherData><xenc:CipherValue>{wrapped}</xenc:CipherValue>"
        "</xenc:CipherData></xenc:EncryptedKey>"
    )
    info = f'<ds:KeyInfo xmlns:ds="{DSIG}">{key}</ds:KeyInfo>' if how.inside else ""
    return (
        f'<saml:EncryptedAssertion xmlns:saml="{ASSERTION}">'
        '<xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" '
        'Type="http://www.w3.org/2001/04/xmlenc#Element">'
        f'<xenc:EncryptionMethod Algorithm="{how.content}"/>{info}'
        f"<xenc:CipherData><xenc:CipherValue>{data}</xenc:CipherValue>"
        f"</xenc:CipherData></xenc:EncryptedData>{'' if how.inside else key}"
        "</saml:EncryptedAssertion>"
    ).encode()


def _enciphered(secret: bytes, plain: bytes, content: str) -> bytes:
    if content.endswith("gcm"):
        nonce = os.urandom(12)
        return nonce + AESGCM(secret).encrypt(nonce, plain, None)
    vector, missing = os.urandom(16), 16 - len(plain) % 16
    cipher = Cipher(algorithms.AES(secret), modes.CBC(vector)).encryptor()
    padded = plain + os.urandom(missing - 1) + bytes([missing])
    return vector + cipher.update(padded) + cipher.finalize()


def _signature(form: Form, method: str, id: str, digest: str, key: SigningKey) -> bytes:
    prefixes = ""
    if form.prefixes:
        prefixes = (
            f'<ec:InclusiveNamespaces xmlns:ec="{EXC_C14N}" '
            f'PrefixList="{" ".join(form.prefixes)}"/>'
        )
    transforms = ""
    for each in form.transforms:
        name, _, inner = each.partition(" ")
        inner = inner or (prefixes if name == EXC_C14N else "")
        transforms += _element("ds:Transform", {"Algorithm": name}, inner)
    uri = f"#{id}" if form.uri is None else form.uri
    reference = _element(
        "ds:Reference",
        {"URI": uri},
        _element("ds:Transforms", {}, transforms)
        + _element("ds:DigestMethod", {"Algorithm": form.digest})
        + _element("ds:DigestValue", {}, digest),
    )
    info = _element(
        "ds:SignedInfo",
        {},
        _element("ds:CanonicalizationMethod", {"Algorithm": form.c14n}, prefixes)
        + _element("ds:SignatureMethod", {"Algorithm": method})
        + reference,
    )
    key_info = form.key_info
    if key_info is None:
        key_info = (
            "<ds:X509Data><ds:X509Certificate>"
            f"{key.x509}</ds:X509Certificate></ds:X509Data>"
        )
    content = info + _element("ds:SignatureValue", {})
    if key_info:
        content += _element("ds:KeyInfo", {}, key_info)
    return _element("ds:Signature", {"xmlns:ds": DSIG}, content).encode()


def _exclusive(
    node: etree._Element, prefixes: Sequence[str], *, comments: bool
) -> bytes:
    # A copy of its own, so that nothing around it counts that should not.
    alone = etree.fromstring(etree.tostring(node, with_tail=False))
    return etree.tostring(
        alone,
        method="c14n",
        exclusive=True,
        with_comments=comments,
        inclusive_ns_prefixes=list(prefixes) or None,
    )


def _digest(data: bytes, algorithm: str) -> bytes:
    name = algorithm.rpartition("#")[2]
    hasher = hashes.Hash(_HASHES.get(name, hashes.SHA256)())
    hasher.update(data)
    return hasher.finalize()


def _issuer(name: str) -> str:
    return _element("saml:Issuer", {"xmlns:saml": ASSERTION}, escape(name))


def _element(name: str, attributes: Mapping[str, str | None], content: str = "") -> str:
    written = "".join(
        f" {key}={quoteattr(value)}"
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{content}</{name}>"


def _time(moment: Time) -> str | None:
    if isinstance(moment, datetime):
        return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return moment
