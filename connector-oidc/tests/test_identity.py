"""Which claims become what, for everything the file can say about it."""

import pytest

from dexcore.connector import Scopes
from dexcore.errors import NotInRequiredGroups, UpstreamError

GROUPS = {"insecureEnableGroups": True}


@pytest.fixture
def identity_of(way_of, provider):
    """Return what logs in somebody with these claims, by these options."""

    async def identity_of(claims, **options):
        provider.add_user("jane", **claims)
        way = await way_of(**options)
        return await way.log_in()

    return identity_of


def modifications(**changes):
    return {**GROUPS, "claimModifications": changes}


async def test_the_other_standard_claims_are_kept(identity_of):
    """What they may be is for the server to judge."""
    told = {
        "given_name": "Jane",
        "address": {"country": "CH"},
        "phone_number_verified": False,
        "updated_at": 7,
    }
    identity = await identity_of({**told, "department": "R&D", "roles": []})
    assert identity.claims == told


async def test_how_they_have_logged_in_is_kept(identity_of, provider):
    provider.id_token_changes.update(acr="urn:mfa", amr=["pwd", "otp"])
    identity = await identity_of({})
    assert (identity.acr, identity.amr) == ("urn:mfa", ("pwd", "otp"))


@pytest.mark.parametrize("junk", [7, None, {}, ["a b"], "two words"])
async def test_what_cannot_be_said_of_a_login_is_left_out(identity_of, provider, junk):
    provider.id_token_changes.update(acr=junk, amr=junk)
    identity = await identity_of({})
    assert (identity.acr, identity.amr) == ("", ())


# — names and addresses ----------------------------------------------------------------


async def test_the_standard_claims_are_enough(identity_of):
    identity = await identity_of({"groups": ["admins"]}, **GROUPS)
    assert identity.user_id == "id-of-jane"
    assert identity.username == "Jane"
    assert (identity.email, identity.email_verified) == ("jane@example.com", True)
    assert identity.groups == ("admins",)


async def test_the_users_id_may_be_another_claim(identity_of):
    assert (await identity_of({}, userIDKey="name")).user_id == "Jane"


@pytest.mark.parametrize("value", [None, 7, ["x"]])
async def test_a_users_id_must_be_a_text(identity_of, value):
    with pytest.raises(UpstreamError, match=r'"oid" is missing.*userIDKey'):
        await identity_of({"oid": value}, userIDKey="oid")


async def test_a_users_id_is_not_empty(identity_of):
    with pytest.raises(UpstreamError, match='"oid" is empty'):
        await identity_of({"oid": ""}, userIDKey="oid")


async def test_the_name_may_be_another_claim(identity_of):
    found = await identity_of(
        {"name": None, "user_name": "Jane D."}, userNameKey="user_name"
    )
    assert found.username == "Jane D."


async def test_a_name_may_be_empty(identity_of):
    assert (await identity_of({"name": ""})).username == ""


@pytest.mark.parametrize(
    ("claims", "mapped", "override", "found"),
    [
        ({"preferred_username": None, "nick": "jd"}, "nick", False, "jd"),
        ({"preferred_username": "jane", "nick": "jd"}, "nick", False, "jane"),
        ({"preferred_username": "jane", "nick": "jd"}, "nick", True, "jd"),
        ({"preferred_username": "jane"}, "nick", True, ""),
        ({"preferred_username": "jane"}, "", False, "jane"),
        ({"preferred_username": None}, "", False, ""),
        ({"preferred_username": 7}, "", False, ""),
    ],
)
async def test_the_preferred_username(identity_of, claims, mapped, override, found):
    identity = await identity_of(
        claims,
        claimMapping={"preferred_username": mapped},
        overrideClaimMapping=override,
    )
    assert identity.preferred_username == found


