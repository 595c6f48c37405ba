"""What replicas do to each other: races, leases, and sweeping 20,000 records."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import statistics
import sys
import time

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from dexcore_storage_etcd import Etcd, EtcdStorage, dex_storage_types, open_storage

from dexcore.storage import (
    AuthCode,
    AuthRequest,
    AuthSession,
    Client,
    Collections,
    NotFound,
    OfflineSessions,
    RefreshToken,
    Replay,
    SpentCode,
    Storage,
    StorageContext,
    StorageUnavailable,
)

HOUR = timedelta(hours=1)
_log = logging.getLogger(__name__)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def storage(config: Etcd) -> AsyncIterator[EtcdStorage]:
    storage = await open_storage(config)
    yield storage
    await storage.close()


@pytest.fixture
async def replicas(config: Etcd) -> AsyncIterator[list[EtcdStorage]]:
    replicas = await asyncio.gather(open_storage(config), open_storage(config))
    yield replicas
    await asyncio.gather(*(one.close() for one in replicas))


# — Races ------------------------------------------------------------------------------


async def outcomes(attempts: list[Awaitable[Any]]) -> Counter[str]:
    done = await asyncio.gather(*attempts, return_exceptions=True)
    return Counter(
        type(one).__name__ if isinstance(one, BaseException) else "ok" for one in done
    )


async def test_of_a_hundred_exchanges_of_a_code_on_two_replicas_one_succeeds(
    replicas: list[EtcdStorage],
) -> None:
    def exchange(number: int) -> Callable[[Collections], Awaitable[None]]:
        async def work(inside: Collections) -> None:
            code = await inside.auth_codes.take("code")
            token = f"r{number}"
            await inside.spent_codes.create(SpentCode(code.id, "c", token))
            await inside.refresh_tokens.create(RefreshToken(token, "c"))
            await inside.offline_sessions.update_or_create(
                "u", "ldap", change=lambda old: old, first=OfflineSessions("u", "ldap")
            )

        return work

    for _ in range(3):
        code = AuthCode("code", "c", expiry=now() + HOUR)
        await replicas[0].auth_codes.create(code)
        units = [one.unit(exchange(number)) for number in range(50) for one in replicas]
        assert await outcomes(units) == {"ok": 1, "NotFound": 99}
        assert len(await replicas[1].refresh_tokens.list()) == 1
        spent = await replicas[1].spent_codes.take("code")
        assert (await replicas[0].refresh_tokens.take(spent.handle)).id == spent.handle


async def test_a_hundred_rotations_of_a_token_on_two_replicas_all_count(
    replicas: list[EtcdStorage],
) -> None:
    await replicas[0].refresh_tokens.create(RefreshToken("r", "c", token="0"))
    await replicas[0].offline_sessions.create(OfflineSessions("u", "ldap"))

    async def rotate(inside: Collections) -> str:
        fresh = await inside.refresh_tokens.update(
            "r", change=lambda old: attrs.evolve(old, token=f"{int(old.token) + 1}")
        )
        await inside.offline_sessions.update(
            "u",
            "ldap",
            change=lambda old: attrs.evolve(old, connector_data=fresh.token.encode()),
        )
        return fresh.token

    units = [one.unit(rotate) for _ in range(50) for one in replicas]
    written = await asyncio.gather(*units)
    assert sorted(map(int, written)) == [*range(1, 101)]
    session = await replicas[1].offline_sessions.get("u", "ldap")
    assert session.connector_data == b"100"


async def test_of_a_hundred_rotations_that_insist_on_the_token_one_succeeds(
    replicas: list[EtcdStorage],
) -> None:
    class Overtaken(Exception):
        pass

    await replicas[0].refresh_tokens.create(RefreshToken("r", "c", token="first"))

    def rotate(old: RefreshToken) -> RefreshToken:
        if old.token != "first":
            raise Overtaken
        return attrs.evolve(old, token="second")

    found = await outcomes(
        [
            one.refresh_tokens.update("r", change=rotate)
            for _ in range(50)
            for one in replicas
        ]
    )
    assert found == {"ok": 1, "Overtaken": 99}


async def test_five_replicas_that_start_at_once_agree_on_the_first_record(
    config: Etcd,
) -> None:
    replicas = await asyncio.gather(*(open_storage(config) for _ in range(5)))

    async def start(number: int, storage: Storage) -> str:
        client = await _find_or_create(storage, f"{number}")
        return client.name

    async def _find_or_create(storage: Storage, name: str) -> Client:
        return await storage.clients.update_or_create(
            "c", change=lambda old: old, first=Client("c", name=name)
        )

    names = await asyncio.gather(
        *(start(number, one) for number, one in enumerate(replicas))
    )
    stored = await replicas[0].clients.get("c")
    assert set(names) == {stored.name}
    await asyncio.gather(*(one.close() for one in replicas))


async def test_a_view_sees_everything_at_one_moment(
    replicas: list[EtcdStorage],
) -> None:
    for name in "ab":
        await replicas[0].clients.create(Client(name, name="0"))

    async def both(inside: Collections) -> tuple[str, str]:
        first = await inside.clients.get("a")
        await asyncio.sleep(0.01)
        return first.name, (await inside.clients.get("b")).name

    async def set_both(inside: Collections, name: str) -> None:
        for one in "ab":
            await inside.clients.update(
                one, change=lambda old: attrs.evolve(old, name=name)
            )

    async def write() -> None:
        for number in range(20):
            await replicas[1].unit(lambda inside: set_both(inside, f"{number}"))  # noqa: B023

    writing = asyncio.create_task(write())
    seen = []
    while not writing.done():
        seen.append(await replicas[0].view(both))
    await writing
    assert all(first == second for first, second in seen)
    assert len({first for first, _ in seen}) > 1


async def test_a_list_inside_a_unit_has_what_the_unit_wrote(
    storage: EtcdStorage,
) -> None:
    for name in "bdf":
        await storage.clients.create(Client(name))

    async def work(inside: Collections) -> list[str]:
        await inside.clients.create(Client("a"))
        await inside.clients.create(Client("g"))
        await inside.clients.create(Client("c"))
        await inside.clients.delete("d")
        return [client.id for client in await inside.clients.list(limit=5)]

    assert await storage.unit(work) == [*"abcfg"]
    assert [client.id for client in await storage.clients.list()] == [*"abcfg"]


async def test_many_records_come_in_pages(storage: EtcdStorage) -> None:
    ids = [f"{number:04}" for number in range(1100)]
    await asyncio.gather(*(storage.clients.create(Client(one)) for one in ids))
    assert [one.id for one in await storage.clients.list()] == ids
    page = await storage.clients.list(after=("0099",), limit=700)
    assert [one.id for one in page] == ids[100:800]


# — What it costs ----------------------------------------------------------------------


async def _none(inside: Collections) -> None:
    pass


async def _exchange(inside: Collections) -> None:
    code = await inside.auth_codes.take("k")
    await inside.spent_codes.create(SpentCode(code.id, "c", "h", expiry=code.expiry))
    await inside.refresh_tokens.create(RefreshToken("r", "c"))
    await inside.offline_sessions.update_or_create(
        "u",
        "ldap",
        change=lambda old: attrs.evolve(old, connector_data=b"x"),
        first=OfflineSessions("u", "ldap"),
    )


async def _refresh(inside: Collections) -> None:
    await inside.refresh_tokens.update(
        "q", change=lambda old: attrs.evolve(old, token="x")
    )
    await inside.offline_sessions.update(
        "u", "ldap", change=lambda old: attrs.evolve(old, connector_data=b"y")
    )


@pytest.mark.parametrize(
    ("act", "calls", "commits"),
    [
        (lambda s: s.unit(_none), 0, 0),
        (lambda s: s.clients.get("c"), 1, 0),
        (lambda s: s.clients.create(Client("d")), 1, 1),
        (lambda s: s.clients.take("c"), 1, 1),
        (lambda s: s.clients.update("c", change=lambda old: old), 1, 0),
        (
            lambda s: s.clients.update("c", change=lambda o: attrs.evolve(o, name="x")),
            2,
            1,
        ),
        (lambda s: s.offline_sessions.get("u", "ldap"), 1, 0),
        (lambda s: s.unit(_exchange), 3, 1),
        (lambda s: s.unit(_refresh), 3, 1),
    ],
    ids=["nothing", "get", "create", "take", "no-change", "update", "pair", "exchange",
         "refresh"],
)  # fmt: skip
async def test_calls_and_commits_are_as_few_as_this(
    storage: EtcdStorage,
    server: Any,
    act: Callable[[Storage], Awaitable[Any]],
    calls: int,
    commits: int,
) -> None:
    expiry = now() + HOUR
    await storage.clients.create(Client("c"))
    await storage.refresh_tokens.create(RefreshToken("q", "c"))
    await storage.offline_sessions.create(OfflineSessions("u", "ldap"))
    await storage.auth_codes.create(AuthCode("k", "c", expiry=expiry))
    await storage.replays.create(Replay("m", expiry))  # the lease of this minute

    def counted() -> tuple[float, float]:
        return (
            server.metric("grpc_server_handled_total", grpc_service="etcdserverpb.KV"),
            server.metric("etcd_server_proposals_committed_total"),
        )

    before = counted()
    await act(storage)
    after = counted()
    assert (after[0] - before[0], after[1] - before[1]) == (calls, commits)


# — Leases -----------------------------------------------------------------------------


async def test_what_expires_has_a_lease_that_lasts_a_little_longer(
    storage: EtcdStorage, outside: Any, namespace: str
) -> None:
    await storage.auth_codes.create(AuthCode("k", "c", expiry=now() + HOUR))
    await storage.replays.create(Replay("m", expiry=now() + HOUR))
    await storage.auth_requests.create(AuthRequest("a", "c", expiry=now() - HOUR))
    await storage.clients.create(Client("c"))
    codes = outside.leases(f"{namespace}auth_code/")
    assert codes == outside.leases(f"{namespace}dexcore/replay/")
    assert 3600 + 500 < outside.time_to_live(codes[0]) < 3600 + 700
    (late,) = outside.leases(f"{namespace}auth_req/")
    assert 500 < outside.time_to_live(late) < 700
    assert outside.leases(f"{namespace}client/") == [0]


async def test_a_session_that_goes_on_gets_a_longer_lease(
    storage: EtcdStorage, outside: Any, namespace: str
) -> None:
    end = now() + HOUR
    await storage.auth_sessions.create(
        AuthSession("s", absolute_expiry=end, idle_expiry=end)
    )
    (first,) = outside.leases(f"{namespace}auth_session/")
    await storage.auth_sessions.update(
        "s", change=lambda old: attrs.evolve(old, ip_address="::1")
    )
    assert outside.leases(f"{namespace}auth_session/") == [first]
    await storage.auth_sessions.update(
        "s",
        change=lambda old: attrs.evolve(
            old, absolute_expiry=end + HOUR, idle_expiry=end + HOUR
        ),
    )
    (second,) = outside.leases(f"{namespace}auth_session/")
    assert outside.time_to_live(second) > outside.time_to_live(first) + 3000


async def test_a_lease_that_is_gone_is_replaced(
    storage: EtcdStorage, outside: Any, namespace: str
) -> None:
    expiry = now() + HOUR
    await storage.auth_codes.create(AuthCode("k1", "c", expiry=expiry))
    (lease,) = outside.leases(f"{namespace}auth_code/")
    outside.revoke(lease)
    assert await storage.auth_codes.find("k1") is None
    await storage.auth_codes.create(AuthCode("k2", "c", expiry=expiry))
    (other,) = outside.leases(f"{namespace}auth_code/")
    assert other not in (0, lease)


async def test_a_lease_has_a_thousand_records_at_most(
    storage: EtcdStorage, outside: Any, namespace: str
) -> None:
    expiry = now() + HOUR
    codes = (AuthCode(f"{number}", "c", expiry=expiry) for number in range(1100))
    await asyncio.gather(*map(storage.auth_codes.create, codes))
    used = Counter(outside.leases(f"{namespace}auth_code/"))
    assert len(used) == 2
    assert max(used.values()) <= 1000


# — The sweep --------------------------------------------------------------------------


async def test_a_session_used_while_it_is_swept_stays(
    replicas: list[EtcdStorage],
) -> None:
    for number in range(200):
        await replicas[0].auth_sessions.create(AuthSession(f"{number:03}"))
    end = now() + HOUR

    async def use(number: int) -> str:
        session = await replicas[1].auth_sessions.update(
            f"{number:03}",
            change=lambda old: attrs.evolve(old, absolute_expiry=end, idle_expiry=end),
        )
        return session.id

    used = [asyncio.create_task(use(number)) for number in range(0, 200, 5)]
    swept = (await replicas[0].sweep(now()))["auth_session"]
    saved = {
        one
        for one in await asyncio.gather(*used, return_exceptions=True)
        if not isinstance(one, NotFound)
    }
    assert {one.id for one in await replicas[1].auth_sessions.list()} == saved
    assert swept == 200 - len(saved)


async def test_damaged_documents_do_not_stop_the_sweep(
    storage: EtcdStorage, outside: Any, namespace: str
) -> None:
    for number, document in enumerate((b"", b"{", b"{}", b'{"expiry":7}', b"[]")):
        outside.put(f"{namespace}auth_req/{number}", document)
    await storage.auth_requests.create(AuthRequest("z", "c", expiry=now() - HOUR))
    assert (await storage.sweep(now()))["auth_request"] == 1
    assert len(outside.keys(f"{namespace}auth_req/")) == 5


async def test_twenty_thousand_that_dex_left_go_while_others_work(
    storage: EtcdStorage, outside: Any, namespace: str
) -> None:
    await asyncio.to_thread(_leave_behind, outside, f"{namespace}auth_req/", 20_000)
    waits: list[float] = []

    async def log_in() -> None:
        number = 0
        while True:
            number += 1
            started = time.perf_counter()
            code = AuthCode(f"k{number}", "c", expiry=now() + HOUR)
            await storage.auth_codes.create(code)
            await storage.auth_codes.get(code.id)
            waits.append(time.perf_counter() - started)
            await asyncio.sleep(0.01)

    working = asyncio.create_task(log_in())
    started = time.perf_counter()
    swept = (await storage.sweep(now()))["auth_request"]
    took = time.perf_counter() - started
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working
    median, worst = statistics.median(waits), max(waits)
    _log.warning(
        "swept 20000 in %.1f s; a create and a get meanwhile: median %.1f ms,"
        " at most %.1f ms, of %d",
        took,
        median * 1000,
        worst * 1000,
        len(waits),
    )
    assert swept == 20_000
    assert outside.keys(f"{namespace}auth_req/") == []
    # An order of magnitude above what it takes alone on two slow cores.
    assert took < 30
    assert median < 0.1


def _leave_behind(outside: Any, prefix: str, count: int) -> None:
    """Write expired requests as dex does, without leases."""
    document = (
        '{"id":"%06d","client_id":"c1","response_types":["code"],"scopes":["openid"],'
        '"redirect_uri":"https://a.example/callback","nonce":"n","state":"%s",'
        '"force_approval_prompt":false,"expiry":"2026-08-06T12:30:45.123456789Z",'
        '"logged_in":false,"claims":{"userID":"","username":"","preferredUsername":"",'
        '"email":"","emailVerified":false},"connector_id":"","connector_data":null,'
        '"hmac_key":"aw==","mfa_validated":false,"max_age":-1,'
        '"auth_time":"0001-01-01T00:00:00Z"}'
    )
    for first in range(0, count, 100):
        outside.put_all(
            {
                f"{prefix}{number:06}": (document % (number, "s" * 100)).encode()
                for number in range(first, first + 100)
            }
        )


# — The plugin -------------------------------------------------------------------------


async def test_it_is_offered_as_etcd(config: Etcd) -> None:
    (offer,) = dex_storage_types()
    assert offer.name == "etcd"
    storage = await offer.open(config, StorageContext())
    assert storage.shared
    await storage.close()
    with pytest.raises(StorageUnavailable, match="closed"):
        await storage.clients.list()


_STUB = """
import attrs
from dexcore import hookimpl
from dexcore.storage import StorageType

@attrs.frozen
class Config:
    endpoints: tuple[str, ...] = ()

async def open_stub(config, context):
    raise NotImplementedError

@hookimpl
def dex_storage_types():
    return [StorageType("stub", Config, open_stub)]
"""


@pytest.mark.parametrize(("name", "imported"), [("stub", False), ("etcd", True)])
async def test_grpc_is_imported_only_if_the_file_names_etcd(
    tmp_path: Path, name: str, imported: bool
) -> None:
    installed = tmp_path / "stub-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: stub\nVersion: 1\n"
    )
    (installed / "entry_points.txt").write_text("[dexcore]\nstorage.stub = stub\n")
    (tmp_path / "stub.py").write_text(_STUB)
    file = tmp_path / "config.json"
    storage = {"type": name, "config": {"endpoints": ["127.0.0.1"]}}
    file.write_text(json.dumps({"issuer": "http://h/dex", "storage": storage}))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "importtime", "-m", "dexcore", "check", str(file)),
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    assert (b" grpc\n" in told) is imported
