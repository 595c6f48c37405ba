"""Where each record lives: dex's keys, and ours under ``dexcore/``.

dex folds a pair of user and connector into one key, in lower case, with a bar between:
``U|c`` is ``u|c``, and ``a|b`` with ``c`` is ``a`` with ``b|c``.  So a pair has a
second place, one of our own, for when another pair has taken the first.
"""

from __future__ import annotations

from typing import Any

import attrs

from dexcore.storage import Kind

Key = tuple[str, ...]

_PREFIXES = {
    "client": "client/",
    "auth_request": "auth_req/",
    "auth_code": "auth_code/",
    "refresh_token": "refresh_token/",
    "password": "password/",
    "keys": "openid-connect-keys",
    "offline_session": "offline_session/",
    "connector": "connector/",
    "device_request": "device_req/",
    "device_token": "device_token/",
    "user_identity": "user_identity/",
    "auth_session": "auth_session/",
}


@attrs.frozen
class Span:
    """The keys from ``start`` up to ``end``."""

    start: bytes
    end: bytes


class Keys:
    """The keys of one kind."""

    def __init__(self, namespace: str, kind: Kind[Any]) -> None:
        own = f"{namespace}dexcore/{kind.name}/".encode()
        dex = f"{namespace}{_PREFIXES.get(kind.name, '')}".encode()
        self._prefix = own if kind.own else dex
        self._second = own
        self._folded = kind.folded
        self.paired = len(kind.key) == 2
        self._single = not kind.key

    @property
    def spans(self) -> tuple[Span, ...]:
        """Where all records of the kind are."""
        if self._single:
            return (Span(self._prefix, self._prefix + b"\0"),)
        prefixes = (self._prefix, self._second) if self.paired else (self._prefix,)
        return tuple(Span(one, one[:-1] + b"0") for one in prefixes)  # 0 follows /

    def places(self, key: Key) -> tuple[bytes, ...]:
        """Return where the record with *key* may be, dex's place first."""
        if self._single:
            return (self._prefix,)
        if self.paired:
            first = self._prefix + _encoded(_lower("|".join(key)))
            return (first, self._second + _joined(key))
        (name,) = key
        return (self._prefix + _encoded(_lower(name) if self._folded else name),)

    def after(self, key: Key) -> Span:
        """Return where the records that follow *key* are; not for pairs."""
        (span,) = self.spans
        return Span(self.places(key)[0] + b"\0", span.end)


def _encoded(text: str) -> bytes:
    # What is no text, such as half a surrogate pair, is just not found.
    return text.encode("utf-8", "surrogatepass")


def _joined(key: Key) -> bytes:
    # UTF-8 has no byte 0xff, so a zero followed by one is part of a name.
    return b"\0".join(_encoded(part).replace(b"\0", b"\0\xff") for part in key)


def _lower(text: str) -> str:
    """Return *text* in lower case as Go has it: character by character."""
    if text.isascii():
        return text.lower()
    return "".join(
        "i"
        if character == "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}"
        # Python gives this one a combining dot, and a last sigma its own form.
        else character.lower()
        for character in text
    )
