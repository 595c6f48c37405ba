"""Servers started for a benchmark: on a free port, in a folder that goes with them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import socket
import sys
import tempfile
import time

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import yaml

from . import process
from .wire import Address, BenchError, Connection

CONFIG = Path(__file__).parent / "config.yaml"
DEXCORE = f"{shlex.quote(sys.executable)} -m dexcore serve"
_UP_WITHIN = 20.0  # seconds
_DOWN_WITHIN = 10.0


@attrs.frozen
class Started:
    """A server of ours to measure.

    ``first_answer`` in ms from start to a 200, ``cpu`` the processor time until then in
    ms, ``rss`` the megabytes then.
    """

    issuer: str
    origin: str
    pid: int
    first_answer: float
    cpu: float
    rss: float
    folder: Path

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.folder / "dex.db"


def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


@contextlib.contextmanager
def _folder(keep: Path | None) -> Any:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    made = Path(tempfile.mkdtemp(prefix="dexcore-bench-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.asynccontextmanager
async def started(
    command: str = DEXCORE,
    *,
    config: Path = CONFIG,
    storage: str | Mapping[str, Any] = "sqlite3",
    algorithm: str = "RS256",
    folder: Path | None = None,
    compiled: Path | None = None,
    issuer: str = "",
) -> AsyncIterator[Started]:
    """Run *command* with *config* (appended) until the block ends.

    *folder* is kept, so that a second server can go on with the first one's database;
    without it everything is in a temporary one.  *compiled* is where Python keeps
    compiled modules, for starts as they are where pip compiled them.  *storage* is a
    type that needs no server, or the whole section; *issuer* that of another replica.
    """
    with _folder(folder) as work:
        issuer, origin, file = _write_config(config, work, storage, algorithm, issuer)
        log = (work / "server.log").open("ab")
        begun = time.perf_counter()
        server = await asyncio.create_subprocess_exec(
            *shlex.split(command),
            str(file),
            stdout=log,
            stderr=log,
            cwd=work,
            env=_environ(compiled),
        )
        try:
            await _first_answer(origin + urlsplit(issuer).path, server, work)
            first = (time.perf_counter() - begun) * 1e3
            cpu = process.cpu_seconds(server.pid) * 1e3
            rss = process.rss_megabytes(server.pid)
            yield Started(issuer, origin, server.pid, first, cpu, rss, work)
        finally:
            log.close()
            await _stop(server)


def _environ(compiled: Path | None) -> dict[str, str]:
    if compiled is None:
        return {**os.environ}
    kept = {**os.environ, "PYTHONPYCACHEPREFIX": str(compiled)}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept


def _write_config(
    config: Path,
    work: Path,
    storage: str | Mapping[str, Any],
    algorithm: str,
    issuer: str,
) -> tuple[str, str, Path]:
    text: dict[str, Any] = yaml.safe_load(config.read_text())
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    issuer = issuer or f"{origin}{urlsplit(text['issuer']).path}"
    text["issuer"] = issuer
    text["web"] = {**text.get("web", {}), "http": f"127.0.0.1:{port}"}
    if "telemetry" in text:
        text["telemetry"] = {"http": f"127.0.0.1:{free_port()}"}
    text["storage"] = storage if isinstance(storage, dict) else {"type": storage}
    if storage == "sqlite3":
        text["storage"]["config"] = {"file": str(work / "dex.db")}
    if algorithm != "RS256":
        text["signer"]["config"]["algorithm"] = algorithm
    file = work / "config.yaml"
    file.write_text(yaml.safe_dump(text))
    return issuer, origin, file


async def _first_answer(
    issuer: str, server: asyncio.subprocess.Process, work: Path
) -> None:
    path = urlsplit(issuer).path + "/.well-known/openid-configuration"
    connection = Connection(Address.of(issuer))
    deadline = time.monotonic() + _UP_WITHIN
    while time.monotonic() < deadline and server.returncode is None:
        with contextlib.suppress(OSError):
            if (await connection.get(path)).status == 200:
                connection.close()
                return
        await asyncio.sleep(0.002)
    log = (work / "server.log").read_text(errors="replace")[-2000:]
    raise BenchError(f"The server did not come up:\n{log}")


async def _stop(server: asyncio.subprocess.Process) -> None:
    if server.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        server.terminate()
    try:
        await asyncio.wait_for(server.wait(), _DOWN_WITHIN)
    except TimeoutError:
        server.kill()
        await server.wait()


def cores() -> list[int]:
    """Return the cores this process may use."""
    return sorted(os.sched_getaffinity(0))
