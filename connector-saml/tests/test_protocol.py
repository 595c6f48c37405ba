"""Groups 37 to 41: signed by the right provider, and not for us, or not now."""

from __future__ import annotations

import asyncio
import base64

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from lxml import etree
from multidict import MultiDict

from dexcore.connector import Callback, Scopes
from dexcore.errors import AccessDenied, StorageUnavailable, UpstreamError
from dexcore.testing.faults import FaultyStorage
from dexcore.testing.upstreams.saml_messages import PROTOCOL
from dexcore.testing.upstreams.saml_signing import sign

from dexcore_storage_memory import MemoryStorage  # isort: skip

ACS = "https://sp.example/dex/callback"
IDP = "https://idp.example"
SAML_1 = "urn:oasis:names:tc:SAML:1.1:nameid-format:"
NOW = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
FAR = timedelta(hours=1)
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
RESPONDER = "urn:oasis:names:tc:SAML:2.0:status:Responder"

BOTH = pytest.mark.parametrize("where", ["response", "assertion"])


def protect(made, keys, where):
    return made.signed(
        keys.idp, response=where == "response", assertion=where == "assertion"
    )


# — 37: what it says -------------------------------------------------------------------

CONFIRMATION = (
    '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:{}">'
    "<saml:SubjectConfirmationData {}/></saml:SubjectConfirmation>"
)

WRONG = {
    "wrong audience": ({"audiences": (("https://other.example",),)}, "for https://o"),
    "two audience restrictions, one wrong": (
        {"audiences": ((ACS,), ("https://other.example",))},
        "an assertion for https://other.example",
    ),
    "no audience restriction": ({"audiences": ()}, "any audience"),
    "empty audience": ({"audiences": (("",),)}, "an assertion for "),
    "audience with a blank": ({"audiences": ((f"{ACS} ",),)}, "an assertion for"),
    "audience in capitals": ({"audiences": ((ACS.upper(),),)}, "an assertion for"),
    "wrong recipient": ({"recipient": "https://other.example/acs"}, "the recipient"),
    "no recipient": ({"recipient": None}, "the recipient ''"),
    "longer recipient": ({"recipient": f"{ACS}/x"}, "the recipient"),
    "wrong destination": ({"destination": f"{ACS}2"}, "a response for"),
    "wrong InResponseTo": (
        {"in_response_to": "other", "confirmed_request": "qrequestid"},
        "to another request",
    ),
    "no InResponseTo": (
        {"in_response_to": None, "confirmed_request": "qrequestid"},
        "to another request",
    ),
    "confirms another request": ({"confirmed_request": "other"}, "another request"),
    "confirms no request": ({"confirmed_request": None}, "another request"),
    "unsolicited": (
        {"in_response_to": None, "confirmed_request": None},
        "to another request",
    ),
    "empty InResponseTo": (
        {"in_response_to": "", "confirmed_request": ""},
        "to another request",
    ),
    "not before later": ({"not_before": "2099-01-01T00:00:00Z"}, "begins later"),
    "ended": ({"not_on_or_after": "2001-01-01T00:00:00Z"}, "has ended"),
    "confirmation ended": ({"confirmation_ends": "2001-01-01T00:00:00Z"}, "has ended"),
    "confirmation without end": ({"confirmation_ends": None}, "no NotOnOrAfter"),
    "confirmation with a beginning": (
        {"confirmation_not_before": "2001-01-01T00:00:00Z"},
        "a NotBefore",
    ),
    "no conditions": ({"conditions": False}, "without saml:Conditions"),
    "unknown condition": (
        {"lines": {"conditions": "<saml:Condition/>"}},
        "saml:Condition in saml:Conditions",
    ),
    "OneTimeUse": ({"lines": {"conditions": "<saml:OneTimeUse/>"}}, "OneTimeUse"),
    "ProxyRestriction 0": (
        {"lines": {"conditions": '<saml:ProxyRestriction Count="0"/>'}},
        "ProxyRestriction",
    ),
    "ProxyRestriction for others": (
        {
            "lines": {
                "conditions": '<saml:ProxyRestriction Count="9">'
                "<saml:Audience>https://x</saml:Audience></saml:ProxyRestriction>"
            }
        },
        "ProxyRestriction",
    ),
    "holder of key": (
        {"method": "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"},
        "the method",
    ),
    "sender vouches": (
        {"method": "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"},
        "the method",
    ),
    "wrong response issuer": ({"response_issuer": "https://evil.example"}, "issuer"),
    "no response issuer": ({"response_issuer": None}, "without an issuer"),
    "wrong issuers": ({"issuer": "https://evil.example"}, "the issuer"),
    "wrong assertion issuer": (
        {"issuer": "https://evil.example", "response_issuer": IDP},
        "the issuer 'https://evil.example'",
    ),
    "version 1.1": ({"version": "1.1"}, "the version"),
    "assertion's version 1.1": ({"assertion_version": "1.1"}, "the version"),
    "issued long ago": ({"issued": "2001-01-01T00:00:00Z"}, "too old"),
    "issued in the future": ({"issued": "2099-01-01T00:00:00Z"}, "from the future"),
    "response of long ago": ({"response_issued": "2001-01-01T00:00:00Z"}, "too old"),
    "response of the future": (
        {"response_issued": "2099-01-01T00:00:00Z"},
        "from the future",
    ),
    "nobody has authenticated": (
        {"authenticated": None},
        "without AuthnStatement",
    ),
    "authenticated later": ({"authenticated": "2099-01-01T00:00:00Z"}, "in the future"),
    "the session has ended": (
        {"session_ends": "2001-01-01T00:00:00Z"},
        "a session that has ended",
    ),
    "no name": ({"name_id": ""}, "NameID without text"),
    "a blank name": ({"name_id": " \t"}, "NameID without text"),
    "a long name": ({"name_id": "j" * 10_000}, "more than 256"),
}

