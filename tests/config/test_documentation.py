"""docs/configuration.md names every key there is, and no other."""

from __future__ import annotations

import re

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest

from dexcore.config import Config, Flags, StaticClient, StaticPassword
from dexcore.config.convert import slots
from dexcore.storage import Client, Password

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
ROWS = set(re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE))
WRITTEN = {Client: StaticClient, Password: StaticPassword}


def keys_of(cls: type, before: str = "") -> Iterator[str]:
    for slot in slots(cls).values():
        name = before + slot.key
        inner, listed = section_in(slot.type)
        if inner is None:
            yield name
        elif not before:
            yield name
            yield from keys_of(inner, name + ("[]." if listed else "."))
        else:
            yield from keys_of(inner, name + ("[]." if listed else "."))


def section_in(kind: Any) -> tuple[type | None, bool]:
    if isinstance(kind, type) and attrs.has(kind):
        return WRITTEN.get(kind, kind), False
    for each in get_args(kind):
        inner, _ = section_in(each)
        if inner is not None:
            return inner, type(None) not in get_args(kind)
    return None, False


KEYS = sorted(set(keys_of(Config)))


@pytest.mark.parametrize("key", KEYS)
def test_the_page_explains_the_key(key: str) -> None:
    assert key in ROWS


def test_the_page_explains_every_switch_of_the_environment() -> None:
    variables = {field.metadata["variable"] for field in attrs.fields(Flags)}
    assert variables <= ROWS


def test_the_page_explains_no_key_that_is_not_there() -> None:
    keys = {row for row in ROWS if not row.startswith("DEX_")}
    differences = PAGE.partition("## What differs")[2]
    assert {row for row in keys if f"| `{row}` |" not in differences} <= set(KEYS)
