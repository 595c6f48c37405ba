"""Search filters (RFC 4515).  Pure; every value is escaped, and once."""

from __future__ import annotations

import re

from collections.abc import Iterable

# RFC 4515 section 3 needs four of them escaped; whatever else is no visible ASCII
# character would get lost on the way, such as spaces at an end.
_PLAIN = frozenset(range(0x21, 0x7F)) - frozenset(b"()\\*")
_ESCAPED = re.compile(rb"\\([0-9A-Fa-f]{2})")


def escape(value: bytes) -> str:
    r"""Return *value* as it stands in a filter: ``(`` is ``\28``."""
    return "".join(chr(byte) if byte in _PLAIN else f"\\{byte:02x}" for byte in value)


def unescape(text: str) -> str | None:
    """Return what *text* was before it was escaped; ``None`` if it never was."""
    raw = text.encode()
    found = _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), raw)
    if found == raw:
        return None
    try:
        return found.decode()
    except UnicodeDecodeError:
        return None


def user_filter(extra: str, attributes: Iterable[str], username: bytes) -> str:
    """Return what matches whoever has *username* in one of *attributes*."""
    value = escape(username)
    parts = [f"({attribute}={value})" for attribute in attributes]
    return _and(extra, parts[0] if len(parts) == 1 else f"(|{''.join(parts)})")


def group_filter(extra: str, attribute: str, value: bytes) -> str:
    """Return what matches groups that have *value* in *attribute*.

    *attribute* may name a matching rule: ``member:1.2.840.113556.1.4.1941:`` makes
    Active Directory look into groups of groups.
    """
    return _and(extra, f"({attribute}={escape(value)})")


def _and(extra: str, condition: str) -> str:
    extra = extra.strip()
    return f"(&{extra}{condition})" if extra else condition
