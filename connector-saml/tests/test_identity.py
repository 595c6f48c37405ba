"""Who somebody is: attributes, groups, and what is left of them for a refresh."""

from __future__ import annotations

import json

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from dexcore.connector import Identity, Scopes
from dexcore.errors import AccessDenied, NotInRequiredGroups, UpstreamError

DAY = timedelta(days=1)


@pytest.fixture
def signed(message, keys):
    return lambda **changes: message(**changes).signed(keys.idp)


def of(**attributes):
    return {"attributes": {"name": ["Jane"], "mail": ["jane@x"], **attributes}}


# — the user ---------------------------------------------------------------------------


async def test_attributes_make_the_user(sp, signed):
    identity = await sp.accepts(signed(name_id="u-1"), "u-1")
    assert identity.username == "Jane Doe"
    assert identity.email == "jane@example.com"
    assert identity.email_verified
    assert identity.preferred_username == ""
    assert identity.groups == ("admins", "devs")


@pytest.mark.parametrize("name", ["name", "mail"])
@pytest.mark.parametrize("values", [None, [], [""]])
async def test_an_attribute_that_is_needed_is_missed(name, values, sp, signed):
    attributes = {"name": ["Jane"], "mail": ["jane@x"], "groups": ["g"], name: values}
    if values is None:
        del attributes[name]
    with pytest.raises(UpstreamError, match=f"no attribute '{name}'.*'groups'"):
        await sp.finish(signed(attributes=attributes))


async def test_an_audience_of_our_own_is_checked(open_sp, signed):
    sp = await open_sp(entity_issuer="https://sp.example/me")
    await sp.refuses(signed(), "an assertion for")
    await sp.accepts(signed(audiences=(("https://sp.example/me",),)))


# — further claims, and how they have logged in ----------------------------------------

MAPPED = {
    "given_name": "urn:oid:2.5.4.42",
    "address.country": "c",
    "phone_number": "phone",
    "nickname": "nick",
}


async def test_further_attributes_make_further_claims(open_sp, signed):
    sp = await open_sp(claim_attrs=MAPPED)
    attributes = {"urn:oid:2.5.4.42": ["Jane", "Janet"], "c": ["CH"], "phone": [""]}
    identity = await sp.accepts(signed(**of(**attributes)), groups=False)
    assert identity.claims == {"given_name": "Jane", "address": {"country": "CH"}}


async def test_an_attribute_that_is_no_text_makes_no_claim(open_sp, signed):
    sp = await open_sp(claim_attrs=MAPPED)
    nested = (
        '<saml:Attribute Name="nick"><saml:AttributeValue><saml:NameID>x</saml:NameID>'
        "</saml:AttributeValue></saml:Attribute>"
    )
    identity = await sp.accepts(signed(lines={"attributes": nested}))
    assert identity.claims == {}


async def test_a_refresh_keeps_what_the_login_told(open_sp, signed):
    sp = await open_sp(claim_attrs=MAPPED)
    scopes = Scopes(offline_access=True)
    identity = await sp.accepts(signed(**of(c=["CH"])), groups=False)
    again = await sp.connector.refresh(scopes, identity)
    assert again.claims == {"address": {"country": "CH"}}


@pytest.mark.parametrize(
    ("context", "acr"),
    [("urn:x:mfa", "urn:x:mfa"), ("", ""), ("two words", ""), ("x" * 300, "")],
)
async def test_the_context_of_the_login_is_its_acr(context, acr, sp, signed):
    assert (await sp.accepts(signed(context=context))).acr == acr


@pytest.mark.parametrize(
    ("second", "acr"), [("urn:x:pwd", ""), ("urn:x:mfa", "urn:x:mfa")]
)
async def test_of_two_contexts_none_is_the_acr(second, acr, sp, signed, message):
    again = (
        f'<saml:AuthnStatement AuthnInstant="{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}">'
        f"<saml:AuthnContext><saml:AuthnContextClassRef>{second}"
        "</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>"
    )
    made = signed(context="urn:x:mfa", lines={"statements": again})
    assert (await sp.accepts(made)).acr == acr


# — groups -----------------------------------------------------------------------------


async def test_groups_are_for_whoever_asks(sp, signed):
    identity = await sp.accepts(signed(), groups=False)
    assert identity.groups == ()


async def test_without_an_attribute_there_are_no_groups(open_sp, signed):
    sp = await open_sp(groups_attr="")
    assert (await sp.accepts(signed())).groups == ()


