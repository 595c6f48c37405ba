"""What is signed, and by whom: the only module that imports signxml.

signxml decides; what it returns are the bytes that the signature covers, and only those
are read from then on.  Before it is asked, the signature has the one form that SAML
allows (core, section 5.4), and after it, the bytes are what we expected to be signed.
Which key may sign is never a question for the document.
"""

from __future__ import annotations

import base64
import binascii
import logging

from collections.abc import Iterable
from datetime import datetime

import attrs

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from .grammar import SIGNATURE, only
from .xml import (
    MESSAGE,
    Element,
    Rejected,
    Rules,
    XMLError,
    canonical,
    children,
    element,
    label,
    parse,
    parser,
    text,
)

__all__ = [
    "Signers",
    "Untrusted",
    "check_form",
    "placeholder",
    "sign",
    "signature_of",
    "verify",
]

# At its lowest level it would write all that is signed into the log.
logging.getLogger("signxml").setLevel(logging.INFO)

_EXC_C14N = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
_ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_METHODS = frozenset(
    {
        SignatureMethod.RSA_SHA256,
        SignatureMethod.RSA_SHA384,
        SignatureMethod.RSA_SHA512,
        SignatureMethod.ECDSA_SHA256,
        SignatureMethod.ECDSA_SHA384,
        SignatureMethod.ECDSA_SHA512,
    }
)
_DIGESTS = frozenset(
    {DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512}
)
_METHODS_SHA1 = frozenset({SignatureMethod.RSA_SHA1, SignatureMethod.ECDSA_SHA1})
_DIGESTS_SHA1 = frozenset({DigestAlgorithm.SHA1})


class Untrusted(Rejected):
    """A signature that none of the keys we know has made."""


@attrs.frozen
class Signers:
    """Whose signatures count: each certificate is pinned, no authority is asked."""

    certificates: tuple[x509.Certificate, ...]
    allow_sha1: bool = False

    def valid(self, now: datetime) -> tuple[x509.Certificate, ...]:
        """Return the certificates that have begun and not ended."""
        return tuple(
            each
            for each in self.certificates
            if each.not_valid_before_utc <= now <= each.not_valid_after_utc
        )


def signature_of(node: Element) -> Element | None:
    """Return the signature that is a child of *node*, if there is one."""
    found = children(node, SIGNATURE)
    return found[0] if found else None


def check_form(parent: Element, *, allow_sha1: bool = False) -> None:
    """Raise :class:`Rejected` unless the signature in *parent* has SAML's form.

    One reference, to *parent* by its ID; enveloped; exclusive canonical XML; algorithms
    that are good today (core, section 5.4).
    """
    signature = signature_of(parent)
    if signature is None:
        raise Rejected(f"{label(parent)} has no signature")
    info = only(signature, "ds:SignedInfo")
    method, reference = only(info, "ds:SignatureMethod"), only(info, "ds:Reference")
    c14n = only(info, "ds:CanonicalizationMethod").get("Algorithm", "")
    if c14n != _EXC_C14N.value:
        raise Rejected(f"the canonicalization {c14n!r}")
    _check_algorithm(method, _METHODS | (_METHODS_SHA1 if allow_sha1 else frozenset()))
    if reference.get("URI") != f"#{parent.get('ID')}":
        raise Rejected(
            f"a signature in {label(parent)} that is about {reference.get('URI')!r}"
        )
    transforms = [
        each.get("Algorithm", "") for each in children(only(reference, "ds:Transforms"))
    ]
    if transforms != [_ENVELOPED, _EXC_C14N.value]:
        raise Rejected(f"the transforms {transforms}")
    digest = only(reference, "ds:DigestMethod")
    _check_algorithm(digest, _DIGESTS | (_DIGESTS_SHA1 if allow_sha1 else frozenset()))
    _check_base64(only(reference, "ds:DigestValue"))
    _check_base64(only(signature, "ds:SignatureValue"))


def verify(
    root: Element,
    parent: Element,
    signers: Signers,
    now: datetime,
    rules: Rules = MESSAGE,
) -> Element:
    """Return what the signature in *parent* covers, parsed from the covered bytes.

    *parent* is *root* or its child.  The signature has the form that
    :func:`check_form` asks for.  Raises :class:`Rejected`.
    """
    reasons: list[str] = []
    for certificate in signers.valid(now):
        config = SignatureConfiguration(
            require_x509=True,
            location="./" if parent is root else f"./{parent.tag!s}/",
            expect_references=1,
            signature_methods=_METHODS
            | (_METHODS_SHA1 if signers.allow_sha1 else frozenset()),
            digest_algorithms=_DIGESTS
            | (_DIGESTS_SHA1 if signers.allow_sha1 else frozenset()),
            # KeyInfo is not asked for the key, so it cannot be wrong about it either.
            ignore_ambiguous_key_info=True,
            verification_time=now,
        )
        try:
            result = XMLVerifier().verify(
                root,
                x509_cert=certificate,
                # The schema asks for less than our grammar, and for a declaration
                # of InclusiveNamespaces, which it has not.
                validate_schema=False,
                parser=parser(),
                id_attribute="ID",
                expect_config=config,
            )
        except (SignXMLException, ValueError, XMLError) as error:
            reasons.append(str(error) or type(error).__name__)
            continue
        if isinstance(result, VerifyResult):
            return _covered(result.signed_data, parent, rules)
    if not reasons:
        raise Untrusted("no pinned certificate is valid now")
    raise Untrusted(
        f"the signature of {label(parent)}: " + "; ".join(sorted(set(reasons)))
    )


def _covered(data: bytes, parent: Element, rules: Rules) -> Element:
    signed = parse(data, rules)
    if signed.tag != parent.tag or signed.get("ID") != parent.get("ID"):
        raise Rejected(f"the signature covers {label(signed)}, not {label(parent)}")
    # What another parser, or another look, would make of these bytes is the same.
    if canonical(signed) != data:
        raise Rejected("the signed bytes are not what they are read as")
    return signed


def sign(
    root: Element,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    certificate: x509.Certificate,
) -> Element:
    """Return *root* with a signature in the place of its ``ds:Signature`` child."""
    elliptic = isinstance(key, ec.EllipticCurvePrivateKey)
    method = SignatureMethod.ECDSA_SHA256 if elliptic else SignatureMethod.RSA_SHA256
    signer = XMLSigner(signature_algorithm=method, c14n_algorithm=_EXC_C14N)
    return signer.sign(
        root, key=key, cert=[certificate], reference_uri=f"#{root.get('ID')}"
    )


def placeholder() -> Element:
    """Return what :func:`sign` replaces."""
    return element("ds:Signature", {"Id": "placeholder"})


def _check_algorithm(
    node: Element, allowed: Iterable[SignatureMethod | DigestAlgorithm]
) -> None:
    name = node.get("Algorithm", "")
    if name not in {each.value for each in allowed}:
        raise Rejected(f"the algorithm {name!r} of {label(node)}")


def _check_base64(node: Element) -> None:
    try:
        decoded = base64.b64decode("".join(text(node).split()), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not decoded:
        raise Rejected(f"{label(node)} that is not base64")
