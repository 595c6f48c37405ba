"""Groups 1 to 17: a signature that is good, and an identity that it does not cover."""

from __future__ import annotations

import copy

import pytest

from lxml import etree

from dexcore.testing.upstreams.saml_signing import ASSERTION, DSIG, Form, sign

SAML = f"{{{ASSERTION}}}"


# — Each returns a document in which the administrator is not signed -------------------


def xsw1(forge):
    root = forge.signed(response=True, assertion=False)
    forged = forge.evil(root)
    signature = copy.deepcopy(forge.signature(root))
    signature.append(forge.stripped(root))
    forged.insert(1, signature)
    return forged


def xsw2(forge):
    root = forge.signed(response=True, assertion=False)
    forged = forge.evil(root)
    forged.insert(1, copy.deepcopy(forge.signature(root)))
    forged.insert(2, forge.stripped(root))
    return forged


def xsw3(forge):
    root = forge.signed()
    genuine = forge.assertion(root)
    genuine.addprevious(forge.evil(genuine))
    return root


def xsw4(forge):
    root = forge.signed()
    genuine = forge.assertion(root)
    forged = forge.evil(genuine)
    root.replace(genuine, forged)
    forged.append(genuine)
    return root


def xsw5(forge):
    root = forge.signed()
    genuine = forge.assertion(root)
    forged = forge.evil(genuine)
    forged.insert(1, copy.deepcopy(forge.signature(genuine)))
    root.replace(genuine, forged)
    root.append(forge.stripped(genuine))
    return root


def xsw6(forge):
    root = forge.signed()
    genuine = forge.assertion(root)
    forged = forge.evil(genuine)
    signature = copy.deepcopy(forge.signature(genuine))
    signature.append(forge.stripped(genuine))
    forged.insert(1, signature)
    root.replace(genuine, forged)
    return root


def xsw7(forge):
    root = forge.signed()
    genuine = forge.assertion(root)
    root.insert(1, forge.wrap("Extensions", forge.evil(genuine)))
    return root


def xsw8(forge):
    root = forge.signed()
    genuine = forge.assertion(root)
    forged = forge.evil(genuine)
    signature = copy.deepcopy(forge.signature(genuine))
    signature.append(forge.wrap("Object", forge.stripped(genuine), uri=DSIG))
    forged.insert(1, signature)
    root.replace(genuine, forged)
    return root


def second_unsigned_assertion_after(forge):
    root = forge.signed()
    root.append(forge.evil(forge.assertion(root)))
    return root


def duplicate_id(attribute, *, first, element=None):
    def document(forge):
        root = forge.signed()
        genuine = forge.assertion(root)
        forged = forge.evil(genuine)
        del forged.attrib["ID"]
        forged.set(attribute, genuine.get("ID"))
        if first:
            genuine.addprevious(forged)
        else:
            genuine.addnext(forged)
        return root

    return document


def id_elsewhere(attribute):
    def document(forge):
        root = forge.signed()
        genuine = forge.assertion(root)
        forge.find(root, "p:Status").set(attribute, genuine.get("ID"))
        return root

    return document


def id_of_the_signature(forge):
    """It is in no signature: whoever removes the signature removes it."""
    root = forge.signed()
    genuine = forge.assertion(root)
    forge.signature(genuine).set("Id", genuine.get("ID"))
    return root


def response_id_equals_assertion_id(forge):
    root = forge.signed()
    root.set("ID", forge.assertion(root).get("ID"))
    return root


def in_advice(forge):
    root = forge.signed()
    genuine = forge.assertion(root)
    forged = forge.evil(genuine)
    root.replace(genuine, forged)
    forged.insert(3, forge.wrap("Advice", genuine, uri=ASSERTION))
    return root


def in_extensions(forge):
    root = forge.signed()
    genuine = forge.assertion(root)
    root.replace(genuine, forge.evil(genuine))
    root.insert(1, forge.wrap("Extensions", genuine))
    return root


def in_status_detail(forge):
    root = forge.signed()
    genuine = forge.assertion(root)
    root.replace(genuine, forge.evil(genuine))
    forge.find(root, "p:Status").append(forge.wrap("StatusDetail", genuine))
    return root