@pytest.mark.parametrize(
    ("claims", "override", "found"),
    [
        ({"email": None, "mail": "j@corp.example"}, False, "j@corp.example"),
        ({"email": "jane@example.com", "mail": "j@x"}, False, "jane@example.com"),
        ({"email": "jane@example.com", "mail": "j@x"}, True, "j@x"),
    ],
)
async def test_the_address_may_be_another_claim(identity_of, claims, override, found):
    identity = await identity_of(
        claims, claimMapping={"email": "mail"}, overrideClaimMapping=override
    )
    assert (identity.email, identity.email_verified) == (found, True)


async def test_a_mapped_address_that_is_missing_is_named(identity_of):
    with pytest.raises(UpstreamError, match=r'"mail" .email. is missing'):
        await identity_of({}, claimMapping={"email": "mail"}, overrideClaimMapping=True)


async def test_without_the_scope_there_need_be_no_address(identity_of):
    claims = {"email": None, "email_verified": None}
    identity = await identity_of(claims, scopes=["groups"])
    assert (identity.email, identity.email_verified) == ("", False)


async def test_without_the_scope_an_address_is_kept(identity_of):
    identity = await identity_of({"email_verified": None}, scopes=["groups"])
    assert (identity.email, identity.email_verified) == ("jane@example.com", False)


@pytest.mark.parametrize(
    ("claim", "verified"), [(None, True), ("true", True), (False, False), (True, True)]
)
async def test_what_is_not_said_of_an_address_can_be_supposed(
    identity_of, claim, verified
):
    identity = await identity_of(
        {"email_verified": claim}, insecureSkipEmailVerified=True
    )
    assert identity.email_verified is verified


# — groups -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "found"),
    [
        (["a", "b"], ("a", "b")),
        ("a", ("a",)),
        ([{"name": "a"}], ("a",)),
        ([{"name": "a"}, {"name": "b", "id": 2}], ("a", "b")),
        (["a", {"name": "b"}, {"id": 3}, {"name": 4}], ("a", "b")),
        ([], ()),
        (None, ()),
        (7, ()),
        ({"a": 1}, ()),
    ],
)
async def test_groups_are_a_list_of_names_or_objects_or_one_name(
    identity_of, claim, found
):
    assert (await identity_of({"groups": claim}, **GROUPS)).groups == found


@pytest.mark.parametrize("member", [7, None, True, ["a"]])
async def test_a_member_that_is_no_group_is_an_error(identity_of, member):
    with pytest.raises(UpstreamError, match="no group"):
        await identity_of({"groups": ["a", member]}, **GROUPS)


async def test_groups_are_read_only_if_the_file_says_so(identity_of):
    assert (await identity_of({"groups": ["admins"]})).groups == ()


async def test_groups_are_read_whatever_the_client_asks_for(way):
    assert (await way.log_in(scopes=Scopes())).groups == ("admins", "authors")


@pytest.mark.parametrize(
    ("claims", "override", "found"),
    [
        ({"cognito:groups": ["c"]}, False, ("c",)),
        ({"groups": ["s"], "cognito:groups": ["c"]}, False, ("s",)),
        ({"groups": ["s"], "cognito:groups": ["c"]}, True, ("c",)),
        ({"groups": ["s"]}, True, ()),
        ({"cognito:groups": "c"}, False, ("c",)),
    ],
)
async def test_groups_may_be_another_claim(identity_of, claims, override, found):
    identity = await identity_of(
        claims,
        **GROUPS,
        claimMapping={"groups": "cognito:groups"},
        overrideClaimMapping=override,
    )
    assert identity.groups == found


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ({"realm_access": {"roles": ["a", "b"]}}, ("a", "b")),
        ({"realm_access.roles": ["x"], "realm_access": {"roles": ["a"]}}, ("x",)),
        ({"realm_access": ["a"]}, ()),
        ({"realm_access": {"groups": ["a"]}}, ()),
    ],
)
async def test_groups_may_be_in_an_object(identity_of, claims, found):
    identity = await identity_of(
        claims, **GROUPS, claimMapping={"groups": "realm_access.roles"}
    )
    assert identity.groups == found


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ({"prefix": "up-"}, ("up-a", "up-b")),
        ({"suffix": "-up"}, ("a-up", "b-up")),
        ({"prefix": "<", "suffix": ">"}, ("<a>", "<b>")),
    ],
)
async def test_the_names_of_groups_can_be_changed(identity_of, names, found):
    options = modifications(modifyGroupNames=names)
    assert (await identity_of({"groups": ["a", "b"]}, **options)).groups == found


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        (["group1", "group2", "groupA"], ("group1", "group2")),
        ([{"name": "group1"}, {"name": "groupA"}], ("group1",)),
        ("group1", ("group1",)),
        ("groupA", ()),
    ],
)
async def test_groups_can_be_filtered(identity_of, groups, found):
    options = modifications(filterGroupClaims={"groupsFilter": r"^.*\d$"})
    assert (await identity_of({"groups": groups}, **options)).groups == found