# What an unsigned response may leave out.
NOT_OF_ASSERTIONS = {"no response issuer"}


@BOTH
@pytest.mark.parametrize(("changes", "because"), WRONG.values(), ids=WRONG)
async def test_a_signed_message_may_still_be_wrong(
    changes, because, where, sp, message, keys, request
):
    document = protect(message(**changes), keys, where)
    name = request.node.callspec.id.removesuffix(f"-{where}")
    if where == "assertion" and name in NOT_OF_ASSERTIONS:
        await sp.accepts(document)
    else:
        await sp.refuses(document, because)


@BOTH
async def test_a_signed_response_says_where_it_goes(where, sp, message, keys):
    document = protect(message(destination=None), keys, where)
    if where == "response":
        await sp.refuses(document, "a response for ''")
    else:
        await sp.accepts(document)


@BOTH
@pytest.mark.parametrize(
    "other",
    [
        CONFIRMATION.format("holder-of-key", ""),
        CONFIRMATION.format("bearer", 'Recipient="https://other.example"'),
        CONFIRMATION.format("sender-vouches", ""),
    ],
)
async def test_one_confirmation_that_holds_is_enough(other, where, sp, message, keys):
    document = protect(message(lines={"subject": other}), keys, where)
    await sp.accepts(document)


@BOTH
async def test_two_halves_of_a_confirmation_are_none(where, sp, message, keys):
    """One has the recipient, the other one the request."""
    other = CONFIRMATION.format("bearer", 'InResponseTo="qrequestid"')
    made = message(lines={"subject": other}, confirmed_request="x")
    await sp.refuses(protect(made, keys, where), "no subject confirmation holds")


async def test_an_audience_may_be_one_of_several(sp, message, keys):
    await sp.accepts(message(audiences=(("https://x", ACS),)).signed(keys.idp))


async def test_a_proxy_restriction_that_lets_us_pass_it_on_is_fine(sp, message, keys):
    lines = {"conditions": '<saml:ProxyRestriction Count="1"/>'}
    await sp.accepts(message(lines=lines).signed(keys.idp))


