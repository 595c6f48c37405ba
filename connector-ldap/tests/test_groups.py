"""The groups somebody is in."""

import pytest

from dexcore.connector import Scopes
from dexcore.errors import UpstreamError

BASE = "dc=example,dc=org"
BY_MEMBER = {"userAttr": "DN", "groupAttr": "member"}
SCOPES = Scopes(groups=True, offline_access=True)


@pytest.fixture
def groups_of(connect, settings):
    """Log somebody in; return their groups, which a refresh must find again."""

    async def groups_of(username, password, server=None, user_search=None, **keys):
        search = {"baseDN": f"ou=Groups,{BASE}", "nameAttr": "cn", **keys}
        section = settings(server, groupSearch=search, userSearch=user_search or {})
        connector = await connect(section)
        found = await connector.login(SCOPES, username, password)
        assert await connector.refresh(SCOPES, found) == found
        return found.groups

    return groups_of


async def test_groups_list_the_names_of_their_members(groups_of):
    matchers = [BY_MEMBER]
    assert await groups_of("jane", "foo", userMatchers=matchers) == (
        "admins",
        "developers",
    )
    assert await groups_of("john", "bar", userMatchers=matchers) == ("admins",)


async def test_the_deprecated_keys_still_work(groups_of, caplog):
    assert await groups_of("jane", "foo", **BY_MEMBER) == ("admins", "developers")
    assert "deprecated" in caplog.text


async def test_the_deprecated_keys_do_not_count_beside_new_ones(groups_of):
    matchers = [{"userAttr": "uid", "groupAttr": "memberUid"}]
    found = await groups_of(
        "jane", "foo", baseDN=BASE, userMatchers=matchers, **BY_MEMBER
    )
    assert found == ("frontend",)


async def test_a_user_lists_the_numbers_of_groups(groups_of):
    by_number = {
        "baseDN": f"ou=Departments,{BASE}",
        "userMatchers": [{"userAttr": "departmentNumber", "groupAttr": "gidNumber"}],
    }
    assert await groups_of("jane", "foo", **by_number) == ("admins", "developers")
    assert await groups_of("john", "bar", **by_number) == ("admins", "designers")


async def test_a_filter_leaves_groups_out(groups_of):
    seattle = {"baseDN": f"ou=Seattle,{BASE}", "username": "cn"}
    found = await groups_of(
        "jane",
        "foo",
        user_search=seattle,
        baseDN=BASE,
        filter="(ou:dn:=Seattle)",
        userMatchers=[{"userAttr": "dn", "groupAttr": "member"}],
    )
    assert found == ("admins",)


async def test_several_matchers_add_up_in_their_order(groups_of):
    matchers = [BY_MEMBER, {"userAttr": "uid", "groupAttr": "memberUid"}]
    where = {
        "baseDN": BASE,
        "filter": "(|(ou:dn:=Groups)(ou:dn:=UnixGroups))",
        "userMatchers": matchers,
    }
    assert await groups_of("jane", "foo", **where) == (
        "admins",
        "developers",
        "frontend",
    )
    assert await groups_of("john", "bar", **where) == ("admins", "qa", "logger")


async def test_a_group_that_two_matchers_find_is_named_once(groups_of):
    matchers = [BY_MEMBER, {"userAttr": "dn", "groupAttr": "member"}]
    assert await groups_of("john", "bar", userMatchers=matchers) == ("admins",)


async def test_groups_of_groups_count_and_circles_end(groups_of):
    nested = {
        "baseDN": f"ou=Nested,{BASE}",
        "userMatchers": [{**BY_MEMBER, "recursionGroupAttr": "member"}],
    }
    assert await groups_of("jane", "foo", **nested) == (
        "childGroup",
        "circularGroup1",
        "intermediateGroup",
        "circularGroup2",
        "parentGroup",
    )
    assert await groups_of("john", "bar", **nested) == (
        "circularGroup2",
        "intermediateGroup",
        "circularGroup1",
        "parentGroup",
    )


