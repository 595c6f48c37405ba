"""Hard situations, each bounded in count and time."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import tempfile
import time

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import attrs
import yaml

from . import process, shared
from .measure import interleaved, percentile
from .operations import chosen
from .provider import Account, Provider, User
from .servers import Started, started
from .wire import BenchError, Connection

Scenario = Callable[[str, str, Path, int | None], Awaitable[list[str]]]

_SETTLED = 3.0  # seconds
_PROBE_EVERY = 0.005  # seconds
_LONG_AGO = "2001-01-01 00:00:00+00:00"
_SWEPT_WITHIN = 400.0  # seconds: dex sweeps every five minutes
# No offline_access: dex answers 500 to parallel logins of one user who wants that.
_PASSWORD_DB = Account(
    connectors=("local",), username="jane@example.com", scope="openid email profile"
)


async def starts(config: Path, command: str, storage: str, times: int) -> list[str]:
    """Start a server several times: on a new database, then on one that is there."""
    with tempfile.TemporaryDirectory(prefix="dexcore-bench-") as name:
        folder, compiled = Path(name, "used"), Path(name, "compiled")

        @asynccontextmanager
        async def start(folder: Path | None) -> AsyncIterator[Started]:
            async with started(
                command,
                config=config,
                storage=storage,
                folder=folder,
                compiled=compiled,
            ) as up:
                yield up

        async with start(folder):
            # The first compiles the modules, and makes the key that comes next.
            await asyncio.sleep(_SETTLED)
        new, used = [], []
        for _ in range(times):
            async with start(None) as up:
                new.append(up)
            async with start(folder) as up:
                used.append(up)
    rss = [up.rss for up in used]
    return [
        _first_answers("new database", new),
        _first_answers("used database", used),
        f"RSS then: {statistics.median(rss):.1f} MB",
    ]


def _first_answers(title: str, servers: list[Started]) -> str:
    wall = [up.first_answer for up in servers]
    cpu = [up.cpu for up in servers]
    return (
        f"first answer, {title}: median {statistics.median(wall):.0f} ms, least "
        f"{min(wall):.0f}; CPU {statistics.median(cpu):.0f}, least {min(cpu):.0f}"
    )


# — storm ------------------------------------------------------------------------------


async def storm(
    command: str, storage: str, config: Path, seconds: int | None
) -> list[str]:
    """Probe ``/keys`` every 5 ms while 16 users log in with hashed passwords."""
    async with _served(command, storage, config, _PASSWORD_DB) as (_, provider):
        idle = await _probed(provider, asyncio.sleep(2))
        logins: list[float] = []
        until = time.monotonic() + (seconds or 10)
        users = provider.users(16)
        busy = await _probed(
            provider,
            asyncio.gather(*(_log_in_until(user, until, logins) for user in users)),
        )
        return [
            _latency("/keys alone", idle),
            _latency("/keys under 16 parallel password logins", busy),
            f"{len(logins) / (seconds or 10):.1f} logins/s, "
            f"median {statistics.median(logins):.2f} s",
        ]


async def _log_in_until(user: User, until: float, logins: list[float]) -> None:
    while time.monotonic() < until:
        begun = time.perf_counter()
        await user.code()
        logins.append(time.perf_counter() - begun)


async def _probed(provider: Provider, work: Awaitable[object]) -> list[float]:
    """Return how long ``/keys`` took (seconds) until *work* is done."""
    return [took for _, took in await _timed(provider, work)]


async def _timed(
    provider: Provider, work: Awaitable[object]
) -> list[tuple[float, float]]:
    """Ask for ``/keys`` every 5 ms until *work* is done; return when and how long."""
    busy = asyncio.ensure_future(work)
    connection = Connection(provider.address)
    latencies = []
    path = provider.path("jwks_uri")
    while not busy.done():
        begun = time.monotonic()
        answer = await connection.get(path)
        took = time.monotonic() - begun
        if answer.status != 200:
            raise BenchError(f"/keys answered {answer.status}.")
        latencies.append((begun, took))
        await asyncio.sleep(max(0.0, _PROBE_EVERY - took))
    connection.close()
    await busy
    return latencies


def _latency(what: str, latencies: list[float]) -> str:
    if not latencies:
        return f"{what}: no probe"
    return (
        f"{what}: p50 {percentile(latencies, 50) * 1e3:.2f} ms, "
        f"p99 {percentile(latencies, 99) * 1e3:.2f}, "
        f"max {max(latencies) * 1e3:.1f} ({len(latencies)} probes)"
    )


# — anonymous --------------------------------------------------------------------------


async def anonymous(
    command: str, storage: str, config: Path, hits: int | None
) -> list[str]:
    """Hit ``/auth/{connector}`` as strangers do who never log in."""
    wanted = hits or 100_000
    async with _served(command, storage, config, Account()) as (database, provider):
        lines = []
        await _hit(provider, 1600)
        rows, rss = _rows(database), process.rss_megabytes(provider.pid)
        lines.append(f"after 1,600 hits: {rows} rows, RSS {rss:.1f} MB")
        for _ in range(4):
            await _hit(provider, wanted // 4)
            rows, rss = _rows(database), process.rss_megabytes(provider.pid)
            lines.append(f"after {wanted // 4} more: {rows} rows, RSS {rss:.1f} MB")
        return lines


async def _hit(provider: Provider, hits: int) -> None:
    async def stranger(user: User) -> None:
        for _ in range(hits // 16):
            user.cookies = {}
            answer = await user.connection.send(user.authorization_request())
            if answer.status not in (302, 303):
                raise BenchError(f"/auth answered {answer.status}.")
        user.connection.close()

    await asyncio.gather(*(stranger(user) for user in provider.users(16)))


# — sweep ------------------------------------------------------------------------------


async def sweep(
    command: str, storage: str, config: Path, rows: int | None
) -> list[str]:
    """Probe ``/keys`` while expired rows are swept away."""
    wanted = rows or 200_000
    with _database(storage) as folder:
        async with _served(command, storage, config, Account(), folder) as (_, made):
            await made.users(1)[0].code()
        with _opened(folder) as database:
            copy_rows(database, "auth_code", wanted, expiry=_LONG_AGO)
        async with _served(command, storage, config, Account(), folder) as (
            file,
            provider,
        ):
            window = _Window()
            probes = await _timed(provider, _swept(file, wanted, window))
            inside = [took for at, took in probes if window.first <= at <= window.last]
            outside = [took for at, took in probes if at < window.first]
            return [
                f"{wanted} expired rows were swept within "
                f"{window.last - window.first:.1f} s",
                _latency("/keys meanwhile", inside),
                _latency("/keys before that", outside),
            ]


@attrs.define
class _Window:
    """When rows were seen to go: from ``first`` to ``last``, on the monotonic clock."""

    first: float = 0.0
    last: float = 0.0


async def _swept(database: Path, rows: int, window: _Window) -> None:
    # Some rows stand for all: to count them would be load itself.
    some = [f"copy-{n}" for n in range(0, rows, max(1, rows // 40))]
    deadline = time.monotonic() + _SWEPT_WITHIN
    window.first = time.monotonic()
    while left := await asyncio.to_thread(_left, database, some):
        if left == len(some):
            window.first = time.monotonic()
        if window.first > deadline:
            raise BenchError("The expired rows were not swept in time.")
        await asyncio.sleep(0.1)
    window.last = time.monotonic()
    await asyncio.sleep(0.2)


def _left(database: Path, keys: list[str]) -> int:
    places = ", ".join("?" * len(keys))
    with closing(_readonly(database)) as connection:
        query = f"select count(*) from auth_code where id in ({places})"
        found: int = connection.execute(query, keys).fetchone()[0]
    return found


# — volume -----------------------------------------------------------------------------


async def volume(
    command: str, storage: str, config: Path, rows: int | None
) -> list[str]:
    """Measure with many stored refresh tokens and clients, and without."""
    tokens, clients = rows or 100_000, (rows or 100_000) // 10
    with _database(storage) as empty, _database(storage) as full:
        async with _served(command, storage, config, Account(), full) as (_, made):
            await made.users(1)[0].get_tokens()
        with _opened(full) as database:
            copy_rows(database, "refresh_token", tokens)
            copy_rows(database, "offline_session", tokens, key="user_id")
            add_clients(database, clients)
        async with (
            _served(command, storage, config, Account(), empty, "empty") as (_, one),
            _served(command, storage, config, Account(), full, "full") as (_, two),
        ):
            results = await interleaved(
                chosen(("keys", "authorize", "exchange", "refresh", "userinfo")),
                (one, two),
                rounds=5,
            )
    by_operation: dict[str, list[float]] = {}
    for result in results:
        by_operation.setdefault(result.operation, []).append(result.cpu)
    return [f"{tokens} refresh tokens, {clients} clients; µs empty, full:"] + [
        f"{name}: {costs[0]:.0f}, {costs[1]:.0f} (x{costs[1] / max(costs[0], 1):.2f})"
        for name, costs in by_operation.items()
    ]


def add_clients(database: sqlite3.Connection, count: int) -> None:
    """Register many clients, in dex's own table."""
    empty = b"null"
    database.executemany(
        "insert into client (id, secret, redirect_uris, trusted_peers, public, name,"
        " logo_url) values (?, ?, ?, ?, 0, ?, '')",
        (
            (f"client-{n}", "secret", b'["http://127.0.0.1:1/cb"]', empty, f"App {n}")
            for n in range(count)
        ),
    )


