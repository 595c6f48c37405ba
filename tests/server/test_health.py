"""Whether we can do our work, as load balancers and people ask."""

from __future__ import annotations

import json

from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from dexcore.errors import StorageUnavailable


async def test_a_well_server_says_so_at_both_listeners(small: type[Any]) -> None:
    server = small()
    await server.health.look()
    async with TestClient(TestServer(server.web)) as client:
        response = await client.get("/dex/healthz")
        assert (response.status, await response.text()) == (200, "Health check passed")
    async with TestClient(TestServer(server.telemetry)) as client:
        for path in ("/healthz", "/healthz/ready"):
            response = await client.get(path)
            assert response.status == 200
            storage = (await response.json())["storage"]
            assert storage["contiguousFailures"] == 0
            assert storage["timeOfFirstFailure"] is None
            assert storage["duration"] >= 0
            assert "error" not in storage


async def test_a_storage_that_fails_is_told_with_its_reason_only_inside(
    small: type[Any],
) -> None:
    server = small()
    server.database.broken = StorageUnavailable("no route to db.internal")
    await server.health.look()
    await server.health.look()
    async with TestClient(TestServer(server.web)) as client:
        response = await client.get("/dex/healthz")
        assert response.status == 500
        assert await response.text() == "Health check failed."
    async with TestClient(TestServer(server.telemetry)) as client:
        for path in ("/healthz", "/healthz/ready"):
            response = await client.get(path)
            assert response.status == 503
            storage = (await response.json())["storage"]
            assert storage["error"] == {"message": "no route to db.internal"}
            assert storage["contiguousFailures"] == 2
            assert storage["timeOfFirstFailure"] < storage["timestamp"]
        live = await client.get("/healthz/live")
        assert (live.status, await live.text()) == (200, "ok")


async def test_a_storage_that_comes_back_is_well_again(small: type[Any]) -> None:
    server = small()
    server.database.broken = RuntimeError()
    await server.health.look()
    assert not server.health.ready
    server.database.broken = None
    await server.health.look()
    assert server.health.ready


async def test_a_storage_that_never_answers_has_failed(small: type[Any]) -> None:
    server = small()
    server.health.deadline = 0.05
    server.database.delay = 60
    await server.health.look()
    async with TestClient(TestServer(server.telemetry)) as client:
        body = await (await client.get("/healthz")).json()
    assert body["storage"]["error"]["message"] == "no answer within 0.05 seconds"


async def test_asking_never_asks_the_storage(small: type[Any]) -> None:
    server = small()
    await server.health.look()
    async with TestClient(TestServer(server.telemetry)) as client:
        for _ in range(5):
            await client.get("/healthz")
    assert server.database.pings == 1


async def test_a_connector_that_fails_is_shown_but_makes_nobody_unready(
    small: type[Any],
) -> None:
    server = small(connectors={"ldap": "", "github": "no such host"})
    async with TestClient(TestServer(server.telemetry)) as client:
        response = await client.get("/healthz/ready")
        short = await client.get("/healthz/ready?type=short")
        assert response.status == 200
        assert (await response.json())["connectors"] == {
            "ldap": {"message": "open"},
            "github": {"error": {"message": "no such host"}},
        }
        assert await short.json() == {"storage": "PASS", "connectors": "FAIL"}


async def test_a_server_about_to_stop_is_alive_and_healthy_but_not_ready(
    small: type[Any],
) -> None:
    server = small()
    server.health.drain()
    async with TestClient(TestServer(server.telemetry)) as client:
        assert (await client.get("/healthz/live")).status == 200
        assert (await client.get("/healthz")).status == 200
        assert (await client.get("/healthz/ready")).status == 503


async def test_the_json_is_indented_by_tabs_as_that_of_dex(small: type[Any]) -> None:
    server = small()
    async with TestClient(TestServer(server.telemetry)) as client:
        text = await (await client.get("/healthz")).text()
        short = await (await client.get("/healthz?type=short")).text()
    assert text.startswith('{\n\t"storage": {\n\t\t"timestamp": "')
    assert json.loads(short) == {"storage": "PASS"}