async def test_groups_of_one_name_are_both_looked_into(groups_of):
    found = await groups_of(
        "jane",
        "foo",
        baseDN=f"ou=Namesakes,{BASE}",
        userMatchers=[{**BY_MEMBER, "recursionGroupAttr": "member"}],
    )
    assert found == ("team", "northerners", "southerners")


async def test_an_earlier_matcher_does_not_hide_what_is_around_a_group(groups_of):
    found = await groups_of(
        "jane",
        "foo",
        baseDN=f"ou=Nested,{BASE}",
        userMatchers=[BY_MEMBER, {**BY_MEMBER, "recursionGroupAttr": "member"}],
    )
    assert found == (
        "childGroup",
        "circularGroup1",
        "intermediateGroup",
        "circularGroup2",
        "parentGroup",
    )


async def test_names_with_special_characters_are_members(groups_of):
    found = await groups_of("smith", "*()\\pass", userMatchers=[BY_MEMBER])
    assert found == ("developers",)


async def test_a_group_may_be_named_by_its_whole_name(groups_of):
    found = await groups_of("john", "bar", nameAttr="DN", userMatchers=[BY_MEMBER])
    assert found == (f"cn=admins,ou=Groups,{BASE}",)


@pytest.mark.parametrize("base", ["", f"ou=Nowhere,{BASE}"])
async def test_without_a_place_for_groups_there_are_none(groups_of, base):
    assert await groups_of("jane", "foo", baseDN=base, userMatchers=[BY_MEMBER]) == ()


async def test_without_a_matcher_there_are_no_groups_and_a_warning(groups_of, caplog):
    assert await groups_of("jane", "foo") == ()
    assert "userMatchers is empty" in caplog.text


async def test_an_attribute_the_user_lacks_finds_no_groups(groups_of):
    matchers = [{"userAttr": "carLicense", "groupAttr": "cn"}]
    assert await groups_of("jane", "foo", userMatchers=matchers) == ()


@pytest.mark.parametrize("name", ["description", ""])
async def test_a_group_without_a_name_stops_the_login(groups_of, name, caplog):
    with pytest.raises(UpstreamError, match=r"description|nameAttr is not set"):
        await groups_of("jane", "foo", nameAttr=name, userMatchers=[BY_MEMBER])


@pytest.fixture
def crowded(make_slapd):
    """A directory in which john is in 1234 groups, and jane in a few too many."""
    text = [
        "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\n"
        "o: Example\ndc: example\n"
    ]
    for name in ("jane", "john"):
        text.append(
            f"dn: cn={name},dc=example,dc=org\nobjectClass: inetOrgPerson\nsn: doe\n"
            f"cn: {name}\nuid: {name}\nmail: {name}@example.com\nuserPassword: foo\n"
        )
    for number in range(5001):
        john = "member: cn=john,dc=example,dc=org\n" if number < 1234 else ""
        text.append(
            f"dn: cn=g{number},dc=example,dc=org\nobjectClass: groupOfNames\n"
            f"cn: g{number}\nmember: cn=jane,dc=example,dc=org\n{john}"
        )
    return make_slapd("\n".join(text))


async def test_many_groups_are_read_in_pages_and_too_many_are_an_error(
    crowded, groups_of
):
    where = {
        "user_search": {"baseDN": BASE},
        "baseDN": BASE,
        "userMatchers": [BY_MEMBER],
    }
    mark = crowded.mark()
    found = await groups_of("john", "foo", crowded, **where)
    # Active Directory gives a thousand at once.
    assert found == tuple(f"g{number}" for number in range(1234))
    # Three pages, at the login and again at the refresh.
    assert crowded.log_since(mark).count('filter="(member=') == 6
    # Not some of them: that could say the opposite of what is meant.
    with pytest.raises(UpstreamError, match="more than 5000 groups"):
        await groups_of("jane", "foo", crowded, **where)