STATUS = {
    "responder": ({"status": RESPONDER}, True),
    "success below responder": ({"status": RESPONDER, "sub_status": SUCCESS}, True),
    "unknown": ({"status": "urn:x"}, True),
    "empty": ({"status": ""}, True),
    "success with something below": ({"sub_status": RESPONDER}, False),
}


@BOTH
@pytest.mark.parametrize(("changes", "failed"), STATUS.values(), ids=STATUS)
async def test_the_first_status_decides(changes, failed, where, sp, message, keys):
    document = protect(message(**changes), keys, where)
    if not failed:
        await sp.accepts(document)
        return
    with pytest.raises(AccessDenied, match="did not log you in"):
        await sp.finish(document)
    assert sp.log.messages[-1] == "SAML login failed upstream"


@BOTH
async def test_a_response_has_a_status(where, sp, message, keys):
    made = message()
    document = made.response().replace(b"samlp:Status>", b"samlp:Other>")
    id = made.id if where == "response" else made.assertion_id
    await sp.refuses(sign(document, id, keys.idp))


async def test_a_failure_tells_the_log_why(sp, message):
    made = message(status=RESPONDER, sub_status="urn:x:AuthnFailed").response()
    root = etree.fromstring(made)
    root.remove(root.find("{*}Assertion"))
    status = root.find("{*}Status")
    etree.SubElement(status, f"{{{PROTOCOL}}}StatusMessage").text = "no\nluck"
    with pytest.raises(AccessDenied):
        await sp.finish(etree.tostring(root))
    assert "urn:x:AuthnFailed" in sp.log.reason
    assert "no\\nluck" in sp.log.reason


async def test_success_needs_an_assertion(sp, message, keys):
    root = etree.fromstring(message().response())
    root.remove(root.find("{*}Assertion"))
    document = sign(etree.tostring(root), root.get("ID"), keys.idp)
    await sp.refuses(document, "0 assertions")


# — 38: once, by one browser -----------------------------------------------------------


@BOTH
async def test_an_assertion_logs_in_once(where, sp, message, keys):
    document = protect(message(), keys, where)
    await sp.accepts(document)
    await sp.refuses(document, "used before")


async def test_an_assertion_logs_in_once_on_all_replicas(open_sp, message, keys):
    storage = MemoryStorage()
    here, there = await open_sp(storage=storage), await open_sp(storage=storage)
    document = message().signed(keys.idp)
    await here.accepts(document)
    await there.refuses(document, "used before")
    restarted = await open_sp(storage=storage)
    await restarted.refuses(document, "used before")


async def test_of_many_at_once_one_logs_in(open_sp, message, keys):
    storage = MemoryStorage()
    replicas = [await open_sp(storage=storage) for _ in range(4)]
    document = message().signed(keys.idp)
    outcomes = await asyncio.gather(
        *(replica.finish(document) for replica in replicas), return_exceptions=True
    )
    refused = [each for each in outcomes if isinstance(each, AccessDenied)]
    assert len(refused) == 3


async def test_the_same_assertion_in_another_response_is_the_same(sp, forge):
    root = forge.signed()
    await sp.accepts(forge.bytes(root))
    root.set("ID", "anotherid")
    await sp.refuses(forge.bytes(root), "used before")


async def test_an_answer_to_one_login_is_none_to_another(sp, message, keys):
    document = message().signed(keys.idp)
    await sp.refuses(document, "another request", request="qotherrequest")
    await sp.accepts(document)  # it was not used up by that


async def test_whoever_has_not_begun_a_login_cannot_end_it(sp, message, keys):
    made = message(in_response_to="", confirmed_request="")
    await sp.refuses(made.signed(keys.idp), "none that was asked for", request="")


