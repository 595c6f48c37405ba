"""What is special about a file: transactions, other processes, power, full disks."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest

from dexcore_storage_sql import (
    SQLite3,
    SQLiteStorage,
    dex_storage_types,
    open_storage,
)

from dexcore.errors import ConfigError
from dexcore.storage import (
    AuthCode,
    AuthRequest,
    Client,
    Collections,
    OfflineSessions,
    RefreshToken,
    Revocation,
    SpentCode,
    StorageContext,
    StorageError,
    StorageUnavailable,
)

LATER = datetime(2126, 1, 1, tzinfo=UTC)


async def exchange(inside: Collections) -> None:
    """What happens when a code becomes tokens."""
    code = await inside.auth_codes.take("code")
    await inside.refresh_tokens.create(RefreshToken("r", code.client_id))
    await inside.offline_sessions.update(
        "u", "ldap", change=lambda old: attrs.evolve(old, connector_data=b"x")
    )
    await inside.spent_codes.create(SpentCode("code", "c", "h", expiry=LATER))


# — Transactions -----------------------------------------------------------------------


async def test_an_exchange_is_one_transaction_of_five_statements(
    storage: SQLiteStorage,
) -> None:
    await storage.auth_codes.create(AuthCode("code", "c", expiry=LATER))
    await storage.offline_sessions.create(OfflineSessions("u", "ldap"))
    before = storage.statistics
    await storage.unit(exchange)
    after = storage.statistics
    assert after.transactions - before.transactions == 1
    assert after.commits - before.commits == 1
    assert after.statements - before.statements == 5
    assert after.reads == before.reads


async def test_what_happens_at_once_shares_its_commits(storage: SQLiteStorage) -> None:
    before = storage.statistics
    await asyncio.gather(*(storage.clients.create(Client(f"{n}")) for n in range(64)))
    after = storage.statistics
    assert after.transactions - before.transactions == 64
    assert after.commits - before.commits < 10


async def test_reading_is_no_transaction(storage: SQLiteStorage) -> None:
    before = storage.statistics
    await asyncio.gather(*(storage.clients.find("c") for _ in range(5)))
    after = storage.statistics
    assert after.reads - before.reads == 5
    assert (after.transactions, after.commits) == (before.transactions, before.commits)


async def test_a_change_of_nothing_writes_nothing(storage: SQLiteStorage) -> None:
    await storage.clients.create(Client("c"))
    before = storage.statistics.statements
    await storage.clients.update("c", change=lambda old: attrs.evolve(old, name=""))
    assert storage.statistics.statements - before == 1


async def test_one_refusal_does_not_spoil_what_happens_at_the_same_time(
    storage: SQLiteStorage,
) -> None:
    async def broken(inside: Collections) -> None:
        await inside.clients.create(Client("broken"))
        raise ZeroDivisionError

    work = [storage.clients.create(Client(f"{n}")) for n in range(20)]
    done = await asyncio.gather(
        *work[:10], storage.unit(broken), *work[10:], return_exceptions=True
    )
    assert [type(one) for one in done if one is not None] == [ZeroDivisionError]
    assert len(await storage.clients.list()) == 20


@pytest.mark.parametrize("error", [StopIteration, SystemExit, asyncio.CancelledError])
async def test_nothing_that_a_change_raises_stops_the_storage(
    storage: SQLiteStorage, error: type[BaseException]
) -> None:
    await storage.clients.create(Client("c"))

    def change(_: Client) -> Client:
        raise error

    async def attempt() -> str:
        try:
            await storage.clients.update("c", change=change)
        except BaseException as raised:
            return type(raised).__name__
        return ""

    expected = "RuntimeError" if error is StopIteration else error.__name__
    assert await attempt() == expected
    assert await storage.clients.get("c") == Client("c")
    await storage.clients.create(Client("d"))


async def test_a_unit_that_waits_for_something_else_is_refused(
    storage: SQLiteStorage,
) -> None:
    async def work(inside: Collections) -> None:
        await inside.clients.create(Client("c"))
        await asyncio.sleep(0)

    with pytest.raises(StorageError, match="something else"):
        await storage.unit(work)
    assert await storage.clients.list() == []


async def test_a_long_sweep_lets_others_in(storage: SQLiteStorage) -> None:
    past = datetime(2026, 1, 1, tzinfo=UTC)

    async def fill(inside: Collections) -> None:
        for number in range(5000):
            await inside.auth_codes.create(AuthCode(f"{number}", "c", expiry=past))
            await inside.revocations.create(Revocation(f"{number}", past))

    await storage.unit(fill)
    sweeping = asyncio.create_task(storage.sweep(past + timedelta(1)))
    done = 0
    while not sweeping.done():
        await storage.clients.create(Client(f"{done}"))
        done += 1
    swept = await sweeping
    assert (swept["auth_code"], swept["revocation"]) == (5000, 5000)
    assert done > 50


# — Who waits --------------------------------------------------------------------------


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else is writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


async def test_who_stops_waiting_does_not_take_others_along(
    storage: SQLiteStorage, path: Path
) -> None:
    with locked(path):
        waiting = [
            asyncio.create_task(storage.clients.create(Client(f"{n}")))
            for n in range(10)
        ]
        await asyncio.sleep(0.05)
        for task in waiting[::2]:
            task.cancel()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert [one for one in done[1::2] if one is not None] == []
    assert all(isinstance(one, asyncio.CancelledError) for one in done[::2])
    stored = {client.id for client in await storage.clients.list()}
    assert stored >= {"1", "3", "5", "7", "9"}


async def test_readers_do_not_wait_for_a_writer(
    storage: SQLiteStorage, path: Path
) -> None:
    await storage.clients.create(Client("c"))
    with locked(path):
        writing = asyncio.create_task(storage.clients.create(Client("d")))
        await asyncio.sleep(0.01)
        async with asyncio.timeout(1):
            assert (await storage.clients.get("c")).id == "c"
            await storage.ping()
        assert not writing.done()
    await writing


async def test_a_file_that_stays_locked_is_unavailable_after_five_seconds(
    storage: SQLiteStorage, path: Path
) -> None:
    loop = asyncio.get_running_loop()
    with locked(path):
        started = loop.time()
        done = await asyncio.gather(
            *(storage.clients.create(Client(f"{n}")) for n in range(3)),
            return_exceptions=True,
        )
        assert 4.5 < loop.time() - started < 9
    assert [type(one) for one in done] == [StorageUnavailable] * 3
    assert isinstance(getattr(done[0], "__cause__", None), StorageUnavailable)
    assert await storage.clients.list() == []
    await storage.clients.create(Client("c"))


WRITER = """
import asyncio, sys, attrs
from dexcore.storage import RefreshToken
from dexcore_storage_sql import SQLite3, open_storage

