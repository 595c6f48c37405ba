"""Which APIs a ``resource`` parameter names (RFC 8707 section 2)."""

import pytest

from dexcore.errors import InvalidRequest, InvalidTarget
from dexcore.oauth2.forms import parse_form, parse_query
from dexcore.oauth2.resources import is_resource, parse

API, MAIL = "https://api.example.com/v1?x=1", "urn:example:mail"


def test_the_parameter_may_come_several_times():
    form = parse_form(b"resource=https%3A%2F%2Fa%2F&x=1&resource=urn:b&resource=urn:b")
    assert parse(form["resource"]) == ("https://a/", "urn:b")
    assert parse(parse_query("resource=urn:a&resource=urn:b")["resource"]) == (
        "urn:a",
        "urn:b",
    )


def test_no_other_parameter_may():
    with pytest.raises(InvalidRequest, match="more than once"):
        parse_form(b"resource=urn:a&scope=a&resource=urn:b&scope=b")


@pytest.mark.parametrize("text", ["", " ", "\t \n"])
def test_a_parameter_that_names_nothing_is_refused(text):
    with pytest.raises(InvalidTarget):
        parse(text)


@pytest.mark.parametrize("text", [API, MAIL, "https://api.example.com"])
def test_an_absolute_uri_names_a_resource(text):
    assert is_resource(text)
    assert parse(text) == (text,)


@pytest.mark.parametrize(
    "text",
    [
        "/v1",
        "api.example.com",
        "https:",
        "https://api.example.com/#part",
        "https://api.example.com/\x7f",
        "https://äpi.example.com/",
        "1https://api.example.com/",
        "https://api.example.com/" + "a" * 2048,
    ],
)
def test_what_is_no_absolute_uri_names_none(text):
    assert not is_resource(text)
    with pytest.raises(InvalidTarget, match="not an absolute URI"):
        parse(text)


def test_nobody_needs_so_many():
    assert len(parse(" ".join(f"urn:{number}" for number in range(10)))) == 10
    with pytest.raises(InvalidTarget, match="More than 10"):
        parse(" ".join(f"urn:{number}" for number in range(11)))