def in_attribute_value(forge):
    root = forge.signed()
    genuine = forge.assertion(root)
    forged = forge.evil(genuine)
    root.replace(genuine, forged)
    forge.find(forged, ".//s:AttributeValue").append(genuine)
    return root


def in_confirmation_data(forge):
    root = forge.signed()
    genuine = forge.assertion(root)
    forged = forge.evil(genuine)
    root.replace(genuine, forged)
    forge.find(forged, ".//s:SubjectConfirmationData").append(genuine)
    return root


def signed_response_nested(forge):
    root = forge.signed(response=True, assertion=False)
    forged = forge.evil(root)
    forge.assertion(forged).append(root)
    return forged


WRAPPED = {
    "1 xsw1": xsw1,
    "2 xsw2": xsw2,
    "3 xsw3": xsw3,
    "4 xsw4": xsw4,
    "5 xsw5": xsw5,
    "6 xsw6": xsw6,
    "7 xsw7": xsw7,
    "8 xsw8": xsw8,
    "9 second-unsigned-assertion-after": second_unsigned_assertion_after,
    "10 duplicate-id first": duplicate_id("ID", first=True),
    "10 duplicate-id last": duplicate_id("ID", first=False),
    "10 duplicate Id": duplicate_id("Id", first=True),
    "10 duplicate id": duplicate_id("id", first=True),
    "10 duplicate xml:id": duplicate_id(
        "{http://www.w3.org/XML/1998/namespace}id", first=True
    ),
    "10 AssertionID": duplicate_id("AssertionID", first=True),
    "10 ID elsewhere": id_elsewhere("ID"),
    "10 Id elsewhere": id_elsewhere("Id"),
    "10 xml:id elsewhere": id_elsewhere("{http://www.w3.org/XML/1998/namespace}id"),
    "10 Id of the signature": id_of_the_signature,
    "11 response-id-equals-assertion-id": response_id_equals_assertion_id,
    "12 signed-assertion-in-advice": in_advice,
    "12 in-extensions": in_extensions,
    "12 in-StatusDetail": in_status_detail,
    "12 in AttributeValue": in_attribute_value,
    "12 in SubjectConfirmationData": in_confirmation_data,
    "13 signed-response-nested": signed_response_nested,
}


@pytest.mark.parametrize("document", WRAPPED.values(), ids=WRAPPED)
async def test_what_a_signature_does_not_cover_is_nobody(document, sp, forge):
    await sp.refuses(forge.bytes(document(forge)))


@pytest.mark.parametrize("document", WRAPPED.values(), ids=WRAPPED)
async def test_an_assertion_that_is_encrypted_can_be_wrapped_no_better(
    document, open_sp, forge, encryption, sp_files
):
    from dexcore.testing.upstreams.saml_signing import encrypt

    root = document(forge)
    if root.find(f"{SAML}Assertion") is None:
        pytest.fail("there is nothing to encrypt")
    sp = await open_sp(**sp_files)
    await sp.refuses(encrypt(forge.bytes(root), encryption))


def test_the_corpus_is_dangerous(forge, keys):
    """Who verifies a signature and then reads the document believes the forger."""
    from signxml import SignatureConfiguration, XMLVerifier
    from signxml.exceptions import SignXMLException

    believed = set()
    for name, document in WRAPPED.items():
        root = document(forge)
        try:
            XMLVerifier().verify(
                forge.bytes(root),
                x509_cert=keys.idp.certificate,
                id_attribute="ID",
                expect_config=SignatureConfiguration(location=".//"),
            )
        except (SignXMLException, ValueError, etree.LxmlError):
            continue
        first = root.find(f".//{SAML}NameID")
        if first is not None and first.text == "admin":
            believed.add(name)
    assert {"3 xsw3", "4 xsw4", "7 xsw7", "12 signed-assertion-in-advice"} <= believed
    assert "13 signed-response-nested" in believed


# — 14: where the signature stands -----------------------------------------------------


def moved(target, place):
    def document(forge):
        root = forge.signed()
        signature = forge.signature(forge.assertion(root))
        signature.getparent().remove(signature)
        node = forge.find(root, target)
        node.insert(len(node) if place < 0 else place, signature)
        return root

    return document