# — sessions -------------------------------------------------------------------------


async def sessions(
    command: str, storage: str, config: Path, rounds: int | None
) -> list[str]:
    """Measure logins with sessions off and on, and what a session spares."""
    with tempfile.TemporaryDirectory(prefix="dexcore-bench-") as folder:
        on = _with_sessions(config, Path(folder))
        async with (
            _served(command, storage, config, Account(), name="off") as (_, one),
            _served(command, storage, on, Account(), name="on") as (_, two),
        ):
            results = await interleaved(
                chosen(("login POST",)), (one, two), rounds=rounds or 5
            ) + await interleaved(chosen(("silent login",)), (two,), rounds=rounds or 5)
    return [
        f"{each.operation}, sessions {each.provider}: "
        + (each.refused or f"{each.cpu:.0f} µs ({each.cpu_min:.0f})")
        for each in results
    ]


def _with_sessions(config: Path, folder: Path) -> Path:
    file = folder / "sessions.yaml"
    text = yaml.safe_load(config.read_text())
    file.write_text(yaml.safe_dump({**text, "sessions": {}}))
    return file


# — what they share --------------------------------------------------------------------


@asynccontextmanager
async def _served(
    command: str,
    storage: str,
    config: Path,
    account: Account,
    folder: Path | None = None,
    name: str = "server",
) -> AsyncIterator[tuple[Path, Provider]]:
    async with started(command, config=config, storage=storage, folder=folder) as up:
        provider = await Provider.find(name, up.issuer, up.pid, account)
        yield up.database, provider


