"""Signing and encrypting SAML messages for tests, by no library that verifies them.

Whatever a signature can look like, :class:`Form` can say.  It needs lxml.
"""

from __future__ import annotations

import base64
import os

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.sax.saxutils import quoteattr

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

__all__ = [
    "Encryption",
    "Form",
    "SigningKey",
    "element",
    "encrypt",
    "encrypted_assertion",
    "sign",
]

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

_HASHES: Mapping[str, Any] = {
    "sha1": hashes.SHA1,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}


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
        transforms += element("ds:Transform", {"Algorithm": name}, inner)
    uri = f"#{id}" if form.uri is None else form.uri
    reference = element(
        "ds:Reference",
        {"URI": uri},
        element("ds:Transforms", {}, transforms)
        + element("ds:DigestMethod", {"Algorithm": form.digest})
        + element("ds:DigestValue", {}, digest),
    )
    info = element(
        "ds:SignedInfo",
        {},
        element("ds:CanonicalizationMethod", {"Algorithm": form.c14n}, prefixes)
        + element("ds:SignatureMethod", {"Algorithm": method})
        + reference,
    )
    key_info = form.key_info
    if key_info is None:
        key_info = (
            "<ds:X509Data><ds:X509Certificate>"
            f"{key.x509}</ds:X509Certificate></ds:X509Data>"
        )
    content = info + element("ds:SignatureValue", {})
    if key_info:
        content += element("ds:KeyInfo", {}, key_info)
    return element("ds:Signature", {"xmlns:ds": DSIG}, content).encode()


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


def element(name: str, attributes: Mapping[str, str | None], content: str = "") -> str:
    """Return an element as text; attributes that are ``None`` are left out."""
    written = "".join(
        f" {key}={quoteattr(value)}"
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{content}</{name}>"
