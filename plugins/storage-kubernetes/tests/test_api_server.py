"""The storage on the real API server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from dexcore_storage_kubernetes import Kubernetes, open_storage

from dexcore.storage import (
    KINDS,
    AuthCode,
    Client,
    Connector,
    RefreshToken,
    SpentCode,
    Storage,
    StorageError,
    StorageUnavailable,
)
from dexcore.testing.storage import SAMPLES, DurableCases, StorageContract

NOW = datetime(2026, 8, 6, tzinfo=UTC)
LATER = datetime(2126, 8, 6, tzinfo=UTC)
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

# The first one in a cache builds it.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
async def opened(
    kube_apiserver: Any, tmp_path: Path
) -> AsyncIterator[Callable[..., Awaitable[Storage]]]:
    """Return what opens a storage in a namespace of this test."""
    count = itertools.count()

    own = kube_apiserver.namespace()

    async def open(
        crd_handling: str = "ensure", namespace: str = own, **user: str
    ) -> Storage:
        file = tmp_path / f"kubeconfig-{next(count)}"
        file.write_text(yaml.safe_dump(kube_apiserver.kubeconfig(namespace, **user)))
        return await open_storage(
            Kubernetes(kube_config_file=str(file), crd_handling=crd_handling)  # type: ignore[arg-type]
        )

    yield open
    # A connection that was left off over TLS is closed when the server says so too; the
    # loop must not end before.
    selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    async with asyncio.timeout(10):
        while len(selector.get_map()) > 1:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


class TestContract(DurableCases, StorageContract):
    @pytest.fixture
    def open_storage(
        self, opened: Callable[..., Awaitable[Storage]]
    ) -> Callable[..., Awaitable[Storage]]:
        return opened

    def comparable(self, record: Any) -> Any:
        # The version of a connector is the version of its object.
        if isinstance(record, Connector):
            return attrs.evolve(record, resource_version="")
        return record


async def test_the_account_of_the_examples_may_do_all_it_needs(
    kube_apiserver: Any,
    opened: Callable[..., Awaitable[Storage]],
    manifests: Callable[[str], list[dict[str, Any]]],
) -> None:
    """And with the definitions made beforehand it needs no more than its role."""
    for name in ("rbac.yaml", "crds.yaml"):
        for manifest in manifests(name):
            kube_apiserver.apply(manifest)
    # An answer of 200 to the administrator does not mean that all of it has settled.
    served = await opened()
    await served.close()
    storage = await until_allowed(
        lambda: opened("check", namespace="dexcore", token="dexcore-token")
    )
    for kind in KINDS:
        records, sample = getattr(storage, kind.collection), SAMPLES[kind.name]
        key = kind.key_of(sample.first)
        await records.create(sample.first)
        await records.update(*key, change=sample.change)
        assert len(await records.list()) == 1
        await records.take(*key)
    await storage.sweep(NOW)
    await storage.ping()
    await storage.close()


async def test_who_may_do_nothing_hears_so_when_the_storage_opens(
    opened: Callable[..., Awaitable[Storage]],
) -> None:
    with pytest.raises(StorageUnavailable, match=r"403: .* cannot list resource"):
        await opened(token="dexcore-token")
    with pytest.raises(StorageUnavailable, match="401: Unauthorized"):
        await opened(token="unknown")


async def test_a_client_certificate_opens_it_too(
    kube_apiserver: Any, opened: Callable[..., Awaitable[Storage]]
) -> None:
    certificate = kube_apiserver.authority.issue_cert(
        "admin@example.com", common_name="admin", organization_name="system:masters"
    )
    chain = certificate.cert_chain_pems[0].bytes()
    storage = await opened(
        **{
            "client-certificate-data": base64.b64encode(chain).decode(),
            "client-key-data": base64.b64encode(
                certificate.private_key_pem.bytes()
            ).decode(),
        }
    )
    await storage.clients.create(Client("c"))
    assert await storage.clients.list() == [Client("c")]
    await storage.close()


async def test_replicas_make_missing_definitions_together(
    kube_apiserver: Any, opened: Callable[..., Awaitable[Storage]]
) -> None:
    """Five start at once on a server that has none: all of them can work."""
    first = await opened()
    await first.close()
    for definition in kube_apiserver.call("GET", DEFINITIONS)["items"]:
        name = definition["metadata"]["name"]
        kube_apiserver.call("DELETE", f"{DEFINITIONS}/{name}")

    async def definitions() -> list[Any]:
        found: list[Any] = kube_apiserver.call("GET", DEFINITIONS)["items"]
        return found

    await eventually(definitions, [])
    with pytest.raises(StorageError, match=r"lacks .*signingkeies\.dex\.coreos\.com"):
        await opened("check")
    replicas = await asyncio.gather(*(opened() for _ in range(5)))
    for number, replica in enumerate(replicas):
        await replica.auth_codes.create(AuthCode(f"code{number}", "c", expiry=LATER))
    assert len(await replicas[0].auth_codes.list()) == 5
    for replica in replicas:
        await replica.close()


async def test_other_replicas_learn_of_changes_from_the_watch(
    kube_apiserver: Any, opened: Callable[..., Awaitable[Storage]]
) -> None:
    one, other = await opened(), await opened()
    await one.clients.create(Client("c", name="before"))
    await eventually(lambda: other.clients.find("c"), Client("c", name="before"))
    await one.clients.update("c", change=lambda old: attrs.evolve(old, name="after"))
    await eventually(lambda: other.clients.find("c"), Client("c", name="after"))
    await one.clients.delete("c")
    await eventually(lambda: other.clients.find("c"), None)
    before = other.requests  # type: ignore[attr-defined]
    for _ in range(100):
        assert await other.clients.find("c") is None
        assert await other.connectors.list() == []
    assert other.requests == before  # type: ignore[attr-defined]
    for replica in (one, other):
        await replica.close()


async def test_a_code_is_traded_for_tokens_in_four_requests(
    opened: Callable[..., Awaitable[Storage]],
) -> None:
    """Take is a read and a removal; the rest is one each."""
    storage = await opened()
    await storage.auth_codes.create(AuthCode("code1", "c", expiry=LATER))
    before = storage.requests  # type: ignore[attr-defined]
    await storage.auth_codes.take("code1")
    assert storage.requests - before == 2  # type: ignore[attr-defined]
    await storage.refresh_tokens.create(RefreshToken("r1", "c"))
    assert storage.requests - before == 3  # type: ignore[attr-defined]
    await storage.spent_codes.create(SpentCode("code1", "c", "handle", expiry=LATER))
    assert storage.requests - before == 4  # type: ignore[attr-defined]
    await storage.close()


async def until_allowed(open: Callable[[], Awaitable[Storage]]) -> Storage:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(StorageUnavailable):
                return await open()
            await asyncio.sleep(0.1)


async def eventually(look: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    async with asyncio.timeout(10):
        while True:
            if await look() == wanted:
                return
            await asyncio.sleep(0.01)
