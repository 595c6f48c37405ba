"""What expired and has no lease goes, some at a time, while others work."""

from __future__ import annotations

import asyncio

from datetime import datetime
from typing import Any

from . import wire
from .client import Client
from .shelves import Shelf
from .wire import KeyValue

_PAGE = 500  # records that are read at once
_AT_ONCE = 64  # records that are removed: etcd takes 128 operations, nested ones too


async def sweep(client: Client, shelf: Shelf[Any], now: datetime) -> int:
    """Remove the records of *shelf* that expired before *now*; return how many."""
    loop = asyncio.get_running_loop()
    (span,) = shelf.keys.spans
    start, more, removed = span.start, True, 0
    while more:
        began = loop.time()
        page = await client.range(start, end=span.end, limit=_PAGE)
        expired = [one for one in page.found if _is_over(shelf, one, now)]
        for first in range(0, len(expired), _AT_ONCE):
            removed += await _remove(client, expired[first : first + _AT_ONCE])
        more = page.more
        if more:
            start = page.found[-1].key + b"\0"
            # At least half of the time is everybody else's.
            await asyncio.sleep(loop.time() - began)
    return removed


def _is_over(shelf: Shelf[Any], entry: KeyValue, now: datetime) -> bool:
    expiry = shelf.codec.expiry(entry.value)
    return expiry is not None and expiry < now


async def _remove(client: Client, expired: list[KeyValue]) -> int:
    """Remove each, unless it was written again meanwhile; return how many."""
    removals = (
        wire.transaction(
            [wire.unchanged(one.key, one.revision)],
            [wire.op_delete(wire.delete(one.key))],
        )
        for one in expired
    )
    answer = await client.transact(
        wire.transaction(then=map(wire.op_transaction, removals))
    )
    return sum(wire.read_transaction(one).succeeded for one in answer.answers)
