"""Work on keys that happens as a whole or not at all.

While it runs, work reads from one revision and keeps what it writes to itself.  Then
one transaction of etcd's compares everything that was read with what is there now, and
writes; if somebody was faster, the work runs again.  Nothing is locked: a comparison of
revisions decides.
"""

from __future__ import annotations

import asyncio
import random

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import TypeVar
from weakref import WeakValueDictionary

import attrs

from dexcore.storage import StorageUnavailable

from . import wire
from .client import Client, Compacted, LeaseLost
from .leases import Leases
from .wire import KeyValue

T = TypeVar("T")

_PATIENCE = 10.0  # seconds that work may wait for others and run again
_AT_ONCE = 3  # times that work runs again without a pause
_PAUSE = 0.05  # seconds, at most, before the next time
_PAGE = 500  # keys: a few hundred kilobytes


#: What does not come from the work itself.
_CERTAIN = (
    StorageUnavailable,
    asyncio.CancelledError,
    GeneratorExit,
    KeyboardInterrupt,
    SystemExit,
)


@attrs.frozen
class Write:
    """What a key is to hold, and with which lease; ``None``: it goes."""

    value: bytes | None
    lease: int = 0


class Transaction:
    """What one run of the work has read, and wants to write.

    ``blind``: what is created is taken to be new, without looking; ``assumed``: that
    happened, so until the commit nothing that the work does is certain.
    """

    def __init__(
        self,
        client: Client,
        leases: Leases,
        *,
        blind: bool = False,
        revision: int = 0,
        known: Mapping[bytes, KeyValue | None] | None = None,
    ) -> None:
        self.leases = leases
        self.blind = blind
        self.assumed = False
        self._client = client
        self._revision = revision
        self._known = known or {}
        self._seen: dict[bytes, KeyValue | None] = {}
        self._writes: dict[bytes, Write] = {}

    @property
    def keys(self) -> Iterable[bytes]:
        """The keys the outcome depends on."""
        return self._seen

    async def read(self, *keys: bytes) -> list[KeyValue | None]:
        """Return what *keys* hold."""
        missing = [key for key in keys if key not in self._seen]
        unknown = [key for key in missing if key not in self._known]
        fetched = {**self._known, **(await self._fetch(unknown) if unknown else {})}
        for key in missing:
            self._seen[key] = fetched[key]
        return [self._now(key) for key in keys]

    def assume_absent(self, *keys: bytes) -> None:
        """Take it that *keys* are not there; if one is, the work runs again."""
        self.assumed = True
        for key in keys:
            self._seen.setdefault(key, None)

    def knows(self, key: bytes) -> bool:
        """Return whether *key* was read or written already."""
        return key in self._seen or key in self._known

    def write(self, key: bytes, write: Write) -> None:
        """Write *key*, which was read before, when the work is done."""
        self._writes[key] = write

    async def scan(
        self, start: bytes, end: bytes, page: int = _PAGE
    ) -> AsyncIterator[KeyValue]:
        """Return the keys from *start* up to *end*, in their order.

        They do not count as read: others may change them while the work goes on.
        """
        mine = sorted(key for key in self._writes if start <= key < end)
        async for entry in self._pages(start, end, min(page, _PAGE)):
            while mine and mine[0] < entry.key:
                own = self._now(mine.pop(0))
                if own is not None:
                    yield own
            if entry.key not in self._writes:
                yield entry
        for key in mine:
            own = self._now(key)
            if own is not None:
                yield own

    async def commit(self) -> Transaction | None:
        """Write; if somebody was faster, return what the work can start again with."""
        if not self._writes:
            return None  # all of it was read at one revision
        answer = await self._client.transact(
            wire.transaction(
                [
                    wire.unchanged(key, entry.revision if entry else 0)
                    for key, entry in self._seen.items()
                ],
                [_operation(key, write) for key, write in self._writes.items()],
                [wire.op_range(wire.range_request(key)) for key in self._seen],
            )
        )
        if answer.succeeded:
            return None
        return self._again(answer)

    def _again(self, answer: wire.Transaction) -> Transaction:
        return Transaction(
            self._client,
            self.leases,
            revision=answer.revision,
            known=dict(zip(self._seen, map(_first, answer.answers), strict=True)),
        )

    def _now(self, key: bytes) -> KeyValue | None:
        write = self._writes.get(key)
        if write is None:
            return self._seen[key]
        if write.value is None:
            return None
        return KeyValue(key, write.value, lease=write.lease)

    async def _fetch(self, keys: list[bytes]) -> dict[bytes, KeyValue | None]:
        if len(keys) == 1:
            found = await self._client.range(keys[0], revision=self._revision)
            self._revision = self._revision or found.revision
            return {keys[0]: found.found[0] if found.found else None}
        requests = (
            wire.op_range(wire.range_request(key, revision=self._revision))
            for key in keys
        )
        request = wire.transaction(then=requests)
        answer = await self._client.transact(request, harmless=True)
        self._revision = self._revision or answer.revision
        return dict(zip(keys, map(_first, answer.answers), strict=True))

    async def _pages(
        self, start: bytes, end: bytes, page: int
    ) -> AsyncIterator[KeyValue]:
        more = True
        while more:
            found = await self._client.range(
                start, end=end, limit=page, revision=self._revision
            )
            self._revision = self._revision or found.revision
            for entry in found.found:
                yield entry
            more = found.more
            if more:
                start = found.found[-1].key + b"\0"


