"""Against a domain controller of Active Directory."""

import uuid

import pytest

from dexcore.connector import Scopes
from dexcore.errors import AccessDenied

BASE = "DC=ad,DC=example,DC=org"
USERS = f"CN=Users,{BASE}"
PASSWORD = "Foo!12345"
SCOPES = Scopes(offline_access=True, groups=True)
SEARCH = {
    "baseDN": USERS,
    "filter": "(objectClass=user)",
    "username": "sAMAccountName",
    "idAttr": "objectGUID",
    "emailAttr": "mail",
    "nameAttr": "displayName",
    "preferredUsernameAttr": "sAMAccountName",
}


@pytest.fixture
def section(samba):
    def make(user_search=None, **keys):
        return {
            "host": samba.tls_host,
            "rootCA": samba.ca,
            "bindDN": samba.admin,
            "bindPW": samba.password,
            "userSearch": {**SEARCH, **(user_search or {})},
            **keys,
        }

    return make


def groups(**matcher):
    return {
        "baseDN": USERS,
        "filter": "(objectClass=group)",
        "userMatchers": [matcher],
        "nameAttr": "cn",
    }


async def test_the_identity(connect, section):
    connector = await connect(section())
    jane = await connector.login(SCOPES, "jane", PASSWORD)
    # As Microsoft's own tools write it.
    assert str(uuid.UUID(jane.user_id)) == jane.user_id
    assert jane.username == "Jane Doe"
    assert jane.preferred_username == "jane"
    assert jane.email == "jane@example.org"
    assert await connector.refresh(SCOPES, jane) == jane
    assert await connector.login(SCOPES, "jane", "wrong") is None
    assert await connector.login(SCOPES, "jane", "") is None
    assert await connector.login(SCOPES, "nobody", PASSWORD) is None


async def test_the_security_identifier_is_written_as_windows_does(connect, section):
    connector = await connect(section({"idAttr": "objectSid"}))
    jane = await connector.login(SCOPES, "jane", PASSWORD)
    assert jane.user_id.startswith("S-1-5-21-")
    assert jane.user_id.rpartition("-")[2].isdigit()


@pytest.mark.parametrize("way", [{"startTLS": True}, {"host": "localhost:636"}, {}])
async def test_encrypted_in_every_way(connect, section, way):
    connector = await connect(section(**way))
    assert await connector.login(SCOPES, "jane", PASSWORD)


async def test_people_may_log_in_with_several_names(connect, section):
    names = ["sAMAccountName", "userPrincipalName", "mail"]
    connector = await connect(section({"username": names}))
    found = [
        await connector.login(SCOPES, name, PASSWORD)
        for name in ("jane", "jane@ad.example.org", "jane@example.org", "JANE")
    ]
    assert len({each.user_id for each in found}) == 1


@pytest.mark.parametrize(
    "reader", ["AD\\jane", "jane@ad.example.org", f"CN=jane,{USERS}"]
)
async def test_our_own_account_may_be_named_in_every_way(connect, section, reader):
    connector = await connect(section(bindDN=reader, bindPW=PASSWORD))
    assert (await connector.login(SCOPES, "jane", PASSWORD)).username == "Jane Doe"


@pytest.mark.parametrize(
    ("matcher", "names"),
    [
        ({"userAttr": "DN", "groupAttr": "member"}, {"inner"}),
        (
            {"userAttr": "DN", "groupAttr": "member", "recursionGroupAttr": "member"},
            {"inner", "middle", "outer"},
        ),
        # LDAP_MATCHING_RULE_IN_CHAIN, MS-ADTS section 3.1.1.3.4.4: one search for all.
        (
            {"userAttr": "DN", "groupAttr": "member:1.2.840.113556.1.4.1941:"},
            {"inner", "middle", "outer"},
        ),
        ({"userAttr": "memberOf", "groupAttr": "distinguishedName"}, {"inner"}),
    ],
)
async def test_groups_and_groups_of_groups(connect, section, matcher, names):
    connector = await connect(section(groupSearch=groups(**matcher)))
    jane = await connector.login(SCOPES, "jane", PASSWORD)
    assert set(jane.groups) == names
    assert len(jane.groups) == len(names)


async def test_a_disabled_account_is_out(connect, section, samba):
    search = {"username": "sAMAccountName", "nameAttr": "cn"}
    connector = await connect(section(search))
    john = await connector.login(SCOPES, "john", PASSWORD)
    entry = f"dn: CN=john,{USERS}\nchangetype: modify\nreplace: userAccountControl\n"
    samba.modify(f"{entry}userAccountControl: 514\n")
    # The domain controller itself calls that a wrong password.
    assert await connector.login(SCOPES, "john", PASSWORD) is None
    with pytest.raises(AccessDenied, match="disabled"):
        await connector.refresh(SCOPES, john)
    samba.modify(f"{entry}userAccountControl: 512\n")
    assert await connector.refresh(SCOPES, john) == john


async def test_an_expired_account_is_out(connect, section, samba):
    connector = await connect(section({"nameAttr": "cn"}))
    mary = await connector.login(SCOPES, "mary", PASSWORD)
    entry = f"dn: CN=mary,{USERS}\nchangetype: modify\nreplace: accountExpires\n"
    samba.modify(f"{entry}accountExpires: 132223104000000000\n")  # 2020
    assert await connector.login(SCOPES, "mary", PASSWORD) is None
    with pytest.raises(AccessDenied, match="expired"):
        await connector.refresh(SCOPES, mary)
    samba.modify(f"{entry}accountExpires: 150000000000000000\n")  # 2076
    assert await connector.refresh(SCOPES, mary) == mary


async def test_references_to_other_domains_are_not_followed(connect, section):
    # Below its root a domain controller points to its other naming contexts.
    connector = await connect(section({"baseDN": BASE}))
    assert (await connector.login(SCOPES, "jane", PASSWORD)).username == "Jane Doe"
