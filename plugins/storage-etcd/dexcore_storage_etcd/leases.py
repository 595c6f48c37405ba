"""Leases: what expires goes even if nobody sweeps.

Records that expire in the same minute share a lease, as Kubernetes' objects do: so most
records cost no call for one.  A lease outlives its records by a margin, because the
clocks of replicas differ; until then readers look at the record's own expiry.
"""

from __future__ import annotations

import asyncio
import math
import time

from datetime import datetime

import attrs

from .client import Client

_SPAN = 60  # seconds of expiries that share a lease
_MARGIN = 600  # seconds a lease outlives its records
_MOST = 1000  # records: etcd removes all of a lease in one step
_LONGEST = 9_000_000_000  # seconds, by etcd's lessor


@attrs.define(eq=False)
class _Lease:
    id: asyncio.Task[int]
    records: int = 0


class Leases:
    """The leases this process gives to its records."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._leases: dict[int, _Lease] = {}

    async def until(self, expiry: datetime) -> int:
        """Return a lease that lasts until *expiry* at least."""
        now = time.time()
        span = math.ceil(max(expiry.timestamp(), now) / _SPAN)
        lease = self._leases.get(span)
        if lease is None or lease.records >= _MOST or _failed(lease.id):
            self._drop_before(now)
            seconds = min(span * _SPAN - math.floor(now) + _MARGIN, _LONGEST)
            lease = _Lease(asyncio.create_task(self._client.grant(seconds)))
            self._leases[span] = lease
        lease.records += 1
        return await asyncio.shield(lease.id)

    def forget(self) -> None:
        """Take new leases from now on: etcd does not know one of these any more."""
        self._leases.clear()

    def _drop_before(self, now: float) -> None:
        for span in [one for one in self._leases if one * _SPAN < now]:
            del self._leases[span]


def _failed(task: asyncio.Task[int]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
