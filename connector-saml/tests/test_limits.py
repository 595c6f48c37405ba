"""What is bounded: sizes, work at the same time, and what is said about it all."""

from __future__ import annotations

import asyncio
import logging
import threading

import attrs
import pytest

from dexcore_connector_saml.workers import Workers
from lxml import etree

from dexcore.errors import TemporarilyUnavailable
from dexcore.testing.upstreams.saml_signing import (
    AES256_CBC,
    AES256_GCM,
    DSIG,
    Encryption,
    encrypt,
    sign,
)

XENC = "http://www.w3.org/2001/04/xmlenc#"
VALUE = (
    '<saml:Attribute Name="x"><saml:AttributeValue {}>{}</saml:AttributeValue>'
    "</saml:Attribute>"
)


def with_value(inner="", attributes=""):
    return {"attributes": VALUE.format(attributes, inner)}


# — sizes ------------------------------------------------------------------------------

TOO_MUCH = {
    "bytes": (with_value("x" * 530_000), "which is more than 524288"),
    "elements": (with_value('<x:x xmlns:x="u:x"/>' * 10_001), "10000 elements"),
    "attributes": (
        with_value("", " ".join(f'a{number}="x"' for number in range(33))),
        "more than 32 attributes",
    ),
    "depth": (
        with_value('<x:x xmlns:x="u:x">' * 30 + "</x:x>" * 30),
        "more than 24 elements inside each other",
    ),
}


@pytest.mark.parametrize(("lines", "because"), TOO_MUCH.values(), ids=TOO_MUCH)
async def test_too_much_is_refused_before_it_is_verified(
    lines, because, sp, message, keys
):
    await sp.refuses(message(lines=lines).signed(keys.idp), because)


async def test_nearly_too_much_is_fine(sp, message, keys):
    lines = with_value("x" * 480_000)
    await sp.accepts(message(lines=lines).signed(keys.idp))


# — shapes -----------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["response", "assertion"])
async def test_an_issuer_is_an_entity(where, sp, message, keys):
    def signed(format):
        changed = f'<saml:Issuer Format="{format}"'.encode()
        made = message()
        id = made.id if where == "response" else made.assertion_id
        document = made.response().replace(b"<saml:Issuer", changed)
        return sign(document, id, keys.idp)

    urn = "urn:oasis:names:tc:SAML:2.0:nameid-format:"
    await sp.accepts(signed(f"{urn}entity"))
    await sp.refuses(signed(f"{urn}persistent"), "an issuer of the format")


@pytest.mark.parametrize("path", ["Issuer", "Assertion/{*}Signature/{*}KeyInfo"])
async def test_there_is_one_of_what_there_is_one_of(path, sp, message, keys):
    """Even where nothing reads the second, and no signature covers it."""
    root = etree.fromstring(message().signed(keys.idp, response=False))
    found = root.find("{*}" + path)
    found.addnext(etree.fromstring(etree.tostring(found)))
    await sp.refuses(etree.tostring(root), "too often")


@pytest.mark.parametrize("place", [b"<samlp:Status>", b"<samlp:StatusCode "])
async def test_words_stand_only_where_words_belong(place, sp, message, keys):
    document = message().signed(keys.idp, response=False)
    await sp.refuses(document.replace(place, b"words" + place), "text between")
    await sp.accepts(document.replace(place, b"\n  " + place))


async def test_a_confirmation_says_something(sp, message, keys):
    made = message()
    root = etree.fromstring(made.response())
    data = root.find(".//{*}SubjectConfirmationData")
    data.getparent().remove(data)
    document = sign(etree.tostring(root), made.id, keys.idp)
    await sp.refuses(document, "no data")


@pytest.mark.parametrize("value", ["", "AAAA", "!", "A" * 32])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("content", ["gcm", "cbc"])
async def test_ciphertext_of_no_length(
    content, which, value, open_sp, sp_files, message, keys, encryption
):
    """The provider itself has signed it: nothing before the key refuses it."""
    sp = await open_sp(**sp_files)
    made = message()
    how = attrs.evolve(
        encryption, content=AES256_GCM if content == "gcm" else AES256_CBC
    )
    root = etree.fromstring(encrypt(made.response(), how))
    root.findall(f".//{{{XENC}}}CipherValue")[which].text = value
    document = sign(etree.tostring(root), made.id, keys.idp)
    await sp.refuses(document, "cannot be decrypted")


async def test_encrypted_and_believed_without_a_signature(
    open_sp, sp_files, message, keys, encryption
):
    sp = await open_sp(**sp_files, ca_data="", insecure_skip_signature_validation=True)
    await sp.accepts(encrypt(message().response(), encryption))
    cbc = Encryption(keys.sp.certificate, AES256_CBC)
    await sp.refuses(encrypt(message().response(), cbc), "of an unsigned response")


# — work -------------------------------------------------------------------------------


async def test_who_comes_when_all_wait_is_told_so():
    workers, go = Workers(threads=1, waiting=1), threading.Event()
    first = asyncio.create_task(workers.run(go.wait, 30))
    second = asyncio.create_task(workers.run(go.wait, 30))
    await asyncio.sleep(0)
    with pytest.raises(TemporarilyUnavailable):
        await workers.run(int)
    # Whoever gives up does not make room: the work goes on.
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    go.set()
    assert await first is True
    assert await workers.run(int) == 0


async def test_verifying_happens_beside_the_loop(sp, message, keys):
    document = message().signed(keys.idp)
    await sp.accepts(document)
    running = {thread.name for thread in threading.enumerate()}
    assert any(name.startswith("dexcore-saml") for name in running)


# — what is said -----------------------------------------------------------------------


async def test_no_log_has_what_an_assertion_says(sp, message, keys, caplog):
    """At no level, of no library."""
    caplog.set_level(logging.DEBUG)
    secrets = ["canary-name", "canary@example.com", "canary-group", "canary-id"]
    attributes = {"name": secrets[:1], "mail": secrets[1:2], "groups": secrets[2:3]}
    made = message(name_id="canary-id", attributes=attributes)
    document = made.signed(keys.idp)
    await sp.accepts(document, "canary-id")
    await sp.refuses(document)
    await sp.refuses(document.replace(b"canary-group", b"canary-gruop"))
    told = caplog.text + "".join(
        each.getMessage() + str(getattr(each, "fields", "")) for each in sp.log.records
    )
    assert told
    assert not [secret for secret in secrets if secret in told]
    assert DSIG not in told


async def test_a_reason_is_no_longer_than_a_line(sp, message, keys):
    long = "https://" + "x" * 100_000
    await sp.refuses(message(issuer=long).signed(keys.idp))
    assert len(sp.log.reason) <= 1000
