"""Groups 31 to 36: XML, encodings and ciphertexts that are not what they seem."""

from __future__ import annotations

import base64
import re
import zlib

import attrs
import pytest

from lxml import etree

from dexcore.errors import AccessDenied, UpstreamError
from dexcore.testing.upstreams.saml_messages import PROTOCOL
from dexcore.testing.upstreams.saml_signing import (
    AES256_CBC,
    ASSERTION,
    DSIG,
    RSA_1_5,
    Encryption,
    Form,
    encrypted_assertion,
    sign,
)

XENC = "http://www.w3.org/2001/04/xmlenc#"
EMPTY = base64.b64encode(bytes.fromhex(
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)).decode()  # fmt: skip


# — 31: canonical XML of nothing -------------------------------------------------------

VOID = {
    "relative namespace": b' xmlns:v="1"',
    "empty namespace": b' xmlns:a=""',
    "default namespace taken away": b' xmlns=""',
    "another default namespace": b' xmlns="urn:other"',
    "relative path": b' xmlns:v="../x"',
}


@pytest.mark.parametrize("place", [b"<samlp:Response", b"<saml:Assertion"])
@pytest.mark.parametrize("added", VOID.values(), ids=VOID)
async def test_a_namespace_cannot_void_what_is_signed(added, place, sp, message, keys):
    document = message(name_id="admin").signed(keys.idp, response=True, assertion=False)
    changed = document.replace(place, place + added)
    changed = re.sub(
        rb"<ds:DigestValue>[^<]*", b"<ds:DigestValue>" + EMPTY.encode(), changed
    )
    await sp.refuses(changed)


@pytest.mark.parametrize("added", [b' xmlns:v="1"', b' xmlns:v="../x"'])
async def test_a_relative_namespace_is_none(added, sp, message, keys):
    """Nobody uses it, so no signature covers it."""
    document = message().signed(keys.idp)
    changed = document.replace(b"<samlp:Response", b"<samlp:Response" + added)
    await sp.refuses(changed, "which is not absolute")


async def test_a_signature_once_made_over_nothing_is_good_for_nothing(
    sp, message, keys
):
    made = message(name_id="admin")
    document = sign(made.response(), made.assertion_id, keys.idp, Form(data=b""))
    await sp.refuses(document, "Digest")
    for added in VOID.values():
        await sp.refuses(
            document.replace(b"<saml:Assertion", b"<saml:Assertion" + added)
        )


async def test_a_prefix_that_is_not_there_voids_nothing(sp, message, keys):
    made = message(name_id="admin")
    form = Form(prefixes=("nobody", "xml", "xmlns"), data=b"")
    await sp.refuses(sign(made.response(), made.assertion_id, keys.idp, form))


@pytest.mark.parametrize("depth", [30, 5000])
async def test_a_deep_document_is_refused(depth, sp, message, keys):
    deep = "<x:x xmlns:x='urn:x'>" * depth + "</x:x>" * depth
    lines = {
        "attributes": "<saml:Attribute Name='deep'><saml:AttributeValue>"
        f"{deep}</saml:AttributeValue></saml:Attribute>"
    }
    made = message(lines=lines)
    await sp.refuses(made.response())


# — 32: names that look alike ----------------------------------------------------------

