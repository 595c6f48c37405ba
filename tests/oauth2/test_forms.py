"""Forms and queries: read in one way only."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from dexcore.errors import InvalidRequest
from dexcore.oauth2.forms import parse_form, parse_query

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", {}),
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"&a=1&&b=2&", {"a": "1", "b": "2"}),
        (b"a", {"a": ""}),
        (b"a=", {"a": ""}),
        (b"=1", {"": "1"}),
        (b"a=b=c==", {"a": "b=c=="}),
        (b"a=b%3Dc&d%26=%2B+x", {"a": "b=c", "d&": "+ x"}),
        (b"a=%C3%A9", {"a": "é"}),
        ("a=é".encode(), {"a": "é"}),
        (b"a=%3Bx", {"a": ";x"}),
        (b"a=%0A%25", {"a": "\n%"}),
    ],
)
def test_a_form_is_read(body: bytes, expected: dict[str, str]) -> None:
    assert parse_form(body) == expected
    assert parse_query(body.decode()) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"a=1&a=1",
        b"a=1&%61=2",
        b"code=x&b=1&code=y",
        b"a=%",
        b"a=%z1",
        b"a=%1",
        b"%zz=1",
        b"a=%FF",
        b"a=%ED%A0%80",
        b"a=%C0%80",
        b"a=\xff",
        b"a=%00",
        b"a=x\0y",
        b"%00=1",
        b"a=1;b=2",
        b"a=1&b;c=2",
        b"a=%C3%A9;",
    ],
)
def test_a_form_that_could_be_read_in_two_ways_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_form(body)
    with pytest.raises(InvalidRequest):
        parse_query(body.decode("utf-8", "surrogateescape"))


def test_a_form_of_very_many_fields_is_refused() -> None:
    assert len(parse_form(urlencode({f"n{i}": i for i in range(200)}).encode())) == 200
    with pytest.raises(InvalidRequest, match="too many"):
        parse_form(urlencode({f"n{i}": i for i in range(201)}).encode())
    with pytest.raises(InvalidRequest, match="too many"):
        parse_form(b"&" * 100_000)
    with pytest.raises(InvalidRequest, match="too many"):
        parse_query("a=1&b=2", limit_fields=1)


def test_the_refusal_names_the_field_that_comes_twice() -> None:
    with pytest.raises(InvalidRequest, match='"client_id" comes more than once'):
        parse_form(b"client_id=a&x=1&client_id=b")


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(TEXT, TEXT, max_size=50))
def test_any_fields_come_back_as_they_went(fields: dict[str, str]) -> None:
    assert parse_form(urlencode(fields).encode()) == fields
    assert parse_query(urlencode(fields)) == fields


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        found = parse_form(body)
    except InvalidRequest:
        return
    assert all("\0" not in name + value for name, value in found.items())