async def main():
    storage = await open_storage(SQLite3(sys.argv[1]))
    def count(old):
        return attrs.evolve(old, token=str(int(old.token) + 1))
    for _ in range(50):
        await storage.refresh_tokens.update("r", change=count)
    await storage.close()

asyncio.run(main())
"""


async def test_two_processes_lose_no_update(storage: SQLiteStorage, path: Path) -> None:
    await storage.refresh_tokens.create(RefreshToken("r", "c", token="0"))
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, path)
    running = asyncio.create_task(other.wait())
    mine = 0
    while not running.done():
        await storage.refresh_tokens.update(
            "r", change=lambda old: attrs.evolve(old, token=f"{int(old.token) + 1}")
        )
        mine += 1
    assert await running == 0
    assert (await storage.refresh_tokens.get("r")).token == f"{50 + mine}"
    assert mine > 0


# — What breaks ------------------------------------------------------------------------

EXCHANGER = """
import asyncio, sys
from dexcore.storage import AuthCode, RefreshToken
from dexcore_storage_sql import SQLite3, open_storage

async def main():
    storage = await open_storage(SQLite3(sys.argv[1]))
    async def exchange(number):
        async def work(inside):
            await inside.auth_codes.take(f"c{number}")
            await inside.refresh_tokens.create(RefreshToken(f"r{number}", "c"))
        await storage.auth_codes.create(AuthCode(f"c{number}", "c"))
        print(f"c{number}", flush=True)
        await storage.unit(work)
        print(f"r{number}", flush=True)
    for start in range(int(sys.argv[2]), 1_000_000, 10):
        await asyncio.gather(*(exchange(start + n) for n in range(10)))

