"""Groups 18 to 30: text, signatures, keys and algorithms that were tampered with."""

from __future__ import annotations

import base64
import copy
import hmac

from datetime import UTC, datetime, timedelta

import pytest

from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree

from dexcore.options import InvalidOption
from dexcore.testing.upstreams.saml_signing import (
    DSIG,
    ENVELOPED,
    EXC_C14N,
    RSA_SHA1,
    SHA1,
    Form,
    SigningKey,
    sign,
)

# Both ways to protect a response; what is said here holds for each.
BOTH = pytest.mark.parametrize("where", ["response", "assertion"])
EVIL = "admin@victim.example.evil.example"


def protected(message, keys, where, **changes):
    return message(**changes).signed(
        keys.idp, response=where == "response", assertion=where == "assertion"
    )


# — 18, 19: text that a reader could take for other text -------------------------------


@BOTH
@pytest.mark.parametrize(
    "text",
    [
        "admin@victim.example",  # the NameID itself
        "mail@victim.example",  # an attribute's value
        "https://sp.example/dex",  # the audience
        "https://idp.exam",  # the issuer
    ],
)
@pytest.mark.parametrize("cut", ["<!--x-->", "<?x?>", "<![CDATA[]]>", "<x/>", "&x;"])
async def test_text_cannot_be_cut_short(text, cut, where, sp, message, keys):
    document = protected(
        message,
        keys,
        where,
        name_id=EVIL,
        attributes={
            "name": ["x"],
            "mail": ["mail@victim.example.evil.example"],
            "groups": ["x"],
        },
    )
    changed = document.replace(text.encode(), f"{text}{cut}".encode())
    assert changed != document
    await sp.refuses(changed)


@pytest.mark.parametrize("where", [".", "s:Assertion"])
def test_what_is_read_are_the_bytes_that_were_signed(where, message, keys):
    """If a parser let comments pass, they would not cut anything short either."""
    from dexcore_connector_saml.signatures import Signers, verify

    document = message(name_id=EVIL).signed(
        keys.idp, response=where == ".", assertion=where != "."
    )
    changed = document.replace(b"admin@victim", b"admin@vic<!--x-->tim")
    root = etree.fromstring(changed)
    assert root.find(".//{*}NameID").text == "admin@vic"
    place = root.find(where, {"s": "urn:oasis:names:tc:SAML:2.0:assertion"})
    read = verify(root, place, Signers((keys.idp.certificate,)), datetime.now(UTC))
    assert read is not place
    assert read.tag == place.tag
    assert read.find(".//{*}NameID").text == EVIL
    assert not list(read.iter(f"{{{DSIG}}}Signature"))
    assert not list(read.iter(etree.Comment))


@BOTH
async def test_a_character_reference_is_the_character(where, sp, message, keys):
    document = protected(message, keys, where, name_id="jane")
    await sp.accepts(document.replace(b">jane<", b">j&#x61;n&#101;<"), "jane")


@BOTH
async def test_a_character_reference_hides_nothing(where, sp, message, keys):
    document = protected(message, keys, where, name_id=EVIL)
    changed = document.replace(b"victim.example.", b"victim.example&#46;")
    await sp.accepts(changed, EVIL)


@BOTH
async def test_an_element_in_a_name_is_no_name(where, sp, message, keys):
    lines = {"name_id": "admin<saml:NameID>.evil</saml:NameID>"}
    document = protected(message, keys, where, lines=lines)
    await sp.refuses(document, "saml:NameID in saml:NameID")


# — 20: text inside the signature ------------------------------------------------------


@BOTH
@pytest.mark.parametrize("name", ["DigestValue", "SignatureValue", "X509Certificate"])
@pytest.mark.parametrize("cut", [b"<!--x-->", b"<?x y?>", b"<x/>", b"<![CDATA[A]]>"])
async def test_nothing_stands_in_the_values_of_a_signature(
    name, cut, where, sp, message, keys
):
    document = protected(message, keys, where)
    start = document.index(f"<ds:{name}>".encode()) + len(name) + 15
    await sp.refuses(document[:start] + cut + document[start:])


