"""What we send: the request to log in, and metadata about us."""

from __future__ import annotations

import base64
import re

import pytest

from lxml import etree
from signxml import SignatureConfiguration, XMLVerifier

from dexcore.connector import Scopes

ACS = "https://sp.example/dex/callback"
P = "{urn:oasis:names:tc:SAML:2.0:protocol}"
A = "{urn:oasis:names:tc:SAML:2.0:assertion}"
MD = "{urn:oasis:names:tc:SAML:2.0:metadata}"


async def request_of(sp):
    begun = await sp.connector.begin(Scopes(), ACS, "qstate")
    return etree.fromstring(base64.b64decode(begun.fields["SAMLRequest"]))


async def test_the_browser_posts_a_request(sp):
    begun = await sp.connector.begin(Scopes(), ACS, "qstate")
    assert begun.url == "https://idp.example/sso"
    assert begun.fields["RelayState"] == "qstate"
    assert begun.connector_data == b"qstate"
    request = await request_of(sp)
    assert request.tag == f"{P}AuthnRequest"
    assert dict(request.attrib) == {
        "ID": "qstate",
        "Version": "2.0",
        "IssueInstant": request.get("IssueInstant"),
        "Destination": "https://idp.example/sso",
        "ProtocolBinding": "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST",
        "AssertionConsumerServiceURL": ACS,
    }
    written = request.get("IssueInstant")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", written)
    policy = request.find(f"{P}NameIDPolicy")
    assert policy.get("AllowCreate") == "true"
    assert policy.get("Format").endswith("2.0:nameid-format:persistent")


@pytest.mark.parametrize(("max_age", "force"), [(-1, None), (0, "true"), (60, "true")])
async def test_whoever_must_log_in_of_late_must_there_too(max_age, force, sp):
    """T-AZ-09."""
    begun = await sp.connector.begin(Scopes(max_age=max_age), ACS, "qstate")
    request = etree.fromstring(base64.b64decode(begun.fields["SAMLRequest"]))
    assert request.get("ForceAuthn") == force


CONTEXTS = ("urn:x:mfa", "urn:x:<&>")


async def test_a_context_is_requested_from_whom_it_must_be(sp):
    """Core section 3.3.2.2.1: what is requested is a condition, and no wish."""
    scopes = Scopes(acr_values=CONTEXTS, acr_essential=True)
    begun = await sp.connector.begin(scopes, ACS, "qstate")
    request = etree.fromstring(base64.b64decode(begun.fields["SAMLRequest"]))
    assert [etree.QName(each).localname for each in request] == [
        "Issuer",
        "NameIDPolicy",
        "RequestedAuthnContext",
    ]
    context = request[-1]
    assert dict(context.attrib) == {"Comparison": "exact"}
    assert [each.tag for each in context] == [f"{A}AuthnContextClassRef"] * 2
    assert tuple(each.text for each in context) == CONTEXTS


async def test_a_wish_is_no_condition(sp):
    begun = await sp.connector.begin(Scopes(acr_values=CONTEXTS), ACS, "qstate")
    request = etree.fromstring(base64.b64decode(begun.fields["SAMLRequest"]))
    assert request.find(f"{P}RequestedAuthnContext") is None


@pytest.mark.parametrize(("ours", "issuer"), [("", ACS), ("us & co", "us & co")])
async def test_a_request_says_whose_it_is(ours, issuer, open_sp):
    sp = await open_sp(entity_issuer=ours)
    assert (await request_of(sp)).findtext(f"{A}Issuer") == issuer


@pytest.mark.parametrize("kind", ["rsa", "elliptic"])
async def test_a_request_can_be_signed(kind, open_sp, keys, tmp_path):
    key = keys.sp if kind == "rsa" else keys.elliptic
    (tmp_path / "k").write_text(key.private_pem)
    (tmp_path / "c").write_text(key.pem)
    sp = await open_sp(
        sp_key=str(tmp_path / "k"), sp_cert=str(tmp_path / "c"), sign_requests=True
    )
    request = await request_of(sp)
    assert [etree.QName(each).localname for each in request] == [
        "Issuer",
        "Signature",
        "NameIDPolicy",
    ]
    result = XMLVerifier().verify(
        etree.tostring(request),
        x509_cert=key.certificate,
        id_attribute="ID",
        expect_config=SignatureConfiguration(location="./"),
    )
    assert result.signed_xml.get("ID") == "qstate"


# — metadata ---------------------------------------------------------------------------


async def metadata_of(sp):
    document = await sp.connector.metadata(ACS)
    assert document.content_type == "application/samlmetadata+xml"
    return etree.fromstring(document.body)


async def test_metadata_says_who_we_are(sp):
    root = await metadata_of(sp)
    assert root.tag == f"{MD}EntityDescriptor"
    assert root.get("entityID") == ACS
    role = root.find(f"{MD}SPSSODescriptor")
    assert role.get("AuthnRequestsSigned") == "false"
    assert role.get("WantAssertionsSigned") == "false"
    consumer = role.find(f"{MD}AssertionConsumerService")
    assert consumer.get("Location") == ACS
    assert consumer.get("Binding").endswith(":HTTP-POST")
    assert role.find(f"{MD}KeyDescriptor") is None


async def test_metadata_has_our_certificate(open_sp, sp_files, keys):
    sp = await open_sp(**sp_files, sign_requests=True, want_assertion_signed=True)
    role = (await metadata_of(sp)).find(f"{MD}SPSSODescriptor")
    assert role.get("AuthnRequestsSigned") == role.get("WantAssertionsSigned") == "true"
    found = {
        each.get("use"): each.findtext(".//{*}X509Certificate")
        for each in role.iter(f"{MD}KeyDescriptor")
    }
    assert found == {"signing": keys.sp.x509, "encryption": keys.sp.x509}
    methods = [each.get("Algorithm") for each in role.iter(f"{MD}EncryptionMethod")]
    assert not any("cbc" in each or "rsa-1_5" in each for each in methods)
    assert methods


async def test_nobody_can_encrypt_for_an_elliptic_key(open_sp, keys, tmp_path):
    (tmp_path / "k").write_text(keys.elliptic.private_pem)
    (tmp_path / "c").write_text(keys.elliptic.pem)
    sp = await open_sp(sp_key=str(tmp_path / "k"), sp_cert=str(tmp_path / "c"))
    uses = [
        each.get("use") for each in (await metadata_of(sp)).iter(f"{MD}KeyDescriptor")
    ]
    assert uses == ["signing"]
