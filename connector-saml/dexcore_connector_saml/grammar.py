"""Which elements may stand where: the part of SAML's schemas that a login needs.

A document that fits has one assertion, in one place, and signatures only where a
signature of SAML stands.  Everything else (``Extensions``, ``Advice``, ``ds:Object``,
a second assertion) is refused wherever it is, so that nothing can be hidden in it.
"""

from __future__ import annotations

import attrs

from .xml import (
    ASSERTION,
    DSIG,
    DSIG11,
    EXC_C14N,
    PREFIXES,
    PROTOCOL,
    XENC,
    XENC11,
    XSI,
    Element,
    Rejected,
    children,
    label,
    namespace,
    walk,
)

__all__ = [
    "ASSERTION_TAG",
    "ENCRYPTED",
    "RESPONSE",
    "SIGNATURE",
    "check",
    "only",
    "tag",
]

_MANY = 10_000


def tag(name: str) -> str:
    """Return lxml's name of ``samlp:Response``, say."""
    prefix, _, local = name.partition(":")
    return f"{{{PREFIXES[prefix]}}}{local}"


def only(node: Element, name: str) -> Element:
    """Return the one child called *name*; raise :class:`Rejected`."""
    found = children(node, tag(name))
    if len(found) != 1:
        raise Rejected(f"{label(node)} without one {name}")
    return found[0]


RESPONSE = tag("samlp:Response")
ASSERTION_TAG = tag("saml:Assertion")
ENCRYPTED = tag("saml:EncryptedAssertion")
SIGNATURE = tag("ds:Signature")


@attrs.frozen
class _Slot:
    """Children of one of ``tags``, from ``least`` to ``most`` of them."""

    tags: tuple[str, ...]
    least: int
    most: int


@attrs.frozen
class _Shape:
    """What may be in an element, in this order.

    ``text``: characters and nothing else.  ``other``: also attributes of other
    namespaces.  ``opaque``: whatever is not of our namespaces, and ``inner`` of those
    that are, at any depth; nobody reads what it says.
    """

    slots: tuple[_Slot, ...] = ()
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    text: bool = False
    other: bool = False
    opaque: bool = False
    inner: frozenset[str] = frozenset()


def check(root: Element, expected: str) -> None:
    """Raise :class:`Rejected` unless *root* is an *expected* as it should be."""
    if root.tag != expected:
        raise Rejected(f"{label(root)} where {label(expected)} should be")
    pending = [root]
    while pending:
        node = pending.pop()
        shape = _SHAPES.get(str(node.tag))
        if shape is None:  # a slot names nothing without a shape
            raise Rejected(f"{label(node)} in {label(root)}")
        _check_attributes(node, shape)
        if shape.opaque:
            _check_opaque(node, shape)
            continue
        _check_text(node, shape)
        _check_children(node, shape)
        pending.extend(children(node))


def _check_attributes(node: Element, shape: _Shape) -> None:
    there = {str(name) for name in node.attrib}
    missing = shape.required - there
    if missing:
        raise Rejected(f"{label(node)} without {', '.join(sorted(missing))}")
    for name in there - shape.required - shape.optional:
        uri = name[1:].partition("}")[0] if name.startswith("{") else ""
        if not (shape.other and uri and uri not in _OURS):
            raise Rejected(f"the attribute {label(name)} in {label(node)}")


def _check_text(node: Element, shape: _Shape) -> None:
    pieces = [] if shape.text else [node.text]
    pieces += [child.tail for child in node]
    if any(piece and piece.strip(" \t\r\n") for piece in pieces):
        raise Rejected(f"text between the elements of {label(node)}")


def _check_children(node: Element, shape: _Shape) -> None:
    left = children(node)
    for slot in shape.slots:
        count = 0
        while count < len(left) and left[count].tag in slot.tags:
            count += 1
        if count < slot.least:
            names = " or ".join(map(label, slot.tags))
            raise Rejected(f"{label(node)} without {names} in its place")
        if count > slot.most:
            raise Rejected(f"{label(left[slot.most])} too often in {label(node)}")
        left = left[count:]
    if left:
        raise Rejected(f"{label(left[0])} in {label(node)}, or not in its place there")


def _check_opaque(node: Element, shape: _Shape) -> None:
    for each in walk(node):
        ours = namespace(each) in _OURS
        if each is not node and ours and each.tag not in shape.inner:
            raise Rejected(f"{label(each)} inside {label(node)}")


