"""Browsers that have a ticket need no password (SPNEGO, RFC 4559)."""

import base64

import pytest

from dexcore_connector_ldap.config import Kerberos
from dexcore_connector_ldap.kerberos import Principal, parse_principal, username_of
from multidict import CIMultiDict, MultiDict

from dexcore.connector import (
    Callback,
    Challenge,
    Identity,
    NegotiateConnector,
    RefreshConnector,
    Scopes,
)
from dexcore.errors import AccessDenied, UpstreamError, UpstreamUnavailable

SPNEGO, KERBEROS = "1.3.6.1.5.5.2", "1.2.840.113554.1.2.2"
BASE = "dc=example,dc=org"
# RFC 4178 section 4.2.2: a response whose state is reject.
REJECT = Challenge("Negotiate oQcwBaADCgEC", form=False)


@pytest.fixture
def ticket(realm, any_ticket):
    """Return the header somebody's browser sends: ``ticket("jane", host=…)``."""

    def of(who="jane", **options):
        realm(who)
        return any_ticket(**options)

    return of


@pytest.fixture
def open_kerberos(connect, settings, ticket, http_keytab):
    """Open the connector; keys are those of the section ``kerberos``."""

    async def open_kerberos(user_search=None, more=None, **keys):
        kerberos = {"enabled": True, "keytabPath": http_keytab, **keys}
        search = user_search or {}
        section = settings(kerberos=kerberos, userSearch=search, **(more or {}))
        return await connect(section)

    return open_kerberos


async def negotiate(connector, *authorization, **scopes):
    headers = CIMultiDict(("Authorization", each) for each in authorization)
    url = "http://127.0.0.1:5556/dex/auth/ldap/login?state=x"
    callback = Callback(MultiDict(), MultiDict(), headers, url)
    return await connector.negotiate(Scopes(**scopes), callback)


# — who gets in ------------------------------------------------------------------------


@pytest.mark.parametrize("mech", [SPNEGO, KERBEROS])
async def test_a_ticket_is_enough(open_kerberos, ticket, mech):
    connector = await open_kerberos()
    found = await negotiate(connector, ticket(mech=mech))
    assert found == await connector.login(Scopes(), "jane", "foo")
    assert found.email == "janedoe@example.com"


async def test_groups_and_refresh_work_as_with_a_password(open_kerberos, ticket):
    groups = {
        "baseDN": f"ou=Groups,{BASE}",
        "userMatchers": [{"userAttr": "DN", "groupAttr": "member"}],
        "nameAttr": "cn",
    }
    connector = await open_kerberos(more={"groupSearch": groups})
    both = Scopes(groups=True, offline_access=True)
    found = await negotiate(connector, ticket(), groups=True, offline_access=True)
    assert found.groups == ("admins", "developers")
    assert found.connector_data
    assert isinstance(connector, RefreshConnector)
    assert await connector.refresh(both, found) == found


async def test_a_ticket_counts_once(open_kerberos, ticket):
    connector = await open_kerberos()
    header = ticket()
    assert isinstance(await negotiate(connector, header), Identity)
    assert await negotiate(connector, header) == REJECT


async def test_somebody_the_directory_does_not_know_is_refused(open_kerberos, ticket):
    connector = await open_kerberos(fallbackToPassword=True)
    with pytest.raises(AccessDenied, match=r"does not know stranger@EXAMPLE\.ORG"):
        await negotiate(connector, ticket("stranger"))


async def test_two_whom_a_ticket_fits_are_nobody(open_kerberos, ticket):
    search = {"baseDN": BASE, "username": "cn"}
    connector = await open_kerberos(user_search=search)
    with pytest.raises(UpstreamError, match="several entries"):
        await negotiate(connector, ticket())


async def test_a_directory_that_is_down_is_said_to_be(open_kerberos, ticket, hostile):
    dead = hostile(lambda server, connection: None)
    dead.close()
    connector = await open_kerberos(more={"host": dead.host}, fallbackToPassword=True)
    with pytest.raises(UpstreamUnavailable, match=dead.host):
        await negotiate(connector, ticket())


