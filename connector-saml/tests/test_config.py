"""What the file may say, and group 42: trust that is not there."""

from __future__ import annotations

import base64

from datetime import timedelta

import pytest

from cryptography.hazmat.primitives.asymmetric import ec
from dexcore_connector_saml import Saml

from dexcore.config import structure
from dexcore.errors import ConfigError
from dexcore.options import InvalidOption
from dexcore.testing.upstreams.saml_signing import SigningKey

NEEDED = {
    "ssoURL": "https://idp.example/sso",
    "redirectURI": "https://sp.example/dex/callback",
    "usernameAttr": "name",
    "emailAttr": "mail",
}


def b64(text):
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def read(keys):
    """Read a section as the server reads the file; ``None`` leaves a key out."""

    def read(**changes):
        section = {**NEEDED, "caData": b64(keys.idp.pem), **changes}
        return structure(
            {key: value for key, value in section.items() if value is not None}, Saml
        )

    return read


# — dex's keys -------------------------------------------------------------------------


def test_every_key_of_dex_is_known(read):
    config = read(
        entityIssuer="us",
        ssoIssuer="them",
        groupsAttr="groups",
        groupsDelim=", ",
        allowedGroups=["a"],
        filterGroups=True,
        nameIDPolicyFormat="emailAddress",
        insecureSkipSignatureValidation=False,
    )
    assert config.entity_id == "us"
    assert config.name_id_format.endswith("1.1:nameid-format:emailAddress")


@pytest.mark.parametrize("key", NEEDED)
def test_a_key_that_is_required_is_missed(key, read):
    with pytest.raises(ConfigError, match=key):
        read(**{key: None})
    with pytest.raises(ConfigError, match=key):
        read(**{key: ""})


def test_several_missing_keys_are_told_together(read):
    with pytest.raises(ConfigError, match="emailAttr, redirectURI are empty"):
        read(emailAttr="", redirectURI="")


@pytest.mark.parametrize(
    ("written", "urn"),
    [
        ("persistent", "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"),
        ("unspecified", "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"),
        (
            "urn:oasis:names:tc:SAML:2.0:nameid-format:transient",
            "urn:oasis:names:tc:SAML:2.0:nameid-format:transient",
        ),
    ],
)
def test_a_format_has_a_short_name(written, urn, read):
    assert read(nameIDPolicyFormat=written).name_id_format == urn


def test_an_unknown_format_is_an_error(read):
    with pytest.raises(ConfigError, match="nameIDPolicyFormat"):
        read(nameIDPolicyFormat="nickname")


def test_we_are_our_callback_unless_the_file_says_otherwise(read):
    assert read().entity_id == NEEDED["redirectURI"]


@pytest.mark.parametrize("key", ["ssoURL", "redirectURI"])
@pytest.mark.parametrize("url", ["javascript:alert(1)", "idp.example/sso", "ftp://x/"])
def test_an_address_is_of_the_web(key, url, read):
    with pytest.raises(ConfigError, match="web address"):
        read(**{key: url})


def test_groups_that_cannot_be_known_cannot_be_allowed(read):
    with pytest.raises(ConfigError, match="lets nobody in"):
        read(allowedGroups=["admins"])


def test_a_claim_that_there_is_not_cannot_be_told(read):
    with pytest.raises(ConfigError, match="claimAttrs: email: no such claim"):
        read(claimAttrs={"email": "mail"})
    assert read(claimAttrs={"address.region": "st"}).claim_attrs


# — certificates, as dex reads them ----------------------------------------------------

