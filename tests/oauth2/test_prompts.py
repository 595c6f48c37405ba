"""``prompt`` and ``max_age``."""

from __future__ import annotations

import pytest

from dexcore.errors import InvalidRequest
from dexcore.oauth2 import prompts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("none", ("none",)),
        ("none none", ("none",)),
        ("select_account login", ("login", "select_account")),
        ("consent login consent", ("login", "consent")),
    ],
)
def test_prompts_come_once_in_one_order(text: str, expected: tuple[str, ...]) -> None:
    assert prompts.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["none login", "consent none", "create", "Login", "login,consent", "none x"]
)
def test_other_prompts_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="Invalid prompt parameter: "):
        prompts.parse(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", -1), ("0", 0), ("3600", 3600), ("007", 7), ("9" * 20, 2**31 - 1)],
)
def test_max_age_is_in_seconds(text: str, seconds: int) -> None:
    assert prompts.parse_max_age(text) == seconds


@pytest.mark.parametrize("text", ["-1", "1.5", "1e3", "x", " 1", "+1", "٣", "9" * 5000])
def test_a_max_age_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="Invalid max_age value "):
        prompts.parse_max_age(text)
