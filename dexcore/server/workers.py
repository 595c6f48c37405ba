"""Several processes for one server, and the one that looks after them.

The supervisor serves nothing.  It starts ``dexcore serve`` as often as it was told to;
all of them listen at the same addresses and the kernel shares the connections among
them.  One that dies is started again.  They need a storage that several processes can
open.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile

from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence

import attrs

from .metrics import FOLDER, SLOT

#: What a worker writes to its standard output once it listens.
READY = b"ready\n"

#: How long a worker may take to stop (seconds): more than it lets requests take.
STOP_SECONDS = 20.0

_log = logging.getLogger("dexcore.server")


def is_worker(environ: Mapping[str, str]) -> bool:
    """Return whether this process is one of several."""
    return SLOT in environ


def tell_ready() -> None:
    """Tell the supervisor that this worker listens, and stop when it is gone."""
    os.write(sys.stdout.fileno(), READY)
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _orphaned)


def _orphaned() -> None:
    # Nobody writes to us: what can be read is the end, because the supervisor died.
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    signal.raise_signal(signal.SIGTERM)


def supervise(arguments: Sequence[str], count: int) -> int:
    """Run *count* workers as ``dexcore ARGUMENTS`` until SIGTERM or SIGINT.

    Returns the exit code: 0, or that of the first worker if it cannot start.
    """
    return asyncio.run(_supervise(arguments, count))


async def _supervise(arguments: Sequence[str], count: int) -> int:
    with tempfile.TemporaryDirectory(prefix="dexcore-") as folder:
        supervisor = Supervisor(tuple(arguments), folder)
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, supervisor.stopping.set)
        loop.add_signal_handler(signal.SIGHUP, supervisor.forward, signal.SIGHUP)
        return await supervisor.run(count)


@attrs.define(eq=False)
class Supervisor:
    """Starts workers, and starts them again.

    ``folder`` is where they leave their numbers for each other.
    """

    arguments: tuple[str, ...]
    folder: str
    first_pause: float = 1.0
    longest_pause: float = 60.0
    stopping: asyncio.Event = attrs.field(factory=asyncio.Event)
    _processes: dict[int, Process] = attrs.field(factory=dict)

    async def run(self, count: int) -> int:
        """Keep *count* workers running until ``stopping``; return the exit code."""
        # The first one alone: it migrates the database, and what is wrong with the
        # configuration is said once.
        first = await self._start(0)
        if not await self._ready(first):
            return await self._code(first)
        others = [self._keep(slot, None) for slot in range(1, count)]
        codes = await asyncio.gather(self._keep(0, first), *others)
        return next((code for code in codes if code), 0)

    def forward(self, number: int) -> None:
        """Send every worker the signal *number*."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def _keep(self, slot: int, process: Process | None) -> int:
        """Keep one worker running; return how it ended when it was told to."""
        pause = self.first_pause
        while True:
            if process is None:
                process = await self._start(slot)
                if await self._ready(process):
                    pause = self.first_pause
            code = await self._code(process)
            if self.stopping.is_set():
                return code
            fields = {"worker": slot, "pid": process.pid, "exit_code": code}
            _log.error("worker died", extra={"fields": fields})
            if await self._told_to_stop(pause):
                return 0
            pause = min(pause * 2, self.longest_pause)
            process = None

    async def _start(self, slot: int) -> Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dexcore", *self.arguments),
            stdin=PIPE,
            stdout=PIPE,
            env={**os.environ, FOLDER: self.folder, SLOT: str(slot)},
        )
        self._processes[slot] = process
        fields = {"worker": slot, "pid": process.pid}
        _log.info("worker started", extra={"fields": fields})
        return process

    async def _ready(self, process: Process) -> bool:
        """Wait until *process* listens; return False if it ended before."""
        async with self._stopped_with(process):
            async for line in _lines(process):
                if line == READY:
                    return True
            return False

    async def _code(self, process: Process) -> int:
        """Wait until *process* ends."""
        async with self._stopped_with(process):
            async for line in _lines(process):
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
            return await process.wait()

    @contextlib.asynccontextmanager
    async def _stopped_with(self, process: Process) -> AsyncIterator[None]:
        """While this lasts, let *process* end when we are told to."""
        ending = asyncio.create_task(self._end(process))
        try:
            yield
        finally:
            ending.cancel()

    async def _end(self, process: Process) -> None:
        await self.stopping.wait()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
            await asyncio.sleep(STOP_SECONDS)
            process.kill()

    async def _told_to_stop(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self.stopping.wait()
        return False


async def _lines(process: Process) -> AsyncIterator[bytes]:
    while process.stdout is not None and (line := await process.stdout.readline()):
        yield line
