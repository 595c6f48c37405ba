"""Claims about the end user: which there are, and what their values may be.

OpenID Connect Core sections 5.1 and 5.4.  dex's record of an end user holds six of
them; all others travel in ``Extras.user``, under their standard names.
"""

from __future__ import annotations

import math
import re

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from .scopes import ADDRESS, EMAIL, FEDERATED_ID, GROUPS, PHONE, PROFILE

__all__ = [
    "FURTHER",
    "SCOPE_OF",
    "checked",
    "describe",
    "made_of",
    "not_made_of",
    "wanted",
]

_IN_THE_RECORD = {
    "name": PROFILE,
    "preferred_username": PROFILE,
    "email": EMAIL,
    "email_verified": EMAIL,
    "groups": GROUPS,
    "federated_claims": FEDERATED_ID,
}

_LONGEST = 256  # characters of a value
_LONGEST_URL = 1024
# Tokens travel in headers, whose lines proxies limit to 8 KB.
_MOST = 4096  # bytes of all of them together, as JSON

_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]))?")
# The lines of an address may be several (section 5.1.1).
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_ADDRESS = (
    "formatted",
    "street_address",
    "locality",
    "region",
    "postal_code",
    "country",
)


def checked(claims: object) -> dict[str, Any]:
    """Return what of *claims* may be told to clients, in the order of Core section 5.1.

    Unknown names are left out, and values that are of another type than the standard
    says, too long, or more than fit together.
    """
    found: dict[str, Any] = {}
    if not isinstance(claims, Mapping):
        return found  # a connector may say anything
    room = _MOST
    for name, check in _CHECKS.items():
        value = check(claims.get(name))
        if value is None:
            continue
        size = len(orjson.dumps({name: value}))
        if size <= room:
            room -= size
            found[name] = value
    return found


def made_of(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the claims that *texts* spell, for upstreams that know nothing else.

    ``address.locality`` is a member of ``address``, and ``address`` alone how it is
    written on an envelope; ``phone_number_verified`` is ``true`` or ``false``,
    ``updated_at`` a number of seconds.
    """
    found: dict[str, Any] = {}
    for name, text in texts.items():
        claim, _, member = name.partition(".")
        if claim == "address":
            address = found.setdefault("address", {})
            address[member or "formatted"] = text
        elif claim == "phone_number_verified":
            if text.lower() in ("true", "false"):
                found[claim] = text.lower() == "true"
        elif claim == "updated_at":
            if text.isascii() and text.isdigit():
                found[claim] = int(text[:15])
        else:
            found[claim] = text
    return found


def not_made_of(names: Iterable[str]) -> list[str]:
    """Return those of *names* that :func:`made_of` can make nothing of."""
    members = (f"address.{member}" for member in _ADDRESS)
    known = {*FURTHER, *members}
    return [name for name in names if name not in known]


def wanted(
    claims: Mapping[str, Any], scopes: Container[str], names: Container[str] = ()
) -> dict[str, Any]:
    """Return what of *claims* belongs to one of *scopes*, or is in *names*."""
    return {
        name: value
        for name, value in claims.items()
        if name in names or SCOPE_OF[name] in scopes
    }


def describe(names: Iterable[str]) -> list[str]:
    """Return what *names* tell of the end user, for them to read."""
    words = dict.fromkeys(_WORDS[name] for name in names if name in _WORDS)
    return [f"View your {each}" for each in words]


# — the values -------------------------------------------------------------------------


def _text(value: object, longest: int = _LONGEST) -> str | None:
    if not isinstance(value, str) or not value.strip() or len(value) > longest:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a character
        return None
    return None if _CONTROL.search(value) else value


def _url(value: object) -> str | None:
    """Return *value* if it is a web address, which pages of clients may link to."""
    text = _text(value, _LONGEST_URL)
    if text is None:
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    usable = parts.scheme in ("http", "https") and bool(parts.netloc)
    return text if usable else None


def _birthdate(value: object) -> str | None:
    text = _text(value)
    return text if text is not None and _DATE.fullmatch(text) else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _moment(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not math.isfinite(value) or not 0 <= value < 2**53:
        return None
    return int(value)


def _address(value: object) -> dict[str, str] | None:
    """Return an address (section 5.1.1)."""
    if not isinstance(value, Mapping):
        return None
    found = {
        member: text
        for member in _ADDRESS
        if (text := _text(value.get(member))) is not None
    }
    return found or None


_CHECKS: Mapping[str, Callable[[object], Any]] = {
    "given_name": _text,
    "family_name": _text,
    "middle_name": _text,
    "nickname": _text,
    "profile": _url,
    "picture": _url,
    "website": _url,
    "gender": _text,
    "birthdate": _birthdate,
    "zoneinfo": _text,
    "locale": _text,
    "updated_at": _moment,
    "address": _address,
    "phone_number": _text,
    "phone_number_verified": _flag,
}

#: The claims that dex's record has no place for.
FURTHER = tuple(_CHECKS)

#: The scope that each claim belongs to.
SCOPE_OF: Mapping[str, str] = {
    **_IN_THE_RECORD,
    **dict.fromkeys(FURTHER, PROFILE),
    "address": ADDRESS,
    "phone_number": PHONE,
    "phone_number_verified": PHONE,
}

_WORDS: Mapping[str, str] = {
    "name": "name",
    "preferred_username": "user name",
    "email": "email address",
    "email_verified": "email address",
    "groups": "groups",
    "federated_claims": "user id at the identity provider you log in with",
    **{name: name.replace("_", " ") for name in FURTHER},
    "profile": "profile page",
    "birthdate": "date of birth",
    "zoneinfo": "time zone",
    "locale": "language",
    "updated_at": "profile's last change",
    "address": "postal address",
    "phone_number_verified": "phone number",
}
