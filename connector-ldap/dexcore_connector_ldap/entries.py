"""An entry of the directory and the text of its attributes.  Pure."""

from __future__ import annotations

import struct
import uuid

from collections.abc import Mapping

import attrs

#: Attributes of Active Directory that are no text, and who writes them how: as its own
#: tools do.
_GUIDS = frozenset({"objectguid", "ms-ds-consistencyguid"})
_SIDS = frozenset({"objectsid"})


class NotText(ValueError):
    """The value of an attribute is neither text nor of a kind we can write down."""


@attrs.frozen
class Entry:
    """What a search found: its name, and attributes by the name the server gave."""

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]] = attrs.field(factory=dict)

    def raw(self, name: str) -> tuple[bytes, ...]:
        """Return the values of the attribute *name*, as bytes.

        Names have no case (RFC 4512 section 2.5).  ``DN`` is the entry's own name.
        """
        if name in self.attributes:
            return self.attributes[name]
        folded = name.lower()
        for key, values in self.attributes.items():
            if key.lower() == folded:
                return values
        return (self.dn.encode(),) if is_dn(name) else ()

    def text(self, name: str) -> str:
        """Return the first value of the attribute *name*, "" if there is none.

        Raises :class:`NotText`.
        """
        values = self.raw(name)
        return as_text(name, values[0]) if values else ""


def is_dn(name: str) -> bool:
    """Return whether *name* stands for the name of the entry itself."""
    return name.lower() == "dn"


def as_text(name: str, value: bytes) -> str:
    """Return the *value* of the attribute *name* as people write it.

    By the attribute, not by how the value looks: a GUID may be text by chance.
    """
    kind = name.lower()
    if kind in _GUIDS and len(value) == 16:
        return str(uuid.UUID(bytes_le=value))
    if kind in _SIDS and len(value) >= 8 and len(value) == 8 + 4 * value[1]:
        return _sid(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise NotText(f"the value of {name} is not text") from None


def same_dn(one: str, other: str) -> bool:
    """Return whether two names differ in case and in spaces around commas only."""
    return _folded(one) == _folded(other)


def _folded(dn: str) -> str:
    parts = dn.casefold().split(",")
    return ",".join("=".join(s.strip() for s in part.split("=")) for part in parts)


def _sid(value: bytes) -> str:
    # MS-DTYP section 2.4.2.2: revision, count, a big authority, little sub-authorities.
    authority = int.from_bytes(value[2:8], "big")
    parts = struct.unpack(f"<{value[1]}I", value[8:])
    return "-".join(["S", str(value[0]), str(authority), *map(str, parts)])
