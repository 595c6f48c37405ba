"""What dex left behind in a namespace goes, and nobody has to wait for it."""

from __future__ import annotations

import asyncio
import time

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import orjson
import pytest

from dexcore_storage_kubernetes import KubernetesStorage
from dexcore_storage_kubernetes.documents import Documents
from dexcore_storage_kubernetes.double import ApiServer
from dexcore_storage_kubernetes.resources import RESOURCES

from dexcore.storage import AuthCode, AuthRequest, AuthSession, StorageUnavailable

NOW = datetime(2026, 8, 6, 12, 0, tzinfo=UTC)
PAST, FUTURE = NOW - timedelta(hours=1), NOW + timedelta(hours=1)


async def fill(server: ApiServer, *records: Any) -> None:
    record = type(records[0])
    resource = next(one for one in RESOURCES if one.kind.record is record)
    documents: Documents[Any] = Documents(resource, "default")
    for one in records:
        (name,) = resource.names(*resource.kind.key_of(one))
        body = orjson.loads(documents.new(one, name))
        await server.apply(resource.plural, body)


@pytest.mark.timeout(300)  # the server in memory is not a fast one
async def test_twenty_thousand_stale_requests_and_codes_are_gone_after_two_sweeps(
    storage: KubernetesStorage, server: ApiServer
) -> None:
    """And meanwhile somebody logs in as fast as ever."""
    # By name the living come first: dex never gets further than those.
    await fill(
        server, *(AuthRequest(f"a{n:05}", "c", expiry=FUTURE) for n in range(600))
    )
    await fill(
        server, *(AuthRequest(f"b{n:05}", "c", expiry=PAST) for n in range(10_000))
    )
    await fill(server, *(AuthCode(f"b{n:05}", "c", expiry=PAST) for n in range(10_000)))
    first = asyncio.create_task(storage.sweep(NOW))
    took = []
    while not first.done():
        started = time.monotonic()
        await storage.auth_codes.create(AuthCode("new", "c", expiry=FUTURE))
        await storage.auth_codes.take("new")
        took.append(time.monotonic() - started)
        await asyncio.sleep(0.005)
    swept = await first
    assert (swept["auth_request"], swept["auth_code"]) == (10_000, 10_000)
    assert sum((await storage.sweep(NOW)).values()) == 0
    assert len(server.objects("authrequests")) == 600
    assert len(server.objects("authcodes")) == 0
    # Three requests each; the server they wait for is the one that sweeps.
    took.sort()
    assert len(took) > 20
    assert took[len(took) // 2] < 0.25


async def test_a_sweep_whose_version_is_gone_begins_again(
    storage: KubernetesStorage, server: ApiServer
) -> None:
    await fill(server, *(AuthCode(f"{n:05}", "c", expiry=PAST) for n in range(1200)))
    server.answer(410, method="GET", path="continue=")
    assert (await storage.sweep(NOW))["auth_code"] == 1200


async def test_what_was_renewed_meanwhile_stays(
    storage: KubernetesStorage, server: ApiServer
) -> None:
    """The session was listed as expired; before it is removed its user is back."""
    await storage.auth_sessions.create(
        AuthSession("s", absolute_expiry=FUTURE, idle_expiry=PAST)
    )
    server.answer(
        429, method="DELETE", path="authsessions", headers={"Retry-After": "1"}
    )
    sweeping = asyncio.create_task(storage.sweep(NOW))
    async with asyncio.timeout(10):
        while True:
            if any(method == "DELETE" for method, _ in server.requests):
                break
            await asyncio.sleep(0.01)
    await storage.auth_sessions.update(
        "s", change=lambda old: attrs.evolve(old, idle_expiry=FUTURE)
    )
    assert (await sweeping)["auth_session"] == 0
    assert (await storage.auth_sessions.get("s")).idle_expiry == FUTURE


async def test_an_object_without_an_expiry_we_can_read_is_left_alone(
    storage: KubernetesStorage, server: ApiServer
) -> None:
    await fill(server, AuthCode("code", "c", expiry=PAST))
    (body,) = server.objects("authcodes").values()
    await server.apply("authcodes", {**body, "expiry": "soon"})
    assert (await storage.sweep(NOW))["auth_code"] == 0
    assert len(server.objects("authcodes")) == 1


async def test_a_sweep_that_fails_says_so_and_the_next_goes_on(
    storage: KubernetesStorage, server: ApiServer
) -> None:
    await fill(server, *(AuthCode(f"{n:05}", "c", expiry=PAST) for n in range(100)))
    server.answer(500, method="DELETE", path="authcodes")
    with pytest.raises(StorageUnavailable):
        await storage.sweep(NOW)
    left = len(server.objects("authcodes"))
    assert (await storage.sweep(NOW))["auth_code"] == left
    assert len(server.objects("authcodes")) == 0
