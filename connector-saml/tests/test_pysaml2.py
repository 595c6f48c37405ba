"""pysaml2 as identity provider, and as a second opinion about forged documents."""

from __future__ import annotations

import base64
import shutil
import warnings

import pytest

from lxml import etree

from dexcore.connector import Scopes
from dexcore.errors import AccessDenied

ACS = "https://sp.example/dex/callback"
IDP = "https://idp.example"
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"

# pysaml2 uses what cryptography and the standard library will take away one day.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def folder(keys, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pysaml2")
    for name, key in (("idp", keys.idp), ("sp", keys.sp)):
        (folder / f"{name}.key").write_text(key.private_pem)
        (folder / f"{name}.crt").write_text(key.pem)
    return folder


@pytest.fixture
def xmlsec1(requires_program):
    return requires_program("xmlsec1", install="apt-get install xmlsec1")


@pytest.fixture
async def decrypting(open_sp, sp_files):
    # What it makes of the name "mail".
    return await open_sp(**sp_files, email_attr="urn:oid:0.9.2342.19200300.100.1.3")


@pytest.fixture
async def idp(decrypting, folder, xmlsec1):
    """An identity provider that has read our metadata."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from saml2.config import IdPConfig
        from saml2.server import Server
    metadata = folder / "sp.xml"
    metadata.write_bytes((await decrypting.connector.metadata(ACS)).body)
    config = IdPConfig()
    config.load(
        {
            "entityid": IDP,
            "xmlsec_binary": xmlsec1,
            "key_file": str(folder / "idp.key"),
            "cert_file": str(folder / "idp.crt"),
            "metadata": {"local": [str(metadata)]},
            "service": {
                "idp": {"endpoints": {"single_sign_on_service": [(f"{IDP}/sso", POST)]}}
            },
        }
    )
    server = Server(config=config)
    yield server
    server.close()


def respond(idp, request_id, **options):
    from saml2.saml import NameID

    made = idp.create_authn_response(
        identity={"name": ["Jane"], "mail": ["jane@x"], "groups": ["a", "b"]},
        in_response_to=request_id,
        destination=ACS,
        sp_entity_id=ACS,
        name_id=NameID(format=PERSISTENT, text="jane"),
        authn={"class_ref": "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"},
        sign_alg=RSA_SHA256,
        digest_alg=SHA256,
        **options,
    )
    return str(made).encode()


SIGNED = {
    "response": {"sign_response": True, "sign_assertion": False},
    "assertion": {"sign_response": False, "sign_assertion": True},
    "both": {"sign_response": True, "sign_assertion": True},
}


@pytest.mark.parametrize("options", SIGNED.values(), ids=SIGNED)
async def test_its_responses_are_accepted(options, idp, decrypting):
    document = respond(idp, "qrequestid", **options)
    identity = await decrypting.accepts(document)
    assert identity.groups == ("a", "b")


async def test_what_it_encrypts_with_is_too_weak(idp, decrypting):
    """Triple DES, with no way to choose; and its prefixes are ambiguous."""
    encrypted = {"encrypt_assertion": True, "encrypted_advice_attributes": False}
    document = respond(idp, "qrequestid", **SIGNED["both"], **encrypted)
    assert b"EncryptedAssertion" in document
    await decrypting.refuses(document)


async def test_it_understands_our_request(idp, decrypting):
    begun = await decrypting.connector.begin(Scopes(), ACS, "qrequestid")
    found = idp.parse_authn_request(begun.fields["SAMLRequest"], POST)
    assert found.message.id == "qrequestid"
    assert found.message.issuer.text == ACS
    assert found.message.assertion_consumer_service_url == ACS
    arguments = idp.response_args(found.message)
    assert arguments["destination"] == ACS


async def test_it_verifies_our_signature(open_sp, sp_files, idp):
    signing = await open_sp(**sp_files, sign_requests=True)
    begun = await signing.connector.begin(Scopes(), ACS, "qrequestid")
    idp.config.setattr("idp", "want_authn_requests_signed", True)
    found = idp.parse_authn_request(begun.fields["SAMLRequest"], POST)
    assert found.message.signature is not None


# — the second opinion -----------------------------------------------------------------


@pytest.fixture
def opinion(folder, xmlsec1, keys, tmp_path):
    """Return a function that says whom pysaml2 believes, with the same trust."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from saml2.client import Saml2Client
        from saml2.config import SPConfig
    metadata = tmp_path / "idp.xml"
    metadata.write_text(
        '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" '
        f'entityID="{IDP}"><md:IDPSSODescriptor protocolSupportEnumeration='
        '"urn:oasis:names:tc:SAML:2.0:protocol"><md:KeyDescriptor use="signing">'
        '<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>'
        f"<ds:X509Certificate>{keys.idp.x509}</ds:X509Certificate></ds:X509Data>"
        "</ds:KeyInfo></md:KeyDescriptor><md:SingleSignOnService "
        f'Binding="{POST}" Location="{IDP}/sso"/></md:IDPSSODescriptor>'
        "</md:EntityDescriptor>"
    )
    config = SPConfig()
    config.load(
        {
            "entityid": ACS,
            "xmlsec_binary": xmlsec1,
            "metadata": {"local": [str(metadata)]},
            "service": {
                "sp": {
                    "endpoints": {"assertion_consumer_service": [(ACS, POST)]},
                    "want_response_signed": False,
                    "want_assertions_signed": False,
                    "want_assertions_or_response_signed": True,
                }
            },
        }
    )
    client = Saml2Client(config=config)

    def opinion(document):
        field = base64.b64encode(document).decode()
        try:
            found = client.parse_authn_request_response(
                field, POST, {"qrequestid": "/"}
            )
        except Exception:  # it has many ways to say no
            return None
        return None if found is None else str(found.name_id.text)

    return opinion


