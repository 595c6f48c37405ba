"""Servers in processes of their own that start in a moment, so that many may be killed.

::

    with Lives(folder) as lives:
        life = lives.begin(configuration)   # a mapping, as in the file
        life.kill_at("unit:after")          # kill -9, there
        ...                                 # a request: the connection breaks
        life.ended()
        life = lives.begin(configuration)   # the next, on the same storage

All of them are forks of one process that has imported everything once.  A life is a
whole server: its own sockets, its own memory; ``SIGKILL`` leaves nothing of it but what
its storage holds.  The points are those of :mod:`dexcore.testing.faults`.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import socket
import time
import urllib.error
import urllib.request

from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any

import attrs

from .. import hookimpl, plugins
from ..config import loads
from ..oauth2.times import utcnow
from ..server import logs
from ..server.app import Server, open_server
from ..server.run import run
from ..storage import StorageType
from .faults import faulty

__all__ = ["Life", "Lives"]

_STARTS = 60.0  # seconds, on a machine that has other things to do
_STOPS = 15.0

#: What the server does by itself every second or so; it is not killed there.
_BESIDE = ("upcoming_keys.", "keys.", "revocations.list", "ping", "sweep")


class Life:
    """A server that runs, until it is stopped or killed."""

    def __init__(
        self, process: BaseProcess, issuer: str, origin: str, folder: Path
    ) -> None:
        self.process = process
        self.issuer = issuer
        self.origin = origin
        self.log = folder / "log"
        self._passed = folder / "passed"
        self._doom = folder / "doom"
        self._signed = folder / "signed"

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self.process.is_alive()

    def watch(self) -> None:
        """Begin to write down the points it passes."""
        self._doom.write_text("")
        self._passed.write_text("")

    def passed(self) -> list[str]:
        """Return the points it has passed since :meth:`watch`, and stop watching."""
        self._doom.unlink(missing_ok=True)
        return self._passed.read_text().split()

    def kill_at(self, point: str, time: int = 1) -> None:
        """Let it be killed when it gets to *point*, for the so-manieth time."""
        whole = self._doom.with_name("written")
        whole.write_text(f"{point} {time}")
        whole.rename(self._doom)

    def rotate(self) -> None:
        """Let the next key sign now; return when it does, or when all is over."""
        self._let_sign(signal.SIGUSR1)

    def look(self) -> None:
        """Let the signer do now what is due by its clock, as it does every 10 s."""
        self._let_sign(signal.SIGUSR2)

    def kill(self) -> None:
        """``kill -9``."""
        self.process.kill()
        self.process.join(_STOPS)

    def ended(self) -> None:
        """Wait until it is gone; raise ``AssertionError`` if it was not killed."""
        self.process.join(_STOPS)
        assert self.process.exitcode == -signal.SIGKILL, self.process.exitcode

    def stop(self) -> None:
        """SIGTERM, as it is told to stop."""
        self.process.terminate()
        self.process.join(_STOPS)
        if self.process.is_alive():
            self.kill()

    def _let_sign(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        self._signed.unlink(missing_ok=True)
        os.kill(self.process.pid, number)
        while self.alive and not self._signed.exists():
            time.sleep(0.005)


class Lives:
    """Starts servers, each with a folder of its own in *folder*."""

    def __init__(self, folder: Path, preload: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._numbers = count(1)
        self._clock = folder / "clock"
        self._begun: list[Life] = []
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["dexcore.testing.lives", *preload])

    def __enter__(self) -> Lives:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for life in self._begun:
            life.stop()
            life.process.close()

    def forward(self, seconds: float) -> None:
        """Move the clocks of all of them, and of those to come."""
        before = _offset(self._clock)
        whole = self._clock.with_name("written")
        whole.write_text(str(before + seconds))
        whole.rename(self._clock)

    def begin(self, configuration: Mapping[str, Any], port: int = 0) -> Life:
        """Start a server and wait until it serves; ``RuntimeError`` if it does not.

        It listens on *port*, and is its own issuer unless the configuration has one;
        whatever else its ``web`` has is kept.
        """
        folder = self._folder / f"life{next(self._numbers)}"
        folder.mkdir()
        port = port or _free_port()
        origin = f"http://127.0.0.1:{port}"
        own = {"web": {**configuration.get("web", {}), "http": f"127.0.0.1:{port}"}}
        issuer = {"issuer": f"{origin}/dex"}
        settings = issuer | dict(configuration) | own
        process = self._context.Process(
            target=_live, args=(json.dumps(settings), folder, self._clock)
        )
        process.start()
        life = Life(process, settings["issuer"], origin, folder)
        self._begun.append(life)
        _wait_for(f"{origin}/dex/keys", life)
        return life


# — In the other process ---------------------------------------------------------------


def _live(text: str, folder: Path, clock: Path) -> None:
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    settings = json.loads(text)
    kind = settings["storage"]["type"]
    offer = plugins.find().storage_type(kind)
    settings["storage"] = {**settings["storage"], "type": "mortal"}
    config = loads(json.dumps(settings))
    lines = logs.configure(config.logger)
    reached = _Reached(folder)

    async def opened() -> Server:
        mortal = StorageType("mortal", offer.config, faulty(offer.open, reached))
        server = await open_server(
            config,
            plugins.find(_Offer(mortal)),
            now=lambda: utcnow() + timedelta(seconds=_offset(clock)),
        )
        _sign_when_asked(server.parts.signer, reached, folder / "signed")
        return server

    try:
        run(config, opened)
    finally:
        lines.flush()


def _sign_when_asked(signer: Any, reached: _Reached, done: Path) -> None:
    asked: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()

    async def look() -> None:
        try:
            await signer.refresh()
        finally:
            done.touch()  # noqa: ASYNC240 - in a file system in memory, or nearly

    async def rotate() -> None:
        # First what has to be there for it, so that nothing but the rotation is cut.
        await signer.refresh()
        reached.beside = tuple(one for one in _BESIDE if "keys" not in one)
        try:
            await signer.rotate()
        finally:
            reached.beside = _BESIDE
            done.touch()  # noqa: ASYNC240 - in a file system in memory, or nearly

    def begin(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asked.add(loop.create_task(work()))

    loop.add_signal_handler(signal.SIGUSR1, begin, rotate)
    loop.add_signal_handler(signal.SIGUSR2, begin, look)


@attrs.frozen
class _Offer:
    type: StorageType[Any]

    @hookimpl
    def dex_storage_types(self) -> list[StorageType[Any]]:
        return [self.type]


class _Reached:
    """Looks at each point whether somebody watches, or it is the last."""

    def __init__(self, folder: Path) -> None:
        self.beside: tuple[str, ...] = _BESIDE
        self._doom = folder / "doom"
        self._passed = folder / "passed"
        self._times: Counter[str] = Counter()
        self._before = ""

    def __call__(self, point: str) -> None:
        if point.startswith(self.beside):
            return
        try:
            doom = self._doom.read_text()
        except FileNotFoundError:
            return
        if doom != self._before:
            self._before = doom
            self._times.clear()
        self._times[point] += 1
        if not doom:
            with self._passed.open("a") as passed:
                passed.write(f"{point}\n")
        elif doom == f"{point} {self._times[point]}":
            os.kill(os.getpid(), signal.SIGKILL)


def _offset(clock: Path) -> float:
    try:
        return float(clock.read_text())
    except FileNotFoundError:
        return 0.0


def _wait_for(url: str, life: Life) -> None:
    until = time.monotonic() + _STARTS
    # No proxy stands between here and the loopback.
    direct: Callable[..., Any] = urllib.request.build_opener(
        urllib.request.ProxyHandler({})
    ).open
    while True:
        try:
            with direct(url, timeout=10):
                return
        except (urllib.error.URLError, ConnectionError):
            if not life.alive or time.monotonic() > until:
                raise RuntimeError(life.log.read_text()[-3000:]) from None
            time.sleep(0.01)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
