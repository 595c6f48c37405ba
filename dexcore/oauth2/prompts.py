"""How much the end user is to be asked: ``prompt`` and ``max_age``.

OpenID Connect Core section 3.1.2.1.
"""

from __future__ import annotations

import re

from ..errors import InvalidRequest
from .words import quote

__all__ = ["CHOOSE", "PROMPTS", "parse", "parse_max_age"]

#: The end user is to say which account.
CHOOSE = "select_account"
#: The values of ``prompt``, in the order in which we write them.
PROMPTS = ("none", "login", "consent", CHOOSE)

_DIGITS = re.compile(r"[0-9]{1,20}")
_LONGEST = 2**31 - 1  # seconds; 68 years, and what every storage can hold


def parse(text: str) -> tuple[str, ...]:
    """Return the values of a ``prompt`` parameter in the order of ``PROMPTS``.

    Raises ``InvalidRequest`` for an unknown one, and for ``none`` beside another.
    """
    asked = set(text.split())
    for value in text.split():
        if value not in PROMPTS:
            raise InvalidRequest(
                f"Invalid prompt parameter: unknown value {quote(value)}."
            )
    if "none" in asked and len(asked) > 1:
        raise InvalidRequest(
            'Invalid prompt parameter: "none" cannot be combined with other values.'
        )
    return tuple(value for value in PROMPTS if value in asked)


def parse_max_age(text: str) -> int:
    """Return ``max_age`` in seconds, -1 if not sent; raise ``InvalidRequest``."""
    if not text:
        return -1
    if not _DIGITS.fullmatch(text):
        raise InvalidRequest(f"Invalid max_age value {quote(text)}")
    return min(int(text), _LONGEST)
