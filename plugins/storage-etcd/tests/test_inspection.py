"""Looking into an etcd that somebody else filled."""

from __future__ import annotations

from typing import Any

from dexcore_storage_etcd import Etcd, dex_storage_types, open_storage

from dexcore.storage import AuthCode, Client, Inspection, StorageContext


async def look(config: Etcd) -> Inspection:
    [offer] = dex_storage_types()
    assert offer.inspect is not None
    return await offer.inspect(config, StorageContext())


async def test_what_is_there_is_counted_and_what_is_broken_is_named(
    config: Etcd, outside: Any, namespace: str
) -> None:
    storage = await open_storage(config)
    await storage.clients.create(Client("app"))
    await storage.auth_codes.create(AuthCode("abcdefgh", "app"))
    await storage.close()
    outside.put(f"{namespace}client/broken", b'{"secret": "s3cr3t"')
    outside.put(f"{namespace}auth_code/ijklmnop", b"s3cr3t")
    before = outside.keys(namespace)
    found = await look(config)
    assert outside.keys(namespace) == before
    assert (found.counts["client"], found.counts["auth_code"]) == (2, 2)
    assert {(one.kind, one.key) for one in found.unreadable} == {
        ("client", "broken"),
        ("auth_code", "ijkl…"),
    }
    assert found.doubts == ()
    assert "s3cr3t" not in str(found)


async def test_an_empty_namespace_is_worth_a_look(config: Etcd) -> None:
    found = await look(config)
    assert found.doubts == ("There is nothing of dex's here: dexcore begins anew.",)
    assert set(found.counts.values()) == {0}
