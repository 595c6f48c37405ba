"""What dex has encoded we decode, and the other way round."""

from __future__ import annotations

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from dexcore.jose import b64encode
from dexcore.oauth2 import subjects

REFRESH = "ChlseHp6c3Zhc3hobzVleHZ3a2ZhNXpoZWZsEhltYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4"

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("user_id", "connector_id", "sub"),
    [
        ("2342749", "github", "CgcyMzQyNzQ5EgZnaXRodWI"),
        ("example-app", "", "CgtleGFtcGxlLWFwcA"),
        ("", "", ""),
        ("", "ldap", "EgRsZGFw"),
    ],
)
def test_subjects_are_those_of_dex(user_id: str, connector_id: str, sub: str) -> None:
    assert subjects.encode_subject(user_id, connector_id) == sub
    assert subjects.decode_subject(sub) == (user_id, connector_id)


def test_refresh_tokens_are_those_of_dex() -> None:
    parts = ("lxzzsvasxho5exvwkfa5zhefl", "mabcdefghijklmnopqrstuvwx")
    assert subjects.encode_refresh(*parts) == REFRESH
    assert subjects.decode_refresh(REFRESH) == parts


@pytest.mark.parametrize(
    "wire", ["lxzzsvasxho5exvwkfa5zhefl", "", "not base64!", REFRESH + "=", "é", "AAAA"]
)
def test_what_is_no_refresh_token_may_be_a_bare_id(wire: str) -> None:
    assert subjects.decode_refresh(wire) == (wire, "")


def test_a_session_cookie_comes_back_as_it_went() -> None:
    value = subjects.encode_session_cookie("session", "secret")
    assert subjects.decode_session_cookie(value) == ("session", "secret")


@settings(deadline=None)  # the machine may be busy
@given(TEXT, TEXT)
def test_any_pair_comes_back_as_it_went(first: str, second: str) -> None:
    wire = subjects.encode_subject(first, second)
    assert subjects.decode_subject(wire) == (first, second)


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    wire = b64encode(data)
    try:
        user_id, connector_id = subjects.decode_subject(wire)
    except ValueError:
        return
    assert isinstance(user_id, str)
    assert isinstance(connector_id, str)


def test_a_long_id_has_a_long_length() -> None:
    wire = subjects.encode_subject("x" * 300, "y" * 20_000)
    assert subjects.decode_subject(wire) == ("x" * 300, "y" * 20_000)


def test_fields_of_later_versions_are_passed_over() -> None:
    later = b"".join(
        (
            b"\x0a\x01a",  # 1: "a"
            b"\x18\x96\x01",  # 3: 150
            b"\x22\x02zz",  # 4: "zz"
            b"\x29" + b"\0" * 8,  # 5: eight bytes
            b"\x35" + b"\0" * 4,  # 6: four bytes
            b"\x12\x01b",  # 2: "b"
        )
    )
    assert subjects.decode_subject(b64encode(later)) == ("a", "b")


@pytest.mark.parametrize(
    "message",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x08\x01",  # 1 is a number
        b"\x02\x01a",  # there is no field 0
        b"\x0b\x0c",  # a group
        b"\x1d\0\0",  # four bytes, cut
        b"\x0a\x01\xff",  # not UTF-8
    ],
)
def test_a_broken_message_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the kind of error is the contract
        subjects.decode_subject(b64encode(message))


@pytest.mark.parametrize(
    ("step", "mac"),
    [
        ("step:continue", "lBSJpBtmU_tWpuWH_yGMTMGb8ekUCrvoZA2seD5hVXQ"),
        ("step:approval", "7t07l9gn6ZyH-z1h1F8j5r7M24jrYCmH99jJQq62wos"),
        ("step:approved", "JOPVlFEk28mhQzOfjYQw39pgY-HokrA2cpzr65Er3cI"),
        ("step:mfa", "H59SplTAZBU13ME8ZbGVJKYomWcWVG5RntSjcJwhreY"),
        ("authenticator:totp", "8MuqGNpq5aKcjTmgJmpDwInQSPNL_PZYbEvp8iGJPCs"),
    ],
)
def test_macs_are_those_of_dex(step: str, mac: str) -> None:
    assert subjects.step_mac(b"test-hmac-key", "areqid1234", step) == mac


def test_a_mac_keeps_its_values_apart() -> None:
    macs = {
        subjects.step_mac(b"key", *values)
        for values in (("ab", "c"), ("a", "bc"), ("abc",), ("", "abc"), ("abc", ""))
    }
    assert len(macs) == 5
