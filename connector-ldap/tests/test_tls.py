"""How the directory proves who it is, and we who we are."""

import base64
import ssl

import pytest
import trustme

from dexcore.connector import Scopes
from dexcore.errors import UpstreamUnavailable

TLS = {"insecureNoSSL": False}
START_TLS = {**TLS, "startTLS": True}


@pytest.fixture(params=["ldaps", "StartTLS"])
def way(request):
    return request.param


@pytest.fixture
def encrypted(settings, slapd, way):
    """Settings for both ways to encrypt; *host* is what the certificate must name."""

    def make(server=None, host="127.0.0.1", **keys):
        server = server or slapd
        port = server.tls_port if way == "ldaps" else server.port
        more = TLS if way == "ldaps" else START_TLS
        return settings(server, host=f"{host}:{port}", **more, **keys)

    return make


async def logs_in(connector):
    return await connector.login(Scopes(), "jane", "foo") is not None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_names_and_addresses_are_checked_and_found_right(
    connect, encrypted, certificates, host
):
    assert await logs_in(await connect(encrypted(host=host, rootCA=certificates.ca)))


async def test_the_authority_may_stand_in_the_file(connect, encrypted, certificates):
    found = await connect(encrypted(rootCAData=certificates.ca_data))
    assert await logs_in(found)


async def test_the_authority_in_the_file_goes_first(
    connect, encrypted, certificates, tmp_path
):
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    both = encrypted(rootCAData=certificates.ca_data, rootCA=str(other))
    assert await logs_in(await connect(both))


async def test_an_authority_nobody_named_is_not_trusted(connect, encrypted, slapd):
    connector = await connect(encrypted())
    mark = slapd.mark()
    with pytest.raises(
        UpstreamUnavailable, match="TLS: the certificate is not trusted"
    ):
        await logs_in(connector)
    assert "BIND" not in slapd.log_since(mark)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_certificate_for_another_name_is_not_trusted(
    connect, encrypted, certificates, make_slapd, host
):
    other = make_slapd(names=("ldap.example.org", "10.0.0.5"))
    connector = await connect(encrypted(other, host=host, rootCA=certificates.ca))
    mark = other.mark()
    with pytest.raises(UpstreamUnavailable, match=f"{host}:.*not (valid for|match)"):
        await logs_in(connector)
    assert "BIND" not in other.log_since(mark)


async def test_any_certificate_will_do_if_one_insists(connect, encrypted, make_slapd):
    other = make_slapd(names=("ldap.example.org",))
    assert await logs_in(await connect(encrypted(other, insecureSkipVerify=True)))


async def test_our_own_certificate_is_shown(
    connect, encrypted, certificates, make_slapd
):
    strict = make_slapd(options="TLSVerifyClient demand")
    strict_settings = {"rootCA": certificates.ca}
    with pytest.raises(UpstreamUnavailable, match=strict.tls_host.split(":")[0]):
        await logs_in(await connect(encrypted(strict, **strict_settings)))
    cert, key = certificates.issue("dexcore", common_name="our certificate")
    ours = {"clientCert": cert, "clientKey": key, **strict_settings}
    assert await logs_in(await connect(encrypted(strict, **ours)))


async def test_nothing_older_than_tls_1_2_is_spoken(connect, settings, hostile):
    authority = trustme.CA()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    authority.issue_cert("127.0.0.1").configure_cert(old)

    def talk(server, connection):
        with old.wrap_socket(connection, server_side=True) as encrypted:
            server.read(encrypted)

    server = hostile(talk)
    data = base64.b64encode(authority.cert_pem.bytes()).decode()
    section = settings(host=server.host, rootCAData=data, **TLS)
    with pytest.raises(UpstreamUnavailable, match="TLS"):
        await logs_in(await connect(section))
    assert server.seen == []


# — files that change while we run -----------------------------------------------------


def restart(server):
    """Leave nobody an open connection."""
    server.stop()
    server.start()


@pytest.fixture
def strict(make_slapd):
    """A directory that wants to see our certificate."""
    return make_slapd(options="TLSVerifyClient demand")


@pytest.fixture
def renewed(encrypted, certificates, strict, tmp_path):
    """Settings with a certificate, and what writes it: one file, then the other."""
    files = [tmp_path / "cert.pem", tmp_path / "key.pem"]

    def renew(authority):
        made = authority.issue_cert("dexcore", common_name="dexcore")
        for file, pem in zip(
            files, [made.cert_chain_pems[0], made.private_key_pem], strict=True
        ):
            pem.write_to_path(str(file))
            yield

    cert, key = map(str, files)
    ours = {"clientCert": cert, "clientKey": key, "rootCA": certificates.ca}
    return encrypted(strict, **ours), renew


