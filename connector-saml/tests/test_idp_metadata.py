"""Keys and addresses from the provider's metadata, and what may be wrong with those."""

from __future__ import annotations

import asyncio
import time

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from dexcore_connector_saml.provider import FromMetadata

from dexcore.connector import Scopes
from dexcore.errors import UpstreamError, UpstreamUnavailable
from dexcore.testing.upstreams.saml import SamlIdP
from dexcore.testing.upstreams.saml_signing import SigningKey

ACS = "https://sp.example/dex/callback"


class Clock:
    """A clock that is moved by hand (seconds)."""

    def __init__(self):
        self.time = time.monotonic()

    def __call__(self):
        return self.time


@pytest.fixture
def idp(keys):
    with SamlIdP(key=keys.idp, tls=True) as idp:
        yield idp


@pytest.fixture
def root_ca(idp, tmp_path):
    file = tmp_path / "root.pem"
    file.write_text(idp.ca)
    return str(file)


@pytest.fixture
async def from_url(open_sp, idp, root_ca):
    async def open_from_url(**options):
        sp = await open_sp(
            **{
                "sso_url": "",
                "sso_issuer": "",
                "idp_metadata_url": idp.metadata_url,
                "idp_metadata_root_ca": root_ca,
                **options,
            }
        )
        assert isinstance(sp.connector.source, FromMetadata)
        sp.connector.source.clock = Clock()
        return sp

    return open_from_url


@pytest.fixture
def said(message, idp):
    """Make messages of this provider."""
    return lambda **changes: message(issuer=idp.entity_id, **changes)


async def later(sp, seconds):
    """Let time pass, and whatever is read meanwhile be read."""
    sp.connector.source.clock.time += seconds
    await sp.connector.source.current()
    for task in [sp.connector.source._reading]:
        if task is not None:
            await task


# — where it comes from ----------------------------------------------------------------


async def test_metadata_says_where_logins_begin_and_who_signs(
    from_url, idp, said, keys
):
    sp = await from_url()
    begun = await sp.connector.begin(Scopes(), ACS, "q")
    assert begun.url == idp.sso_url
    await sp.accepts(said().signed(keys.idp))
    await sp.refuses(said().signed(keys.other), "verification failed")


async def test_the_issuer_is_the_one_of_the_metadata(from_url, message, keys):
    sp = await from_url()
    wrong = message(issuer="https://other.example").signed(keys.idp)
    await sp.refuses(wrong, "the issuer 'https://other.example'")


async def test_metadata_may_be_a_file(open_sp, idp, said, keys, tmp_path):
    file = tmp_path / "metadata.xml"
    file.write_bytes(
        b'<?xml version="1.0" encoding="UTF-8"?>\n<!-- ours -->' + idp.metadata()
    )
    sp = await open_sp(sso_url="", sso_issuer="", idp_metadata_file=str(file))
    await sp.accepts(said().signed(keys.idp))


async def test_the_file_may_name_another_address(from_url):
    sp = await from_url(sso_url="https://idp.example/elsewhere")
    begun = await sp.connector.begin(Scopes(), ACS, "q")
    assert begun.url == "https://idp.example/elsewhere"


async def test_a_server_nobody_has_certified_is_not_believed(open_sp, idp):
    with pytest.raises(UpstreamError):
        await open_sp(sso_url="", idp_metadata_url=idp.metadata_url, ca_data="")


async def test_signed_metadata_needs_no_https(open_sp, keys, said, tmp_path):
    (tmp_path / "m.pem").write_text(keys.other.pem)
    with SamlIdP(key=keys.idp) as idp:
        idp.metadata_key = keys.other
        options = {
            "sso_url": "",
            "sso_issuer": "",
            "idp_metadata_url": idp.metadata_url,
            "idp_metadata_cert": str(tmp_path / "m.pem"),
        }
        sp = await open_sp(**options)
        made = attrs.evolve(said(), issuer=idp.entity_id, response_issuer=idp.entity_id)
        await sp.accepts(made.signed(keys.idp))
        for key in (keys.idp, None):
            idp.metadata_key = key
            with pytest.raises(UpstreamError, match="signature"):
                await open_sp(**options)


