"""What a storage costs, and what a second replica brings."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from . import process
from .budget import budget
from .measure import Result, interleaved
from .operations import Operation, chosen
from .provider import Account, Provider, User
from .servers import started
from .storages import STORAGES, Backend, backend

_WRITING = ("login POST", "exchange", "refresh")
_ASKED = 100  # operations, one after the other
_SETTLED = 1.0  # seconds
_USERS = 16
_SHARE = 0.25  # of a core for each replica
_SECONDS = 8


# — storages ---------------------------------------------------------------------------


async def storages(
    command: str, storage: str, config: Path, rounds: int | None
) -> list[str]:
    """Measure what writes on every storage, or on *storage* if it is not SQLite."""
    names = STORAGES if storage == "sqlite3" else (storage,)
    operations = chosen(_WRITING)
    rows: dict[str, list[Cost]] = {}
    for name in names:
        rows[name] = await _costs(name, command, config, operations, rounds or 3)
    lines = ["| storage | " + " | ".join(each.name for each in operations) + " |"]
    lines.append("|---" * (len(operations) + 1) + "|")
    for name, costs in rows.items():
        lines.append(f"| {name} | " + " | ".join(one.cell for one in costs) + " |")
    return lines


@attrs.frozen
class Cost:
    """Of one operation: µs of the provider and of the database, and round trips."""

    result: Result
    asked: float

    @property
    def cell(self) -> str:
        """The cell of the table."""
        result = self.result
        if result.refused:
            return f"refused: {result.refused[:60]}"
        cell = f"{result.cpu:.0f}"
        if result.database:
            cell += f" + {result.database:.0f}"
        return f"{cell}, {self.asked:.1f}" if self.asked else cell


async def _costs(
    name: str,
    command: str,
    config: Path,
    operations: Sequence[Operation],
    rounds: int,
) -> list[Cost]:
    async with _on(name, command, config) as (_, provider):
        results = await interleaved(operations, [provider], rounds=rounds, scale=0.5)
    async with _on(name, command, config, counted=True) as (behind, provider):
        asked = [await _asked(behind, provider, each) for each in operations]
    return [Cost(*both) for both in zip(results, asked, strict=True)]


async def _asked(behind: Backend, provider: Provider, operation: Operation) -> float:
    """Return how often the storage is asked for one operation."""
    (user,) = provider.users(1, refreshing=operation.refreshing)
    times = _ASKED
    if operation.refreshing:
        times = min(times, len(provider.account.refresh_clients))
    items = await operation.prepare(user, times)
    before = behind.asked()
    for item in items:
        await operation.act(user, item)
    user.connection.close()
    return (behind.asked() - before) / times


@asynccontextmanager
async def _on(
    name: str, command: str, config: Path, *, counted: bool = False
) -> AsyncIterator[tuple[Backend, Provider]]:
    with (
        tempfile.TemporaryDirectory(prefix="dexcore-bench-") as folder,
        backend(name, Path(folder), counted=counted) as behind,
    ):
        async with started(command, config=config, storage=behind.settings) as up:
            await asyncio.sleep(_SETTLED)
            yield (
                behind,
                await Provider.find(
                    name, up.issuer, up.pid, Account(), database=behind.pid
                ),
            )


# — replicas ---------------------------------------------------------------------------


@attrs.frozen
class _Load:
    """What so many replicas did: logins a second, and shares of a core."""

    rate: float
    replica: float
    database: float
    harness: float

    def line(self, what: str) -> str:
        return (
            f"{what}: {self.rate:.1f} logins/s; of a core each replica used "
            f"{self.replica:.2f}, the database {self.database:.2f}, "
            f"the harness {self.harness:.2f}"
        )


async def replicas(
    command: str, storage: str, config: Path, rounds: int | None
) -> list[str]:
    """Let one replica, then two, on one database do whole logins.

    Each may use a quarter of a core, so that the database has room where there are few.
    """
    name = "postgres" if storage == "sqlite3" else storage
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dexcore-"))
        behind = stack.enter_context(backend(name, Path(folder)))
        both: list[Provider] = []
        for _ in range(2):
            first = both[0].issuer if both else ""
            up = await stack.enter_async_context(
                started(command, config=config, storage=behind.settings, issuer=first)
            )
            stack.enter_context(budget(up.pid, _SHARE))
            both.append(
                await Provider.find(
                    f"replica {len(both) + 1}",
                    up.issuer,
                    up.pid,
                    Account(),
                    origin=up.origin,
                    database=behind.pid,
                )
            )
        alone, together = [], []
        for _ in range(rounds or 5):
            alone.append(await _logins(both[:1]))
            together.append(await _logins(both))
    return [
        f"{name}, each replica held to {_SHARE} of a core, {_USERS} users, "
        f"medians of {len(alone)} rounds of {_SECONDS} s",
        _median(alone).line("one replica"),
        _median(together).line("two replicas"),
        f"two carry {_median(together).rate / _median(alone).rate:.2f} times "
        "what one does; in the rounds "
        + ", ".join(
            f"{two.rate / one.rate:.2f}"
            for one, two in zip(alone, together, strict=True)
        ),
    ]


async def _logins(providers: Sequence[Provider]) -> _Load:
    """Let sixteen users, spread over *providers*, log in again and again."""
    users = [
        User(providers[n % len(providers)], connector)
        for n, connector in enumerate(providers[0].account.connectors[:_USERS])
    ]
    (whole,) = chosen(("whole login",))
    done = 0
    begun, before = time.monotonic(), _cpu(providers)

    async def work(user: User) -> None:
        nonlocal done
        while time.monotonic() < begun + _SECONDS:
            await whole.act(user, None)
            done += 1
        user.connection.close()

    await asyncio.gather(*map(work, users))
    wall = time.monotonic() - begun
    used = [now - then for now, then in zip(_cpu(providers), before, strict=True)]
    return _Load(
        done / wall,
        used[0] / wall / len(providers),
        used[1] / wall,
        used[2] / wall,
    )


def _cpu(providers: Sequence[Provider]) -> tuple[float, float, float]:
    return (
        sum(process.cpu_seconds(one.pid) for one in providers),
        process.cpu_seconds(providers[0].database),
        time.process_time(),
    )


def _median(loads: Sequence[_Load]) -> _Load:
    columns = zip(*(attrs.astuple(load) for load in loads), strict=True)
    return _Load(*(statistics.median(column) for column in columns))