async def test_what_is_filtered_out_does_not_let_anybody_in(identity_of):
    options = modifications(filterGroupClaims={"groupsFilter": r"\d$"})
    with pytest.raises(NotInRequiredGroups):
        await identity_of({"groups": ["a"]}, **options, allowedGroups=["a"])


NEW = {"claims": ["org", "team"], "delimiter": "::", "prefix": "up"}


@pytest.mark.parametrize(
    ("new", "claims", "found"),
    [
        (NEW, {"org": "acme", "team": "red"}, ("up::acme::red",)),
        (NEW, {"team": "red"}, ("up::red",)),
        (NEW, {}, ()),
        (NEW, {"org": ["acme"], "team": 7}, ()),
        (NEW, {"org": "ac::me"}, ("up::ac::me",)),
        ({**NEW, "clearDelimiter": True}, {"org": "ac::me"}, ("up::acme",)),
        ({**NEW, "claims": ["email", "x"]}, {"x": [1]}, ("up::jane@example.com",)),
        ({"claims": ["org"]}, {"org": "acme"}, ("acme",)),
        ({"claims": ["org"], "clearDelimiter": True}, {"org": "acme"}, ("acme",)),
    ],
)
async def test_groups_can_be_made_of_claims(identity_of, new, claims, found):
    options = {"claimModifications": {"newGroupFromClaims": [new]}}
    assert (await identity_of(claims, **options)).groups == found


async def test_made_groups_are_neither_filtered_nor_renamed(identity_of):
    options = modifications(
        newGroupFromClaims=[{"claims": ["org"], "delimiter": "-", "prefix": "x"}],
        filterGroupClaims={"groupsFilter": "^a"},
        modifyGroupNames={"prefix": "up-"},
    )
    claims = {"groups": ["a", "b"], "org": "acme"}
    assert (await identity_of(claims, **options)).groups == ("up-a", "x-acme")


# — who may log in ---------------------------------------------------------------------


async def test_members_of_an_allowed_group_get_in_with_no_other(identity_of):
    options = {**GROUPS, "allowedGroups": ["b", "c"]}
    assert (await identity_of({"groups": ["a", "b"]}, **options)).groups == ("b",)


@pytest.mark.parametrize("groups", [["a"], ["B"], ["bb"], [], None, "a"])
async def test_others_do_not(identity_of, groups):
    with pytest.raises(NotInRequiredGroups) as refused:
        await identity_of({"groups": groups}, **GROUPS, allowedGroups=["b"])
    assert refused.value.user_id == "id-of-jane"
    assert refused.value.groups == ("b",)


async def test_a_made_group_lets_nobody_in(identity_of):
    options = modifications(newGroupFromClaims=[{"claims": ["org"]}])
    with pytest.raises(NotInRequiredGroups):
        await identity_of({"org": "b"}, **options, allowedGroups=["b"])


async def test_thousands_of_groups_are_as_good_as_one(identity_of):
    groups = [f"g{number}" for number in range(4000)]
    assert (await identity_of({"groups": groups}, **GROUPS)).groups == tuple(groups)