async def test_signed_metadata_cannot_be_changed(open_sp, keys, idp, tmp_path):
    (tmp_path / "m.pem").write_text(keys.other.pem)
    idp.metadata_key = keys.other
    file = tmp_path / "metadata.xml"
    file.write_bytes(idp.metadata().replace(keys.idp.x509[:50].encode(), b"A" * 50))
    with pytest.raises(UpstreamError, match="Digest mismatch"):
        await open_sp(
            sso_url="",
            idp_metadata_file=str(file),
            idp_metadata_cert=str(tmp_path / "m.pem"),
        )


async def test_sha1_does_not_sign_metadata_either(open_sp, keys, idp, tmp_path):
    from dexcore.testing.upstreams.saml_signing import RSA_SHA1, Form, sign

    (tmp_path / "m.pem").write_text(keys.other.pem)
    file = tmp_path / "metadata.xml"
    file.write_bytes(
        sign(idp.metadata(), "_metadata", keys.other, Form(method=RSA_SHA1))
    )
    with pytest.raises(UpstreamError, match="rsa-sha1"):
        await open_sp(
            sso_url="",
            idp_metadata_file=str(file),
            idp_metadata_cert=str(tmp_path / "m.pem"),
        )


# — what is in it ----------------------------------------------------------------------


def entities(*documents):
    inner = b"".join(documents).replace(b' ID="_metadata"', b"")
    return (
        b'<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata">'
        + inner
        + b"</md:EntitiesDescriptor>"
    )


async def test_a_federation_has_several_providers(open_sp, idp, said, keys, tmp_path):
    other = idp.metadata().replace(b"/idp", b"/other")
    file = tmp_path / "federation.xml"
    file.write_bytes(entities(other, idp.metadata()))
    options = {"sso_url": "", "idp_metadata_file": str(file)}
    sp = await open_sp(sso_issuer=idp.entity_id, **options)
    await sp.accepts(said().signed(keys.idp))
    with pytest.raises(UpstreamError, match=r"2 identity providers .name one"):
        await open_sp(sso_issuer="", **options)
    with pytest.raises(UpstreamError, match="0 identity providers called"):
        await open_sp(sso_issuer="https://nobody.example", **options)


CHANGES = {
    "no certificate": (b"ds:X509Certificate", b"ds:X509SKI", "without a certificate"),
    "only for encryption": (b'use="signing"', b'use="encryption"', "a certificate"),
    "another binding": (b"HTTP-POST", b"HTTP-Redirect", "offer the POST binding"),
    "a script for an address": (b'Location="https', b'Location="javascript', "POST"),
    "another protocol": (b"SAML:2.0:protocol", b"SAML:1.1:protocol", "0 identity"),
    "not metadata": (b"EntityDescriptor", b"Organization", "which is no metadata"),
    "a doctype": (b"<md:EntityD", b"<!DOCTYPE x><md:EntityD", "declaration"),
    "an instruction": (b"<md:EntityD", b"<?x y?><md:EntityD", "declaration"),
    "half of it": (b"</md:EntityDescriptor>", b"", "not well-formed"),
    "past": (b" entityID", b' validUntil="2001-01-01T00:00:00Z" entityID', "valid"),
    "no time": (b" entityID", b' validUntil="soon" entityID', "validUntil"),
}


@pytest.mark.parametrize(("old", "new", "what"), CHANGES.values(), ids=CHANGES)
async def test_metadata_that_cannot_be_used_is_told(
    old, new, what, open_sp, idp, tmp_path
):
    file = tmp_path / "metadata.xml"
    file.write_bytes(idp.metadata().replace(old, new))
    with pytest.raises(UpstreamError, match=what):
        await open_sp(sso_url="", sso_issuer="", idp_metadata_file=str(file))


async def test_a_key_that_is_too_short_is_passed_over(
    open_sp, idp, said, keys, tmp_path
):
    short = SigningKey.make(bits=1024)
    idp.published = [short, keys.idp]
    file = tmp_path / "metadata.xml"
    file.write_bytes(idp.metadata())
    sp = await open_sp(sso_url="", sso_issuer="", idp_metadata_file=str(file))
    await sp.accepts(said().signed(keys.idp))
    await sp.refuses(said().signed(short))