class Transactions:
    """Runs work until nobody was faster."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._leases = Leases(client)
        # Within this process those that want the same key queue up, so that the
        # comparison is lost to other replicas only.
        self._turns: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def run(self, work: Callable[[Transaction], Awaitable[T]], *keys: bytes) -> T:
        """Return what *work* returns, raise what it raises.

        *keys* are those it is known to change.  Raises ``StorageUnavailable``, also if
        others keep changing what it reads.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE
        async with AsyncExitStack() as turns:
            await self._take_turns(turns, keys, deadline)
            queued, runs = bool(keys), 0
            attempt = Transaction(self._client, self._leases, blind=True)
            while True:
                result, again = await self._run_once(work, attempt)
                if again is None:
                    return result  # type: ignore[return-value]
                if loop.time() > deadline:
                    raise StorageUnavailable("Others keep changing the same records.")
                runs += 1
                fresh = Transaction(self._client, self._leases)
                if not queued:
                    await self._take_turns(turns, attempt.keys, deadline)
                    queued, again = True, fresh
                elif runs > _AT_ONCE:
                    await asyncio.sleep(random.uniform(0, _PAUSE))  # noqa: S311 - jitter
                    again = fresh
                attempt = again

    async def take(self, key: bytes) -> KeyValue | None:
        """Remove *key* and return what it held: one call, and only one gets it."""
        operation = wire.op_delete(wire.delete(key, previous=True))
        answer = await self._client.transact(wire.transaction(then=[operation]))
        removed = wire.read_delete(answer.answers[0])
        return removed[0] if removed else None

    async def _run_once(
        self, work: Callable[[Transaction], Awaitable[T]], attempt: Transaction
    ) -> tuple[T | None, Transaction | None]:
        fresh = Transaction(self._client, self._leases)
        try:
            try:
                result = await work(attempt)
            except _CERTAIN:
                raise
            except BaseException:
                # It may have raised because something was not there that is.
                if not attempt.assumed:
                    raise
                return None, fresh
            return result, await attempt.commit()
        except LeaseLost:
            # etcd looks at the leases before it writes anything.
            self._leases.forget()
        except Compacted:
            pass
        return None, fresh

    async def _take_turns(
        self, turns: AsyncExitStack, keys: Iterable[bytes], deadline: float
    ) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                # In one order, so that nobody waits for each other.
                for key in sorted(keys):
                    lock = self._turns.setdefault(key, asyncio.Lock())
                    await turns.enter_async_context(lock)
        except TimeoutError as error:
            raise StorageUnavailable("Too many wait for the same records.") from error


def _operation(key: bytes, write: Write) -> bytes:
    if write.value is None:
        return wire.op_delete(wire.delete(key))
    return wire.op_put(wire.put(key, write.value, write.lease))


def _first(answer: bytes) -> KeyValue | None:
    found = wire.read_range(answer).found
    return found[0] if found else None