async def test_a_refused_message_is_not_remembered(sp, forge):
    root = forge.signed()
    broken = etree.fromstring(forge.bytes(root))
    broken.find(".//{*}NameID").text = "admin"
    await sp.refuses(forge.bytes(broken))
    await sp.accepts(forge.bytes(root))


@pytest.mark.parametrize("point", ["replays.create:before", "replays.create:after"])
async def test_without_the_storage_nobody_logs_in(point, open_sp, message, keys):
    """Nobody knows then whether it was used before; after it, it was."""
    failing = {point}

    def reached(where):
        if where in failing:
            raise StorageUnavailable("The database is away.")

    sp = await open_sp(storage=FaultyStorage(MemoryStorage(), reached))
    document = message().signed(keys.idp)
    with pytest.raises(StorageUnavailable):
        await sp.finish(document)
    failing.clear()
    if point.endswith("before"):
        await sp.accepts(document)
    else:
        await sp.refuses(document, "used before")


async def test_what_is_remembered_is_forgotten_when_it_is_too_old(sp, message, keys):
    made = message(confirmation_ends=datetime.now(UTC) + timedelta(minutes=3))
    await sp.accepts(made.signed(keys.idp))
    (replay,) = await sp.storage.replays.list()
    left = replay.expiry - datetime.now(UTC)
    assert timedelta(minutes=3) < left <= timedelta(minutes=3, seconds=31)
    assert 25 <= len(replay.id) <= 64
    assert replay.id.isascii()


async def test_nothing_is_remembered_for_years(sp, message, keys):
    await sp.accepts(
        message(
            confirmation_ends="9999-12-31T23:59:59Z",
            not_on_or_after="9999-12-31T23:59:59Z",
            session_ends="9999-12-31T23:59:59Z",
        ).signed(keys.idp)
    )
    (replay,) = await sp.storage.replays.list()
    assert replay.expiry < datetime.now(UTC) + timedelta(minutes=11)


# — 39: time ---------------------------------------------------------------------------


@pytest.fixture
async def at_noon(open_sp):
    return await open_sp(now=lambda: NOW)


EDGES = {
    # what, how far from noon, accepted
    "begins in 29 s": ({"not_before": 29}, True),
    "begins in 31 s": ({"not_before": 31}, False),
    "ended 29 s ago": ({"not_on_or_after": -29}, True),
    "ended 31 s ago": ({"not_on_or_after": -31}, False),
    "confirmation ended 29 s ago": ({"confirmation_ends": -29}, True),
    "confirmation ended 31 s ago": ({"confirmation_ends": -31}, False),
    "session ended 29 s ago": ({"session_ends": -29}, True),
    "session ended 31 s ago": ({"session_ends": -31}, False),
    "issued in 29 s": ({"issued": 29}, True),
    "issued in 31 s": ({"issued": 31}, False),
    "response in 29 s": ({"response_issued": 29}, True),
    "response in 31 s": ({"response_issued": 31}, False),
    "authenticated in 29 s": ({"authenticated": 29}, True),
    "authenticated in 31 s": ({"authenticated": 31}, False),
    "authenticated a day ago": ({"authenticated": -86400}, True),
    "issued 10 min 29 s ago": ({"issued": -629}, True),
    "issued 10 min 31 s ago": ({"issued": -631}, False),
}


@BOTH
@pytest.mark.parametrize(("changes", "good"), EDGES.values(), ids=EDGES)
async def test_clocks_may_differ_by_half_a_minute(
    changes, good, where, at_noon, message, keys
):
    moments = {name: NOW + each * SECOND for name, each in changes.items()}
    document = protect(message(now=NOW, **moments), keys, where)
    if good:
        await at_noon.accepts(document)
    else:
        await at_noon.refuses(document)


