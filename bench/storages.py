"""A database server for the provider that is measured, started for it alone."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.request

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from dexcore.testing import servers
from dexcore.testing.cable import Cable

from .wire import BenchError

#: In the order of the table.
STORAGES = ("memory", "sqlite3", "postgres", "mysql", "etcd", "kubernetes")

_SERVERS = {
    "postgres": (servers.postgres, "postgres"),
    "mysql": (servers.mariadb, "mariadb"),
    "etcd": (servers.etcd, "etcd"),
}
# The API server of the tests, in memory: what it costs says nothing of a real one.
_KUBERNETES = """
import asyncio
from dexcore_storage_kubernetes.double import ApiServer
async def main():
    async with ApiServer() as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@attrs.frozen
class Backend:
    """Where the provider keeps its state.

    ``settings`` is the ``storage`` of its file, ``pid`` the server's process or 0.
    ``asked``, while a cable is in between, says how often the server was asked.
    """

    settings: Mapping[str, Any]
    pid: int = 0
    asked: Callable[[], float] = lambda: 0.0


@contextlib.contextmanager
def backend(name: str, folder: Path, *, counted: bool = False) -> Iterator[Backend]:
    """Start what *name*, a value of ``storage.type``, needs; empty."""
    if name == "sqlite3":
        file = str(folder / "dex.db")
        yield Backend({"type": name, "config": {"file": file}})
    elif name == "kubernetes":
        with _kubernetes() as (pid, url), _counting(url, counted) as (way, asked):
            yield Backend(_kubeconfig(way, folder), pid, asked)
    elif name in _SERVERS:
        start, package = _SERVERS[name]
        try:
            running = start()
            with running as server:
                yield from _on(server, counted)
        except FileNotFoundError as error:
            raise BenchError(f"{error} ({servers.MISSING[package]})") from None
    else:
        yield Backend({"type": name})


def _on(server: servers.Server, counted: bool) -> Iterator[Backend]:
    settings = server.storage()
    config = dict(settings["config"])
    if "endpoints" in config:
        # gRPC talks of more than is asked; etcd counts that itself.
        url = config["endpoints"][0]
        yield Backend(settings, server.pid, lambda: _etcd_calls(url))
        return
    with _counting(f"//{server.host}:{server.port}", counted) as (way, asked):
        config["port"] = urlsplit(way).port
        yield Backend({**settings, "config": config}, server.pid, asked)


@contextlib.contextmanager
def _counting(url: str, counted: bool) -> Iterator[tuple[str, Callable[[], float]]]:
    """Return the address to use for *url*, and what counts who asks there."""
    if not counted:
        yield url, lambda: 0.0
        return
    parts = urlsplit(url)
    with Cable(str(parts.hostname), int(parts.port or 0)) as cable:
        way = parts._replace(netloc=f"{cable.host}:{cable.port}").geturl()
        yield way, lambda: cable.turns


def _etcd_calls(url: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("grpc_server_started_total{")
        and 'grpc_type="unary"' in line
        and 'grpc_service="etcdserverpb.KV"' in line
    )


@contextlib.contextmanager
def _kubernetes() -> Iterator[tuple[int, str]]:
    command = [sys.executable, "-c", _KUBERNETES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.pid, server.stdout.readline().strip()
        finally:
            server.terminate()


def _kubeconfig(url: str, folder: Path) -> dict[str, Any]:
    file = folder / "kubeconfig"
    context = {"cluster": "one", "user": "one", "namespace": "bench"}
    document = {
        "current-context": "one",
        "clusters": [{"name": "one", "cluster": {"server": url}}],
        "users": [{"name": "one", "user": {}}],
        "contexts": [{"name": "one", "context": context}],
    }
    file.write_text(json.dumps(document))
    return {"type": "kubernetes", "config": {"kubeConfigFile": str(file)}}
