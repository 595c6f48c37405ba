"""Ids and codes: as dex's in shape, longer in bits."""

from __future__ import annotations

import re

import pytest

from dexcore.oauth2.ids import (
    is_id,
    new_device_code,
    new_hmac_key,
    new_id,
    new_user_code,
)


def test_an_id_has_32_characters_of_five_bits_after_a_letter() -> None:
    assert re.fullmatch(r"[a-z][a-z2-7]{32}", new_id())


def test_no_two_ids_are_the_same() -> None:
    assert len({new_id() for _ in range(1000)}) == 1000


def test_a_new_id_looks_like_an_id() -> None:
    assert all(is_id(new_id()) for _ in range(100))


def test_an_id_of_dex_looks_like_an_id() -> None:
    assert is_id("lxzzsvasxho5exvwkfa5zhefl")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "A" * 33,
        "1" + "a" * 32,
        "a" * 32,
        "a" * 34,
        "a" * 32 + "\n",
        "a" * 32 + "0",
    ],
)
def test_anything_else_does_not(text: str) -> None:
    assert not is_id(text)


def test_a_device_code_has_51_characters() -> None:
    assert re.fullmatch(r"[a-z][a-z2-7]{50}", new_device_code())


def test_a_mac_key_is_51_ascii_bytes() -> None:
    assert re.fullmatch(rb"[a-z][a-z2-7]{50}", new_hmac_key())


def test_a_user_code_is_easy_to_type() -> None:
    letters = "[BCDFGHJKLMNPQRSTVWXZ]{4}"
    assert re.fullmatch(f"{letters}-{letters}", new_user_code())