CHANGED = "certificates have changed: new connections use them"


async def test_a_new_authority_is_trusted_without_a_restart(
    connect, encrypted, certificates, make_slapd, tmp_path
):
    server = make_slapd()
    file = str(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(file)
    connector = await connect(encrypted(server, rootCA=file))
    with pytest.raises(UpstreamUnavailable, match="not trusted"):
        await logs_in(connector)
    certificates.authority.cert_pem.write_to_path(file)
    assert await logs_in(connector)
    # And who is no longer in there is no longer trusted.
    trustme.CA().cert_pem.write_to_path(file)
    restart(server)
    with pytest.raises(UpstreamUnavailable, match="not trusted"):
        await logs_in(connector)


async def test_our_new_certificate_is_shown_without_a_restart(
    connect, certificates, renewed, caplog
):
    caplog.set_level("INFO")
    section, renew = renewed
    list(renew(trustme.CA()))
    connector = await connect(section)
    with pytest.raises(UpstreamUnavailable):
        await logs_in(connector)
    list(renew(certificates.authority))
    assert await logs_in(connector)
    assert [each for each in caplog.messages if each == CHANGED] == [CHANGED]


async def test_a_link_that_leads_elsewhere_is_a_change(
    connect, encrypted, certificates, make_slapd, tmp_path
):
    # So mounted secrets are renewed.
    server = make_slapd()
    for name, authority in (("old", trustme.CA()), ("new", certificates.authority)):
        (tmp_path / name).mkdir()
        authority.cert_pem.write_to_path(str(tmp_path / name / "ca.pem"))
    link = tmp_path / "secret"
    link.symlink_to("old")
    connector = await connect(encrypted(server, rootCA=str(link / "ca.pem")))
    with pytest.raises(UpstreamUnavailable, match="not trusted"):
        await logs_in(connector)
    link.unlink()
    link.symlink_to("new")
    assert await logs_in(connector)


async def test_the_old_certificate_stays_until_the_new_one_is_whole(
    connect, certificates, strict, renewed, caplog
):
    caplog.set_level("INFO")
    section, renew = renewed
    list(renew(certificates.authority))
    connector = await connect(section)
    for _ in renew(certificates.authority):
        restart(strict)
        assert await logs_in(connector)
        assert await logs_in(connector)
    said = [each for each in caplog.messages if "have changed" in each]
    # Once for the certificate without its key, once for both.
    assert len(said) == 2
    assert f"clientKey {section['clientKey']!r} cannot be used" in said[0]
    assert said[1] == CHANGED


async def test_files_that_are_gone_cost_nobody_the_login(
    connect, certificates, strict, renewed, tmp_path, caplog
):
    section, renew = renewed
    list(renew(certificates.authority))
    connector = await connect(section)
    (tmp_path / "cert.pem").unlink()
    for _ in range(2):
        assert await logs_in(connector)
        restart(strict)
    [error] = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "the old ones stay: clientCert" in error.message


# — StartTLS ---------------------------------------------------------------------------

# An answer to the first request: an extended response with the code given.
REFUSED = bytes.fromhex("300c 020101 7807 0a0102 0400 0400")
ACCEPTED = bytes.fromhex("300c 020101 7807 0a0100 0400 0400")
BIND_ACCEPTED = bytes.fromhex("300c 020102 6107 0a0100 0400 0400")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (REFUSED, "StartTLS: the server refuses: protocolError"),
        (ACCEPTED + BIND_ACCEPTED, "StartTLS: it went on in plain text"),
        (b"", "StartTLS: the server closed the connection"),
        (BIND_ACCEPTED, "StartTLS: it answers what nobody asked"),
    ],
)
async def test_without_encryption_no_password_leaves(
    connect, settings, hostile, answer, said
):
    def talk(server, connection):
        server.read(connection)
        connection.sendall(answer)
        if answer:
            server.read(connection)

    server = hostile(talk)
    connector = await connect(settings(host=server.host, **START_TLS))
    with pytest.raises(UpstreamUnavailable, match=said):
        await logs_in(connector)
    # The request to encrypt and nothing else.
    assert len([each for each in server.seen if each]) == 1
    assert b"1.3.6.1.4.1.1466.20037" in server.seen[0]


async def test_the_handshake_has_a_deadline_too(connect, settings, hostile):
    def talk(server, connection):
        while not server.ended.wait(0.05):
            connection.sendall(b"\x16")  # a handshake, very slowly

    server = hostile(talk)
    connector = await connect(settings(host=server.host, **TLS), patience=0.5)
    with pytest.raises(UpstreamUnavailable, match="TLS: "):
        await logs_in(connector)
