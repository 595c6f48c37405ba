"""From an entry to an identity, and what is remembered of it.  Pure."""

from __future__ import annotations

import base64
import re
import time

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
import orjson

from dexcore.connector import Identity
from dexcore.errors import AccessDenied, UpstreamError
from dexcore.oauth2.user_claims import made_of

from .config import UserSearch
from .entries import Entry, NotText

#: Attributes in which directories say that an account is closed: Active Directory, 389
#: Directory Server and FreeIPA, eDirectory, OpenLDAP's password policies.
STATE = (
    "userAccountControl",
    "accountExpires",
    "nsAccountLock",
    "loginDisabled",
    "pwdAccountLockedTime",
)

_AD_DISABLED = 0x2  # MS-ADTS section 2.2.16, ADS_UF_ACCOUNT_DISABLE
_AD_NEVER = (0, 0x7FFF_FFFF_FFFF_FFFF)  # MS-ADTS section 2.212 of MS-ADA1
_AD_EPOCH = 11_644_473_600  # seconds from 1601 to 1970
_LOCKED_FOR_GOOD = "000001010000Z"  # draft-behera-ldap-password-policy section 5.3.3


# RFC 4517 sections 3.3.28 (lines of an address) and 3.3.13 (times).
_POSTAL = frozenset({"postaladdress", "homepostaladdress", "registeredaddress"})
_ESCAPED = re.compile(r"\\(24|5[Cc])")
_MOMENT = re.compile(r"(\d{14})(?:[.,]\d+)?Z", re.ASCII)


@attrs.frozen
class Known:
    """What is kept beside a refresh token: who logged in, and what their entry was."""

    username: str
    dn: str


def identity_of(entry: Entry, search: UserSearch) -> Identity:
    """Return who *entry* is, without groups.

    Raises ``UpstreamError`` that names all attributes it lacks.
    """
    missing: list[str] = []

    def required(name: str) -> str:
        value = entry.text(name)
        if not value:
            missing.append(name)
        return value

    try:
        user_id = required(search.id_attr)
        name = required(search.name_attr) if search.name_attr else ""
        preferred = search.preferred_username_attr
        preferred_username = required(preferred) if preferred else ""
        if search.email_suffix:
            email = f"{name}@{search.email_suffix}"
        else:
            email = required(search.email_attr)
    except NotText as error:
        raise UpstreamError(f"the entry {entry.dn!r}: {error}") from None
    if missing:
        raise UpstreamError(
            f"the entry {entry.dn!r} lacks required attributes: {', '.join(missing)}"
        )
    return Identity(
        user_id=user_id,
        username=name,
        preferred_username=preferred_username,
        email=email,
        # An address in the directory was put there by who runs it.
        email_verified=True,
        claims=claims_of(entry, search.claim_attrs),
    )


def claims_of(entry: Entry, mapped: Mapping[str, str]) -> dict[str, Any]:
    """Return the claims that *entry* has, by their names and attributes in *mapped*."""
    texts = {name: _claim(entry, name, attr) for name, attr in mapped.items()}
    return made_of({name: text for name, text in texts.items() if text})


def group_name(group: Entry, name_attr: str) -> str:
    """Return the name of *group*; raise ``UpstreamError`` if it has none."""
    try:
        name = group.text(name_attr) if name_attr else ""
    except NotText as error:
        raise UpstreamError(f"the group {group.dn!r}: {error}") from None
    if not name:
        raise UpstreamError(
            f"the group {group.dn!r} lacks the attribute {name_attr!r}"
            if name_attr
            else "groupSearch.nameAttr is not set: groups have no name"
        )
    return name


def check_open(entry: Entry) -> None:
    """Raise ``AccessDenied`` if the directory says that the account is closed."""
    if (
        _number(entry, "userAccountControl") & _AD_DISABLED
        or _is_true(entry, "nsAccountLock")
        or _is_true(entry, "loginDisabled")
        # A lock after wrong passwords ends by itself; this is one by an administrator.
        or b"".join(entry.raw("pwdAccountLockedTime")) == _LOCKED_FOR_GOOD.encode()
    ):
        raise AccessDenied("This account is disabled.")
    expires = _number(entry, "accountExpires")
    if expires not in _AD_NEVER and expires // 10_000_000 - _AD_EPOCH < time.time():
        raise AccessDenied("This account has expired.")


def remember(username: str, entry: Entry) -> bytes:
    """Return dex's record of a login: *username*, and the entry as it was."""
    return orjson.dumps(
        {
            "username": username,
            "entry": {
                "DN": entry.dn,
                "Attributes": [
                    {
                        "Name": name,
                        "Values": [value.decode(errors="replace") for value in values],
                        "ByteValues": [base64.b64encode(v).decode() for v in values],
                    }
                    for name, values in entry.attributes.items()
                ],
            },
        }
    )


def recall(data: bytes) -> Known:
    """Return what :func:`remember`, or dex, wrote; raise ``AccessDenied``."""
    try:
        read = orjson.loads(data)
        known = Known(read["username"], read["entry"]["DN"])
        if known.username and isinstance(known.username + known.dn, str):
            return known
    except (ValueError, LookupError, TypeError):
        pass
    raise AccessDenied("Nothing is known of the last login. Please log in again.")


def _claim(entry: Entry, name: str, attribute: str) -> str:
    """Return the value as the claim writes it; "" for none, or one that is no text."""
    try:
        text = entry.text(attribute)
    except NotText:
        return ""
    if attribute.lower() in _POSTAL:
        lines = text.replace("$", "\n")
        return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), lines)
    return _seconds(text) if name == "updated_at" else text


def _seconds(text: str) -> str:
    """Return a time of the directory as seconds since 1970; others as they are."""
    moment = _MOMENT.fullmatch(text)
    if moment is None:
        return text
    try:
        then = datetime.strptime(moment[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return ""
    return str(int(then.timestamp()))


def _number(entry: Entry, name: str) -> int:
    try:
        return int(entry.text(name) or 0)
    except ValueError:
        return 0


def _is_true(entry: Entry, name: str) -> bool:
    return b"".join(entry.raw(name)).lower() == b"true"
