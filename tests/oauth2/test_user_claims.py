"""Claims about the end user, and what their values may be."""

import orjson
import pytest

from dexcore.oauth2.user_claims import (
    FURTHER,
    SCOPE_OF,
    checked,
    describe,
    made_of,
    wanted,
)

JANE = {
    "given_name": "Jane",
    "family_name": "Doe",
    "middle_name": "Q.",
    "nickname": "JD",
    "profile": "https://example.com/jane",
    "picture": "https://example.com/jane.png",
    "website": "http://jane.example",
    "gender": "female",
    "birthdate": "1972-03-31",
    "zoneinfo": "Europe/Zurich",
    "locale": "de-CH",
    "updated_at": 1311280970,
    "address": {"formatted": "Gasse 1\nBern", "country": "CH"},
    "phone_number": "+41 31 000 00 00",
    "phone_number_verified": False,
}


def test_every_standard_claim_is_known():
    assert checked(JANE) == JANE
    assert tuple(JANE) == FURTHER


def test_what_is_no_standard_claim_is_left_out():
    others = {"email": "x@example.com", "sub": "1", "iss": "x", "admin": True}
    assert checked({**JANE, **others}) == JANE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("given_name", 7),
        ("given_name", ""),
        ("given_name", " "),
        ("given_name", ["Jane"]),
        ("given_name", "x" * 257),
        ("given_name", "\ud800"),
        ("given_name", "Ja\x00ne"),
        ("given_name", "\x1b[31mJane"),
        ("picture", "javascript:alert(1)"),
        ("picture", "data:image/png;base64,AAAA"),
        ("picture", "https://"),
        ("website", "//jane.example"),
        ("profile", "https://[broken"),
        ("profile", "https://example.com/" + "x" * 1024),
        ("birthdate", "31.03.1972"),
        ("birthdate", "1972-13-01"),
        ("updated_at", "1311280970"),
        ("updated_at", True),
        ("updated_at", -1),
        ("updated_at", float("nan")),
        ("updated_at", float("inf")),
        ("updated_at", 1e300),
        ("address", "Gasse 1"),
        ("address", {}),
        ("address", {"country": 7, "planet": "Earth"}),
        ("phone_number_verified", "true"),
        ("phone_number_verified", None),
    ],
)
def test_what_the_standard_does_not_allow_is_left_out(name, value):
    assert checked({name: value, "nickname": "JD"}) == {"nickname": "JD"}


@pytest.mark.parametrize("date", ["0000-03-31", "1972", "1972-03-31"])
def test_a_birthdate_may_hide_the_year_or_the_day(date):
    assert checked({"birthdate": date}) == {"birthdate": date}


def test_a_moment_is_a_number_of_whole_seconds():
    assert checked({"updated_at": 1.75}) == {"updated_at": 1}


@pytest.mark.parametrize("junk", [None, 7, "given_name", ["given_name"], (("a", 1),)])
def test_what_are_no_claims_at_all_tells_nothing(junk):
    assert checked(junk) == {}


def test_members_of_an_address_are_checked_one_by_one():
    address = {"country": "CH", "region": 7, "planet": "Earth", "locality": ""}
    assert checked({"address": address}) == {"address": {"country": "CH"}}


def test_all_together_fit_into_a_header():
    url = "https://example.com/" + "\u00e9" * 1000
    found = checked({**JANE, "profile": url, "picture": url, "website": url})
    assert len(orjson.dumps(found)) <= 4096
    assert found["profile"] == url
    assert "picture" not in found
    assert found["phone_number"] == JANE["phone_number"]


def test_a_client_gets_what_its_scopes_and_its_single_wishes_name():
    assert list(wanted(JANE, ("openid", "phone"))) == [
        "phone_number",
        "phone_number_verified",
    ]
    assert list(wanted(JANE, ("address",), ("nickname",))) == ["nickname", "address"]
    assert list(wanted(JANE, ("openid", "profile"))) == list(FURTHER[:12])
    assert wanted(JANE, ("openid",)) == {}


def test_texts_become_claims():
    assert made_of(
        {
            "given_name": "Jane",
            "address": "Gasse 1",
            "address.locality": "Bern",
            "phone_number_verified": "TRUE",
            "updated_at": "1311280970",
        }
    ) == {
        "given_name": "Jane",
        "address": {"formatted": "Gasse 1", "locality": "Bern"},
        "phone_number_verified": True,
        "updated_at": 1311280970,
    }
    assert made_of({"phone_number_verified": "perhaps", "updated_at": "now"}) == {}


def test_every_claim_can_be_explained_to_who_has_to_agree():
    assert describe(("email", "email_verified", "given_name")) == [
        "View your email address",
        "View your given name",
    ]
    for name in SCOPE_OF:
        assert describe((name,)) != [], name
