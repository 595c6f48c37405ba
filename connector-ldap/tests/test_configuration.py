"""What the section ``config`` may say."""

import base64

import pytest

from dexcore_connector_ldap import Config
from dexcore_connector_ldap.addresses import Address

from dexcore.config import ConfigProblems, structure

BASE = "dc=example,dc=org"


def section(**keys):
    found = {
        "host": "ldap.example.org",
        "userSearch": {"baseDN": BASE, "username": "uid"},
    }
    return {name: value for name, value in (found | keys).items() if value is not None}


def user_search(**keys):
    return section(userSearch={"baseDN": BASE, "username": "uid"} | keys)


def refused(section):
    with pytest.raises(ConfigProblems) as caught:
        structure(section, Config, where="config")
    return str(caught.value)


# — host -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("ldap.example.org", [("ldap.example.org", 636)]),
        ("ldap.example.org:1636", [("ldap.example.org", 1636)]),
        ("10.0.0.5", [("10.0.0.5", 636)]),
        ("10.0.0.5:1636", [("10.0.0.5", 1636)]),
        ("::1", [("::1", 636)]),
        ("[::1]", [("::1", 636)]),
        ("[::1]:1636", [("::1", 1636)]),
        ("a,b:1 , c", [("a", 636), ("b", 1), ("c", 636)]),
        (["a", "b:1"], [("a", 636), ("b", 1)]),
        (["a,b", "a"], [("a", 636), ("b", 636)]),
    ],
)
def test_where_the_directory_is(host, found):
    made = structure(section(host=host), Config)
    assert list(made.addresses) == [Address(*each) for each in found]


@pytest.mark.parametrize(
    ("keys", "port"),
    [({}, 636), ({"startTLS": True}, 389), ({"insecureNoSSL": True}, 389)],
)
def test_the_port_depends_on_how_it_is_encrypted(keys, port):
    assert structure(section(**keys), Config).addresses[0].port == port


@pytest.mark.parametrize(
    "host",
    [
        "ldap://ldap.example.org",
        "a:b",
        "a:",
        ":636",
        "a:0",
        "a:65536",
        "a b",
        "[a]:1",
        "[10.0.0.5]",
        "[::1",
        "a:1:2",
        "a/b",
        "",
        ",",
        [],
    ],
)
def test_what_is_no_address_is_refused(host):
    assert "host" in refused(section(host=host))


def test_addresses_are_shown_as_they_are_written():
    assert str(Address("::1", 636)) == "[::1]:636"
    assert str(Address("a", 389)) == "a:389"


# — what must be there -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (section(host=None), 'the key "host" is missing'),
        (section(userSearch=None), 'the key "userSearch" is missing'),
        (section(userSearch={"username": "uid"}), 'the key "baseDN" is missing'),
        (section(userSearch={"baseDN": BASE}), 'the key "username" is missing'),
        (user_search(baseDN=""), "baseDN is empty"),
        (user_search(username=""), "username is empty"),
        (user_search(username=[]), "username is empty"),
        (user_search(username=["uid", ""]), "username is empty"),
        (user_search(username={"a": "b"}), "username"),
        (user_search(idAttr=""), "idAttr is empty"),
        (user_search(emailAttr=""), "emailAttr is empty"),
        (user_search(emailSuffix="example.org"), "nameAttr, which is not set"),
        (user_search(claimAttrs={"email": "mail"}), "claimAttrs: email: no such claim"),
        (user_search(claimAttrs={"address.planet": "l"}), "address.planet: no such"),
        (user_search(claimAttrs=["given_name"]), "claimAttrs"),
        (user_search(scope="base"), '"base" is not one of sub, one'),
        (user_search(filter="uid=a"), "not in parentheses"),
        (section(groupSearch={"filter": "a"}), "not in parentheses"),
        (section(groupSearch={"scope": "subtree"}), "not one of"),
        (
            section(groupSearch={"baseDN": BASE, "userMatchers": [{"userAttr": "DN"}]}),
            "has no groupAttr",
        ),
        (section(bindDN="cn=reader"), "bindPW is empty"),
        (section(bindPW="secret"), "bindDN is empty"),
        (section(insecureNoSSL=True, startTLS=True), "exclude each other"),
        (section(clientCert="/a.pem"), "one of clientCert and clientKey is missing"),
        (section(clientKey="/a.key"), "one of clientCert and clientKey is missing"),
        (section(rootCAData="***"), "rootCAData is not the base64"),
        (section(rootCAData="/w=="), "rootCAData is not the base64"),
    ],
)
def test_what_cannot_be_is_named_with_a_remedy(broken, said):
    assert said in refused(broken)