WRITTEN = {
    "2026-11-27T12:00:00.5Z": True,
    "2026-11-27T12:00:00.123456789Z": True,
    "2026-11-27T12:00:00Z": True,
    "2026-11-27T12:00:00": False,
    "2026-11-27T12:00:00+00:00": False,
    "2026-11-27T13:00:00+01:00": False,
    "2026-11-27T24:00:00Z": False,
    "2026-11-27T12:00:60Z": False,
    "2026-11-27 12:00:00Z": False,
    "2026-11-27T12:00Z": False,
    "2026-13-27T12:00:00Z": False,
    "0000-11-27T12:00:00Z": False,
    "-2026-11-27T12:00:00Z": False,
    "12026-11-27T12:00:00Z": False,
    "2026-11-27T12:00:00z": False,
    "2026-11-27T12:00:00.Z": False,
    " 2026-11-27T12:00:00Z": False,
    "2026-11-27T12:00:00Z\n": False,
    "٢٠٢٦-11-27T12:00:00Z": False,
    "now": False,
    "": False,
}


@pytest.mark.parametrize("name", ["issued", "not_before", "authenticated"])
@pytest.mark.parametrize(("written", "good"), WRITTEN.items())
async def test_a_time_is_in_utc(written, good, name, at_noon, message, keys):
    document = message(now=NOW, **{name: written}).signed(keys.idp)
    if good:
        await at_noon.accepts(document)
    else:
        await at_noon.refuses(document)


async def test_the_file_says_by_how_much_clocks_differ(open_sp, message, keys):
    ended = message(now=NOW, confirmation_ends=NOW - 100 * SECOND).signed(keys.idp)
    exact = await open_sp(now=lambda: NOW, clock_skew=timedelta(0))
    await exact.refuses(ended, "has ended")
    loose = await open_sp(now=lambda: NOW, clock_skew=timedelta(minutes=2))
    await loose.accepts(ended)


# — 40: text of an identity ------------------------------------------------------------

TEXTS = {
    "blanks around": " jane ",
    "composed": "ren\u00e9",
    "decomposed": "rene\u0301",
    "zero width": "ja\u200bne",
    "right to left": "\u202eenaj",
    "markup": '<jane> & "co"',
    "emoji": "\U0001f9d1",
    "256 characters": "j" * 256,
    "a null by its picture": "\u2400",
}


@BOTH
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_a_name_is_kept_as_it_is(text, where, sp, message, keys):
    made = message(
        name_id=text,
        attributes={"name": [text], "mail": [text], "groups": [text, text]},
    )
    identity = await sp.accepts(protect(made, keys, where), text)
    assert identity.username == identity.email == text
    assert identity.groups == (text, text)


async def test_a_thousand_groups_are_groups(sp, message, keys):
    groups = [f"group {number}" for number in range(4000)]
    made = message(attributes={"name": ["x"], "mail": ["y"], "groups": groups})
    identity = await sp.accepts(made.signed(keys.idp))
    assert identity.groups == tuple(groups)


async def test_ten_thousand_attributes_are_too_many(sp, message, keys):
    many = {f"a{number}": ["x"] for number in range(10_000)}
    await sp.refuses(message(attributes=many).response())


async def test_the_first_of_several_values_counts(sp, message, keys):
    attributes = {"name": ["Jane", "Joan"], "mail": ["a@x", "b@x"], "groups": ["g"]}
    again = (
        '<saml:Attribute Name="mail"><saml:AttributeValue>c@x</saml:AttributeValue>'
        '</saml:Attribute><saml:Attribute Name="groups"><saml:AttributeValue>h'
        "</saml:AttributeValue></saml:Attribute>"
    )
    made = message(attributes=attributes, lines={"attributes": again})
    identity = await sp.accepts(made.signed(keys.idp))
    assert identity.username == "Jane"
    assert identity.email == "a@x"
    assert identity.groups == ("g", "h")


async def test_a_friendly_name_is_no_name(sp, message, keys):
    friendly = (
        '<saml:Attribute Name="urn:x" FriendlyName="mail"><saml:AttributeValue>evil@x'
        "</saml:AttributeValue></saml:Attribute>"
    )
    made = message(
        attributes={"name": ["x"], "groups": []}, lines={"attributes": friendly}
    )
    with pytest.raises(UpstreamError, match=r"no attribute 'mail'.*'urn:x'"):
        await sp.finish(made.signed(keys.idp))


