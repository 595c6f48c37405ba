"""The ``claims`` parameter: single claims a client asks for.

OpenID Connect Core section 5.5.  What comes out of :func:`parse` holds only what we can
heed: ``{"id_token": {NAME: …}, "userinfo": {NAME: …}}``, with ``None`` for most names.
A value that a claim should have is a hint (section 5.5.1), but for two: ``sub`` keeps
its ``values``, because nobody else may be let in, and ``acr`` keeps ``values`` and
``essential``.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any

import orjson

from ..errors import InvalidRequest
from .user_claims import SCOPE_OF
from .words import quote

__all__ = [
    "MEMBERS",
    "acr_values",
    "fits_acr",
    "fits_subject",
    "names",
    "parse",
    "within",
]

#: Where a claim may be asked to be.
MEMBERS = ("id_token", "userinfo")

_LONGEST = 8192  # characters
_DEEPEST = 6  # objects and arrays around a value; a request needs four
_MOST_VALUES = 20
_LONGEST_VALUE = 256  # characters; ``sub`` has at most 255 (section 2)

_KNOWN = frozenset((*SCOPE_OF, "sub", "acr", "amr"))
# auth_time is always in an ID token, and in what userinfo answers.


def parse(text: str) -> dict[str, dict[str, Any]]:
    """Return what the parameter asks for; raise ``InvalidRequest``."""
    if not text:
        return {}
    if len(text) > _LONGEST:
        raise _wrong("is too long")
    try:
        asked = orjson.loads(text)
    except ValueError:
        raise _wrong("is no JSON") from None
    return check(asked)


def check(asked: object) -> dict[str, dict[str, Any]]:
    """Return the same of what has been JSON; raise ``InvalidRequest``."""
    if not isinstance(asked, dict):
        raise _wrong("is no JSON object")
    if _depth(asked) > _DEEPEST:
        raise _wrong("is nested too deeply")
    found = {member: _member(member, asked.get(member)) for member in MEMBERS}
    return {member: names for member, names in found.items() if names}


def names(claims: Mapping[str, Mapping[str, Any]]) -> dict[str, None]:
    """Return the claims about the end user that are asked for, wherever, each once."""
    return {
        name: None for asked in claims.values() for name in asked if name in SCOPE_OF
    }


def within(
    claims: Mapping[str, Mapping[str, Any]], scopes: Container[str]
) -> dict[str, dict[str, Any]]:
    """Return *claims* without those about the end user that belong to other scopes."""
    kept = {
        member: {
            name: details
            for name, details in asked.items()
            if name not in SCOPE_OF or SCOPE_OF[name] in scopes
        }
        for member, asked in claims.items()
    }
    return {member: asked for member, asked in kept.items() if asked}


def fits_subject(claims: Mapping[str, Mapping[str, Any]], subject: str) -> bool:
    """Return whether *subject* may be told to the client at all."""
    return all(subject in asked["values"] for asked in _detailed(claims, "sub"))


def fits_acr(claims: Mapping[str, Mapping[str, Any]], acr: str) -> bool:
    """Return whether a login with *acr* is what the client insists on.

    Section 5.5.1.1; without values anything is, also that nothing is known.
    """
    return all(
        acr in asked["values"]
        for asked in _detailed(claims, "acr")
        if asked.get("essential") and asked["values"]
    )


def acr_values(
    claims: Mapping[str, Mapping[str, Any]], *, essential: bool = False
) -> tuple[str, ...]:
    """Return the values of ``acr`` in the client's order; *essential*: only those."""
    found = (
        value
        for asked in _detailed(claims, "acr")
        if asked.get("essential") or not essential
        for value in asked["values"]
    )
    return tuple(dict.fromkeys(found))


# — how --------------------------------------------------------------------------------


def _member(member: str, asked: object) -> dict[str, Any]:
    if asked is None:
        return {}
    if not isinstance(asked, dict):
        raise _wrong(f"has a member {quote(member)} that is no object")
    found: dict[str, Any] = {}
    for name, details in asked.items():
        if details is not None and not isinstance(details, dict):
            raise _wrong(f"has a claim {quote(name)} that is no object")
        checked = _details(name, details or {})
        if name in _KNOWN:
            # Section 5.5: claims that are not understood are ignored.
            found[name] = checked if name in ("sub", "acr") and checked else None
    return found


def _details(name: str, details: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values``, and ``essential`` if it is; nothing for nothing."""
    essential = details.get("essential", False)
    if not isinstance(essential, bool):
        raise _wrong(
            f"has an essential of {quote(name)} that is neither true nor false"
        )
    values = details.get("values", [])
    if not isinstance(values, list):
        raise _wrong(f"has values of {quote(name)} that are no array")
    if "value" in details:
        # Section 5.5.1: one value, or one of several; both must hold.
        one = details["value"]
        values = [one] if "values" not in details or one in values else []
        if not values:
            raise _wrong(f"has a value of {quote(name)} that is none of its values")
    if name not in ("sub", "acr"):
        return {}
    if not all(_is_text(value) for value in values) or len(values) > _MOST_VALUES:
        raise _wrong(f"has values of {quote(name)} that cannot be")
    if not values:
        return {}
    return {"values": values, **({"essential": True} if essential else {})}


def _detailed(
    claims: Mapping[str, Mapping[str, Any]], name: str
) -> Iterator[Mapping[str, Any]]:
    for asked in claims.values():
        if asked.get(name):
            yield asked[name]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_VALUE


def _depth(value: object) -> int:
    """Return how many objects and arrays are around the innermost value."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return depth


def _wrong(what: str) -> InvalidRequest:
    return InvalidRequest(f"The claims parameter {what}.")
