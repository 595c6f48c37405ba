"""What somebody finds who looks into a storage and touches nothing.

A storage type may offer ``inspect`` beside ``open``: it reads what another program, or
an older version, has left there, and says what opening it would change.  It never
writes, not even a table of its own, and waits for nobody who serves.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from .kinds import Kind

_SHOWN = 4  # characters of a key that is as good as a password


@attrs.frozen
class Level:
    """How far a schema is: ``found`` of the ``known`` steps of *name* are done."""

    name: str
    found: int
    known: int


@attrs.frozen
class Unreadable:
    """A record that cannot be read: its kind, its key as it may be shown, and why.

    ``reason`` names the place and what is wrong with it, never what it holds.
    """

    kind: str
    key: str
    reason: str


@attrs.frozen
class Inspection:
    """What was found.

    ``flavour`` names the database and its version; ``counts`` records by kind name;
    ``changes`` what opening the storage does to it, in the order it happens; ``doubts``
    what an operator should know before; ``refusal`` why it would not be opened at all.
    """

    flavour: str
    counts: Mapping[str, int]
    levels: tuple[Level, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    changes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    refusal: str = ""


def shown(kind: Kind[object], key: tuple[object, ...]) -> str:
    """Return *key* as it may be shown: codes and sessions are shortened.

    Whoever has the key of a record that expires may use it.
    """
    parts = (
        part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part)
        for part in key
    )
    text = ", ".join(parts)
    return f"{text[:_SHOWN]}…" if kind.expiry else text