NIL = (
    '<saml:Attribute Name="mail"><saml:AttributeValue '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"/>'
    "<saml:AttributeValue>{}</saml:AttributeValue></saml:Attribute>"
)


async def test_a_value_that_is_nil_is_none(sp, message, keys):
    made = message(
        attributes={"name": ["x"], "groups": []},
        lines={"attributes": NIL.format("a@x")},
    )
    identity = await sp.accepts(made.signed(keys.idp))
    assert identity.email == "a@x"


async def test_base64_in_a_value_is_text(sp, message, keys):
    attributes = {"name": ["YWRtaW4="], "mail": ["x"], "groups": ["x"]}
    identity = await sp.accepts(message(attributes=attributes).signed(keys.idp))
    assert identity.username == "YWRtaW4="


# — 41: other messages -----------------------------------------------------------------

OTHER = {
    "LogoutRequest": "<samlp:LogoutRequest {}><saml:NameID>jane</saml:NameID>"
    "</samlp:LogoutRequest>",
    "LogoutResponse": "<samlp:LogoutResponse {}><samlp:Status><samlp:StatusCode "
    f'Value="{SUCCESS}"/></samlp:Status></samlp:LogoutResponse>',
    "AuthnRequest": "<samlp:AuthnRequest {}/>",
    "ArtifactResponse": "<samlp:ArtifactResponse {}/>",
    "ManageNameIDRequest": "<samlp:ManageNameIDRequest {}/>",
}
HEAD = (
    f'xmlns:samlp="{PROTOCOL}" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" '
    'ID="_x" Version="2.0" IssueInstant="2026-11-27T12:00:00Z" '
    'InResponseTo="qrequestid"'
)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("text", OTHER.values(), ids=OTHER)
async def test_only_a_response_logs_in(text, signed, sp, keys):
    document = text.format(HEAD).encode()
    if signed:
        document = sign(document, "_x", keys.idp)
    await sp.refuses(document, "where samlp:Response should be")


async def test_a_response_inside_another_message_logs_nobody_in(sp, message, keys):
    inner = message().signed(keys.idp).decode()
    document = f"<samlp:ArtifactResponse {HEAD}>{inner}</samlp:ArtifactResponse>"
    await sp.refuses(document.encode(), "where samlp:Response should be")


async def test_our_own_request_is_no_answer(sp):
    begun = await sp.connector.begin(Scopes(), ACS, "qrequestid")
    await sp.refuses(field=begun.fields["SAMLRequest"])


async def test_an_assertion_alone_logs_nobody_in(sp, message, keys):
    made = message()
    document = sign(made.assertion(), made.assertion_id, keys.idp)
    await sp.refuses(document, "where samlp:Response should be")


@pytest.mark.parametrize("count", [0, 2])
async def test_a_form_has_one_response(count, sp, message, keys):
    field = base64.b64encode(message().signed(keys.idp)).decode()
    callback = Callback(
        query=MultiDict({"SAMLResponse": field}),  # that would be another binding
        form=MultiDict([("SAMLResponse", field)] * count),
        headers=MultiDict(),
        callback_url=ACS,
        connector_data=b"qrequestid",
    )
    with pytest.raises(AccessDenied):
        await sp.connector.finish(Scopes(), callback)


async def test_an_issuer_nobody_expects_may_answer_if_none_is_named(
    open_sp, message, keys
):
    sp = await open_sp(sso_issuer="")
    assert any("ssoIssuer is empty" in said for said in sp.log.messages)
    made = message(issuer="https://any.example")
    await sp.accepts(made.signed(keys.idp))
    other = attrs.evolve(message(issuer="https://any.example"), response_issuer=IDP)
    await sp.refuses(other.signed(keys.idp), "with an assertion of")