@BOTH
async def test_a_digest_may_be_broken_into_lines(where, sp, message, keys):
    """As many libraries write it; but a digest is signed, so before that."""
    made = message()
    id = made.id if where == "response" else made.assertion_id
    form = Form(key_info="<ds:KeyName>\n  some key\n</ds:KeyName>")
    await sp.accepts(sign(made.response(), id, keys.idp, form))


# — 21: no signature, or an empty one --------------------------------------------------


@pytest.mark.parametrize("secret", ["", "idp"])
async def test_without_a_signature_there_is_no_login(secret, sp, message):
    await sp.refuses(message().response(), "no signature")


@BOTH
async def test_an_empty_signature_is_none(where, sp, forge):
    root = forge.signed(response=where == "response", assertion=where == "assertion")
    signature = forge.find(root, "//d:Signature")
    for child in list(signature):
        signature.remove(child)
    await sp.refuses(forge.bytes(root), "ds:Signature without ds:SignedInfo")


@BOTH
@pytest.mark.parametrize("value", ["", " ", "AAAA", "****", "AA=="])
async def test_a_signature_has_a_value(value, where, sp, forge):
    root = forge.signed(response=where == "response", assertion=where == "assertion")
    forge.find(root, "//d:SignatureValue").text = value
    await sp.refuses(forge.bytes(root))


@BOTH
async def test_a_signature_about_nothing_there_is_none(where, sp, message, keys):
    made = message()
    id = made.id if where == "response" else made.assertion_id
    await sp.refuses(sign(made.response(), id, keys.idp, Form(uri="#none")), "#none")


async def test_two_signatures_about_nothing_there_are_none(sp, message, keys):
    made = message()
    document = sign(made.response(), made.assertion_id, keys.idp, Form(uri="#none"))
    await sp.refuses(sign(document, made.id, keys.idp, Form(uri="#nothing")))


# — 22: changed after it was signed ----------------------------------------------------

CHANGES = {
    "NameID": lambda root: setattr(root.find(".//{*}NameID"), "text", "admin"),
    "NameID, one letter": lambda root: setattr(
        root.find(".//{*}NameID"), "text", "Jane"
    ),
    "an attribute": lambda root: setattr(
        root.find(".//{*}AttributeValue"), "text", "admin"
    ),
    "an attribute's name": lambda root: root.find(".//{*}Attribute").set("Name", "x"),
    "another attribute": lambda root: root.find(".//{*}AttributeStatement").append(
        copy.deepcopy(root.find(".//{*}Attribute"))
    ),
    "an attribute less": lambda root: root.find(".//{*}AttributeStatement").remove(
        root.find(".//{*}Attribute")
    ),
    "another order": lambda root: root.find(".//{*}AttributeStatement").append(
        root.find(".//{*}Attribute")
    ),
    "a value more": lambda root: root.find(".//{*}Attribute").append(
        copy.deepcopy(root.find(".//{*}AttributeValue"))
    ),
    "its time": lambda root: root.find(".//{*}SubjectConfirmationData").set(
        "NotOnOrAfter", "2099-01-01T00:00:00Z"
    ),
    "its condition": lambda root: root.find(".//{*}Conditions").attrib.pop(
        "NotOnOrAfter"
    ),
    "white space": lambda root: setattr(root.find(".//{*}Subject"), "text", "\n"),
    "the id": lambda root: root.find("{*}Assertion").set("ID", "another"),
}


@BOTH
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_what_was_signed_cannot_be_changed(change, where, sp, forge):
    root = forge.signed(response=where == "response", assertion=where == "assertion")
    change(root)
    await sp.refuses(forge.bytes(root))


# — 23: somebody else's key ------------------------------------------------------------