WELL_FORMED = {
    "one": lambda one, other: one,
    "a line break after": lambda one, other: one + "\n",
    "blanks after": lambda one, other: one + "  ",
    "two line breaks after": lambda one, other: one + "\n\n",
    "no line break after": lambda one, other: one.rstrip(),
    "two": lambda one, other: one + other,
    "two with a blank line": lambda one, other: one + "\n" + other,
    "two with a line break after": lambda one, other: one + other + "\n",
    "words before, on their own line": lambda one, other: "Subject: idp\n" + one,
    "line breaks of Windows": lambda one, other: one.replace("\n", "\r\n"),
}
BROKEN = {
    "nothing": lambda one, other: "",
    "blank": lambda one, other: " \n",
    "junk after": lambda one, other: one + "junk",
    "junk before, on the same line": lambda one, other: "junk" + one,
    "junk between": lambda one, other: one.rstrip() + "junk" + other,
    "half a certificate": lambda one, other: one[:200],
    "a broken one": lambda one, other: one.replace("MII", "MIJ"),
    "a key": lambda one, other: one.replace("CERTIFICATE", "PRIVATE KEY"),
    "a good one and half a one": lambda one, other: one + other[:200],
}


@pytest.mark.parametrize("write", WELL_FORMED.values(), ids=WELL_FORMED)
async def test_certificates_may_be_written_like_this(
    write, keys, open_sp, message, tmp_path
):
    pem = write(keys.idp.pem, keys.other.pem)
    inline = await open_sp(ca_data=b64(pem))
    await inline.accepts(message().signed(keys.idp))
    file = tmp_path / "ca.pem"
    file.write_bytes(pem.encode())
    from_file = await open_sp(ca=str(file))
    await from_file.accepts(message().signed(keys.idp))


@pytest.mark.parametrize("write", BROKEN.values(), ids=BROKEN)
async def test_certificates_may_not_be_written_like_that(
    write, keys, open_sp, read, tmp_path
):
    pem = write(keys.idp.pem, keys.other.pem)
    with pytest.raises(ConfigError):
        read(caData=b64(pem))
    file = tmp_path / "ca.pem"
    file.write_text(pem)
    with pytest.raises(InvalidOption, match="ca"):
        await open_sp(ca=str(file))


def test_data_is_base64(read, keys):
    with pytest.raises(ConfigError, match="not the base64"):
        read(caData=keys.idp.pem)


async def test_every_pinned_certificate_counts(open_sp, keys, message, tmp_path):
    file = tmp_path / "old.pem"
    file.write_text(keys.other.pem)
    new = tmp_path / "new.pem"
    new.write_text(keys.idp.pem)
    several = await open_sp(ca=(str(file), str(new)))
    inline = await open_sp(ca_data=(b64(keys.other.pem), b64(keys.idp.pem)))
    for sp in (several, inline):
        await sp.accepts(message().signed(keys.idp))
        await sp.accepts(message().signed(keys.other))
        await sp.refuses(message().signed(keys.sp))


def test_lists_are_read_from_the_file(read, keys):
    config = read(caData=None, ca=["/a.pem", "/b.pem"], spKey="/k", spCert="/c")
    assert config.ca_files == ("/a.pem", "/b.pem")
    assert config.key_files == ("/k",)
    assert read(caData=None, ca="/a.pem").ca_files == ("/a.pem",)


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
async def test_an_elliptic_key_may_sign(curve, open_sp, message):
    key = SigningKey.make(curve=curve)
    sp = await open_sp(ca_data=b64(key.pem))
    await sp.accepts(message().signed(key))


def test_a_weak_curve_may_not(read):
    key = SigningKey.make(curve=ec.SECP192R1())
    with pytest.raises(ConfigError, match="curve"):
        read(caData=b64(key.pem))


# — 42: no trust, no start -------------------------------------------------------------


def test_without_a_certificate_nothing_starts(read):
    with pytest.raises(ConfigError, match="not there"):
        read(caData=None)
    with pytest.raises(ConfigError, match="not there"):
        read(caData=None, ca="")
    with pytest.raises(ConfigError, match="not there"):
        read(caData=None, ca=[])


@pytest.mark.parametrize(
    "more",
    [
        {"ca": "/ca.pem"},
        {"idpMetadataURL": "https://idp.example/metadata"},
        {"idpMetadataFile": "/metadata.xml"},
    ],
)
def test_trust_comes_from_one_place(more, read):
    with pytest.raises(ConfigError, match="there twice"):
        read(**more)


