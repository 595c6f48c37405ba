"""Who gets in with which name and password."""

import re
import time

import pytest

from dexcore_connector_ldap import Config

from dexcore.config import structure
from dexcore.connector import Identity, Scopes
from dexcore.errors import UpstreamError

BASE = "dc=example,dc=org"


async def both(connector, username, password, **scopes):
    """Log in, and refresh: the identity must be the same."""
    scopes = Scopes(offline_access=True, **scopes)
    found = await connector.login(scopes, username, password)
    if found is not None:
        assert await connector.refresh(scopes, found) == found
        assert found.connector_data
    return found


@pytest.mark.parametrize(
    ("username", "password", "id"),
    [
        ("jane", "foo", "jane"),
        ("john", "bar", "john"),
        ("JANE", "foo", "jane"),
        ("jane", "bar", None),
        ("idontexist", "foo", None),
        ("jane*", "foo", None),
        ("*", "foo", None),
        ("jane", "*", None),
        ("jane)(uid=*", "foo", None),
        ("jane\\00", "foo", None),
        ("jane\0", "foo", None),
        ("j" * 10_000, "foo", None),
        ("\udcff", "foo", None),
        ("jane", "\udcff", None),
        ("", "foo", None),
        ("  ", "foo", None),
    ],
)
async def test_the_right_name_and_password(connect, settings, username, password, id):
    found = await both(await connect(settings()), username, password)
    assert (found and found.user_id) == id


async def test_what_the_entry_says_is_who_they_are(connect, settings):
    search = {"idAttr": "DN", "preferredUsernameAttr": "employeeType"}
    connector = await connect(settings(userSearch=search))
    assert await connector.login(Scopes(), "jane", "foo") == Identity(
        user_id=f"cn=jane,ou=People,{BASE}",
        username="jane",
        preferred_username="Jane D.",
        email="janedoe@example.com",
        email_verified=True,
    )


@pytest.mark.parametrize(
    ("username", "password"),
    [("josé", "contraseña"), ("a*b(c)\\d", "contraseña"), ("smith", "*()\\pass")],
)
async def test_names_and_passwords_of_any_characters(
    connect, settings, username, password
):
    found = await both(await connect(settings()), username, password)
    assert found is not None
    assert await both(await connect(settings()), username, password + "x") is None


@pytest.mark.parametrize(("id", "name"), [("jane", "jane"), ("nomail", "nomail")])
async def test_a_suffix_makes_the_email_address(connect, settings, id, name):
    connector = await connect(settings(userSearch={"emailSuffix": "test.example.com"}))
    found = await both(connector, id, "foo")
    assert found.email == f"{name}@test.example.com"


async def test_a_filter_tells_two_of_one_name_apart(connect, settings):
    search = {"baseDN": BASE, "username": "cn", "filter": "(ou:dn:=Seattle)"}
    connector = await connect(settings(userSearch=search))
    found = await both(connector, "jane", "foo")
    assert found.email == "janedoe@seattle.example"
    assert (await both(connector, "john", "bar")).email == "johndoe@seattle.example"
    assert await both(connector, "jane", "baz") is None
    assert await both(connector, "idontexist", "foo") is None


async def test_one_of_several_attributes_is_the_name(connect, settings):
    connector = await connect(settings(userSearch={"username": ["cn", "mail"]}))
    by_cn = await both(connector, "jane", "foo")
    by_mail = await both(connector, "janedoe@example.com", "foo")
    assert by_cn.user_id == by_mail.user_id == "jane"


async def test_one_level_is_not_the_whole_tree(connect, settings):
    deep = {"baseDN": BASE, "filter": "(ou:dn:=People)"}
    found = await connect(settings(userSearch={**deep, "scope": "sub"}))
    assert await found.login(Scopes(), "jane", "foo")
    not_found = await connect(settings(userSearch={**deep, "scope": "one"}))
    assert await not_found.login(Scopes(), "jane", "foo") is None


async def test_two_who_match_are_nobody(connect, settings):
    connector = await connect(settings())
    with pytest.raises(UpstreamError, match=r"several entries.*cn=one.*cn=two"):
        await connector.login(Scopes(), "twins", "foo")


async def test_attributes_are_found_whatever_their_case(connect, settings):
    search = {"idAttr": "UID", "emailAttr": "MAIL", "nameAttr": "dn"}
    found = await both(await connect(settings(userSearch=search)), "jane", "foo")
    assert found.user_id == "jane"
    assert found.username == f"cn=jane,ou=People,{BASE}"


async def test_all_attributes_that_are_missing_are_named(connect, settings):
    search = {"idAttr": "carLicense", "preferredUsernameAttr": "title"}
    connector = await connect(settings(userSearch=search))
    with pytest.raises(UpstreamError, match="carLicense, title, mail"):
        await connector.login(Scopes(), "nomail", "foo")


FURTHER = {
    "given_name": "givenName",
    "family_name": "SN",
    "phone_number": "telephoneNumber",
    "address": "postalAddress",
    "address.locality": "l",
    "updated_at": "modifyTimestamp",
    "picture": "jpegPhoto",
    "nickname": "carLicense",
}