async def test_a_closed_account_is_refused(open_kerberos, ticket, make_slapd):
    server = make_slapd()
    server.modify(
        f"dn: cn=jane,ou=People,{BASE}\nchangetype: modify\n"
        "add: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n"
    )
    connector = await open_kerberos(more={"host": server.host})
    with pytest.raises(AccessDenied, match="disabled"):
        await negotiate(connector, ticket())


# — what is asked ----------------------------------------------------------------------


@pytest.mark.parametrize("headers", [(), ("Basic amFuZTpmb28=",), ("Bearer x",)])
@pytest.mark.parametrize("fallback", [True, False])
async def test_without_a_ticket_one_is_asked_for(open_kerberos, fallback, headers):
    connector = await open_kerberos(fallbackToPassword=fallback)
    found = await negotiate(connector, *headers)
    assert found == Challenge("Negotiate", form=fallback)


NTLM = "Negotiate " + base64.b64encode(b"NTLMSSP\0\1\0\0\0").decode()


@pytest.mark.parametrize("header", ["Negotiate", "Negotiate !", "Negotiate YII=", NTLM])
async def test_a_ticket_that_is_none_is_rejected(open_kerberos, header):
    assert await negotiate(await open_kerberos(), header) == REJECT
    with_form = await open_kerberos(fallbackToPassword=True)
    assert await negotiate(with_form, header) is None


async def test_a_ticket_for_another_service_is_rejected(open_kerberos, ticket, kdc):
    header = ticket(host="127.0.0.1")
    other = kdc.keytab("HTTP/other.example.org")
    assert await negotiate(await open_kerberos(keytabPath=other), header) == REJECT
    only = {"spn": "HTTP/localhost"}
    assert await negotiate(await open_kerberos(**only), header) == REJECT
    header = ticket(host="localhost")
    assert isinstance(await negotiate(await open_kerberos(**only), header), Identity)
    only = {"keytabPrincipal": "HTTP/127.0.0.1@EXAMPLE.ORG"}
    assert await negotiate(await open_kerberos(**only), ticket()) == REJECT


@pytest.mark.parametrize(
    ("expected", "fits"),
    [("EXAMPLE.ORG", True), ("example.org", True), ("A.ORG", False)],
)
async def test_only_one_realm_is_let_in(open_kerberos, ticket, expected, fits):
    strict = await open_kerberos(expectedRealm=expected)
    found = await negotiate(strict, ticket())
    assert isinstance(found, Identity) if fits else found == REJECT
    lax = await open_kerberos(expectedRealm=expected, fallbackToPassword=True)
    found = await negotiate(lax, ticket())
    assert isinstance(found, Identity) if fits else found is None


# — who that is ------------------------------------------------------------------------


async def test_the_whole_principal_may_be_looked_up(open_kerberos, ticket, make_slapd):
    server = make_slapd()
    server.modify(
        f"dn: cn=jane,ou=People,{BASE}\nchangetype: modify\n"
        "add: uid\nuid: jane@EXAMPLE.ORG\n"
    )
    connector = await open_kerberos(
        more={"host": server.host},
        user_search={"idAttr": "cn"},
        usernameFromPrincipal="userprincipalname",
    )
    assert (await negotiate(connector, ticket())).user_id == "jane"
    with pytest.raises(AccessDenied):
        await negotiate(connector, ticket("john"))


