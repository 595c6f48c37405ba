"""Records become JSON as Go writes it, and come back."""

from __future__ import annotations

import json
import time

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dexcore.storage import (
    KINDS,
    ZERO_TIME,
    Claims,
    Client,
    Kind,
    MFASecret,
    ParkedForm,
    RefreshTokenRef,
    SharedSecret,
    SpentCode,
    WebAuthnCredential,
)
from dexcore.storage.codec import (
    escape,
    json_codec,
    parse_time,
    record_codec,
    rfc3339,
    time_text,
)
from dexcore.testing.storage import SAMPLES

NOW = datetime(2026, 8, 6, 12, 30, 45, 123456, tzinfo=UTC)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_record_comes_back(kind: Kind[Any]) -> None:
    codec = record_codec(kind)
    for record in (SAMPLES[kind.name].first, SAMPLES[kind.name].second):
        if record is not None:
            assert codec.decode(codec.encode(record)) == record


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_json_is_json(kind: Kind[Any]) -> None:
    document = record_codec(kind).encode(SAMPLES[kind.name].first)
    assert isinstance(json.loads(document), dict)
    assert not {*b"<>&"} & {*document}


def test_our_own_records_are_named_as_their_fields() -> None:
    secret = SharedSecret("cookies", b"\xff\x00<", NOW)
    assert json_codec(SharedSecret).encode(secret) == (
        b'{"name":"cookies","value":"/wA8","created_at":"2026-08-06T12:30:45.123456Z"}'
    )


def test_html_is_escaped_as_in_go() -> None:
    form = ParkedForm("f", {"b": "<&>\u2028\u2029", "a": "é\n\x01\x7f"})
    assert (
        json_codec(ParkedForm).encode(form)
        == (
            '{"id":"f","fields":{"a":"é\\n\\u0001\x7f",'
            '"b":"\\u003c\\u0026\\u003e\\u2028\\u2029"},'
            '"expiry":"0001-01-01T00:00:00Z"}'
        ).encode()
    )
    assert escape(b'"plain"') == b'"plain"'


def test_an_empty_tuple_is_null_unless_null_is_a_default() -> None:
    encode, decode = (lambda c: (c.encode, c.decode))(json_codec(tuple[str, ...]))
    assert encode(()) == b"null"
    assert [decode(text) for text in (b"null", b"[]", '["a"]')] == [(), (), ("a",)]
    optional = json_codec(tuple[str, ...] | None)
    assert [optional.encode(value) for value in (None, (), ("a",))] == [
        b"null",
        b"[]",
        b'["a"]',
    ]
    assert [optional.decode(text) for text in (b"null", b"[]")] == [None, ()]


def test_an_empty_map_is_never_null() -> None:
    codec = json_codec(Mapping[str, RefreshTokenRef])
    assert codec.encode({}) == b"{}"
    assert codec.decode(b"null") == {}


def test_zero_values_are_left_out_where_go_leaves_them_out() -> None:
    codec = json_codec(MFASecret)
    assert b"lastUsedCounter" not in codec.encode(MFASecret("totp"))
    assert b'"lastUsedCounter":7' in codec.encode(MFASecret("t", last_used_counter=7))
    assert codec.decode(codec.encode(MFASecret("totp"))) == MFASecret("totp")


def test_other_names_can_be_given() -> None:
    names = {Client: {"redirect_uris": "redirectURIs", "name": "name,omitempty"}}
    codec = json_codec(Client, names)
    document = codec.encode(Client("c", redirect_uris=("https://a/",)))
    assert b'"redirectURIs":["https://a/"]' in document
    assert b'"name"' not in document
    assert codec.decode(document) == Client("c", redirect_uris=("https://a/",))


def test_missing_null_and_unknown_members_are_read() -> None:
    codec = json_codec(Claims)
    assert codec.decode(b"{}") == Claims()
    assert codec.decode(b"null") == Claims()
    document = b'{"username":null,"groups":null,"email_verified":null,"new":[1]}'
    assert codec.decode(document) == Claims()
    credential = json_codec(WebAuthnCredential).decode(b'{"aaguid":null}')
    assert credential == WebAuthnCredential(b"")


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"{",
        b"[]]",
        b"[1]",
        b'"x"',
        b"7",
        b'{"groups":7}',
        b'{"groups":"abc"}',
        b'{"groups":[1]}',
        b'{"username":7}',
    ],
)
def test_what_is_not_of_the_shape_is_a_value_error(garbage: bytes) -> None:
    with pytest.raises(ValueError, match="not the expected JSON"):
        json_codec(Claims).decode(garbage)


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00Z",
        "2026-08-06T12:30:45Z",
        "2026-08-06T12:30:45.1Z",
        "2026-08-06T12:30:45.12Z",
        "2026-08-06T12:30:45.000001Z",
        "2026-08-06T12:30:45.0000001Z",
        "2026-08-06T12:30:45.000000001Z",
        "2026-08-06T12:30:45.123456789Z",
        "2026-08-06T12:30:45.12345678Z",
        "9999-12-31T23:59:59.999999999Z",
    ],
)
def test_times_go_back_to_the_digit(text: str) -> None:
    time = parse_time(text)
    assert rfc3339(time) == text
    sql = text.replace("T", " ").replace("Z", "+00:00")
    assert time_text(parse_time(sql), " ") == sql


def test_nanoseconds_take_no_part_in_anything_else() -> None:
    precise = parse_time("2026-08-06T12:30:45.123456789Z")
    assert precise == NOW
    assert hash(precise) == hash(NOW)
    assert rfc3339(precise + timedelta(seconds=1)) == "2026-08-06T12:30:46.123456Z"
    assert rfc3339(precise.replace(microsecond=5)).endswith("45.000005Z")


def test_times_of_other_zones_become_utc() -> None:
    there = NOW.astimezone(ZoneInfo("America/New_York"))
    assert rfc3339(there) == "2026-08-06T12:30:45.123456Z"
    assert parse_time("2026-08-06T14:30:45.123456789+02:00") == NOW
    east = datetime(1, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(east) == "0001-01-01T00:00:00Z"
    assert parse_time("0001-01-01T01:00:00+02:00") == ZERO_TIME


def test_a_record_takes_microseconds() -> None:
    codec = json_codec(SpentCode)
    record = SAMPLES["spent_code"].first
    started = time.process_time()
    for _ in range(1000):
        codec.decode(codec.encode(record))
    # About 10 µs; the limit is where something has gone wrong.
    assert time.process_time() - started < 0.2