def key_infos(keys):
    other = keys.other.certificate.public_key().public_numbers()
    numbers = {
        name: base64.b64encode(value.to_bytes(-(-value.bit_length() // 8))).decode()
        for name, value in (("Modulus", other.n), ("Exponent", other.e))
    }
    der = keys.other.certificate.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    value = "".join(f"<ds:{k}>{v}</ds:{k}>" for k, v in numbers.items())
    x509 = "<ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data>"
    ours, theirs = x509.format(keys.idp.x509), x509.format(keys.other.x509)
    rsa = f"<ds:KeyValue><ds:RSAKeyValue>{value}</ds:RSAKeyValue></ds:KeyValue>"
    return {
        "embedded": theirs,
        "the trusted one pasted in": ours,
        "both": ours + theirs,
        "KeyValue": rsa,
        "KeyValue beside the trusted one": ours + rsa,
        "DEREncodedKeyValue": (
            '<d11:DEREncodedKeyValue xmlns:d11="http://www.w3.org/2009/xmldsig11#">'
            f"{base64.b64encode(der).decode()}</d11:DEREncodedKeyValue>"
        ),
        "RetrievalMethod": '<ds:RetrievalMethod URI="http://127.0.0.1:9/key"/>',
        "KeyName": "<ds:KeyName>/etc/ssl/private/key.pem</ds:KeyName>",
        "absent": "",
    }


KEY_INFOS = (
    "embedded", "the trusted one pasted in", "both", "KeyValue",
    "KeyValue beside the trusted one", "DEREncodedKeyValue", "RetrievalMethod",
    "KeyName", "absent",
)  # fmt: skip


@BOTH
@pytest.mark.parametrize("info", KEY_INFOS)
async def test_a_document_does_not_say_whose_key_counts(info, where, sp, message, keys):
    made = message(name_id="admin")
    id = made.id if where == "response" else made.assertion_id
    form = Form(key_info=key_infos(keys)[info])
    await sp.refuses(sign(made.response(), id, keys.other, form))


@BOTH
@pytest.mark.parametrize("info", ["absent", "KeyName", "KeyValue", "embedded"])
async def test_the_right_key_needs_no_introduction(info, where, sp, message, keys):
    made = message()
    id = made.id if where == "response" else made.assertion_id
    form = Form(key_info=key_infos(keys)[info])
    await sp.accepts(sign(made.response(), id, keys.idp, form))


# — 24: certificates -------------------------------------------------------------------


async def test_a_certificate_signed_by_the_pinned_one_is_not_pinned(sp, message, keys):
    issued = SigningKey.make("idp", issuer=keys.idp)
    await sp.refuses(message().signed(issued), "verification failed")


async def test_a_certificate_of_the_same_name_is_not_the_same(sp, message, keys):
    assert keys.other.certificate.subject == keys.idp.certificate.subject
    await sp.refuses(message().signed(keys.other), "verification failed")


@pytest.mark.parametrize(("starts", "ends"), [(-9, -1), (1, 9)])
async def test_a_pinned_certificate_counts_between_its_dates(
    starts, ends, open_sp, message
):
    now = datetime.now(UTC)
    key = SigningKey.make(
        starts=now + timedelta(days=starts), ends=now + timedelta(days=ends)
    )
    data = base64.b64encode(key.pem.encode()).decode()
    sp = await open_sp(ca_data=data)
    await sp.refuses(message().signed(key), "no pinned certificate is valid now")
    assert ("SAML certificate has expired" in sp.log.messages) == (ends < 0)


@pytest.mark.parametrize("bits", [1024, 2047])
def test_a_short_key_cannot_be_pinned(bits, open_sp):
    pem = SigningKey.make(bits=bits).pem
    with pytest.raises(InvalidOption, match=f"{bits} bits"):
        _config(ca_data=base64.b64encode(pem.encode()).decode())


def _config(**options):
    from dexcore_connector_saml import Saml

    return Saml(
        sso_url="https://i/s",
        redirect_uri="https://s/c",
        username_attr="n",
        email_attr="m",
        **options,
    )


# — 25: a shared secret that everybody knows -------------------------------------------


def secrets(keys):
    certificate = keys.idp.certificate
    public = certificate.public_key()
    return {
        "pem": certificate.public_bytes(Encoding.PEM),
        "der": certificate.public_bytes(Encoding.DER),
        "modulus": public.public_numbers().n.to_bytes(256),
        "public key": public.public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        ),
        "nothing": b"",
    }


@BOTH
@pytest.mark.parametrize("secret", ["pem", "der", "modulus", "public key", "nothing"])
@pytest.mark.parametrize("length", [None, "0", "1", "8"])
async def test_a_public_key_is_no_secret(secret, length, where, sp, forge, keys):
    root = forge.signed(response=where == "response", assertion=where == "assertion")
    method = forge.find(root, "//d:SignatureMethod")
    method.set("Algorithm", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256")
    if length is not None:
        etree.SubElement(method, f"{{{DSIG}}}HMACOutputLength").text = length
    info = etree.tostring(
        forge.find(root, "//d:SignedInfo"), method="c14n", exclusive=True
    )
    made = hmac.digest(secrets(keys)[secret], info, "sha256")
    if length is not None:
        made = made[: int(length) // 8]
    value = base64.b64encode(made).decode()
    forge.find(root, "//d:SignatureValue").text = value
    await sp.refuses(forge.bytes(root))


# — 26: algorithms ---------------------------------------------------------------------

MORE = "http://www.w3.org/2001/04/xmldsig-more#"
NOT_THESE = {
    "rsa-sha1": {"method": RSA_SHA1},
    "sha1 digest": {"digest": SHA1},
    "both sha1": {"method": RSA_SHA1, "digest": SHA1},
    "dsa": {"method": f"{DSIG}dsa-sha1"},
    "md5": {"method": f"{MORE}rsa-md5"},
    "md5 digest": {"digest": f"{MORE}md5"},
    "none": {"method": "none"},
    "empty": {"method": "#"},
    "unknown": {"method": "urn:example#rsa-sha256"},
    "unknown digest": {"digest": "urn:example#sha256"},
    "pss": {"method": "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"},
    "ecdsa with an rsa key": {"method": f"{MORE}ecdsa-sha256"},
}


@BOTH
@pytest.mark.parametrize("form", NOT_THESE.values(), ids=NOT_THESE)
async def test_an_algorithm_that_is_not_allowed_is_refused(
    form, where, sp, message, keys
):
    made = message()
    id = made.id if where == "response" else made.assertion_id

    class Claims:  # signs with SHA-256, whatever it says
        key, x509 = keys.idp.key, keys.idp.x509

        @staticmethod
        def sign(data, method):
            known = method.rpartition("-")[2] in ("sha1", "sha256")
            named = method if known else f"{MORE}rsa-sha256"
            return keys.idp.sign(data, named)

    await sp.refuses(sign(made.response(), id, Claims, Form(**form)))


async def test_sha1_is_accepted_when_the_file_says_so(open_sp, message, keys):
    sp = await open_sp(insecure_allow_sha1=True)
    document = message().signed(keys.idp, form=Form(method=RSA_SHA1, digest=SHA1))
    await sp.accepts(document)
    assert any("SHA-1" in said for said in sp.log.messages)


@pytest.mark.parametrize("zero", ["r", "s", "both"])
async def test_an_elliptic_signature_of_zeros_is_none(zero, open_sp, message, keys):
    sp = await open_sp(ca_data=base64.b64encode(keys.elliptic.pem.encode()).decode())
    await sp.accepts(message().signed(keys.elliptic))
    root = etree.fromstring(message().signed(keys.elliptic, response=False))
    value = root.find(f".//{{{DSIG}}}SignatureValue")
    r, s = base64.b64decode(value.text)[:32], base64.b64decode(value.text)[32:]
    r = bytes(32) if zero != "s" else r
    s = bytes(32) if zero != "r" else s
    value.text = base64.b64encode(r + s).decode()
    await sp.refuses(etree.tostring(root), "verification failed")


def test_a_key_for_dsa_cannot_be_pinned():
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    key = dsa.generate_private_key(2048)
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(datetime.now(UTC))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM)
    with pytest.raises(InvalidOption, match="neither RSA nor"):
        _config(ca_data=base64.b64encode(pem).decode())


# — 27, 28: more or less than one of everything ----------------------------------------


def two_references(forge, root):
    reference = forge.find(root, "//d:Reference")
    reference.addnext(copy.deepcopy(reference))


def forged_reference_first(forge, root):
    reference = forge.find(root, "//d:Reference")
    forged = copy.deepcopy(reference)
    forged.set("URI", "#other")
    reference.addprevious(forged)


def zero_references(forge, root):
    reference = forge.find(root, "//d:Reference")
    reference.getparent().remove(reference)


def manifest(forge, root):
    signature = forge.find(root, "//d:Signature")
    signature.append(
        forge.wrap(
            "Object",
            forge.wrap(
                "Manifest", copy.deepcopy(forge.find(root, "//d:Reference")), uri=DSIG
            ),
            uri=DSIG,
        )
    )


def two_signed_infos(first):
    def change(forge, root):
        genuine = forge.find(root, "//d:SignedInfo")
        forged = copy.deepcopy(genuine)
        forged.find(f".//{{{DSIG}}}DigestValue").text = base64.b64encode(
            bytes(32)
        ).decode()
        (genuine.addprevious if first else genuine.addnext)(forged)

    return change


def two_values(forge, root):
    value = forge.find(root, "//d:SignatureValue")
    value.addnext(copy.deepcopy(value))


def nested(forge, root):
    signature = forge.find(root, "//d:Signature")
    signature.append(copy.deepcopy(signature))


def nested_in_key_info(forge, root):
    signature = forge.find(root, "//d:Signature")
    forge.find(root, "//d:X509Data").append(copy.deepcopy(signature))


def two_signatures(forge, root):
    signature = forge.find(root, "//d:Signature")
    signature.addnext(copy.deepcopy(signature))


def other_namespace(forge, root):
    for each in list(root.iter(f"{{{DSIG}}}*")):
        each.tag = each.tag.replace(DSIG, "http://www.w3.org/2000/09/xmldsig")


def with_object(forge, root):
    forge.find(root, "//d:Signature").append(forge.wrap("Object", uri=DSIG))


def two_digests(forge, root):
    digest = forge.find(root, "//d:DigestValue")
    digest.addnext(copy.deepcopy(digest))


TOO_MANY = {
    "two references": two_references,
    "a forged reference first": forged_reference_first,
    "zero references": zero_references,
    "a manifest": manifest,
    "two SignedInfo, forged first": two_signed_infos(True),
    "two SignedInfo, forged last": two_signed_infos(False),
    "two SignatureValue": two_values,
    "two DigestValue": two_digests,
    "a signature in a signature": nested,
    "a signature in KeyInfo": nested_in_key_info,
    "two signatures": two_signatures,
    "another namespace": other_namespace,
    "an object": with_object,
}


@BOTH
@pytest.mark.parametrize("change", TOO_MANY.values(), ids=TOO_MANY)
async def test_a_signature_has_one_of_each(change, where, sp, forge):
    root = forge.signed(response=where == "response", assertion=where == "assertion")
    change(forge, root)
    await sp.refuses(forge.bytes(root))


@BOTH
async def test_a_signature_over_itself_is_none(where, sp, message, keys):
    made = message()
    id = made.id if where == "response" else made.assertion_id
    root = etree.fromstring(sign(made.response(), id, keys.idp, Form(uri="#info")))
    root.find(f".//{{{DSIG}}}SignedInfo").set("Id", "info")
    await sp.refuses(etree.tostring(root), "#info")


# — 29: what a signature is about ------------------------------------------------------

URIS = (
    "", "#", "#xpointer(/)", "#xpointer(id('x'))", "file:///etc/hostname",
    "http://127.0.0.1:9/x", "//127.0.0.1/x", "data:text/xml,<x/>", "cid:x",
)  # fmt: skip


@BOTH
@pytest.mark.parametrize("uri", URIS)
async def test_a_signature_is_about_the_element_it_is_in(uri, where, sp, message, keys):
    made = message()
    id = made.id if where == "response" else made.assertion_id
    await sp.refuses(
        sign(made.response(), id, keys.idp, Form(uri=uri)), "that is about"
    )


@BOTH
async def test_a_signature_says_what_it_is_about(where, sp, forge):
    root = forge.signed(response=where == "response", assertion=where == "assertion")
    del forge.find(root, "//d:Reference").attrib["URI"]
    await sp.refuses(forge.bytes(root), "ds:Reference without URI")


# — 30: transforms ---------------------------------------------------------------------

NO_NAME = (
    "<ds:XPath xmlns:saml='urn:oasis:names:tc:SAML:2.0:assertion'>"
    "not(ancestor-or-self::saml:NameID)</ds:XPath>"
)
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
TRANSFORMS = {
    "xpath": (ENVELOPED, f"http://www.w3.org/TR/1999/REC-xpath-19991116 {NO_NAME}"),
    "xpath and c14n": (
        ENVELOPED,
        f"http://www.w3.org/TR/1999/REC-xpath-19991116 {NO_NAME}",
        EXC_C14N,
    ),
    "xpath filter 2": (
        ENVELOPED,
        "http://www.w3.org/2002/06/xmldsig-filter2 <x xmlns='urn:x'/>",
    ),
    "xslt": (ENVELOPED, "http://www.w3.org/TR/1999/REC-xslt-19991116 <x xmlns='u:x'/>"),
    "base64": (ENVELOPED, f"{DSIG}base64"),
    "with comments": (ENVELOPED, f"{EXC_C14N}WithComments"),
    "c14n 1.0": (ENVELOPED, C14N),
    "c14n 1.1": (ENVELOPED, "http://www.w3.org/2006/12/xml-c14n11"),
    "not enveloped": (EXC_C14N,),
    "only enveloped": (ENVELOPED,),
    "the other way round": (EXC_C14N, ENVELOPED),
    "enveloped twice": (ENVELOPED, ENVELOPED),
    "a thousand": (ENVELOPED, *(EXC_C14N,) * 999),
    "none": (),
    "an element in a transform": (f"{ENVELOPED} <x xmlns='urn:x'/>", EXC_C14N),
}


@BOTH
@pytest.mark.parametrize("transforms", TRANSFORMS.values(), ids=TRANSFORMS)
async def test_a_signature_leaves_nothing_out(transforms, where, sp, message, keys):
    made = message()
    id = made.id if where == "response" else made.assertion_id
    document = sign(made.response(), id, keys.idp, Form(transforms=transforms))
    await sp.refuses(document)


CANONICAL = (
    C14N, f"{C14N}#WithComments", "http://www.w3.org/2006/12/xml-c14n11",
    f"{EXC_C14N}WithComments", "urn:example:c14n", "",
)  # fmt: skip


@BOTH
@pytest.mark.parametrize("c14n", CANONICAL)
async def test_what_is_signed_has_one_canonical_form(c14n, where, sp, message, keys):
    made = message()
    id = made.id if where == "response" else made.assertion_id
    document = sign(made.response(), id, keys.idp, Form(c14n=c14n))
    await sp.refuses(document, "the canonicalization")


@BOTH
async def test_a_signature_made_without_the_name_does_not_cover_it(
    where, sp, message, keys
):
    """The provider itself has signed it so, once: for a document without a name."""
    made = message()
    id = made.id if where == "response" else made.assertion_id
    root = etree.fromstring(made.response())
    (target,) = root.xpath("//*[@ID=$id]", id=id)
    alone = etree.fromstring(etree.tostring(target))
    for name in list(alone.iter("{*}NameID")):
        name.getparent().remove(name)
    data = etree.tostring(alone, method="c14n", exclusive=True)
    form = Form(transforms=TRANSFORMS["xpath and c14n"], data=data)
    await sp.refuses(sign(made.response(), id, keys.idp, form))
    await sp.refuses(sign(made.response(), id, keys.idp, Form(data=data)), "Digest")


@BOTH
@pytest.mark.parametrize("prefixes", [("xs",), ("#default",), ("saml", "xs", "q")])
async def test_inclusive_namespaces_are_honoured(prefixes, where, sp, message, keys):
    """Okta sends such a list; also one that names what is not there."""
    made = message()
    id = made.id if where == "response" else made.assertion_id
    document = made.response().replace(
        b"<saml:AttributeValue>",
        b'<saml:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" '
        b'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        b'xsi:type="xs:string">',
    )
    await sp.accepts(sign(document, id, keys.idp, Form(prefixes=prefixes)))
