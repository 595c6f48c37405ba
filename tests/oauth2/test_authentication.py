"""How somebody has logged in, and what a client asks of that."""

import pytest

from dexcore.oauth2.authentication import (
    HARDWARE_KEY,
    ONE_TIME_PASSWORD,
    PASSWORD,
    parse_acr_values,
    parse_ui_locales,
    told_acr,
    told_amr,
    with_factor,
)


def test_wishes_stay_in_their_order_each_once():
    assert parse_acr_values("  b a\tb c ") == ("b", "a", "c")
    assert parse_acr_values("") == ()


def test_nobody_has_more_than_ten_wishes():
    assert len(parse_acr_values(" ".join(map(str, range(50))))) == 10
    assert parse_acr_values("x" * 257) == ()


def test_languages_are_those_of_rfc_5646():
    assert parse_ui_locales("fr-CA fr en-GB fr") == ("fr-CA", "fr", "en-GB")
    assert parse_ui_locales('de_DE <b> "en" a-b-c-d-e-f-g toolonglang de') == ("de",)


@pytest.mark.parametrize("junk", [None, 7, True, [], {}, "", "a b", "x\n", "x" * 257])
def test_what_cannot_be_an_acr_is_none(junk):
    assert told_acr(junk) == ""
    assert told_acr("urn:mace:incommon:iap:silver") == "urn:mace:incommon:iap:silver"


@pytest.mark.parametrize("junk", [None, 7, "pwd", b"pwd", {}, [7, None, "", "a b"]])
def test_what_cannot_be_an_amr_is_none(junk):
    assert told_amr(junk) == ()
    assert told_amr(["pwd", "otp", "pwd", 7]) == ("pwd", "otp")


def test_a_second_factor_makes_it_several():
    assert with_factor((), HARDWARE_KEY) == ("hwk",)
    assert with_factor((PASSWORD,), ONE_TIME_PASSWORD) == ("pwd", "otp", "mfa")
    assert with_factor(("pwd", "otp", "mfa"), "otp") == ("pwd", "otp", "mfa")