NAMES = {
    "assertion in no namespace": (
        b"saml:Assertion xmlns:saml", b"Assertion xmlns:saml"
    ),
    "assertion in another namespace": (
        ASSERTION.encode(), b"urn:oasis:names:tc:SAML:1.0:assertion"
    ),
    "response in another namespace": (PROTOCOL.encode(), PROTOCOL.encode() + b" "),
    "response in capitals": (PROTOCOL.encode(), PROTOCOL.upper().encode()),
    "prefix bound again": (
        b"<saml:Subject>", b'<saml:Subject xmlns:saml="urn:other:assertion">'
    ),
    "prefix bound to two": (
        b"<saml:Subject>", f'<saml:Subject xmlns:samlp="{ASSERTION}">'.encode()
    ),
    "default namespace in the middle": (
        b"<saml:Subject>", b'<saml:Subject xmlns="urn:other">'
    ),
    "an ID of a namespace": (b"<samlp:Response", b'<samlp:Response samlp:ID="evil"'),
    "an ID of another one": (
        b"<samlp:Response", b'<samlp:Response xmlns:e="urn:e" e:ID="evil"'
    ),
    "an id in small letters": (b"<samlp:Response", b'<samlp:Response id="evil"'),
    "an Id": (b"<samlp:Response", b'<samlp:Response Id="evil"'),
    "an ID with a blank": (b' ID="_r', b' ID=" _r'),
    "an ID with a line break": (b' ID="_r', b' ID="&#10;_r'),
    "schema location": (
        b"<samlp:Response",
        b'<samlp:Response xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        b'xsi:schemaLocation="urn:x http://127.0.0.1:9/x.xsd"',
    ),
    "no-namespace schema location": (
        b"<samlp:Response",
        b'<samlp:Response xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        b'xsi:noNamespaceSchemaLocation="file:///etc/hostname"',
    ),
    "xml:base": (b"<samlp:Response", b'<samlp:Response xml:base="file:///etc/"'),
    "xml:id": (b"<samlp:Response", b'<samlp:Response xml:id="evil"'),
    "an attribute nobody knows": (b"<samlp:Response", b'<samlp:Response X="y"'),
}  # fmt: skip


def _assertion_in_no_namespace(document):
    return document.replace(b"</saml:Assertion>", b"</Assertion>")


@pytest.mark.parametrize("where", ["response", "assertion"])
@pytest.mark.parametrize(("old", "new"), NAMES.values(), ids=NAMES)
async def test_only_the_right_names_count(old, new, where, sp, message, keys):
    """Changed before the provider signs, so that only the names are wrong."""
    made = message()
    document = made.response()
    changed = document.replace(old, new, 1)
    assert changed != document
    if b"<Assertion" in changed:
        changed = _assertion_in_no_namespace(changed)
    id = made.id if where == "response" else made.assertion_id
    try:
        signed = sign(changed, id, keys.idp)
    except (ValueError, etree.XMLSyntaxError):
        signed = document.replace(old, new, 1)
    await sp.refuses(signed)


@pytest.mark.parametrize(
    "attribute",
    [
        'xsi:schemaLocation="urn:x http://127.0.0.1:9/x.xsd"',
        'xsi:noNamespaceSchemaLocation="file:///etc/hostname"',
        'xml:base="file:///etc/"',
    ],
)
async def test_a_value_does_not_say_where_to_look(attribute, sp, message, keys):
    """Attributes of others may stand at a value; not those that parsers obey."""
    value = (
        '<saml:Attribute Name="x"><saml:AttributeValue '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" {}>'
        "x</saml:AttributeValue></saml:Attribute>"
    )
    lines = {"attributes": value.format('xsi:type="x" xml:lang="en"')}
    await sp.accepts(message(lines=lines).signed(keys.idp))
    lines = {"attributes": value.format(attribute)}
    await sp.refuses(message(lines=lines).signed(keys.idp), "the attribute")


async def test_an_id_is_written_as_it_is(sp, message, keys):
    document = message().signed(keys.idp)
    await sp.refuses(document.replace(b' ID="_', b' ID="&#95;'), "reference in an ID")
    await sp.accepts(document)


async def test_adfs_and_entra_may_change_the_default_namespace(sp, message, keys):
    made = message()
    document = made.response()
    for old, new in (
        (b"<saml:", b"<"),
        (b"</saml:", b"</"),
        (b" xmlns:saml=", b" xmlns="),
    ):
        document = document.replace(old, new)
    await sp.accepts(sign(document, made.assertion_id, keys.idp))


# — 33: declarations -------------------------------------------------------------------

