"""Looking into a namespace that somebody else filled."""

from __future__ import annotations

from dexcore_storage_kubernetes.double import ApiServer
from dexcore_storage_kubernetes.inspection import inspect_cluster
from dexcore_storage_kubernetes.storage import open_cluster

from dexcore.storage import AuthCode, Client, StorageContext


async def test_an_empty_cluster_is_left_without_definitions() -> None:
    async with ApiServer() as server:
        found = await inspect_cluster(server.cluster(), "ensure")
        assert found.counts == {}
        assert len(found.doubts) == 1
        assert "make the definition oauth2clients.dex.coreos.com" in found.changes
        assert {method for method, _ in server.requests} == {"GET"}


async def test_definitions_that_must_be_there_and_are_not_are_a_refusal() -> None:
    async with ApiServer() as server:
        found = await inspect_cluster(server.cluster(), "check")
        assert "oauth2clients.dex.coreos.com" in found.refusal


async def test_what_is_there_is_counted() -> None:
    async with ApiServer() as server:
        storage = await open_cluster(server.cluster(), "ensure", StorageContext())
        await storage.clients.create(Client("app"))
        await storage.auth_codes.create(AuthCode("abcdefgh", "app"))
        await storage.close()
        server.requests.clear()
        found = await inspect_cluster(server.cluster(), "check")
        assert (found.counts["client"], found.counts["auth_code"]) == (1, 1)
        assert found.unreadable == found.doubts == found.changes == ()
        assert found.refusal == ""
        assert {method for method, _ in server.requests} == {"GET"}


async def test_what_is_broken_is_named_and_its_secret_is_not() -> None:
    async with ApiServer() as server:
        storage = await open_cluster(server.cluster(), "ensure", StorageContext())
        await storage.close()
        body = {
            "apiVersion": "dex.coreos.com/v1",
            "kind": "OAuth2Client",
            "metadata": {"name": "broken"},
            "secret": ["s3cr3t"],
        }
        await server.apply("oauth2clients", body)
        found = await inspect_cluster(server.cluster(), "ensure")
        [broken] = found.unreadable
        assert (broken.kind, broken.key) == ("client", "broken")
        assert "s3cr3t" not in str(found)
