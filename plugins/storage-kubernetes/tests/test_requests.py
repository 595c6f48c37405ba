"""What happens when the API server is busy, slow, broken or gone."""

from __future__ import annotations

import asyncio
import time

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest

from dexcore_storage_kubernetes import KubernetesStorage
from dexcore_storage_kubernetes.double import ApiServer
from dexcore_storage_kubernetes.storage import open_cluster

from dexcore.storage import (
    AlreadyExists,
    AuthCode,
    Client,
    NotFound,
    RefreshToken,
    StorageContext,
    StorageError,
    StorageUnavailable,
)
from dexcore.testing.cable import Cable

LATER = datetime(2126, 1, 1, tzinfo=UTC)
TOKENS = "/refreshtokens"


@pytest.fixture
async def impatient(server: ApiServer) -> AsyncIterator[KubernetesStorage]:
    """A storage that waits half a second."""
    storage = await open_cluster(server.cluster(), "ensure", StorageContext(), 0.5)
    yield storage
    await storage.close()


def asked(server: ApiServer, method: str) -> int:
    return sum(one == method and TOKENS in path for one, path in server.requests)


def renamed(old: RefreshToken) -> RefreshToken:
    return attrs.evolve(old, token=old.token + "+")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_server_that_is_busy_is_asked_again_when_it_says(
    storage: KubernetesStorage, server: ApiServer, method: str
) -> None:
    server.answer(
        429, times=2, method=method, path=TOKENS, headers={"Retry-After": "0"}
    )
    await storage.refresh_tokens.create(RefreshToken("r", "c"))
    await storage.refresh_tokens.update("r", change=renamed)
    assert (await storage.refresh_tokens.take("r")).token == "+"


async def test_a_server_that_stays_busy_is_unavailable(
    impatient: KubernetesStorage, server: ApiServer
) -> None:
    server.answer(429, times=100, path=TOKENS, headers={"Retry-After": "1"})
    started = time.monotonic()
    with pytest.raises(StorageUnavailable, match="429"):
        await impatient.refresh_tokens.get("r")
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("trouble", ["answer", "cut"])
async def test_a_read_that_fails_is_made_again(
    storage: KubernetesStorage, server: ApiServer, trouble: str
) -> None:
    await storage.refresh_tokens.create(RefreshToken("r", "c"))
    if trouble == "answer":
        server.answer(503, times=2, method="GET", path=TOKENS)
    else:
        server.cut(times=2, method="GET", path=TOKENS)
    assert await storage.refresh_tokens.get("r") == RefreshToken("r", "c")
    server.answer(500, times=100, method="GET", path=TOKENS)
    with pytest.raises(StorageUnavailable, match="500"):
        await storage.refresh_tokens.list()


@pytest.mark.parametrize("trouble", ["answer", "cut"])
async def test_a_write_that_fails_is_never_made_again(
    storage: KubernetesStorage, server: ApiServer, trouble: str
) -> None:
    """Whether it was done is not known; done twice, a token would rotate twice."""
    await storage.refresh_tokens.create(RefreshToken("r", "c"))
    for method in ("PUT", "DELETE", "POST"):
        if trouble == "answer":
            server.answer(500, method=method, path=TOKENS)
        else:
            server.cut(method=method, path=TOKENS)
    before = {method: asked(server, method) for method in ("PUT", "DELETE", "POST")}
    with pytest.raises(StorageUnavailable):
        await storage.refresh_tokens.update("r", change=renamed)
    with pytest.raises(StorageUnavailable):
        await storage.refresh_tokens.take("r")
    with pytest.raises(StorageUnavailable):
        await storage.refresh_tokens.create(RefreshToken("new", "c"))
    after = {method: asked(server, method) for method in ("PUT", "DELETE", "POST")}
    assert after == {method: count + 1 for method, count in before.items()}
    done = trouble == "cut"
    assert (await storage.refresh_tokens.find("new") is not None) == done
    assert (await storage.refresh_tokens.find("r") is None) == done


async def test_a_server_that_does_not_answer_is_not_waited_for_long(
    impatient: KubernetesStorage, server: ApiServer
) -> None:
    for path in (TOKENS, "/oauth2clients"):
        server.hang(times=100, path=path)
    for attempt in (
        impatient.refresh_tokens.get("r"),
        impatient.refresh_tokens.create(RefreshToken("r", "c")),
        impatient.ping(),
    ):
        started = time.monotonic()
        with pytest.raises(StorageUnavailable, match=r"did not answer in 0\.5 s"):
            await attempt
        assert time.monotonic() - started < 2