asyncio.run(main())
"""


def lines_before_killing(path: Path, start: int, count: int) -> set[str]:
    """Let a process exchange codes, kill it after so many lines; return all lines."""
    with subprocess.Popen(
        [sys.executable, "-c", EXCHANGER, path, str(start)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = {process.stdout.readline().strip() for _ in range(count)}
        process.send_signal(signal.SIGKILL)
        return lines | {line.strip() for line in process.stdout if line[-1] == "\n"}


async def test_a_killed_process_leaves_nothing_half_done_and_loses_nothing(
    path: Path,
) -> None:
    acknowledged: set[str] = set()
    for attempt in range(5):
        acknowledged |= lines_before_killing(path, attempt * 100_000, 40 + attempt * 17)
        storage = await open_storage(SQLite3(str(path)))
        codes = {record.id for record in await storage.auth_codes.list()}
        tokens = {record.id for record in await storage.refresh_tokens.list()}
        await storage.close()
        # Every code that was acknowledged is there, or became its token.
        assert not {c[1:] for c in codes} & {r[1:] for r in tokens}
        assert {name for name in acknowledged if name[0] == "r"} <= tokens
        assert {name[1:] for name in acknowledged} <= {n[1:] for n in codes | tokens}
    assert len(acknowledged) > 200


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """No file can grow beyond *room* bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
async def test_a_full_disk_refuses_writes_until_there_is_room(
    path: Path, journal_mode: str
) -> None:
    storage = await open_storage(SQLite3(str(path), "full", journal_mode))
    large = b"x" * 50_000

    def request(name: str) -> AuthRequest:
        return AuthRequest(name, "c", connector_data=large, expiry=LATER)

    done: dict[str, BaseException | None] = {}
    with full_disk(1_000_000):
        for batch in range(6):
            names = [f"{batch}-{number}" for number in range(10)]
            outcomes = await asyncio.gather(
                *(storage.auth_requests.create(request(name)) for name in names),
                return_exceptions=True,
            )
            done.update(zip(names, outcomes, strict=True))
        await storage.auth_requests.list()
    refused = {name for name, one in done.items() if one is not None}
    assert {type(done[name]) for name in refused} == {StorageUnavailable}
    assert refused != done.keys()
    stored = {record.id for record in await storage.auth_requests.list()}
    assert stored == done.keys() - refused
    await storage.auth_requests.create(request("afterwards"))
    await storage.close()
    storage = await open_storage(SQLite3(str(path)))
    again = {record.id for record in await storage.auth_requests.list()}
    assert again == {*stored, "afterwards"}
    await storage.close()


async def test_what_sqlite_cannot_store_spoils_nothing_else(
    storage: SQLiteStorage,
) -> None:
    records = [Client("a"), Client("b", name="\ud800"), Client("c")]
    done = await asyncio.gather(
        *map(storage.clients.create, records), return_exceptions=True
    )
    assert [type(one) for one in done] == [type(None), UnicodeEncodeError, type(None)]
    assert [client.id for client in await storage.clients.list()] == ["a", "c"]


async def test_a_closed_storage_is_unavailable_and_leaves_no_threads(
    path: Path,
) -> None:
    storage = await open_storage(SQLite3(str(path)))
    await storage.close()
    await storage.close()
    with pytest.raises(StorageUnavailable):
        await storage.clients.create(Client("c"))
    with pytest.raises(StorageUnavailable):
        await storage.ping()
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("dexcore-sqlite")]
    gc.collect()


# — Opening ----------------------------------------------------------------------------


async def test_the_plugin_offers_the_type_sqlite3(path: Path) -> None:
    (offer,) = dex_storage_types()
    assert (offer.name, offer.config) == ("sqlite3", SQLite3)
    storage = await offer.open(SQLite3(str(path)), StorageContext())
    assert storage.shared
    await storage.close()


async def test_folders_are_made_and_a_new_file_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where" / "dex.db"
    await (await open_storage(SQLite3(str(path)))).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "given", ["{path}", "file:{path}", "file:{path}?cache=private", "{path}?_x=1"]
)
async def test_files_are_named_as_dex_names_them(path: Path, given: str) -> None:
    file = given.format(path=path)
    storage = await open_storage(SQLite3(file))
    await storage.clients.create(Client("c"))
    await storage.close()
    assert [one.name for one in path.parent.iterdir()] == ["dex.db"]
    storage = await open_storage(SQLite3(file))
    assert len(await storage.clients.list()) == 1
    await storage.close()


@pytest.mark.parametrize("file", [":memory:", "file::memory:", "file:x?mode=memory"])
async def test_a_database_in_memory_is_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.chdir(tmp_path)
    storages = [await open_storage(SQLite3(file)) for _ in range(2)]
    await storages[0].clients.create(Client("c"))
    assert await storages[1].clients.list() == []
    for storage in storages:
        assert not storage.shared
        await storage.close()
    assert os.listdir(tmp_path) == []


async def test_a_read_only_database_can_be_read(path: Path) -> None:
    storage = await open_storage(SQLite3(str(path)))
    await storage.clients.create(Client("c"))
    await storage.close()
    storage = await open_storage(SQLite3(f"file:{path}?mode=ro"))
    assert (await storage.clients.get("c")).id == "c"
    with pytest.raises(StorageUnavailable, match="readonly"):
        await storage.clients.create(Client("d"))
    await storage.close()


async def test_what_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("This is not a database, only a text.\n" * 100)
    for file in ("", "/file", "/file/dex.db"):
        with pytest.raises(StorageUnavailable):
            await open_storage(SQLite3(f"{tmp_path}{file}"))


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"file": ""}, "file"),
        ({"file": "x", "synchronous": "off"}, "synchronous"),
        ({"file": "x", "journal_mode": "memory"}, "journalMode"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    options: dict[str, str], key: str
) -> None:
    with pytest.raises(ConfigError, match=key):
        SQLite3(**options)
