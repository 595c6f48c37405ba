"""Ids and codes: as dex's in shape, longer in bits."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from dexcore.oauth2.ids import (
    derived_id,
    is_id,
    is_supplemented,
    new_device_code,
    new_hmac_key,
    new_id,
    new_user_code,
    parse_user_code,
    random_bytes,
)


def test_an_id_has_32_characters_of_five_bits_after_a_letter() -> None:
    """T-TOK-04."""
    assert re.fullmatch(r"[a-z][a-z2-7]{32}", new_id())


def test_no_two_ids_are_the_same() -> None:
    assert len({new_id() for _ in range(1000)}) == 1000


def test_a_new_id_looks_like_an_id() -> None:
    assert all(is_id(new_id()) for _ in range(100))


def test_what_belongs_to_something_has_always_the_same_id() -> None:
    one = derived_id("refresh|one")
    assert one == derived_id("refresh|one") != derived_id("refresh|other")
    assert re.fullmatch(r"[a-z][a-z2-7]{32}", one)
    with_more = derived_id("refresh|one", supplemented=True)
    assert with_more == one + "1"
    assert is_supplemented(with_more)
    assert is_id(with_more)


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
    """T-DEV-01."""
    letters = "[BCDFGHJKLMNPQRSTVWXZ]{4}"
    assert re.fullmatch(f"{letters}-{letters}", new_user_code())


@pytest.mark.parametrize(
    "typed",
    [
        "BCDF-GHJK",
        "bcdf-ghjk",
        "BCDFGHJK",
        " bcdf ghjk\n",
        "BCDF\u2013GHJK",
        "B.C.D.F.GHJK",
    ],
)
def test_a_user_code_is_understood_however_it_is_typed(typed: str) -> None:
    assert parse_user_code(typed) == "BCDF-GHJK"


@pytest.mark.parametrize(
    "typed", ["", "BCDF-GHJ", "BCDF-GHJKL", "ABCD-FGHJ", "BCDF-GHJ1", "\uff22CDF-GHJK"]
)
def test_what_cannot_be_a_user_code_is_none(typed: str) -> None:
    assert parse_user_code(typed) == ""


def test_every_user_code_of_ours_is_understood() -> None:
    code = new_user_code()
    assert parse_user_code(code.lower()) == code


def test_random_bytes_never_come_twice_however_many_are_asked_for() -> None:
    sizes = [16, 5000, 1, 4096, 33] * 200
    drawn = [random_bytes(size) for size in sizes]

    assert [len(noise) for noise in drawn] == sizes
    assert len({noise for noise in drawn if len(noise) >= 16}) == 800


_FORKS = """
import os
from dexcore.oauth2.ids import random_bytes
random_bytes(1)
child = os.fork()
os.write(1, random_bytes(32).hex().encode() + b" ")
if child:
    os.waitpid(child, 0)
"""


def test_a_forked_process_does_not_draw_its_parents_random_bytes() -> None:
    done = subprocess.run([sys.executable, "-c", _FORKS], capture_output=True)
    drawn = done.stdout.split()

    assert len(drawn) == len(set(drawn)) == 2
