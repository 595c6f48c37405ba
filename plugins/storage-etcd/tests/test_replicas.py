"""Five servers started at once on one empty etcd, and everybody asks all of them."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import attrs
import pytest

from dexcore.testing.browser import Browser

REDIRECT_URI = "http://127.0.0.1:1/callback"
HASH = "$2a$10$JJtEz2LbMaKFP/xmTbX9gu0GydgiDJFGfSkiZFg.GpuyKJSWB1.Ty"  # "password"
NAMESPACE = "replicas/"
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@attrs.frozen
class Replicas:
    """``strict`` have no grace for refresh tokens, ``lenient`` have 30 seconds."""

    issuer: str
    strict: list[str]
    lenient: list[str]


@pytest.fixture(scope="module")
def replicas(server: Any) -> Iterator[Replicas]:
    ports = _free_ports(5)
    issuer = f"http://127.0.0.1:{ports[0]}/dex"
    with tempfile.TemporaryDirectory() as folder:
        running = []
        try:
            for number, port in enumerate(ports):
                interval = "0s" if number < 3 else "30s"
                file = Path(folder, f"{number}.json")
                file.write_text(
                    json.dumps(_configuration(server.url, issuer, port, interval))
                )
                command = [sys.executable, "-m", "dexcore", "serve", str(file)]
                with Path(folder, f"{number}.log").open("w") as log:
                    running.append(subprocess.Popen(command, stderr=log))
            bases = [f"http://127.0.0.1:{port}/dex" for port in ports]
            for number, base in enumerate(bases):
                log_file = Path(folder, f"{number}.log")
                _wait_for(f"{base}/keys", running[number], log_file)
            yield Replicas(issuer, bases[:3], bases[3:])
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)
            for process in running:
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(5)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield session


async def test_all_serve_the_one_key_that_was_made(
    replicas: Replicas, http: aiohttp.ClientSession, outside: Any
) -> None:
    until = time.monotonic() + 15
    while True:
        served = [
            await _get(http, f"{base}/keys")
            for base in (*replicas.strict, *replicas.lenient)
        ]
        kids = {frozenset(key["kid"] for key in one["keys"]) for one in served}
        if len(kids) == 1:
            break
        # The next key is published by one, and noticed by the others a little later.
        assert time.monotonic() < until, kids
        await asyncio.sleep(0.1)
    stored = json.loads(outside.get(f"{NAMESPACE}openid-connect-keys"))
    upcoming = outside.keys(f"{NAMESPACE}dexcore/upcoming_key/")
    # The one that signs, and the one that will.
    assert len(upcoming) == 1
    assert len(next(iter(kids))) == 2
    assert {one["keys"][0]["kid"] for one in served} == {stored["SigningKey"]["kid"]}


async def test_of_a_hundred_who_bring_a_code_to_two_replicas_one_gets_tokens(
    replicas: Replicas, http: aiohttp.ClientSession, outside: Any
) -> None:
    code = await _log_in(replicas.issuer)
    assert outside.get(f"{NAMESPACE}auth_code/{code}") is not None
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT_URI,
    }
    answers = await _at_once(http, replicas.strict[:2], form)
    assert Counter(status for status, _ in answers) == {200: 1, 400: 99}
    assert outside.get(f"{NAMESPACE}auth_code/{code}") is None


async def test_without_grace_one_of_a_hundred_who_refresh_gets_tokens(
    replicas: Replicas, http: aiohttp.ClientSession
) -> None:
    form = await _refresh_form(http, replicas)
    answers = await _at_once(http, replicas.strict[:2], form)
    assert Counter(status for status, _ in answers) == {200: 1, 400: 99}


async def test_with_grace_all_who_refresh_get_the_same_successor(
    replicas: Replicas, http: aiohttp.ClientSession
) -> None:
    form = await _refresh_form(http, replicas)
    answers = await _at_once(http, replicas.lenient, form)
    assert Counter(status for status, _ in answers) == {200: 100}
    assert len({answer["refresh_token"] for _, answer in answers}) == 1


def _configuration(etcd: str, issuer: str, port: int, interval: str) -> Any:
    return {
        "issuer": issuer,
        "web": {"http": f"127.0.0.1:{port}"},
        "storage": {
            "type": "etcd",
            "config": {"endpoints": [etcd], "namespace": NAMESPACE},
        },
        "signer": {
            "type": "local",
            "config": {"algorithm": "ES256", "keysRotationPeriod": "6h"},
        },
        "expiry": {"refreshTokens": {"reuseInterval": interval}},
        "oauth2": {"skipApprovalScreen": True},
        "enablePasswordDB": True,
        "staticPasswords": [
            {
                "email": "jane@example.com",
                "hash": HASH,
                "username": "jane",
                "userID": "1",
            }
        ],
        "staticClients": [
            {
                "id": "app",
                "name": "App",
                "secret": "secret",
                "redirectURIs": [REDIRECT_URI],
            }
        ],
    }


async def _log_in(issuer: str) -> str:
    query = urlencode(
        {
            "client_id": "app",
            "redirect_uri": REDIRECT_URI,
            "response_type": "code",
            "scope": "openid offline_access",
        }
    )
    async with Browser(stop_at=REDIRECT_URI) as browser:
        landing = await browser.log_in(
            f"{issuer}/auth?{query}", "jane@example.com", "password"
        )
    return landing.params["code"]


async def _refresh_form(
    http: aiohttp.ClientSession, replicas: Replicas
) -> dict[str, str]:
    form = {
        "grant_type": "authorization_code",
        "code": await _log_in(replicas.issuer),
        "redirect_uri": REDIRECT_URI,
    }
    status, tokens = await _post(http, f"{replicas.issuer}/token", form)
    assert status == 200, tokens
    return {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}


async def _at_once(
    http: aiohttp.ClientSession, bases: list[str], form: dict[str, str]
) -> list[tuple[int, Any]]:
    """Send *form* fifty times to each of *bases*, all together."""
    return await asyncio.gather(
        *(_post(http, f"{base}/token", form) for _ in range(50) for base in bases)
    )


async def _post(
    http: aiohttp.ClientSession, url: str, form: dict[str, str]
) -> tuple[int, Any]:
    auth = aiohttp.encode_basic_auth("app", "secret")
    async with http.post(url, data=form, headers={"Authorization": auth}) as answer:
        return answer.status, await answer.json()


async def _get(http: aiohttp.ClientSession, url: str) -> Any:
    async with http.get(url) as answer:
        assert answer.status == 200
        return await answer.json()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            with _direct.open(url, timeout=10):
                return
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
