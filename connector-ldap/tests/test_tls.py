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
