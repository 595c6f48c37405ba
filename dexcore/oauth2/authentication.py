"""How somebody has logged in: ``acr``, ``amr``, and what a client asks of them.

OpenID Connect Core sections 2 and 3.1.2.1; the values of ``amr`` are RFC 8176's.
"""

from __future__ import annotations

import re

from collections.abc import Iterable

__all__ = [
    "HARDWARE_KEY",
    "INTEGRATED",
    "ONE_TIME_PASSWORD",
    "PASSWORD",
    "SEVERAL_FACTORS",
    "parse_acr_values",
    "parse_ui_locales",
    "told_acr",
    "told_amr",
    "with_factor",
]

PASSWORD = "pwd"  # noqa: S105 - the name of a method
#: SPNEGO (RFC 4559) is Windows integrated authentication, whatever the operating
#: system.  It does not tell how the user got the ticket, so there is no ``pwd`` in it.
INTEGRATED = "wia"
ONE_TIME_PASSWORD = "otp"  # noqa: S105
HARDWARE_KEY = "hwk"
SEVERAL_FACTORS = "mfa"

_MOST = 10
_LONGEST = 256  # characters
# RFC 5646 section 2.1, as far as a language may be written.
_TAG = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,5}")


def parse_acr_values(text: str) -> tuple[str, ...]:
    """Return the values of ``acr_values``, in the client's order, each once.

    They are wishes (Core section 3.1.2.1), so those that nobody could mean are ignored.
    """
    return told_amr(text.split())


def parse_ui_locales(text: str) -> tuple[str, ...]:
    """Return the languages of ``ui_locales``, in the end user's order, each once.

    Others are ignored: they must not result in an error (Core section 3.1.2.1).
    """
    found = (each for each in text.split() if _TAG.fullmatch(each))
    return tuple(dict.fromkeys(found))[:_MOST]


def told_acr(value: object) -> str:
    """Return the ``acr`` that an upstream tells, ``""`` if that cannot be one."""
    return value if isinstance(value, str) and _is_word(value) else ""


def told_amr(values: object) -> tuple[str, ...]:
    """Return the ``amr`` that an upstream tells, without what cannot be one."""
    if not isinstance(values, Iterable) or isinstance(values, str | bytes):
        return ()
    found = (each for each in values if isinstance(each, str) and _is_word(each))
    return tuple(dict.fromkeys(found))[:_MOST]


def with_factor(amr: tuple[str, ...], method: str) -> tuple[str, ...]:
    """Return *amr* after one more factor, which makes it ``mfa``."""
    found = (*amr, method, *((SEVERAL_FACTORS,) if amr else ()))
    return tuple(dict.fromkeys(found))


def _is_word(text: str) -> bool:
    return 0 < len(text) <= _LONGEST and text.isprintable() and " " not in text