LAUGHS = b"".join(
    b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10)
)
DECLARATIONS = {
    "doctype": b"<!DOCTYPE r>",
    "internal entity": b'<!DOCTYPE r [<!ENTITY x "admin">]>',
    "external entity, file": b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
    "external entity, http": b'<!DOCTYPE r [<!ENTITY x SYSTEM "http://127.0.0.1:9/">]>',
    "external subset": b'<!DOCTYPE r SYSTEM "http://127.0.0.1:9/r.dtd">',
    "public": b'<!DOCTYPE r PUBLIC "-//X//Y" "file:///etc/hostname">',
    "parameter entity": (
        b'<!DOCTYPE r [<!ENTITY % x SYSTEM "file:///etc/hostname"> %x;]>'
    ),
    "attlist, id": b"<!DOCTYPE r [<!ATTLIST saml:Assertion AssertionID ID #IMPLIED>]>",
    "attlist, default": (
        b'<!DOCTYPE r [<!ATTLIST saml:NameID SPProvidedID CDATA "admin">]>'
    ),
    "billion laughs": b'<!DOCTYPE r [<!ENTITY l0 "ha">' + LAUGHS + b"]>",
    "quadratic": b'<!DOCTYPE r [<!ENTITY x "' + b"a" * 50_000 + b'">]>',
    "style sheet": b'<?xml-stylesheet href="http://127.0.0.1:9/x.xsl"?>',
    "instruction": b"<?php echo 1 ?>",
    "comment": b"<!-- hello -->",
    "lower case": b"<!doctype r>",
}


@pytest.mark.parametrize("before", [b"", b'<?xml version="1.0"?>', b"\n"])
@pytest.mark.parametrize("declared", DECLARATIONS.values(), ids=DECLARATIONS)
async def test_a_document_declares_nothing(declared, before, sp, message, keys):
    document = message().signed(keys.idp)
    with_entity = document.replace(b">jane<", b">&x;<")
    await sp.refuses(before + declared + document)
    await sp.refuses(before + declared + with_entity)
    await sp.refuses(document + declared)


async def test_nothing_is_included(sp, message, keys):
    lines = {
        "attributes": '<saml:Attribute Name="x"><saml:AttributeValue>'
        '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" '
        'href="file:///etc/hostname" parse="text"/>'
        "</saml:AttributeValue></saml:Attribute>"
    }
    await sp.accepts(message(lines=lines).signed(keys.idp))
    # That was an attribute nobody asked about.  Now it is the email address.
    lines["attributes"] = lines["attributes"].replace('"x"', '"mail"', 1)
    made = message(lines=lines, attributes={"name": ["J"], "groups": ["g"]})
    with pytest.raises(UpstreamError, match="not text"):
        await sp.finish(made.signed(keys.idp))


# — 34: encodings ----------------------------------------------------------------------


def declared(encoding):
    return f'<?xml version="1.0" encoding="{encoding}"?>'.encode()


