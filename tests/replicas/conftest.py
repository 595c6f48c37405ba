"""Several ``dexcore serve`` on one storage, as they are deployed.

``house`` is four or five of them, started at once on an empty storage of each sort.
``pair`` starts two more on a storage of their own, for tests that hurt them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import aiohttp
import pytest

from dexcore import plugins
from dexcore.config import structure
from dexcore.jose import verify_with_jwks
from dexcore.storage import StorageContext
from dexcore.testing import servers
from dexcore.testing.app import App, static_client
from dexcore.testing.background import Background
from dexcore.testing.books import GONE, kid

HASH = "$2a$10$JJtEz2LbMaKFP/xmTbX9gu0GydgiDJFGfSkiZFg.GpuyKJSWB1.Ty"  # "password"
USERS = tuple(f"user{number}@example.com" for number in range(12))
SHARED = ["sqlite", "postgres", "mariadb", "etcd", "kubernetes"]
_STARTS = 60.0  # seconds, on a machine that has other things to do
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_numbers = itertools.count(1)


# — storages ---------------------------------------------------------------------------


@contextlib.contextmanager
def _installed(package):
    """Without its server a storage is not tested: a failure where all should be."""
    try:
        yield
    except FileNotFoundError as error:
        reason = f"Not run: {error} To install it: apt-get install {package}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def sqlite_place(tmp_path_factory):
    def new():
        file = tmp_path_factory.mktemp("sqlite") / "dex.db"
        return {"type": "sqlite3", "config": {"file": str(file)}}

    return new


@pytest.fixture(scope="session")
def postgres_server():
    with contextlib.ExitStack() as stack:
        with _installed("postgresql"):
            server = stack.enter_context(servers.postgres())
        yield server


@pytest.fixture(scope="session")
def mariadb_server():
    with contextlib.ExitStack() as stack:
        with _installed("mariadb-server"):
            server = stack.enter_context(servers.mariadb())
        yield server


@pytest.fixture(scope="session")
def etcd_server():
    with contextlib.ExitStack() as stack:
        with _installed("etcd-server"):
            server = stack.enter_context(servers.etcd())
        yield server


@pytest.fixture(scope="session")
def postgres_place(postgres_server):
    return postgres_server.storage


@pytest.fixture(scope="session")
def mariadb_place(mariadb_server):
    return mariadb_server.storage


@pytest.fixture(scope="session")
def etcd_place(etcd_server):
    return etcd_server.storage


@pytest.fixture(scope="session")
def kubernetes_server(tmp_path_factory):
    from dexcore_storage_kubernetes.double import ApiServer

    with Background() as background:
        api = ApiServer()
        background.call(api.start())

        def storage():
            name = f"n{next(_numbers)}"
            file = tmp_path_factory.mktemp("kubernetes") / "config"
            context = {"cluster": "one", "user": "one", "namespace": name}
            document = {
                "current-context": "one",
                "clusters": [{"name": "one", "cluster": {"server": api.url}}],
                "users": [{"name": "one", "user": {}}],
                "contexts": [{"name": "one", "context": context}],
            }
            file.write_text(json.dumps(document))
            return {"type": "kubernetes", "config": {"kubeConfigFile": str(file)}}

        yield SimpleNamespace(
            port=urlsplit(api.url).port,
            storage=storage,
            start=lambda: background.call(api.start()),
            stop=lambda: background.call(api.stop()),
        )
        background.call(api.stop())


@pytest.fixture(scope="session")
def kubernetes_place(kubernetes_server):
    return kubernetes_server.storage


def rerouted(storage, port):
    """Return *storage* at another port of the loopback interface."""
    config = dict(storage["config"])
    if "kubeConfigFile" in config:
        file = Path(config["kubeConfigFile"])
        document = json.loads(file.read_text())
        (cluster,) = document["clusters"]
        cluster["cluster"]["server"] = f"http://127.0.0.1:{port}"
        other = file.with_name(f"by-{port}")
        other.write_text(json.dumps(document))
        config["kubeConfigFile"] = str(other)
    elif "endpoints" in config:
        config["endpoints"] = [f"http://127.0.0.1:{port}"]
    else:
        config["port"] = port
    return storage | {"config": config}


# — replicas ---------------------------------------------------------------------------


class Replica(App):
    """A process, and what apps and users do with it and it alone."""

    def __init__(self, issuer, origin, process, log):
        super().__init__(issuer, origin)
        self.process = process
        self.log = log


def configuration(storage, interval="30s"):
    """Return what all replicas on *storage* have in common."""
    return {
        "storage": storage,
        "signer": {
            "type": "local",
            "config": {"algorithm": "ES256", "keysRotationPeriod": "6h"},
        },
        "expiry": {"refreshTokens": {"reuseInterval": interval}},
        "oauth2": {"skipApprovalScreen": True},
        "enablePasswordDB": True,
        "enableSignup": True,
        "staticPasswords": [
            {"email": user, "hash": HASH, "username": user[:6], "userID": user[:6]}
            for user in USERS
        ],
        "staticClients": [
            static_client(),
            {"id": "tv", "name": "TV", "public": True},
        ],
    }


@contextlib.contextmanager
def serving(folder, storage, intervals):
    """Start a replica for each of *intervals*, all at once; wait until all serve."""
    ports = _free_ports(len(intervals))
    issuer = f"http://127.0.0.1:{ports[0]}/dex"
    started = []
    try:
        for port, interval in zip(ports, intervals, strict=True):
            file = folder / f"{port}.json"
            own = {"issuer": issuer, "web": {"http": f"127.0.0.1:{port}"}}
            file.write_text(json.dumps(own | configuration(storage, interval)))
            log = folder / f"{port}.log"
            command = [sys.executable, "-m", "dexcore", "serve", str(file)]
            with log.open("w") as stderr:
                process = subprocess.Popen(command, stderr=stderr)
            started.append(Replica(issuer, f"http://127.0.0.1:{port}", process, log))
        for port, one in zip(ports, started, strict=True):
            _wait_for(f"http://127.0.0.1:{port}/dex/keys", one.process, one.log)
        yield started
    finally:
        for one in started:
            one.process.send_signal(signal.SIGTERM)
        for one in started:
            try:
                one.process.wait(15)
            except subprocess.TimeoutExpired:
                one.process.kill()
                one.process.wait(5)


@pytest.fixture(scope="session", params=SHARED)
def house(request, tmp_path_factory):
    """Replicas of which ``strict`` have no grace for refresh tokens.

    Every test that uses them has users of its own.
    """
    storage = request.getfixturevalue(f"{request.param}_place")()
    folder = tmp_path_factory.mktemp("house")
    intervals = ["0s", "0s", "30s", "30s"]
    if request.param in ("postgres", "mariadb", "etcd"):
        intervals.append("30s")
    with serving(folder, storage, intervals) as all:
        yield SimpleNamespace(all=all, strict=all[:2], lenient=all[2:4])


@pytest.fixture
def pair(tmp_path):
    """``pair(storage)``: two replicas without grace."""
    with contextlib.ExitStack() as stack:
        yield lambda storage: stack.enter_context(
            serving(tmp_path, storage, ["0s", "0s"])
        )


@pytest.fixture
async def http():
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        timeout=timeout, connector=connector, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield session


@pytest.fixture
def installed():
    """``with installed(package)``: what is missing in there is named."""
    return _installed


@pytest.fixture
def opened():
    """``async with opened(storage)``: the storage that a configuration says."""

    @contextlib.asynccontextmanager
    async def open(storage):
        offer = plugins.find().storage_type(storage["type"])
        config = structure(storage["config"], offer.config)
        storage = await offer.open(config, StorageContext())
        try:
            yield storage
        finally:
            await storage.close()

    return open


@pytest.fixture
def example():
    """What tests need to know of the configuration."""

    def claims(keys, token):
        return verify_with_jwks(token, keys, ("ES256",))[0]

    return SimpleNamespace(
        users=USERS,
        claims=claims,
        kid=kid,
        gone=GONE,
        configuration=configuration,
        rerouted=rerouted,
    )


def _wait_for(url, process, log):
    until = time.monotonic() + _STARTS
    while True:
        try:
            with _direct.open(url, timeout=10):
                return
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)


def _free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
