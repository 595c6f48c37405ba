"""Custom resource definitions, and the manifests an operator applies instead."""

from __future__ import annotations

import asyncio

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dexcore_storage_kubernetes.double import ApiServer
from dexcore_storage_kubernetes.resources import RESOURCES
from dexcore_storage_kubernetes.storage import open_cluster

from dexcore.config import load
from dexcore.storage import Client, StorageContext, StorageError, StorageUnavailable

Manifests = Callable[[str], list[dict[str, Any]]]
DEFINITIONS = "customresourcedefinitions"


def made(server: ApiServer) -> int:
    return sum(DEFINITIONS in path for method, path in server.requests)


async def test_missing_definitions_are_made_once(server: ApiServer) -> None:
    for _ in range(2):
        storage = await open_cluster(server.cluster(), "ensure", StorageContext())
        await storage.close()
        assert made(server) == 20
    assert len(server.definitions) == 20
    assert "signingkeies.dex.coreos.com" in server.definitions
    assert "dexcoresharedsecrets.dex.coreos.com" in server.definitions


async def test_replicas_wait_until_what_they_defined_is_served() -> None:
    """A moment passes, and another in which the server answers 429."""
    async with ApiServer(settle=0.6) as server:
        replicas = await asyncio.gather(
            *(
                open_cluster(server.cluster(), "ensure", StorageContext())
                for _ in range(5)
            )
        )
        assert len(server.definitions) == 20
        for number, replica in enumerate(replicas):
            await replica.clients.create(Client(f"c{number}"))
            await replica.close()
        assert len(server.objects("oauth2clients")) == 5


async def test_a_check_names_what_is_missing_and_makes_nothing(
    server: ApiServer,
) -> None:
    with pytest.raises(StorageError, match=r"authcodes\.dex\.coreos\.com") as raised:
        await open_cluster(server.cluster(), "check", StorageContext())
    assert "examples/kubernetes/crds.yaml" in str(raised.value)
    assert made(server) == 0
    storage = await open_cluster(server.cluster(), "ensure", StorageContext())
    await storage.close()
    storage = await open_cluster(server.cluster(), "check", StorageContext())
    await storage.close()


async def test_who_may_not_make_definitions_hears_which(server: ApiServer) -> None:
    server.answer(403, times=100, method="POST", path=DEFINITIONS)
    with pytest.raises(StorageUnavailable, match="403"):
        await open_cluster(server.cluster(), "ensure", StorageContext())
    server.recover()
    server.answer(422, times=100, method="POST", path=DEFINITIONS)
    with pytest.raises(StorageUnavailable, match="does not make the definition of"):
        await open_cluster(server.cluster(), "ensure", StorageContext())


async def test_a_server_that_fails_is_not_taken_for_one_without_definitions(
    server: ApiServer,
) -> None:
    server.answer(500, times=1000)
    for handling in ("ensure", "check"):
        with pytest.raises(StorageUnavailable, match="500"):
            await open_cluster(server.cluster(), handling, StorageContext())
    assert made(server) == 0


# — The examples -----------------------------------------------------------------------


def test_the_manifests_are_the_definitions_we_make(manifests: Manifests) -> None:
    assert manifests("crds.yaml") == [one.definition for one in RESOURCES]


def test_the_role_has_every_resource_and_no_more(manifests: Manifests) -> None:
    (rule,) = next(one for one in manifests("rbac.yaml") if one["kind"] == "Role")[
        "rules"
    ]
    assert rule["resources"] == [one.plural for one in RESOURCES]
    assert rule["verbs"] == ["get", "list", "watch", "create", "update", "delete"]


def test_the_deployments_configuration_is_right(
    manifests: Manifests, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret, deployment, service = manifests("deployment.yaml")
    file = tmp_path / "config.yaml"
    file.write_text(secret["stringData"]["config.yaml"])
    config = load(file, environ={})
    assert config.storage.type == "kubernetes"
    assert config.storage.config == {"inCluster": True}
    assert not caplog.records
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert config.web.http.endswith(f":{ports['http']}")
    assert config.telemetry.http.endswith(f":{ports['telemetry']}")
    assert {port["targetPort"] for port in service["spec"]["ports"]} == {*ports}


def test_all_manifests_are_one_document_after_the_other(manifests: Manifests) -> None:
    for name in ("crds.yaml", "rbac.yaml", "deployment.yaml"):
        for manifest in manifests(name):
            assert manifest["apiVersion"]
            assert manifest["metadata"]["name"]
            assert yaml.safe_dump(manifest)
