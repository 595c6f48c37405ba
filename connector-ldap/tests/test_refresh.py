"""What a refresh token finds in the directory later."""

import attrs
import orjson
import pytest

from dexcore.connector import Identity, Scopes
from dexcore.errors import AccessDenied, UpstreamUnavailable

BASE = "dc=example,dc=org"
JANE = f"cn=jane,ou=People,{BASE}"
SCOPES = Scopes(offline_access=True, groups=True)
GROUPS = {
    "baseDN": f"ou=Groups,{BASE}",
    "userMatchers": [{"userAttr": "DN", "groupAttr": "member"}],
    "nameAttr": "cn",
}


@pytest.fixture
def mortal(make_slapd):
    return make_slapd()


@pytest.fixture
async def connector(connect, settings, mortal):
    return await connect(settings(mortal, groupSearch=GROUPS))


@pytest.fixture
async def jane(connector):
    return await connector.login(SCOPES, "jane", "foo")


async def test_what_has_changed_is_told(connector, mortal, jane):
    mortal.modify(
        f"dn: {JANE}\nchangetype: modify\nreplace: mail\nmail: new@example.com\n\n"
        f"dn: cn=developers,ou=Groups,{BASE}\nchangetype: modify\n"
        f"delete: member\nmember: {JANE}\n"
    )
    found = await connector.refresh(SCOPES, jane)
    assert (found.email, found.groups) == ("new@example.com", ("admins",))
    assert found.connector_data == jane.connector_data


async def test_groups_are_not_searched_unless_asked_for(connector, jane):
    found = await connector.refresh(Scopes(offline_access=True), jane)
    assert found.groups == ()


async def test_somebody_who_is_gone_is_refused(connector, mortal, jane):
    mortal.modify(f"dn: {JANE}\nchangetype: delete\n")
    with pytest.raises(AccessDenied, match="no longer exists"):
        await connector.refresh(SCOPES, jane)


async def test_somebody_the_filter_no_longer_matches_is_refused(
    connect, settings, mortal
):
    search = {"filter": "(employeeType=Jane D.)"}
    connector = await connect(settings(mortal, userSearch=search))
    found = await connector.login(SCOPES, "jane", "foo")
    mortal.modify(f"dn: {JANE}\nchangetype: modify\ndelete: employeeType\n")
    with pytest.raises(AccessDenied):
        await connector.refresh(SCOPES, found)


async def test_somebody_with_the_same_name_elsewhere_is_somebody_else(
    connector, mortal, jane
):
    mortal.modify(
        f"dn: {JANE}\nchangetype: modrdn\nnewrdn: cn=jane2\ndeleteoldrdn: 0\n"
    )
    with pytest.raises(AccessDenied, match="moved"):
        await connector.refresh(SCOPES, jane)


async def test_somebody_new_in_the_same_place_is_somebody_else(
    connect, settings, mortal
):
    connector = await connect(settings(mortal, userSearch={"idAttr": "entryUUID"}))
    found = await connector.login(SCOPES, "jane", "foo")
    mortal.modify(
        f"dn: {JANE}\nchangetype: delete\n\n"
        f"dn: {JANE}\nchangetype: add\nobjectClass: inetOrgPerson\nsn: roe\ncn: jane\n"
        "uid: jane\nmail: other@example.com\nuserPassword: other\n"
    )
    with pytest.raises(AccessDenied, match="somebody else"):
        await connector.refresh(SCOPES, found)


@pytest.mark.parametrize("dn", [JANE.upper(), JANE.replace(",", " , ")])
async def test_a_name_written_differently_is_the_same(connector, jane, dn):
    data = orjson.loads(jane.connector_data)
    data["entry"]["DN"] = dn
    before = attrs.evolve(jane, connector_data=orjson.dumps(data))
    assert (await connector.refresh(SCOPES, before)).user_id == "jane"


async def test_a_directory_that_is_down_says_nothing_about_anybody(
    connector, mortal, jane
):
    mortal.stop()
    with pytest.raises(UpstreamUnavailable, match=mortal.host):
        await connector.refresh(SCOPES, jane)
    mortal.start()
    assert await connector.refresh(SCOPES, jane) == jane


async def test_what_dex_wrote_is_read(connector):
    # As Go's encoder writes a login through dex, base64 and all.
    data = (
        b'{"username":"jane","entry":{"DN":"cn=jane,ou=People,dc=example,dc=org",'
        b'"Attributes":[{"Name":"mail","Values":["janedoe@example.com"],'
        b'"ByteValues":["amFuZWRvZUBleGFtcGxlLmNvbQ=="]}]}}'
    )
    before = Identity(user_id="jane", connector_data=data)
    found = await connector.refresh(SCOPES, before)
    assert found.email == "janedoe@example.com"
    assert found.connector_data == data


async def test_what_we_write_is_what_dex_writes(connector, jane):
    data = orjson.loads(jane.connector_data)
    assert set(data) == {"username", "entry"}
    assert data["username"] == "jane"
    assert data["entry"]["DN"] == JANE
    assert {
        "Name": "mail",
        "Values": ["janedoe@example.com"],
        "ByteValues": ["amFuZWRvZUBleGFtcGxlLmNvbQ=="],
    } in data["entry"]["Attributes"]


async def test_a_name_that_dex_escaped_is_found(connector, mortal):
    jose = await connector.login(SCOPES, "josé", "contraseña")
    data = orjson.loads(jose.connector_data)
    assert data["username"] == "josé"
    data["username"] = r"jos\c3\a9"
    before = attrs.evolve(jose, connector_data=orjson.dumps(data))
    found = await connector.refresh(SCOPES, before)
    assert found.user_id == jose.user_id


@pytest.mark.parametrize(
    "data", [b"", b"{", b"null", b"[]", b"{}", b'{"username":1,"entry":{"DN":2}}']
)
async def test_nothing_known_of_the_login_means_to_log_in_again(connector, data):
    with pytest.raises(AccessDenied, match="log in again"):
        await connector.refresh(SCOPES, Identity("jane", connector_data=data))


# — Accounts that an administrator has closed ------------------------------------------


async def test_a_locked_account_of_openldap_is_refused(connect, settings, make_slapd):
    locking = make_slapd(options="")
    connector = await connect(settings(locking))
    found = await connector.login(SCOPES, "jane", "foo")
    # What the overlay ppolicy keeps in an entry; a lock that ends by itself first.
    add = f"dn: {JANE}\nchangetype: modify\nadd: pwdAccountLockedTime\n"
    relax = "replace: pwdAccountLockedTime\n"
    for value, closed in (("20200101000000Z", False), ("000001010000Z", True)):
        locking.modify(add + f"pwdAccountLockedTime: {value}\n")
        add = f"dn: {JANE}\nchangetype: modify\n{relax}"
        if closed:
            with pytest.raises(AccessDenied, match="disabled"):
                await connector.refresh(SCOPES, found)
        else:
            assert await connector.refresh(SCOPES, found) == found
