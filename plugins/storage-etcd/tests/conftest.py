"""A real etcd the tests start and stop, and a look at it from outside."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dexcore_storage_etcd import Etcd, open_storage

from dexcore.storage import Storage

_STARTS = 30.0  # seconds an etcd may take; on two busy cores it takes one


class Server:
    """A member of a cluster on free loopback ports, its data in *folder*.

    *peers*: the addresses of all members for each other, and which of them is ours.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        scheme: str = "http",
        peers: tuple[str, ...] = (),
        number: int = 0,
    ) -> None:
        self.folder = folder
        self.port, peer, metrics = _free_ports(3)
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._health = f"http://127.0.0.1:{metrics}"
        peers = peers or (f"http://127.0.0.1:{peer}",)
        ours = peers[number]
        cluster = ",".join(f"t{one}={url}" for one, url in enumerate(peers))
        self._command = [
            "etcd", f"--name=t{number}", f"--data-dir={folder / 'data'}",
            f"--listen-client-urls={self.url}", f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={ours}", f"--initial-advertise-peer-urls={ours}",
            f"--initial-cluster={cluster}", f"--listen-metrics-urls={self._health}",
            "--unsafe-no-fsync", "--logger=zap", f"--log-outputs={folder / 'log'}",
            *options,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.begin()
        self.wait()

    def begin(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def wait(self) -> None:
        """Return when it answers."""
        assert self._process is not None
        until = time.monotonic() + _STARTS
        while not self._is_healthy():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of what etcd has counted."""
        with _direct.open(f"{self._health}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith((f"{name} ", f"{name}{{"))
            and all(one in line for one in wanted)
        )

    def ctl(self, *arguments: str) -> str:
        """What etcd's own client says."""
        done = subprocess.run(
            ["etcdctl", f"--endpoints={self.url}", *arguments],
            env={**os.environ, "ETCDCTL_API": "3"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
        self._process = None

    def _is_healthy(self) -> bool:
        try:
            with _direct.open(f"{self._health}/health", timeout=5) as answer:
                return b'"true"' in answer.read()
        except (urllib.error.URLError, ConnectionError):
            return False


class Outside:
    """The keys of an etcd through its JSON gateway, as dex would find them."""

    def __init__(self, url: str) -> None:
        self._url = url

    def put(self, key: str, value: bytes) -> None:
        self._ask("kv/put", key=_b64(key.encode()), value=_b64(value))

    def put_all(self, entries: Mapping[str, bytes]) -> None:
        """In one transaction: a hundred at most."""
        self._ask(
            "kv/txn",
            success=[
                {"requestPut": {"key": _b64(key.encode()), "value": _b64(value)}}
                for key, value in entries.items()
            ],
        )

    def get(self, key: str) -> bytes | None:
        found = self._ask("kv/range", key=_b64(key.encode())).get("kvs")
        return base64.b64decode(found[0].get("value", "")) if found else None

    def keys(self, prefix: str) -> list[str]:
        return [base64.b64decode(one["key"]).decode() for one in self._range(prefix)]

    def leases(self, prefix: str) -> list[int]:
        """The leases of the keys, 0 for none."""
        return [int(one.get("lease", 0)) for one in self._range(prefix)]

    def time_to_live(self, lease: int) -> int:
        return int(self._ask("lease/timetolive", ID=lease)["TTL"])

    def revoke(self, lease: int) -> None:
        self._ask("lease/revoke", ID=lease)

    def _range(self, prefix: str) -> list[dict[str, Any]]:
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        found: list[dict[str, Any]] = self._ask(
            "kv/range", key=_b64(prefix.encode()), range_end=_b64(end.encode())
        ).get("kvs", [])
        return found

    def _ask(self, path: str, **members: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self._url}/v3/{path}", json.dumps(members).encode()
        )
        with _direct.open(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


@pytest.fixture(scope="session")
def needs_etcd() -> None:
    """Without etcd these tests say nothing: a failure where all should be installed."""
    missing = [name for name in ("etcd", "etcdctl") if shutil.which(name) is None]
    if missing:
        text = "These tests run etcd: apt-get install etcd-server etcd-client"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)


@pytest.fixture(scope="session")
def server(needs_etcd: None) -> Iterator[Server]:
    """One for all tests that do not hurt it; each has a namespace of its own."""
    with tempfile.TemporaryDirectory(prefix="dexcore-etcd-") as folder:
        server = Server(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture
def mortal(needs_etcd: None, tmp_path: Path) -> Iterator[Server]:
    """One that a test may kill."""
    server = Server(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def cluster(needs_etcd: None, tmp_path: Path) -> Iterator[list[Server]]:
    """Three members; any may be killed."""
    peers = tuple(f"http://127.0.0.1:{port}" for port in _free_ports(3))
    members = []
    for number in range(3):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        members.append(Server(folder, peers=peers, number=number))
    try:
        for member in members:
            member.begin()
        for member in members:
            member.wait()
        yield members
    finally:
        for member in members:
            member.kill()


@pytest.fixture
def start(needs_etcd: None, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start one with options of its own."""
    with contextlib.ExitStack() as stack:

        def start(*options: str, scheme: str = "http") -> Server:
            server = Server(tmp_path, *options, scheme=scheme)
            stack.callback(server.kill)
            server.start()
            return server

        yield start


@pytest.fixture
def outside(server: Server) -> Outside:
    return Outside(server.url)


@pytest.fixture
def namespace() -> str:
    return f"{next(_numbers)}/"


@pytest.fixture
def config(server: Server, namespace: str) -> Etcd:
    return Etcd(endpoints=(server.url,), namespace=namespace)


@pytest.fixture
def open_etcd(config: Etcd) -> Callable[[], Awaitable[Storage]]:
    return lambda: open_storage(config)


_numbers = itertools.count(1)
# No proxy stands between here and the loopback.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