async def test_a_file_that_is_not_there_is_named(open_sp, tmp_path):
    with pytest.raises(InvalidOption, match="cannot be read"):
        await open_sp(ca=str(tmp_path / "nothing.pem"))


async def test_an_empty_file_is_no_certificate(open_sp, tmp_path):
    (tmp_path / "empty.pem").touch()
    with pytest.raises(InvalidOption, match="no certificate"):
        await open_sp(ca=str(tmp_path / "empty.pem"))


async def test_to_believe_everybody_is_said_loudly(open_sp, message, keys):
    sp = await open_sp(ca_data="", insecure_skip_signature_validation=True)
    assert any("anybody can log in as anybody" in said for said in sp.log.messages)
    await sp.accepts(message().response())
    await sp.accepts(message().signed(keys.other))
    # Only signatures are not looked at.
    await sp.refuses(message(recipient="https://other.example").response())
    await sp.refuses(b"<!DOCTYPE x>" + message().response())


# — our keys ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"idpMetadataURL": "http://idp.example/m"}, "anybody's"),
        ({"idpMetadataURL": "ftp://x/m", "idpMetadataCert": "/c"}, "anybody's"),
        ({"idpMetadataURL": "https://x/m", "idpMetadataFile": "/m"}, "there twice"),
        ({"idpMetadataFile": "/m", "idpMetadataRefresh": "59s"}, "than a minute"),
        ({"signRequests": True}, "needs a key"),
        ({"spKey": "/k"}, "belong together"),
        ({"spCert": "/c"}, "belong together"),
        ({"clockSkew": "6m"}, "between 0 and 5m"),
        ({"clockSkew": "-1s"}, "between 0 and 5m"),
        ({"maxRefreshAge": "-1s"}, "negative"),
    ],
)
def test_what_makes_no_sense_is_told(changes, what, read, keys):
    trust = {"caData": None} if any("Metadata" in key for key in changes) else {}
    with pytest.raises(ConfigError, match=what):
        read(**trust, **changes)


def test_metadata_may_come_over_http_if_it_is_signed(read):
    config = read(
        caData=None, idpMetadataURL="http://x/m", idpMetadataCert="/c", ssoURL=None
    )
    assert config.has_metadata


def test_durations_are_read(read):
    config = read(clockSkew="1m", maxRefreshAge="24h", idpMetadataRefresh=None)
    assert config.clock_skew == timedelta(minutes=1)
    assert config.max_refresh_age == timedelta(days=1)


async def test_our_key_and_certificate_are_a_pair(open_sp, keys, sp_files, tmp_path):
    other = tmp_path / "other.key"
    other.write_text(keys.other.private_pem)
    with pytest.raises(InvalidOption, match="not the certificate of the first"):
        await open_sp(sp_key=str(other), sp_cert=sp_files["sp_cert"])


@pytest.mark.parametrize("what", ["missing", "empty", "encrypted", "short"])
async def test_a_key_we_cannot_use_is_named(what, open_sp, keys, sp_files, tmp_path):
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
    )

    file = tmp_path / "broken.key"
    if what == "empty":
        file.touch()
    elif what == "encrypted":
        secret = BestAvailableEncryption(b"secret")
        pem = keys.sp.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)
        file.write_bytes(pem)
    elif what == "short":
        file.write_text(SigningKey.make(bits=1024).private_pem)
    with pytest.raises(InvalidOption, match=r'spKey ".*broken.key"'):
        await open_sp(sp_key=str(file), sp_cert=sp_files["sp_cert"])


async def test_a_certificate_we_cannot_read_is_named(open_sp, sp_files, tmp_path):
    with pytest.raises(InvalidOption, match="spCert"):
        await open_sp(sp_key=sp_files["sp_key"], sp_cert=str(tmp_path / "none"))


async def test_no_secret_is_in_a_repr(open_sp, keys, sp_files):
    sp = await open_sp(**sp_files)
    line = keys.sp.private_pem.splitlines()[3]
    assert line not in repr(sp.connector)
