"""Rounds, each of every provider in turn, so that a busy moment hits all alike."""

from __future__ import annotations

import asyncio
import statistics
import time

from collections.abc import Callable, Sequence

import attrs

from . import process
from .operations import Operation
from .provider import Provider, User
from .wire import BenchError

CONNECTIONS = 16
_ROUND_WITHIN = 90.0  # seconds


@attrs.frozen
class Round:
    """One round: µs of processor time per operation, ms from call to answer.

    ``database`` is what the database's server used.
    """

    cpu: float
    rate: float
    p50: float
    p99: float
    database: float = 0.0


@attrs.frozen
class Result:
    """An operation on one provider; medians of the rounds, and the least of them."""

    operation: str
    provider: str
    rounds: int = 0
    per_round: int = 0
    cpu: float = 0.0
    cpu_min: float = 0.0
    rate: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    rss: float = 0.0
    refused: str = ""
    database: float = 0.0


async def interleaved(
    operations: Sequence[Operation],
    providers: Sequence[Provider],
    *,
    rounds: int,
    scale: float = 1.0,
    connections: int = CONNECTIONS,
    say: Callable[[str], None] = lambda _: None,
) -> list[Result]:
    """Measure each operation, the providers taking turns within each round."""
    results = []
    for operation in operations:
        per_user = max(1, round(operation.count * scale / connections))
        if operation.refreshing:
            per_user = min(per_user, len(providers[0].account.refresh_clients))
        measured: dict[str, list[Round]] = {one.name: [] for one in providers}
        refusals: dict[str, str] = {}
        for _ in range(rounds):
            for provider in providers:
                if provider.name in refusals:
                    continue
                try:
                    measured[provider.name].append(
                        await one_round(operation, provider, per_user, connections)
                    )
                except (BenchError, OSError) as error:
                    refusals[provider.name] = f"{type(error).__name__}: {error}"
        for provider in providers:
            result = _result(
                operation.name,
                provider,
                measured[provider.name],
                per_user * connections,
                refusals.get(provider.name, ""),
            )
            say(_line(result))
            results.append(result)
    return results


async def one_round(
    operation: Operation, provider: Provider, per_user: int, connections: int
) -> Round:
    """Let *connections* users each do *operation* *per_user* times."""
    users = provider.users(connections, refreshing=operation.refreshing)
    try:
        async with asyncio.timeout(_ROUND_WITHIN):
            prepared = await asyncio.gather(
                *(operation.prepare(user, per_user) for user in users)
            )
            latencies: list[float] = []
            cpu, behind = _used(provider)
            begun = time.perf_counter()
            await asyncio.gather(
                *(
                    _work(operation, user, items, latencies)
                    for user, items in zip(users, prepared, strict=True)
                )
            )
            wall = time.perf_counter() - begun
            cpu_now, behind_now = _used(provider)
    except TimeoutError:
        raise BenchError(f"A round took longer than {_ROUND_WITHIN} s.") from None
    finally:
        for user in users:
            user.connection.close()
    done = len(latencies)
    return Round(
        (cpu_now - cpu) / done * 1e6,
        done / wall,
        percentile(latencies, 50) * 1e3,
        percentile(latencies, 99) * 1e3,
        (behind_now - behind) / done * 1e6,
    )


def _used(provider: Provider) -> tuple[float, float]:
    """Return the seconds the provider has used so far, and its database's server."""
    behind = process.cpu_seconds(provider.database) if provider.database else 0.0
    return process.cpu_seconds(provider.pid), behind


async def _work(
    operation: Operation, user: User, items: Sequence[object], latencies: list[float]
) -> None:
    for item in items:
        begun = time.perf_counter()
        await operation.act(user, item)
        latencies.append(time.perf_counter() - begun)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that *percent* of *values* do not exceed."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _result(
    operation: str,
    provider: Provider,
    rounds: Sequence[Round],
    per_round: int,
    refused: str,
) -> Result:
    rss = process.rss_megabytes(provider.pid)
    if refused or not rounds:
        return Result(operation, provider.name, rss=rss, refused=refused or "no round")
    return Result(
        operation,
        provider.name,
        len(rounds),
        per_round,
        statistics.median(one.cpu for one in rounds),
        min(one.cpu for one in rounds),
        statistics.median(one.rate for one in rounds),
        statistics.median(one.p50 for one in rounds),
        statistics.median(one.p99 for one in rounds),
        rss,
        database=statistics.median(one.database for one in rounds),
    )


def _line(result: Result) -> str:
    name = f"{result.operation:14} {result.provider:12}"
    if result.refused:
        return f"{name} refused: {result.refused[:200]}"
    return (
        f"{name} {result.cpu:8.0f} µs (min {result.cpu_min:.0f}) "
        f"{result.rate:8.0f}/s  p50 {result.p50:.2f} ms  p99 {result.p99:.2f} ms"
    )
