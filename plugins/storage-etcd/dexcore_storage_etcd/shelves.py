"""Where the records of a kind are, and how they are written."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar

import attrs

from dexcore.storage import Kind, NotFound

from .documents import Codec, codec_of
from .keys import Key, Keys
from .wire import KeyValue

R = TypeVar("R")


@attrs.frozen(init=False)
class Shelf(Generic[R]):
    """Where the records of one kind are, and how they are written."""

    kind: Kind[R]
    keys: Keys
    codec: Codec[R]

    def __init__(self, kind: Kind[R], namespace: str) -> None:
        self.__attrs_init__(kind, Keys(namespace, kind), codec_of(kind))

    def read(self, entry: KeyValue | None, key: Key) -> R | None:
        """Return the record in *entry*, if it is the one with *key*.

        It may be another pair's, or a session of an older dex, without an id.
        """
        if entry is None:
            return None
        record = self.codec.decode(entry.value)
        return record if self.kind.key_of(record) == self.kind.fold(key) else None

    def in_its_place(self, entry: KeyValue) -> R | None:
        """Return the record in *entry*, unless it cannot be found by its key."""
        record = self.codec.decode(entry.value)
        key = tuple(getattr(record, name) for name in self.kind.key)
        return record if entry.key in self.keys.places(key) else None

    def expiry(self, record: R) -> datetime | None:
        """Return when the life of *record* ends."""
        return min((getattr(record, name) for name in self.kind.expiry), default=None)

    def missing(self) -> NotFound:
        """Return what to raise."""
        return NotFound(f"There is no such {self.kind.name}.")
