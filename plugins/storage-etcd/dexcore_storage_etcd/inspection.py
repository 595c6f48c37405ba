"""What is in etcd, found by reading alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from dexcore.storage import KINDS, Inspection, StorageError, Unreadable, shown

from .client import Client
from .config import Etcd
from .shelves import Shelf
from .wire import KeyValue

_PAGE = 500  # records that are read at once


async def inspect(config: Etcd) -> Inspection:
    """Return what is under the namespace; raise ``StorageUnavailable``."""
    client = Client(config)
    try:
        return await _inspect(client, config.namespace)
    finally:
        await client.close()


async def _inspect(client: Client, namespace: str) -> Inspection:
    counts: dict[str, int] = {}
    unreadable: list[Unreadable] = []
    for kind in KINDS:
        shelf: Shelf[Any] = Shelf(kind, namespace)
        counts[kind.name] = 0
        async for entry in _entries(client, shelf):
            counts[kind.name] += 1
            reason = _wrong(shelf, entry)
            if reason:
                last = entry.key.rpartition(b"/")[2]
                unreadable.append(Unreadable(kind.name, shown(kind, (last,)), reason))
    dex = sum(counts[kind.name] for kind in KINDS if not kind.own)
    doubts = () if dex else ("There is nothing of dex's here: dexcore begins anew.",)
    return Inspection("etcd", counts, unreadable=tuple(unreadable), doubts=doubts)


async def _entries(client: Client, shelf: Shelf[Any]) -> AsyncIterator[KeyValue]:
    for span in shelf.keys.spans:
        start, more = span.start, True
        while more:
            page = await client.range(start, end=span.end, limit=_PAGE)
            for entry in page.found:
                yield entry
            more = page.more
            if more:
                start = page.found[-1].key + b"\0"


def _wrong(shelf: Shelf[Any], entry: KeyValue) -> str:
    """Return what is wrong with *entry*, without a word of what it holds."""
    try:
        record = shelf.in_its_place(entry)
    except StorageError:
        return "not the expected JSON"
    return "" if record is not None else "it is not where its key says"
