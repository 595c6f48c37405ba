"""The ``claims`` parameter (OpenID Connect Core section 5.5)."""

import json

import pytest

from dexcore.errors import InvalidRequest
from dexcore.oauth2 import claims_parameter
from dexcore.oauth2.claims_parameter import (
    acr_values,
    fits_acr,
    fits_subject,
    names,
    parse,
)

# The example of section 5.5.
EXAMPLE = {
    "userinfo": {
        "given_name": {"essential": True},
        "nickname": None,
        "email": {"essential": True},
        "email_verified": {"essential": True},
        "picture": None,
        "http://example.info/claims/groups": None,
    },
    "id_token": {
        "auth_time": {"essential": True},
        "acr": {"values": ["urn:mace:incommon:iap:silver"]},
    },
}


def test_the_example_of_the_specification_is_understood():
    assert parse(json.dumps(EXAMPLE)) == {
        "id_token": {"acr": {"values": ["urn:mace:incommon:iap:silver"]}},
        "userinfo": dict.fromkeys(
            ("given_name", "nickname", "email", "email_verified", "picture")
        ),
    }


@pytest.mark.parametrize(
    "nothing",
    [
        "",
        "{}",
        '{"userinfo": {}}',
        '{"userinfo": null, "id_token": null}',
        '{"elsewhere": ["anything"], "id_token": {"unheard_of": null}}',
        '{"id_token": {"auth_time": {"essential": true}}}',
        '{"id_token": {"name#de": null}}',
    ],
)
def test_what_asks_for_nothing_leaves_nothing(nothing):
    assert parse(nothing) == {}


@pytest.mark.parametrize(
    "malformed",
    [
        "null",
        "[]",
        '"x"',
        "7",
        "{",
        "{'id_token': {}}",
        '{"id_token": []}',
        '{"id_token": "acr"}',
        '{"id_token": {"acr": true}}',
        '{"id_token": {"acr": ["x"]}}',
        '{"id_token": {"unheard_of": 1}}',
        '{"userinfo": {"email": {"essential": "true"}}}',
        '{"userinfo": {"email": {"values": "x"}}}',
        '{"userinfo": {"email": {"values": {}}}}',
        '{"id_token": {"sub": {"value": 7}}}',
        '{"id_token": {"sub": {"value": ""}}}',
        '{"id_token": {"sub": {"value": null}}}',
        '{"id_token": {"acr": {"values": ["x", null]}}}',
        '{"id_token": {"acr": {"value": "a", "values": ["b"]}}}',
        json.dumps({"id_token": {"acr": {"values": ["x"] * 21}}}),
        '{"id_token": {"acr": {"value": "%s"}}}' % ("x" * 257),
        '{"id_token": {"x": {"value": %s}}}' % ("[" * 7 + "]" * 7),
        '{"id_token": {"x": %s}}' % ('{"value":' * 900 + "1" + "}" * 900),
        "[" * 2000,
        '{"id_token": {"acr": NaN}}',
        " " * 8193,
        '{"\ud800": null}',
    ],
)
def test_what_cannot_be_meant_is_refused(malformed):
    with pytest.raises(InvalidRequest, match="The claims parameter"):
        parse(malformed)


def test_a_value_is_one_of_its_values():
    assert parse('{"id_token": {"acr": {"value": "a", "values": ["b", "a"]}}}') == {
        "id_token": {"acr": {"values": ["a"]}}
    }


def test_what_has_been_parsed_says_the_same_again():
    """The way back to the list of connectors repeats the request."""
    asked = parse(
        '{"id_token": {"sub": {"value": "s"}, "acr": {"essential": true, "values": '
        '["a"]}}, "userinfo": {"email": null}}'
    )
    assert parse(json.dumps(asked)) == asked
    assert claims_parameter.check(asked) == asked


def test_only_claims_about_the_end_user_are_for_them_to_grant():
    asked = parse(
        '{"id_token": {"sub": null, "acr": null, "amr": null, "email": null}, '
        '"userinfo": {"name": null, "email": null}}'
    )
    assert list(names(asked)) == ["email", "name"]


def test_each_member_has_its_word_about_the_subject():
    asked = parse(
        '{"id_token": {"sub": {"values": ["a", "b"]}}, '
        '"userinfo": {"sub": {"value": "b"}}}'
    )
    assert [fits_subject(asked, each) for each in "abc"] == [False, True, False]
    assert fits_subject(parse('{"id_token": {"sub": null}}'), "anybody")


@pytest.mark.parametrize(
    ("details", "acr", "fits"),
    [
        ('{"essential": true, "values": ["a", "b"]}', "b", True),
        ('{"essential": true, "values": ["a", "b"]}', "c", False),
        ('{"essential": true, "value": "a"}', "", False),
        ('{"essential": true, "values": []}', "", True),
        ('{"essential": true}', "", True),
        ('{"values": ["a"]}', "", True),
        ("null", "", True),
    ],
)
def test_only_an_essential_acr_with_values_is_insisted_on(details, acr, fits):
    """Section 5.5.1.1."""
    assert fits_acr(parse(f'{{"id_token": {{"acr": {details}}}}}'), acr) is fits


def test_the_values_of_acr_stay_in_their_order():
    asked = parse(
        '{"id_token": {"acr": {"values": ["b", "a"]}}, '
        '"userinfo": {"acr": {"essential": true, "values": ["c", "b"]}}}'
    )
    assert acr_values(asked) == ("b", "a", "c")
    assert acr_values(asked, essential=True) == ("c", "b")