async def test_the_attribute_of_groups_has_to_be_there(sp, signed):
    with pytest.raises(UpstreamError, match="'groups' for groups"):
        await sp.finish(signed(**of()))
    # Who does not ask for groups does not miss them.
    await sp.accepts(signed(**of()), groups=False)


async def test_groups_may_be_in_one_value(open_sp, signed):
    sp = await open_sp(groups_delim=", ")
    identity = await sp.accepts(signed(**of(groups=["a, b,c", "ignored"])))
    assert identity.groups == ("a", "b,c")


async def test_whoever_is_in_an_allowed_group_gets_in(open_sp, signed):
    sp = await open_sp(allowed_groups=("devs", "ops"))
    assert (await sp.accepts(signed())).groups == ("admins", "devs")


async def test_groups_that_are_not_allowed_can_be_left_out(open_sp, signed):
    sp = await open_sp(allowed_groups=("devs", "ops"), filter_groups=True)
    assert (await sp.accepts(signed())).groups == ("devs",)


@pytest.mark.parametrize("groups", [["users"], ["DEVS"], ["devs "], [""], []])
@pytest.mark.parametrize("asked", [True, False])
async def test_nobody_else_gets_in(groups, asked, open_sp, signed):
    sp = await open_sp(allowed_groups=("devs",))
    with pytest.raises(NotInRequiredGroups) as refused:
        await sp.finish(signed(**of(groups=groups)), groups=asked)
    assert refused.value.user_id == "jane"


async def test_groups_are_checked_though_nobody_asks_for_them(open_sp, signed):
    sp = await open_sp(allowed_groups=("devs",))
    identity = await sp.accepts(signed(), groups=False)
    assert identity.groups == ()


async def test_an_empty_list_of_allowed_groups_allows_all(open_sp, signed):
    sp = await open_sp(allowed_groups=(), filter_groups=True)
    assert (await sp.accepts(signed())).groups == ("admins", "devs")


# — refresh ----------------------------------------------------------------------------

KEPT = {
    "userId": "jane",
    "username": "Jane Doe",
    "preferredUsername": "",
    "email": "jane@example.com",
    "emailVerified": True,
    "groups": ["admins", "devs"],
}


async def test_what_is_kept_is_what_dex_keeps(sp, signed):
    identity = await sp.accepts(signed())
    assert json.loads(identity.connector_data) == KEPT
    without = await sp.accepts(signed(**of(groups=[])))
    assert "groups" not in json.loads(without.connector_data)


async def test_a_refresh_returns_the_user_of_the_login(sp, signed):
    identity = await sp.accepts(signed())
    first = await sp.connector.refresh(Scopes(True, True), identity)
    assert first == identity
    assert await sp.connector.refresh(Scopes(True, True), first) == identity


async def test_a_refresh_of_what_only_the_assertion_signed(sp, message, keys):
    identity = await sp.accepts(message().signed(keys.idp, response=False))
    assert await sp.connector.refresh(Scopes(True, True), identity) == identity


async def test_a_refresh_tells_groups_to_whoever_asks(sp):
    stored = Identity("jane", connector_data=json.dumps(KEPT).encode())
    narrow = await sp.connector.refresh(Scopes(True, False), stored)
    assert narrow.groups == ()
    wide = await sp.connector.refresh(Scopes(True, True), narrow)
    assert wide.groups == ("admins", "devs")


async def test_groups_come_back_though_the_login_did_not_ask(open_sp, signed):
    """Allowed groups are checked, and so known, whoever asks."""
    sp = await open_sp(allowed_groups=("devs",))
    identity = await sp.accepts(signed(), groups=False)
    wide = await sp.connector.refresh(Scopes(True, True), identity)
    assert wide.groups == ("admins", "devs")


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"{}", b'{"userId": 1}', b"foobar"],
)
async def test_what_cannot_be_read_refreshes_nothing(data, sp):
    with pytest.raises(AccessDenied, match="log in again"):
        await sp.connector.refresh(
            Scopes(True, True), Identity("jane", connector_data=data)
        )


async def test_what_was_kept_of_one_user_is_not_for_another(sp):
    stored = Identity("joan", connector_data=json.dumps(KEPT).encode())
    with pytest.raises(AccessDenied):
        await sp.connector.refresh(Scopes(True, True), stored)