@pytest.mark.parametrize(
    ("text", "mode", "found"),
    [
        ("J.Doe@Example.COM", "", "J.Doe"),
        ("J.Doe@Example.COM", "localpart", "J.Doe"),
        ("J.Doe@Example.COM", "sAMAccountName", "J.Doe"),
        ("J.Doe@Example.COM", "userPrincipalName", "J.Doe@Example.COM"),
        ("J.Doe@Example.COM", "USERPRINCIPALNAME", "J.Doe@Example.COM"),
        ("J.Doe@Example.COM", "something else", "J.Doe"),
        (r"jane\@mail.org@EXAMPLE.ORG", "localpart", "jane"),
        (r"jane\@mail.org@EXAMPLE.ORG", "userPrincipalName", "jane@EXAMPLE.ORG"),
        ("jane", "userPrincipalName", "jane"),
        ("jane@", "userPrincipalName", "jane"),
        ("@EXAMPLE.ORG", "localpart", ""),
        ("jane/admin@EXAMPLE.ORG", "localpart", "jane/admin"),
    ],
)
def test_what_is_looked_up(text, mode, found):
    settings = Kerberos(username_from_principal=mode)
    assert username_of(parse_principal(text), settings) == found


def test_a_principal_is_written_as_it_is_read():
    assert str(Principal("jane", "EXAMPLE.ORG")) == "jane@EXAMPLE.ORG"


# — what may be wrong with the configuration -------------------------------------------


@pytest.mark.parametrize(
    ("keytab", "said"),
    [
        ("", "keytabPath is empty"),
        ("/no/such.keytab", "No such file"),
        ("/", "directory"),
        (__file__, "is not a keytab"),
        ("empty", "keytab"),
    ],
)
async def test_without_a_keytab_passwords_still_work(
    open_kerberos, keytab, said, caplog, tmp_path
):
    if keytab == "empty":
        keytab = str(tmp_path / "empty.keytab")
        (tmp_path / "empty.keytab").write_bytes(b"\x05\x02")
    connector = await open_kerberos(keytabPath=keytab)
    assert not isinstance(connector, NegotiateConnector)
    assert await connector.login(Scopes(), "jane", "foo")
    [record] = [each for each in caplog.records if each.levelname == "ERROR"]
    assert record.message.startswith("Kerberos is off: ")
    assert said in record.message


async def test_a_service_the_keytab_has_no_key_of_is_named(open_kerberos, caplog):
    await open_kerberos(spn="HTTP/nobody.example.org")
    assert "for 'HTTP/nobody.example.org'" in caplog.text


async def test_kerberos_that_is_off_is_not_there(open_kerberos, caplog):
    connector = await open_kerberos(enabled=False)
    assert not isinstance(connector, NegotiateConnector)
    assert "Kerberos" not in caplog.text


async def test_what_is_probably_not_meant_is_a_warning(open_kerberos, caplog):
    both = {"spn": "HTTP/localhost", "keytabPrincipal": "HTTP/localhost"}
    await open_kerberos(maxClockSkew=60, **both)
    assert "spn is not checked" in caplog.text
    assert "write clockskew = 60" in caplog.text
    assert "expectedRealm is empty" in caplog.text


# — Active Directory -------------------------------------------------------------------


@pytest.mark.parametrize("principal", ["HTTP/localhost", "service"])
async def test_a_ticket_of_active_directory(
    domain, connect, kinit, any_ticket, tmp_path, principal
):
    kinit("jane@AD.EXAMPLE.ORG", "Foo!12345")
    header = any_ticket()
    connector = await connect(
        {
            "host": domain.tls_host,
            "rootCA": domain.ca,
            "bindDN": domain.admin,
            "bindPW": domain.password,
            "userSearch": {
                "baseDN": "DC=ad,DC=example,DC=org",
                "username": "userPrincipalName",
                "idAttr": "objectGUID",
                "preferredUsernameAttr": "sAMAccountName",
            },
            "kerberos": {
                "enabled": True,
                # The service's account has one key for all its names.
                "keytabPath": domain.keytab(principal, tmp_path),
                "keytabPrincipal": principal,
                "expectedRealm": "ad.example.org",
                "usernameFromPrincipal": "userPrincipalName",
            },
        }
    )
    found = await negotiate(connector, header)
    assert found.preferred_username == "jane"