async def test_further_claims_are_what_further_attributes_say(
    connect, settings, make_slapd
):
    """RFC 4517 section 3.3.28: an address is written in one line."""
    server = make_slapd()
    server.modify(
        f"dn: cn=jane,ou=People,{BASE}\nchangetype: modify\n"
        "add: givenName\ngivenName: Jane\ngivenName: Janet\n-\n"
        "add: telephoneNumber\ntelephoneNumber: +41 31 000 00 00\n-\n"
        "add: postalAddress\npostalAddress: Gasse 1\\24a\\5C$3000 Bern\n-\n"
        "add: l\nl:: QsOkcm4=\n-\n"
        "add: jpegPhoto\njpegPhoto:: /9j/4AAQSkY=\n"
    )
    search = {"claimAttrs": FURTHER}
    found = await both(
        await connect(settings(server, userSearch=search)), "jane", "foo"
    )
    moment = found.claims["updated_at"]
    assert time.time() - 600 < moment <= time.time()
    assert found.claims == {
        "given_name": "Jane",
        "family_name": "doe",
        "phone_number": "+41 31 000 00 00",
        "address": {"formatted": "Gasse 1$a\\\n3000 Bern", "locality": "B\u00e4rn"},
        "updated_at": moment,
    }


async def test_who_has_no_further_attributes_logs_in_all_the_same(connect, settings):
    search = {"claimAttrs": {"nickname": "carLicense"}}
    found = await both(await connect(settings(userSearch=search)), "jane", "foo")
    assert found.claims == {}


async def test_id_and_email_have_defaults(connect, settings):
    section = settings()
    for key in ("idAttr", "emailAttr", "nameAttr"):
        del section["userSearch"][key]
    found = await both(await connect(section), "jane", "foo")
    assert (found.user_id, found.email) == ("jane", "janedoe@example.com")


async def test_a_base_that_does_not_exist_is_the_administrators_fault(
    connect, settings
):
    search = {"baseDN": f"ou=Nobody,{BASE}"}
    connector = await connect(settings(userSearch=search))
    with pytest.raises(UpstreamError, match=r"ou=Nobody.*does not exist"):
        await connector.login(Scopes(), "jane", "foo")


async def test_a_wrong_password_of_our_own_account_is_named_without_it(
    connect, settings
):
    connector = await connect(settings(bindPW="very-secret"))
    with pytest.raises(UpstreamError) as caught:
        await connector.login(Scopes(), "jane", "foo")
    assert "bindDN" in str(caught.value)
    assert "invalidCredentials (49)" in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    assert "very-secret" not in str(caught.value) + repr(connector.__dict__)


async def test_without_an_account_of_our_own_the_search_is_anonymous(connect, settings):
    section = settings()
    del section["bindDN"], section["bindPW"]
    assert (await both(await connect(section), "jane", "foo")).user_id == "jane"


# RFC 4513 section 5.1.2.  "\u00ad" is what some libraries make an empty password of.
@pytest.mark.parametrize("password", ["", "\0", "\0foo", "foo\0", "\u00ad", "\u200b"])
async def test_no_password_is_no_login_even_where_the_server_says_so(
    connect, settings, make_slapd, password
):
    generous = make_slapd(options="allow bind_anon_cred")
    connector = await connect(settings(generous))
    assert await connector.login(Scopes(), "jane", "foo") is not None
    mark = generous.mark()
    assert await connector.login(Scopes(), "jane", password) is None
    asked = "BIND" in generous.log_since(mark)
    assert asked == bool(password and "\0" not in password)


async def test_too_many_wrong_passwords_are_wrong_passwords(connect, settings, slapd):
    # What slapd says is in tests of the protocol; here it says it through a policy.
    connector = await connect(settings())
    assert await connector.login(Scopes(), "jane", "wrong") is None


async def test_an_unknown_name_costs_as_much_as_a_wrong_password(
    connect, settings, slapd
):
    connector = await connect(settings())
    assert await connector.login(Scopes(), "jane", "wrong") is None

    async def asked(name):
        mark = slapd.mark()
        assert await connector.login(Scopes(), name, "wrong") is None
        return re.findall(r"op=\d+ (\w+) (?:base|dn)=", slapd.log_since(mark))

    assert await asked("nobody") == ["SRCH", "BIND"]
    assert await asked("jane") == ["SRCH", "BIND"]


async def test_the_password_of_an_unknown_name_is_tried_on_nobody(
    connect, settings, slapd, make_relay
):
    relay = make_relay(slapd)
    connector = await connect(settings(relay))
    mark = slapd.mark()
    for _ in range(2):
        assert await connector.login(Scopes(), "nobody", "my secret") is None
    tried = re.findall(r'BIND dn="(cn=nobody-\w{32},[^"]*)"', slapd.log_since(mark))
    # A name of its own each time, below the people's: no account is there to be locked.
    assert len(set(tried)) == 2
    assert all(each.endswith(f",ou=People,{BASE}") for each in tried)
    assert not any(b"my secret" in each for each in relay.requests)


@pytest.mark.parametrize(("given", "shown"), [(None, "Username"), ("Staff", "Staff")])
async def test_the_prompt_can_be_set(connect, settings, given, shown):
    section = settings(usernamePrompt=given) if given else settings()
    assert (await connect(section)).prompt == shown


async def test_groups_are_searched_only_if_asked_for(connect, settings, slapd):
    groups = {
        "baseDN": f"ou=Groups,{BASE}",
        "userMatchers": [{"userAttr": "DN", "groupAttr": "member"}],
        "nameAttr": "cn",
    }
    connector = await connect(settings(groupSearch=groups))
    found = await connector.login(Scopes(groups=False), "jane", "foo")
    assert found.groups == ()
    assert found.connector_data == b""
    found = await connector.login(Scopes(groups=True), "jane", "foo")
    assert found.groups == ("admins", "developers")


def test_the_password_is_not_shown():
    section = {
        "host": "ldap.example.org",
        "bindDN": "cn=reader",
        "bindPW": "very-secret",
        "userSearch": {"baseDN": BASE, "username": "uid"},
    }
    assert "very-secret" not in repr(structure(section, Config))