async def test_allowed_groups_hold_for_a_refresh_as_well(open_sp):
    stored = Identity("jane", connector_data=json.dumps(KEPT).encode())
    kind = await open_sp(allowed_groups=("devs",), filter_groups=True)
    fresh = await kind.connector.refresh(Scopes(True, True), stored)
    assert fresh.groups == ("devs",)
    strict = await open_sp(allowed_groups=("ops",))
    with pytest.raises(NotInRequiredGroups):
        await strict.connector.refresh(Scopes(True, False), stored)


async def test_a_login_can_become_too_old(open_sp, signed):
    moment = datetime.now(UTC)
    clock = {"now": moment}
    sp = await open_sp(max_refresh_age=DAY, now=lambda: clock["now"])
    identity = await sp.accepts(signed(now=moment))
    clock["now"] = moment + DAY - timedelta(minutes=1)
    identity = await sp.connector.refresh(Scopes(True, True), identity)
    clock["now"] = moment + DAY + timedelta(minutes=1)
    with pytest.raises(AccessDenied, match="too long ago"):
        await sp.connector.refresh(Scopes(True, True), identity)


async def test_a_login_of_dex_is_too_old_when_there_is_a_limit(open_sp):
    """It does not say when that was."""
    stored = Identity("jane", connector_data=json.dumps(KEPT).encode())
    sp = await open_sp(max_refresh_age=DAY)
    with pytest.raises(AccessDenied, match="log in again"):
        await sp.connector.refresh(Scopes(True, True), stored)


# — the session upstream ---------------------------------------------------------------

HOUR = timedelta(hours=1)
ENDS = datetime(2100, 1, 1, tzinfo=UTC)


async def after(sp, moment, identity):
    """Refresh at that *moment*."""
    later = attrs.evolve(sp.connector, now=lambda: moment)
    return await later.refresh(Scopes(True, True), identity)


async def test_a_refresh_is_refused_once_the_session_upstream_has_ended(sp, signed):
    identity = await sp.accepts(signed(session_ends=ENDS))
    fresh = await after(sp, ENDS - HOUR, identity)
    assert fresh == identity
    with pytest.raises(AccessDenied, match="session at the identity provider"):
        await after(sp, ENDS + HOUR, fresh)


async def test_clocks_may_differ_about_the_end_of_a_session(open_sp, signed):
    sp = await open_sp(clock_skew=timedelta(seconds=30))
    identity = await sp.accepts(signed(session_ends=ENDS))
    await after(sp, ENDS + timedelta(seconds=29), identity)
    with pytest.raises(AccessDenied):
        await after(sp, ENDS + timedelta(seconds=30), identity)


async def test_of_several_sessions_the_first_to_end_counts(sp, signed):
    another = (
        '<saml:AuthnStatement AuthnInstant="2020-01-01T00:00:00Z"'
        ' SessionNotOnOrAfter="2099-01-01T00:00:00.5Z"><saml:AuthnContext>'
        "<saml:AuthnContextClassRef>urn:x</saml:AuthnContextClassRef>"
        "</saml:AuthnContext></saml:AuthnStatement>"
    )
    document = signed(session_ends=ENDS, lines={"statements": another})
    identity = await sp.accepts(document)
    assert json.loads(identity.connector_data) == {
        **KEPT,
        "sessionEndsAt": "2099-01-01T00:00:00Z",
    }
    with pytest.raises(AccessDenied):
        await after(sp, ENDS - HOUR, identity)


async def test_the_end_of_the_session_can_be_ignored(open_sp, signed):
    sp = await open_sp(ignore_session_end=True)
    identity = await sp.accepts(signed(session_ends=ENDS))
    assert await after(sp, ENDS + HOUR, identity) == identity


async def test_a_login_of_dex_has_no_end_of_its_session(sp):
    stored = Identity("jane", connector_data=json.dumps(KEPT).encode())
    fresh = await after(sp, ENDS + HOUR, stored)
    assert fresh.email == "jane@example.com"


@pytest.mark.parametrize("written", ["", "soon", None, 4102444800])
async def test_an_end_that_cannot_be_read_is_an_end(written, sp):
    data = json.dumps({**KEPT, "sessionEndsAt": written}).encode()
    with pytest.raises(AccessDenied, match="log in again"):
        await sp.connector.refresh(
            Scopes(True, True), Identity("jane", connector_data=data)
        )