@contextmanager
def _database(storage: str) -> Iterator[Path]:
    if storage != "sqlite3":
        raise BenchError("This scenario writes rows, so it needs --storage sqlite3.")
    with tempfile.TemporaryDirectory(prefix="dexcore-bench-") as folder:
        yield Path(folder)


@contextmanager
def _opened(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / "dex.db")) as connection, connection:
        yield connection


def _readonly(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)


def _rows(database: Path) -> str:
    if not database.exists():
        return "no file,"
    with closing(_readonly(database)) as connection:
        tables = connection.execute("select name from sqlite_master where type='table'")
        counts = {
            name: connection.execute(f'select count(*) from "{name}"').fetchone()[0]
            for (name,) in tables
            if name != "migrations"
        }
    return str(sum(counts.values()))


def copy_rows(
    database: sqlite3.Connection,
    table: str,
    count: int,
    key: str = "id",
    **changed: str,
) -> None:
    """Copy one row of *table* many times, each under a key of its own."""
    cursor = database.execute(f'select * from "{table}" limit 1')
    columns = [column[0] for column in cursor.description]
    row = cursor.fetchone()
    if row is None:
        raise BenchError(f"There is no row in {table} to copy.")
    model = {**dict(zip(columns, row, strict=True)), **changed}
    places = ", ".join("?" * len(columns))
    database.executemany(
        f'insert into "{table}" values ({places})',
        (
            tuple(f"copy-{n}" if c == key else model[c] for c in columns)
            for n in range(count)
        ),
    )


SCENARIOS: dict[str, Scenario] = {
    "storm": storm,
    "anonymous": anonymous,
    "sweep": sweep,
    "volume": volume,
    "storages": shared.storages,
    "replicas": shared.replicas,
    "sessions": sessions,
}