_OURS = frozenset({PROTOCOL, ASSERTION, DSIG, DSIG11, XENC, XENC11, EXC_C14N})


# — The table --------------------------------------------------------------------------


def _one(*names: str) -> _Slot:
    return _Slot(tuple(map(tag, names)), 1, 1)


def _maybe(*names: str, most: int = 1) -> _Slot:
    return _Slot(tuple(map(tag, names)), 0, most)


def _some(*names: str, most: int = _MANY) -> _Slot:
    return _Slot(tuple(map(tag, names)), 1, most)


def _tags(prefix: str, names: str) -> frozenset[str]:
    return frozenset(tag(f"{prefix}:{name}") for name in names.split())


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NAME = _Shape(
    optional=_words("NameQualifier SPNameQualifier Format SPProvidedID"), text=True
)
_TEXT = _Shape(text=True)
_ALGORITHM = _Shape(required=_words("Algorithm"))
_XSI = frozenset({f"{{{XSI}}}type", f"{{{XSI}}}nil"})

_BY_NAME = {
    # SAML core, sections 3.2.2 and 3.3.3.
    "samlp:Response": _Shape(
        (
            _maybe("saml:Issuer"),
            _maybe("ds:Signature"),
            _one("samlp:Status"),
            _maybe("saml:Assertion", "saml:EncryptedAssertion"),
        ),
        _words("ID Version IssueInstant"),
        _words("Destination Consent InResponseTo"),
    ),
    "samlp:Status": _Shape(
        (
            _one("samlp:StatusCode"),
            _maybe("samlp:StatusMessage"),
            _maybe("samlp:StatusDetail"),
        )
    ),
    "samlp:StatusCode": _Shape((_maybe("samlp:StatusCode"),), _words("Value")),
    "samlp:StatusMessage": _TEXT,
    "samlp:StatusDetail": _Shape(opaque=True),
    # Section 2.3.3.
    "saml:Assertion": _Shape(
        (
            _one("saml:Issuer"),
            _maybe("ds:Signature"),
            _one("saml:Subject"),
            _one("saml:Conditions"),
            _some("saml:AuthnStatement", "saml:AttributeStatement"),
        ),
        _words("ID Version IssueInstant"),
    ),
    "saml:Issuer": _NAME,
    "saml:NameID": _NAME,
    # Section 2.4.
    "saml:Subject": _Shape((_one("saml:NameID"), _some("saml:SubjectConfirmation"))),
    "saml:SubjectConfirmation": _Shape(
        (_maybe("saml:NameID"), _maybe("saml:SubjectConfirmationData")),
        _words("Method"),
    ),
    "saml:SubjectConfirmationData": _Shape(
        optional=_words("NotBefore NotOnOrAfter Recipient InResponseTo Address") | _XSI,
        other=True,
    ),
    # Section 2.5.
    "saml:Conditions": _Shape(
        (
            _maybe(
                "saml:AudienceRestriction",
                "saml:OneTimeUse",
                "saml:ProxyRestriction",
                most=_MANY,
            ),
        ),
        optional=_words("NotBefore NotOnOrAfter"),
    ),
    "saml:AudienceRestriction": _Shape((_some("saml:Audience"),)),
    "saml:Audience": _TEXT,
    "saml:OneTimeUse": _Shape(),
    "saml:ProxyRestriction": _Shape(
        (_maybe("saml:Audience", most=_MANY),), optional=_words("Count")
    ),
    # Section 2.7.2.
    "saml:AuthnStatement": _Shape(
        (_maybe("saml:SubjectLocality"), _one("saml:AuthnContext")),
        _words("AuthnInstant"),
        _words("SessionIndex SessionNotOnOrAfter"),
    ),
    "saml:SubjectLocality": _Shape(optional=_words("Address DNSName")),
    "saml:AuthnContext": _Shape(
        (
            _maybe("saml:AuthnContextClassRef"),
            _maybe("saml:AuthnContextDeclRef"),
            _maybe("saml:AuthenticatingAuthority", most=_MANY),
        )
    ),
    "saml:AuthnContextClassRef": _TEXT,
    "saml:AuthnContextDeclRef": _TEXT,
    "saml:AuthenticatingAuthority": _TEXT,
    # Section 2.7.3.
    "saml:AttributeStatement": _Shape((_maybe("saml:Attribute", most=_MANY),)),
    "saml:Attribute": _Shape(
        (_maybe("saml:AttributeValue", most=_MANY),),
        _words("Name"),
        _words("NameFormat FriendlyName"),
        other=True,
    ),
    # eduPersonTargetedID, and others of eduPerson, have a NameID as their value.
    "saml:AttributeValue": _Shape(
        optional=_XSI, other=True, opaque=True, inner=frozenset({tag("saml:NameID")})
    ),
    # Section 2.3.4, and XML Encryption 1.1, section 3.
    "saml:EncryptedAssertion": _Shape(
        (_one("xenc:EncryptedData"), _maybe("xenc:EncryptedKey"))
    ),
    "xenc:EncryptedData": _Shape(
        (
            _one("xenc:EncryptionMethod"),
            _maybe("ds:KeyInfo"),
            _one("xenc:CipherData"),
        ),
        optional=_words("Id Type MimeType Encoding"),
    ),
    "xenc:EncryptedKey": _Shape(
        (
            _one("xenc:EncryptionMethod"),
            _maybe("ds:KeyInfo"),
            _one("xenc:CipherData"),
            _maybe("xenc:ReferenceList"),
            _maybe("xenc:CarriedKeyName"),
        ),
        optional=_words("Id Type MimeType Encoding Recipient"),
    ),
    "xenc:EncryptionMethod": _Shape(
        (
            _maybe("xenc:KeySize"),
            _maybe("ds:DigestMethod"),
            _maybe("xenc11:MGF"),
        ),
        _words("Algorithm"),
    ),
    "xenc:KeySize": _TEXT,
    "xenc11:MGF": _ALGORITHM,
    "xenc:CipherData": _Shape((_one("xenc:CipherValue"),)),
    "xenc:CipherValue": _TEXT,
    "xenc:ReferenceList": _Shape((_some("xenc:DataReference", most=1),)),
    "xenc:DataReference": _Shape(required=_words("URI")),
    "xenc:CarriedKeyName": _TEXT,
    # XML Signature 1.1, section 4; SAML core, section 5.4.
    "ds:Signature": _Shape(
        (_one("ds:SignedInfo"), _one("ds:SignatureValue"), _maybe("ds:KeyInfo")),
        optional=_words("Id"),
    ),
    "ds:SignedInfo": _Shape(
        (
            _one("ds:CanonicalizationMethod"),
            _one("ds:SignatureMethod"),
            _one("ds:Reference"),
        ),
        optional=_words("Id"),
    ),
    "ds:CanonicalizationMethod": _Shape(
        (_maybe("ec:InclusiveNamespaces"),), _words("Algorithm")
    ),
    "ds:SignatureMethod": _ALGORITHM,
    "ds:Reference": _Shape(
        (_one("ds:Transforms"), _one("ds:DigestMethod"), _one("ds:DigestValue")),
        _words("URI"),
        _words("Id"),
    ),
    "ds:Transforms": _Shape((_some("ds:Transform", most=2),)),
    "ds:Transform": _Shape((_maybe("ec:InclusiveNamespaces"),), _words("Algorithm")),
    "ec:InclusiveNamespaces": _Shape(required=_words("PrefixList")),
    "ds:DigestMethod": _ALGORITHM,
    "ds:DigestValue": _TEXT,
    "ds:SignatureValue": _Shape(optional=_words("Id"), text=True),
    "ds:KeyInfo": _Shape(
        (
            _maybe(
                "ds:KeyName",
                "ds:KeyValue",
                "ds:X509Data",
                "xenc:EncryptedKey",
                most=8,
            ),
        ),
        optional=_words("Id"),
    ),
    "ds:KeyName": _TEXT,
    "ds:KeyValue": _Shape(
        opaque=True,
        inner=_tags("ds", "RSAKeyValue Modulus Exponent DSAKeyValue P Q G Y J")
        | _tags("dsig11", "ECKeyValue NamedCurve PublicKey"),
    ),
    "ds:X509Data": _Shape(
        opaque=True,
        inner=_tags("ds", "X509IssuerSerial X509IssuerName X509SerialNumber X509SKI")
        | _tags("ds", "X509SubjectName X509Certificate X509CRL")
        | _tags("dsig11", "X509Digest"),
    ),
}
_SHAPES = {tag(name): shape for name, shape in _BY_NAME.items()}