async def test_a_file_that_is_not_there_is_told(open_sp, tmp_path):
    with pytest.raises(UpstreamError, match="cannot be read"):
        await open_sp(sso_url="", idp_metadata_file=str(tmp_path / "none.xml"))


@pytest.mark.parametrize("trouble", ["down", "status", "html", "empty", "hang_up"])
async def test_without_metadata_nothing_opens(trouble, from_url, idp):
    with getattr(idp, trouble)(), pytest.raises(UpstreamError):
        await from_url()


# — new keys ---------------------------------------------------------------------------


async def test_a_new_key_is_noticed_when_it_signs(from_url, idp, said, keys):
    sp = await from_url()
    idp.published = [keys.other]
    sp.connector.source.clock.time += 61
    await sp.accepts(said().signed(keys.other))
    assert "SAML identity provider has other keys" in sp.log.messages
    await sp.refuses(said().signed(keys.idp), "verification failed")


async def test_a_new_key_is_not_any_key(from_url, idp, said, keys):
    sp = await from_url()
    idp.published = [keys.other]
    sp.connector.source.clock.time += 61
    await sp.refuses(said().signed(keys.sp), "verification failed")


async def test_both_keys_of_a_roll_over_are_good(from_url, idp, said, keys):
    sp = await from_url()
    idp.published = [keys.idp, keys.other]
    await later(sp, 3601)
    await sp.accepts(said().signed(keys.idp))
    await sp.accepts(said().signed(keys.other))


async def test_a_key_that_is_withdrawn_is_bad_after_the_refresh(
    from_url, idp, said, keys
):
    sp = await from_url()
    idp.published = [keys.other]
    await later(sp, 3601)
    await sp.refuses(said().signed(keys.idp))


async def test_strangers_cannot_make_us_ask_all_the_time(from_url, idp, said, keys):
    sp = await from_url()
    sp.connector.source.clock.time += 61
    for _ in range(5):
        await sp.refuses(said().signed(keys.other))
    assert len(idp.asked("/metadata")) == 2
    sp.connector.source.clock.time += 61
    await sp.refuses(said().signed(keys.other))
    assert len(idp.asked("/metadata")) == 3


async def test_many_who_wait_for_a_new_key_ask_once(from_url, idp, said, keys):
    sp = await from_url()
    idp.published = [keys.other]
    sp.connector.source.clock.time += 61
    await asyncio.gather(*(sp.accepts(said().signed(keys.other)) for _ in range(8)))
    assert len(idp.asked("/metadata")) == 2


async def test_while_metadata_cannot_be_read_the_old_goes_on(from_url, idp, said, keys):
    sp = await from_url()
    with idp.status(503):
        await later(sp, 3601)
        assert "SAML metadata not renewed" in sp.log.messages
        await sp.accepts(said().signed(keys.idp))
        await sp.refuses(said().signed(keys.other))
    await later(sp, 61)
    assert len(idp.asked("/metadata")) == 3


async def test_metadata_goes_on_until_it_ends(from_url, idp, said, keys):
    ends = datetime.now(UTC) + timedelta(minutes=1)
    idp.valid_until = f"{ends:%Y-%m-%dT%H:%M:%SZ}"
    sp = await from_url()
    await sp.accepts(said().signed(keys.idp))
    late = ends + timedelta(seconds=1)
    sp.connector.source.now = lambda: late
    sp.connector.source.clock.time += 61
    with idp.status(503), pytest.raises(UpstreamUnavailable, match="no longer valid"):
        await sp.finish(said().signed(keys.idp))
    idp.valid_until = ""
    sp.connector.source.clock.time += 61
    await sp.accepts(said().signed(keys.idp))


async def test_metadata_may_ask_to_be_read_more_often(from_url, idp, tmp_path):
    original = idp.metadata
    idp.metadata = lambda: original().replace(
        b" entityID", b' cacheDuration="PT5M" entityID'
    )
    sp = await from_url()
    await later(sp, 299)
    assert len(idp.asked("/metadata")) == 1
    await later(sp, 2)
    assert len(idp.asked("/metadata")) == 2


async def test_a_connector_that_closes_stops_reading(from_url, idp):
    sp = await from_url()
    with idp.slow(30):
        sp.connector.source.clock.time += 3601
        await sp.connector.source.current()
        await asyncio.wait_for(sp.connector.close(), 5)
