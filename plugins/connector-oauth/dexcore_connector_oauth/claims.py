"""Reading an end user out of what the provider says about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import orjson

from dexcore.connector import Identity
from dexcore.errors import UpstreamError
from dexcore.jose import b64decode
from dexcore.oauth2.user_claims import FURTHER, made_of

from .config import Config

# Where doubles begin to skip numbers: dex reads every number as one.
_EXACT = 2**53

# Go's strconv, verb "g" with the shortest precision: 10 to the power of six.
_POWERS_FROM = 6


def identity_of(
    config: Config, info: Mapping[str, Any], groups: tuple[str, ...]
) -> Identity:
    """Return who *info* is about; raise ``UpstreamError`` if it has no user id."""
    names = config.claim_mapping
    return Identity(
        user_id=user_id_of(
            info, config.user_id_key or "id", as_dex=config.user_id_format == "dex"
        ),
        username=_text(info, names.user_name_key or "user_name"),
        preferred_username=_text(
            info, names.preferred_username_key or "preferred_username"
        ),
        email=_text(info, names.email_key or "email"),
        email_verified=_verified(config, info),
        groups=groups,
        claims=_further(info, names.further),
    )


def user_id_of(info: Mapping[str, Any], key: str, *, as_dex: bool = False) -> str:
    """Return the user id that *info* has under *key*: a text, or a number.

    Raises ``UpstreamError`` if there is none, or a number that nobody can tell from its
    neighbours.
    """
    value = info.get(key)
    if isinstance(value, str) and value:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UpstreamError(f"The user info has no text or number {key!r}.")
    if as_dex:
        return as_go_writes(float(value))
    if isinstance(value, int):
        return str(value)
    if not value.is_integer() or abs(value) >= _EXACT:
        raise UpstreamError(f"The number {key!r} of the user info is not exact.")
    return str(int(value))


def groups_of(config: Config, info: Mapping[str, Any], access_token: str) -> list[str]:
    """Return the groups in *info* and in the access token, each once.

    The token is not verified: it came from the token endpoint itself.
    """
    key = config.claim_mapping.groups_key or "groups"
    found = [*_names(info.get(key)), *_names(_payload(access_token).get(key))]
    return list(dict.fromkeys(found))


def as_go_writes(number: float) -> str:
    """Return *number* as Go's ``%v``: few digits, and powers of ten from a million.

    >>> as_go_writes(12345678)
    '1.2345678e+07'
    """
    # Python finds the same digits; it only puts the point elsewhere.
    sign, digits, power = Decimal(repr(number)).normalize().as_tuple()
    exponent = len(digits) + int(power) - 1 if number else 0
    text = "".join(map(str, digits))
    if -4 <= exponent < _POWERS_FROM:
        shown = f"{abs(Decimal(repr(number))).normalize():f}"
    else:
        point = "." if len(text) > 1 else ""
        shown = f"{text[0]}{point}{text[1:]}e{exponent:+03d}"
    return f"-{shown}" if sign else shown


def _further(info: Mapping[str, Any], mapped: Mapping[str, str]) -> dict[str, Any]:
    """Return the further claims, by their standard names and those of the provider."""
    found = {name: info[name] for name in FURTHER if name in info}
    told = {name: info[key] for name, key in mapped.items() if key in info}
    found |= {name: value for name, value in told.items() if name in FURTHER}
    members = {name: _text(told, name) for name in told if name not in FURTHER}
    return {**found, **made_of(members)}


def _names(groups: Any) -> Iterator[str]:
    if not isinstance(groups, list):
        return
    for group in groups:
        name = group.get("name") if isinstance(group, dict) else group
        if isinstance(name, str):
            yield name


def _payload(token: str) -> Mapping[str, Any]:
    """Return the claims of a token that looks like a JWT, else nothing."""
    parts = token.split(".")
    if len(parts) < 2:
        return {}
    try:
        claims = orjson.loads(b64decode(parts[1]))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


def _text(info: Mapping[str, Any], key: str) -> str:
    value = info.get(key)
    return value if isinstance(value, str) else ""


def _verified(config: Config, info: Mapping[str, Any]) -> bool:
    value = info.get(config.claim_mapping.email_verified_key or "email_verified")
    if isinstance(value, bool):
        return value
    return config.insecure_skip_email_verified
