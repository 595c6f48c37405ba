"""Responses in the forms that providers write which cannot be run here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dexcore.testing.upstreams.saml_signing import (
    AES256_CBC,
    Encryption,
    Form,
    encrypt,
    sign,
)

ACS = "https://sp.example/dex/callback"

OKTA = """<?xml version="1.0" encoding="UTF-8"?><saml2p:Response \
xmlns:saml2p="urn:oasis:names:tc:SAML:2.0:protocol" \
xmlns:xs="http://www.w3.org/2001/XMLSchema" Destination="{acs}" ID="id1" \
InResponseTo="qrequestid" IssueInstant="{now}" Version="2.0"><saml2:Issuer \
xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion" \
Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">https://idp.example\
</saml2:Issuer><saml2p:Status><saml2p:StatusCode \
Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></saml2p:Status><saml2:Assertion \
xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion" \
xmlns:xs="http://www.w3.org/2001/XMLSchema" ID="id2" IssueInstant="{now}" \
Version="2.0"><saml2:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">\
https://idp.example</saml2:Issuer><saml2:Subject><saml2:NameID \
Format="urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified">jane</saml2:NameID>\
<saml2:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">\
<saml2:SubjectConfirmationData InResponseTo="qrequestid" NotOnOrAfter="{soon}" \
Recipient="{acs}"/></saml2:SubjectConfirmation></saml2:Subject><saml2:Conditions \
NotBefore="{before}" NotOnOrAfter="{soon}"><saml2:AudienceRestriction><saml2:Audience>\
{acs}</saml2:Audience></saml2:AudienceRestriction></saml2:Conditions>\
<saml2:AuthnStatement AuthnInstant="{now}" SessionIndex="qrequestid">\
<saml2:AuthnContext><saml2:AuthnContextClassRef>\
urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport\
</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement>\
<saml2:AttributeStatement><saml2:Attribute Name="name" \
NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified">\
<saml2:AttributeValue xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:type="xs:string">Jane</saml2:AttributeValue></saml2:Attribute><saml2:Attribute \
Name="mail" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified">\
<saml2:AttributeValue xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:type="xs:string">jane@example.com</saml2:AttributeValue></saml2:Attribute>\
<saml2:Attribute Name="groups" \
NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified">\
<saml2:AttributeValue xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:type="xs:string">Everyone</saml2:AttributeValue></saml2:Attribute>\
</saml2:AttributeStatement></saml2:Assertion></saml2p:Response>"""

ADFS = """<samlp:Response ID="_r1" Version="2.0" IssueInstant="{now}" \
Destination="{acs}" Consent="urn:oasis:names:tc:SAML:2.0:consent:unspecified" \
InResponseTo="qrequestid" xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"><Issuer \
xmlns="urn:oasis:names:tc:SAML:2.0:assertion">https://idp.example</Issuer>\
<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success" />\
</samlp:Status><Assertion ID="_a1" IssueInstant="{now}" Version="2.0" \
xmlns="urn:oasis:names:tc:SAML:2.0:assertion"><Issuer>https://idp.example</Issuer>\
<Subject><NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">jane\
</NameID><SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">\
<SubjectConfirmationData InResponseTo="qrequestid" NotOnOrAfter="{soon}" \
Recipient="{acs}" /></SubjectConfirmation></Subject><Conditions NotBefore="{before}" \
NotOnOrAfter="{soon}"><AudienceRestriction><Audience>{acs}</Audience>\
</AudienceRestriction></Conditions><AttributeStatement><Attribute Name="name" \
a:OriginalIssuer="https://claims.example" \
xmlns:a="http://schemas.xmlsoap.org/ws/2009/09/identity/claims"><AttributeValue>Jane\
</AttributeValue></Attribute><Attribute Name="mail"><AttributeValue>jane@example.com\
</AttributeValue></Attribute><Attribute Name="groups"><AttributeValue>Everyone\
</AttributeValue></Attribute></AttributeStatement><AuthnStatement \
AuthnInstant="{before}" SessionIndex="_a1"><AuthnContext><AuthnContextClassRef>\
urn:federation:authentication:windows</AuthnContextClassRef></AuthnContext>\
</AuthnStatement></Assertion></samlp:Response>"""

DIALECTS = {"Okta": (OKTA, "id1", "id2"), "ADFS": (ADFS, "_r1", "_a1")}


def written(template):
    now = datetime.now(UTC)
    moments = {"now": now, "soon": now + timedelta(minutes=5)}
    moments["before"] = now - timedelta(minutes=5)
    times = {name: f"{each:%Y-%m-%dT%H:%M:%S}.123Z" for name, each in moments.items()}
    return template.format(acs=ACS, **times).encode()


@pytest.mark.parametrize("signed", ["response", "assertion", "both"])
@pytest.mark.parametrize(
    ("template", "response", "assertion"), DIALECTS.values(), ids=DIALECTS
)
async def test_a_dialect_is_understood(template, response, assertion, signed, sp, keys):
    document = written(template)
    form = Form(prefixes=("xs",) if template is OKTA else ())
    if signed != "response":
        document = sign(document, assertion, keys.idp, form)
    if signed != "assertion":
        document = sign(document, response, keys.idp, form)
    identity = await sp.accepts(document)
    assert identity.username == "Jane"
    assert identity.email == "jane@example.com"
    assert identity.groups == ("Everyone",)


@pytest.mark.parametrize(
    ("template", "response", "assertion"), DIALECTS.values(), ids=DIALECTS
)
async def test_a_dialect_is_understood_when_encrypted(
    template, response, assertion, open_sp, sp_files, keys
):
    """ADFS and Okta encrypt with AES-CBC unless they are told otherwise."""
    sp = await open_sp(**sp_files)
    document = sign(written(template), assertion, keys.idp)
    document = encrypt(document, Encryption(keys.sp.certificate, AES256_CBC))
    await sp.refuses(document, "of an unsigned response")
    await sp.accepts(sign(document, response, keys.idp))