POSITIONS = {
    "in the response": moved(".", 1),
    "last in the response": moved(".", -1),
    "in the subject": moved(".//s:Subject", 0),
    "in the issuer": moved("s:Assertion/s:Issuer", 0),
    "in the status": moved("p:Status", -1),
    "in an attribute value": moved(".//s:AttributeValue", 0),
    "first in the assertion": moved("s:Assertion", 0),
    "last in the assertion": moved("s:Assertion", -1),
}


@pytest.mark.parametrize("document", POSITIONS.values(), ids=POSITIONS)
async def test_a_signature_counts_only_in_its_place(document, sp, forge):
    await sp.refuses(forge.bytes(document(forge)))


# — 15: a response around a signed assertion -------------------------------------------


def set_status(root):
    value = "urn:oasis:names:tc:SAML:2.0:status:Responder"
    root.find(".//{*}StatusCode").set("Value", value)


AROUND = {
    "issuer": lambda root: setattr(
        root.find("{*}Issuer"), "text", "https://evil.example"
    ),
    "destination": lambda root: root.set("Destination", "https://other.example/acs"),
    "InResponseTo": lambda root: root.set("InResponseTo", "another"),
    "no InResponseTo": lambda root: root.attrib.pop("InResponseTo"),
    "IssueInstant": lambda root: root.set("IssueInstant", "2001-01-01T00:00:00Z"),
    "Version": lambda root: root.set("Version", "1.1"),
}


@pytest.mark.parametrize("change", AROUND.values(), ids=AROUND)
async def test_an_unsigned_response_may_not_be_wrong_about_itself(change, sp, forge):
    root = forge.signed()
    change(root)
    await sp.refuses(forge.bytes(root))


async def test_a_failure_around_a_signed_assertion_is_a_failure(sp, forge):
    from dexcore.errors import AccessDenied

    root = forge.signed()
    set_status(root)
    with pytest.raises(AccessDenied, match="did not log you in"):
        await sp.finish(forge.bytes(root))


# — 16: which of the two is signed -----------------------------------------------------

COMBINATIONS = [(True, True), (True, False), (False, True), (False, False)]


@pytest.mark.parametrize(("response", "assertion"), COMBINATIONS)
@pytest.mark.parametrize("wanted", [(), ("response",), ("assertion",), ("both",)])
async def test_what_has_to_be_signed_is_signed(
    response, assertion, wanted, open_sp, message, keys
):
    want_response = wanted in (("response",), ("both",))
    want_assertion = wanted in (("assertion",), ("both",))
    sp = await open_sp(
        want_response_signed=want_response, want_assertion_signed=want_assertion
    )
    document = message().signed(keys.idp, response=response, assertion=assertion)
    enough = (response or assertion) and (response or not want_response)
    if enough and (assertion or not want_assertion):
        await sp.accepts(document)
    else:
        await sp.refuses(document)


@pytest.mark.parametrize("broken", ["response", "assertion"])
async def test_one_good_signature_does_not_make_up_for_a_bad_one(
    broken, sp, message, keys
):
    made = message()
    good, bad = keys.idp, keys.other
    document = sign(
        made.response(), made.assertion_id, bad if broken == "assertion" else good
    )
    document = sign(document, made.id, bad if broken == "response" else good)
    await sp.refuses(document, "verification failed")


# — 17: only something harmless is signed ----------------------------------------------


@pytest.mark.parametrize("path", ["p:Status", "s:Issuer", "s:Assertion/s:Subject"])
async def test_a_signature_over_something_harmless_is_none(path, sp, forge, keys):
    root = etree.fromstring(forge.message().response())
    forge.find(root, path).set("ID", "harmless")
    forged = sign(forge.bytes(root), "harmless", keys.idp, Form(position=0))
    signed = etree.fromstring(forged)
    # It is in the right place, and about something else.
    signature = signed.xpath("//d:Signature", namespaces={"d": DSIG})[0]
    signature.getparent().remove(signature)
    signed.insert(1, signature)
    await sp.refuses(forge.bytes(signed))