ENCODINGS = {
    "utf-7": lambda d: declared("UTF-7") + d,
    "utf-16 declared only": lambda d: declared("UTF-16") + d,
    "utf-16": lambda d: d.decode().encode("utf-16"),
    "utf-16 without BOM": lambda d: d.decode().encode("utf-16-le"),
    "utf-16 declared": lambda d: (declared("UTF-16").decode() + d.decode()).encode(
        "utf-16"
    ),
    "utf-32": lambda d: d.decode().encode("utf-32"),
    "latin-1 declared": lambda d: declared("ISO-8859-1") + d,
    "ebcdic declared": lambda d: declared("IBM037") + d,
    "BOM": lambda d: b"\xef\xbb\xbf" + d,
    "overlong": lambda d: d.replace(b">jane<", b">\xc1\xaane<"),
    "NUL": lambda d: d.replace(b">jane<", b">ja\x00ne<"),
    "NUL at the end": lambda d: d + b"\x00",
    "lone surrogate": lambda d: d.replace(b">jane<", b">\xed\xa0\x80<"),
    "control character": lambda d: d.replace(b">jane<", b">ja\x01ne<"),
    "control reference": lambda d: d.replace(b">jane<", b">ja&#1;ne<"),
    "xml 1.1": lambda d: b'<?xml version="1.1"?>' + d,
    "xml 2.0": lambda d: b'<?xml version="2.0"?>' + d,
    "declaration not first": lambda d: b' <?xml version="1.0"?>' + d,
    "two declarations": lambda d: b'<?xml version="1.0"?>' * 2 + d,
    "junk before": lambda d: b"x" + d,
    "junk after": lambda d: d + b"x",
    "element after": lambda d: d + b"<x/>",
    "twice": lambda d: d + d,
    "an empty root before": lambda d: b"<x/>" + d,
    "truncated": lambda d: d[:-1],
    "empty": lambda d: b"",
    "white space": lambda d: b" \n",
    "json": lambda d: b'{"a": 1}',
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
async def test_a_document_is_utf_8_and_one(encode, sp, message, keys):
    await sp.refuses(encode(message().signed(keys.idp)))


@pytest.mark.parametrize(
    "encode",
    [
        lambda d: b'<?xml version="1.0"?>' + d,
        lambda d: declared("UTF-8") + b"\n" + d + b"\n",
        lambda d: declared("utf-8").replace(b"?>", b' standalone="yes"?>') + d,
        lambda d: b"\n" + d,
    ],
)
async def test_a_usual_declaration_is_fine(encode, sp, message, keys):
    await sp.accepts(encode(message().signed(keys.idp)))


# — 35: base64 -------------------------------------------------------------------------


def b64(data):
    return base64.b64encode(data).decode()


FIELDS = {
    "url-safe": lambda d: base64.urlsafe_b64encode(b"\xff\xfe" + d).decode(),
    "no padding": lambda d: b64(pad(d, 1)).rstrip("="),
    "more padding": lambda d: b64(pad(d, 0)) + "====",
    "trailing bits": lambda d: b64(pad(d, 1))[:-3] + "h==",
    "junk inside": lambda d: b64(d)[:100] + "!" + b64(d)[100:],
    "a blank of another kind": lambda d: b64(d)[:100] + "\u00a0" + b64(d)[100:],
    "two in one": lambda d: b64(pad(d, 1)) + b64(d),
    "deflated": lambda d: b64(zlib.compress(d)),
    "raw deflated": lambda d: b64(zlib.compress(d)[2:-4]),
    "bomb": lambda d: b64(zlib.compress(b"<" * 50_000_000)),
    "ten megabytes": lambda d: "A" * 10_000_000,
    "ten megabytes of blanks": lambda d: b64(d) + " " * 10_000_000,
    "a megabyte of XML": lambda d: b64(d.replace(b">jane<", b">" + b"j" * 10**6)),
    "not base64": lambda d: d.decode(),
    "empty": lambda d: "",
}


def pad(document, rest):
    """Return the document so that its base64 ends with so many bytes of a triple."""
    while len(document) % 3 != rest:
        document += b"\n"
    return document


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
async def test_the_field_is_base64_of_the_document(field, sp, message, keys):
    await sp.refuses(field=field(message().signed(keys.idp)))


async def test_base64_may_be_broken_into_lines(sp, message, keys):
    field = base64.encodebytes(message().signed(keys.idp)).decode()
    await sp.accepts(b"", field=field.replace("\n", "\r\n"))


# — 36: encrypted assertions -----------------------------------------------------------


@pytest.fixture
async def decrypting(open_sp, sp_files):
    return await open_sp(**sp_files)


PROTECTED = [(True, True), (True, False), (False, True)]


@pytest.mark.parametrize(("response", "assertion"), PROTECTED)
@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("bits", [128, 192, 256])
async def test_an_encrypted_assertion_is_decrypted(
    bits, inside, response, assertion, decrypting, message, keys, encryption
):
    how = attrs.evolve(
        encryption,
        content=f"http://www.w3.org/2009/xmlenc11#aes{bits}-gcm",
        inside=inside,
    )
    protected = {"response": response, "assertion": assertion}
    identity = await decrypting.accepts(message().encrypted(how, keys.idp, **protected))
    assert identity.email == "jane@example.com"


@pytest.mark.parametrize("response", [True, False])
async def test_cbc_counts_only_under_a_signature(
    response, decrypting, message, keys, encryption
):
    how = attrs.evolve(encryption, content=AES256_CBC)
    document = message().encrypted(how, keys.idp, response=response, assertion=True)
    if response:
        await decrypting.accepts(document)
    else:
        await decrypting.refuses(document, "of an unsigned response")


@pytest.mark.parametrize("place", [0, 15, 16, 100, -17, -16, -1])
async def test_changed_ciphertext_tells_nothing(
    place, decrypting, message, keys, encryption
):
    """Whatever is changed, what is said is the same, and no padding is looked at."""
    how = attrs.evolve(encryption, content=AES256_CBC)
    document = message().encrypted(how, keys.idp, response=True, assertion=True)
    root = etree.fromstring(document)
    flip(root, place)
    await decrypting.refuses(etree.tostring(root), "Digest mismatch")

    root = etree.fromstring(
        message().encrypted(encryption, keys.idp, response=False, assertion=True)
    )
    flip(root, place)
    await decrypting.refuses(
        etree.tostring(root), "an encrypted assertion that cannot be decrypted"
    )


def flip(root, place):
    value = root.findall(f".//{{{XENC}}}CipherValue")[-1]
    data = bytearray(base64.b64decode(value.text))
    data[place] ^= 1
    value.text = b64(bytes(data))


async def test_a_truncated_tag_is_none(decrypting, message, keys, encryption):
    for length in (0, 11, 12, 27, -4, -12):
        root = etree.fromstring(
            message().encrypted(encryption, keys.idp, response=False, assertion=True)
        )
        value = root.findall(f".//{{{XENC}}}CipherValue")[-1]
        value.text = b64(base64.b64decode(value.text)[: length or None][:length])
        await decrypting.refuses(etree.tostring(root), "cannot be decrypted")


async def test_whoever_knows_our_public_key_is_not_the_provider(
    decrypting, message, encryption
):
    plain = message(name_id="admin").assertion()
    await decrypting.refuses(_with(message, encrypted_assertion(plain, encryption)))


async def test_an_assertion_signed_by_another_is_not_better_encrypted(
    decrypting, message, keys, encryption
):
    made = message(name_id="admin")
    document = made.encrypted(encryption, keys.other, response=False, assertion=True)
    await decrypting.refuses(document, "verification failed")


PLAIN = {
    "a doctype": lambda plain: b"<!DOCTYPE r>" + plain,
    "a comment": lambda plain: plain.replace(b">jane<", b">ja<!--x-->ne<"),
    "not XML": lambda plain: b"hello",
    "nothing": lambda plain: b"",
    "two assertions": lambda plain: plain + plain,
    "a response": lambda plain: (
        b'<samlp:Response xmlns:samlp="%s">%s</samlp:Response>'
        % (PROTOCOL.encode(), plain)
    ),
    "an encrypted one again": lambda plain: (
        b'<saml:EncryptedAssertion xmlns:saml="%s"/>' % ASSERTION.encode()
    ),
}


@pytest.mark.parametrize("change", PLAIN.values(), ids=PLAIN)
async def test_what_was_decrypted_is_read_as_strictly(
    change, decrypting, message, keys, encryption
):
    made = message()
    plain = etree.fromstring(made.signed(keys.idp, response=False))
    plain = etree.tostring(plain.find(f"{{{ASSERTION}}}Assertion"))
    document = _with(message, encrypted_assertion(change(plain), encryption))
    response_id = etree.fromstring(document).get("ID")
    await decrypting.refuses(sign(document, response_id, keys.idp))


def _with(message, encrypted):
    root = etree.fromstring(message().response())
    assertion = root.find(f"{{{ASSERTION}}}Assertion")
    root.replace(assertion, etree.fromstring(encrypted))
    return etree.tostring(root)


def twice(root):
    encrypted = root.find(f"{{{ASSERTION}}}EncryptedAssertion")
    root.append(etree.fromstring(etree.tostring(encrypted)))


def beside_a_plain_one(root):
    root.append(etree.Element(f"{{{ASSERTION}}}Assertion", ID="x"))


def retrieval_loop(root):
    info = root.find(f".//{{{DSIG}}}KeyInfo")
    for child in list(info):
        info.remove(child)
    etree.SubElement(info, f"{{{DSIG}}}RetrievalMethod", URI="#loop")
    info.set("Id", "loop")


def two_keys(root):
    key = root.find(f".//{{{XENC}}}EncryptedKey")
    key.addnext(etree.fromstring(etree.tostring(key)))


def no_key(root):
    key = root.find(f".//{{{XENC}}}EncryptedKey")
    key.getparent().remove(key)


def cipher_reference(root):
    data = root.findall(f".//{{{XENC}}}CipherData")[-1]
    for child in list(data):
        data.remove(child)
    etree.SubElement(data, f"{{{XENC}}}CipherReference", URI="file:///etc/hostname")


def method(name, which):
    def change(root):
        found = root.findall(f".//{{{XENC}}}EncryptionMethod")
        found[which].set("Algorithm", name)

    return change


def other_digest(root):
    found = root.findall(f".//{{{XENC}}}EncryptionMethod")[-1]
    etree.SubElement(found, f"{{{DSIG}}}DigestMethod", Algorithm=f"{XENC}sha256")


def label(root):
    found = root.findall(f".//{{{XENC}}}EncryptionMethod")[-1]
    etree.SubElement(found, f"{{{XENC}}}OAEPparams").text = "AAAA"


ENCRYPTED = {
    "two encrypted assertions": twice,
    "an encrypted and a plain one": beside_a_plain_one,
    "RetrievalMethod loop": retrieval_loop,
    "two keys": two_keys,
    "no key": no_key,
    "a reference to ciphertext": cipher_reference,
    "3DES": method(f"{XENC}tripledes-cbc", 0),
    "no algorithm": method("", 0),
    "another length": method("http://www.w3.org/2009/xmlenc11#aes128-gcm", 0),
    "a key wrapped with AES": method(f"{XENC}kw-aes256", 1),
    "RSA 1.5 by name": method(f"{XENC}rsa-1_5", 1),
    "another digest": other_digest,
    "a label": label,
}


@pytest.mark.parametrize("change", ENCRYPTED.values(), ids=ENCRYPTED)
async def test_an_encrypted_assertion_has_one_form(
    change, decrypting, message, keys, encryption
):
    root = etree.fromstring(
        message().encrypted(encryption, keys.idp, response=False, assertion=True)
    )
    change(root)
    await decrypting.refuses(etree.tostring(root))


async def test_rsa_1_5_is_refused(decrypting, message, keys, encryption):
    how = attrs.evolve(encryption, key=RSA_1_5)
    document = message().encrypted(how, keys.idp, response=True, assertion=True)
    await decrypting.refuses(document, "the key encryption")


async def test_encrypted_for_somebody_else(decrypting, message, keys):
    how = Encryption(keys.other.certificate)
    document = message().encrypted(how, keys.idp, response=True, assertion=True)
    await decrypting.refuses(document, "cannot be decrypted")


async def test_without_a_key_nothing_is_decrypted(sp, message, keys, encryption):
    document = message().encrypted(encryption, keys.idp, response=True, assertion=True)
    await sp.refuses(document, "spKey is not set")


async def test_an_encrypted_name_is_not_supported(decrypting, message, keys):
    made = message()
    document = made.response().replace(b"saml:NameID", b"saml:EncryptedID")
    document = sign(document, made.id, keys.idp)
    await decrypting.refuses(document, "saml:Subject without saml:NameID")


async def test_every_one_of_our_keys_decrypts(
    open_sp, sp_files, tmp_path, message, keys, encryption
):
    old = tmp_path / "old.key"
    old.write_text(keys.other.private_pem)
    sp = await open_sp(
        sp_key=(sp_files["sp_key"], str(old)), sp_cert=sp_files["sp_cert"]
    )
    for certificate in (keys.sp.certificate, keys.other.certificate):
        how = Encryption(certificate)
        await sp.accepts(
            message().encrypted(how, keys.idp, response=True, assertion=False)
        )


async def test_the_refusal_of_any_of_them_reads_the_same(sp, forge):
    root = forge.signed()
    root.set("InResponseTo", "x")
    pages = set()
    for document in (b"", b"<x/>", forge.bytes(root), forge.message().response()):
        with pytest.raises(AccessDenied) as refused:
            await sp.finish(document)
        pages.add(refused.value.description)
    assert len(pages) == 1