async def test_a_server_that_comes_back_is_used_again(
    storage: KubernetesStorage, server: ApiServer
) -> None:
    """Nobody has to restart dexcore."""
    await storage.clients.create(Client("c"))
    await server.stop()
    with pytest.raises(StorageUnavailable, match="cannot be reached"):
        await storage.refresh_tokens.create(RefreshToken("r", "c"))
    with pytest.raises(StorageUnavailable):
        await storage.ping()
    await server.start()
    await storage.refresh_tokens.create(RefreshToken("r", "c"))
    assert await storage.refresh_tokens.get("r") == RefreshToken("r", "c")
    assert await storage.clients.get("c") == Client("c")


@pytest.mark.parametrize("status", [301, 400, 403, 404, 409, 418])
async def test_an_answer_that_makes_no_sense_is_no_answer(
    storage: KubernetesStorage, server: ApiServer, status: int
) -> None:
    """Least of all "not found", which only an API server can say."""
    server.answer(status, times=100, path=TOKENS, headers={"Location": "/"})
    with pytest.raises(StorageError) as raised:
        await storage.refresh_tokens.get("r")
    assert not isinstance(raised.value, NotFound | AlreadyExists)
    with pytest.raises(StorageError) as raised:
        await storage.refresh_tokens.create(RefreshToken("r", "c"))
    assert not isinstance(raised.value, NotFound | AlreadyExists)


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_record_the_server_refuses_is_not_tried_for_ever(
    storage: KubernetesStorage, server: ApiServer, status: int
) -> None:
    server.answer(status, method="POST", path=TOKENS)
    with pytest.raises(StorageError, match="refuses the record") as raised:
        await storage.refresh_tokens.create(RefreshToken("r", "c"))
    assert not isinstance(raised.value, StorageUnavailable)


async def test_a_record_others_change_all_the_time_is_given_up(
    storage: KubernetesStorage, impatient: KubernetesStorage, server: ApiServer
) -> None:
    await storage.refresh_tokens.create(RefreshToken("r", "c"))
    server.answer(409, times=10_000, method="PUT", path=TOKENS)
    with pytest.raises(StorageUnavailable, match="Others change this refresh_token"):
        await impatient.refresh_tokens.update("r", change=renamed)
    # Not in a tight loop: the pauses grow to a quarter of a second.
    assert asked(server, "PUT") < 20


async def test_a_list_whose_version_is_gone_begins_again(
    storage: KubernetesStorage, server: ApiServer
) -> None:
    tokens = [RefreshToken(f"r{number:04}", "c") for number in range(1200)]
    await asyncio.gather(*map(storage.refresh_tokens.create, tokens))
    server.answer(410, method="GET", path="continue=")
    assert await storage.refresh_tokens.list() == tokens
    pages = [path for method, path in server.requests if "limit=500" in path]
    assert len([path for path in pages if TOKENS in path]) == 2 + 3
    server.answer(410, times=100, method="GET", path="continue=")
    with pytest.raises(StorageUnavailable, match="forgets a list"):
        await storage.refresh_tokens.list()


async def test_an_object_that_is_being_deleted_is_not_there_any_more(
    storage: KubernetesStorage, server: ApiServer
) -> None:
    """Somebody's finalizer keeps it; its code is spent all the same."""
    await storage.auth_codes.create(AuthCode("code", "c"))
    (body,) = server.objects("authcodes").values()
    deleted = {**body["metadata"], "deletionTimestamp": "2026-08-06T12:30:45Z"}
    await server.apply("authcodes", {**body, "metadata": deleted})
    with pytest.raises(NotFound):
        await storage.auth_codes.take("code")
    assert await storage.auth_codes.list() == []


async def test_what_is_asked_after_closing_is_refused(server: ApiServer) -> None:
    storage = await open_cluster(server.cluster(), "ensure", StorageContext())
    await storage.close()
    attempts: list[Any] = [
        storage.clients.get("c"),
        storage.refresh_tokens.create(RefreshToken("r", "c")),
        storage.ping(),
    ]
    for attempt in attempts:
        with pytest.raises(StorageUnavailable, match="closed"):
            await attempt


async def test_connections_a_firewall_has_forgotten_cost_one_call_and_not_one_each(
    server: ApiServer,
) -> None:
    url = urlsplit(server.url)
    with Cable(str(url.hostname), int(url.port or 0)) as cable:
        by_cable = attrs.evolve(
            server.cluster(), server=f"http://{cable.host}:{cable.port}"
        )
        storage = await open_cluster(by_cable, "ensure", StorageContext(), deadline=1.0)
        codes = storage.auth_codes
        await codes.create(AuthCode("code", "c", expiry=LATER))
        await asyncio.gather(*(codes.get("code") for _ in range(20)))
        cable.forget()
        with pytest.raises(StorageUnavailable, match="did not answer"):
            await codes.get("code")
        begun = time.monotonic()
        for _ in range(5):
            assert (await codes.get("code")).id == "code"
        assert time.monotonic() < begun + 1
        await storage.close()