def tampered(forge):
    """Return documents of every kind: as they came, wrapped, changed, re-signed."""
    from dexcore.testing.upstreams.saml_signing import Form, sign

    made = forge.message()
    yield "valid", made.signed(forge.keys.idp)
    yield "assertion signed", made.signed(forge.keys.idp, response=False)
    yield "unsigned", made.response()
    yield "other key", made.signed(forge.keys.other)
    root = forge.signed()
    genuine = forge.assertion(root)
    genuine.addprevious(forge.evil(genuine))
    yield "xsw3", forge.bytes(root)
    root = forge.signed()
    genuine = forge.assertion(root)
    forged = forge.evil(genuine)
    root.replace(genuine, forged)
    forged.append(genuine)
    yield "xsw4", forge.bytes(root)
    root = forge.signed(response=True)
    forge.find(root, ".//s:NameID").text = "admin"
    yield "changed", forge.bytes(root)
    document = made.signed(forge.keys.idp)
    yield "comment", document.replace(b">jane<", b">ja<!--x-->ne<")
    yield (
        "wrong audience",
        forge.message(audiences=(("https://o",),)).signed(forge.keys.idp),
    )
    yield "wrong issuer", forge.message(issuer="https://o").signed(forge.keys.idp)
    yield (
        "ended",
        forge.message(
            not_on_or_after="2001-01-01T00:00:00Z",
            confirmation_ends="2001-01-01T00:00:00Z",
        ).signed(forge.keys.idp),
    )
    yield (
        "another request",
        forge.message(in_response_to="other").signed(forge.keys.idp),
    )
    yield "doctype", b"<!DOCTYPE x>" + document
    yield (
        "empty reference",
        sign(made.response(), made.id, forge.keys.idp, Form(uri="")),
    )


async def test_two_never_believe_different_things(open_sp, forge, opinion):
    """What both accept is the same; what one accepts alone is known, and harmless."""
    alone = set()
    for name, document in tampered(forge):
        sp = await open_sp()
        try:
            ours = (await sp.finish(document)).user_id
        except AccessDenied:
            ours = None
        theirs = opinion(document)
        if ours and theirs:
            assert ours == theirs, name
        if theirs and not ours:
            alone.add(name)
            assert theirs == "jane", name
        if ours and not theirs:
            pytest.fail(f"{name} is accepted here alone")
        if name in ("valid", "assertion signed"):
            assert ours == theirs == "jane", name
    # It drops comments before it looks, forbids no DOCTYPE, and takes a signature of
    # the whole document for one of its root.
    assert alone <= {"comment", "doctype", "empty reference"}


def test_xmlsec1_agrees_about_our_signatures(keys, message, xmlsec1, tmp_path):
    """The signer of these tests is no library's; here is what a library says."""
    import subprocess

    assert shutil.which(xmlsec1)
    (tmp_path / "idp.crt").write_text(keys.idp.pem)
    document = tmp_path / "response.xml"
    for changed in (False, True):
        made = message().signed(keys.idp, assertion=False)
        if changed:
            made = made.replace(b">jane<", b">joan<")
        document.write_bytes(made)
        done = subprocess.run(
            [
                *(xmlsec1, "--verify", "--pubkey-cert-pem", tmp_path / "idp.crt"),
                *("--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:protocol:Response"),
                document,
            ],
            capture_output=True,
        )
        assert (done.returncode == 0) == (not changed), done.stderr
    assert etree.fromstring(made) is not None