def test_no_secret_is_named():
    assert "very-secret" not in refused(section(bindPW="very-secret"))


@pytest.mark.parametrize(
    ("given", "found"),
    [("uid", ("uid",)), (["cn", "mail"], ("cn", "mail")), (["uid"], ("uid",))],
)
def test_people_are_named_by_one_attribute_or_several(given, found):
    made = structure(user_search(username=given), Config)
    assert made.user_search.usernames == found


def test_keys_have_no_case_and_defaults():
    made = structure(
        {
            "HOST": "a",
            "STARTTLS": True,
            "BindDN": "cn=reader",
            "bindpw": "x",
            "usersearch": {"basedn": BASE, "username": "uid", "idattr": "dn"},
        },
        Config,
    )
    assert made.start_tls
    assert made.user_search.id_attr == "dn"
    assert made.user_search.email_attr == "mail"
    assert made.group_search.base_dn == ""
    assert not made.kerberos.enabled
    assert made.kerberos.max_clock_skew == 300


def test_root_ca_data_may_have_line_ends():
    text = "-----BEGIN CERTIFICATE-----\n"
    data = base64.encodebytes(text.encode()).decode()
    assert structure(section(rootCAData=data), Config).root_ca_pem == text


# — what is found when it opens --------------------------------------------------------


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"userSearch": {"filter": "((uid=a)"}}, "filter"),
        ({"userSearch": {"filter": "(&(uid=a)"}}, "filter"),
        ({"userSearch": {"filter": "(uid)"}}, "filter"),
        (
            {
                "groupSearch": {
                    "baseDN": BASE,
                    "filter": "(!(cn=a)(cn=b))",
                    "userMatchers": [{"userAttr": "DN", "groupAttr": "member"}],
                }
            },
            "filter",
        ),
    ],
)
async def test_a_filter_that_is_none_is_found_at_the_start(
    connect, settings, search, said
):
    with pytest.raises(ValueError, match=said):
        await connect(settings(**search))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"rootCA": "/no/such/ca.pem"}, "rootCA '/no/such/ca.pem' cannot be read"),
        ({"rootCA": __file__}, "holds no certificate"),
        ({"rootCAData": base64.b64encode(b"x").decode()}, "holds no certificate"),
        ({"clientCert": "/no.pem", "clientKey": "/no.key"}, "cannot be used"),
    ],
)
async def test_files_that_cannot_be_used_are_named(connect, settings, keys, said):
    section = settings(**keys)
    del section["insecureNoSSL"]
    with pytest.raises(Exception, match=said):
        await connect(section)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "insecureNoSSL"),
        ({"insecureNoSSL": False, "insecureSkipVerify": True}, "insecureSkipVerify"),
        ({"groupSearch": {"baseDN": BASE, "userAttr": "DN", "groupAttr": "m"}}, "depr"),
        ({"groupSearch": {"baseDN": BASE}}, "nameAttr is not set"),
    ],
)
async def test_what_is_probably_not_meant_is_a_warning(
    connect, settings, keys, said, caplog
):
    await connect(settings(**keys))
    assert any(
        said in record.message and record.levelname == "WARNING"
        for record in caplog.records
    )
