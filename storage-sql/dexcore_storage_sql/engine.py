"""A thread that owns a connection, and commits for everybody at once.

What is asked for in one turn of the event loop is handed over at once, and what arrives
while a commit is on its way to the disk goes together into the next one.  So the disk
is waited for once per batch, and nobody hears of success before it is durable.  A piece
of work that fails after it has written undoes the batch, which then runs again with
each piece behind its own savepoint.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs

from dexcore.storage import Collections, StorageError, StorageUnavailable
from dexcore.storage.units import run_through

from .sqlite import SQLiteSession
from .verbs import PREPARED

T = TypeVar("T")
Work = Callable[[Collections], Awaitable[T]]

_TOGETHER = 64  # pieces of work after which a batch takes no more


@attrs.frozen
class Statistics:
    """What a storage did since it was opened.

    ``transactions`` counts pieces of work that were one transaction each, ``commits``
    the commits they shared, ``reads`` the reads outside of them, ``statements`` the
    statements in both.
    """

    transactions: int
    commits: int
    reads: int
    statements: int


class Job:
    """A piece of work, who waits for it, and what came of it."""

    __slots__ = ("error", "future", "reads", "result", "since", "work")

    def __init__(
        self, work: Work[Any], future: asyncio.Future[Any], *, reads: bool
    ) -> None:
        self.work = work
        self.future = future
        self.reads = reads
        self.since = time.monotonic()
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self, collections: Collections) -> None:
        """Do the work, perhaps again; whatever it raises is its outcome."""
        self.error = None
        try:
            self.result = run_through(self.work(collections))
        except StopIteration as error:
            # A future cannot carry this one.
            self.error = RuntimeError("The work raised StopIteration.")
            self.error.__cause__ = error
        except BaseException as error:
            self.error = error

    def fail(self, cause: BaseException) -> None:
        """Nothing of the work is known to have happened."""
        self.error = StorageUnavailable(str(cause))
        self.error.__cause__ = cause

    def tell(self) -> None:
        """Hand the outcome to who waits, if they still do."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Owner:
    """A thread that owns a connection and works through what is queued, in batches."""

    def __init__(
        self, name: str, session: SQLiteSession, reopen: Callable[[], SQLiteSession]
    ) -> None:
        self.transactions = 0
        self.commits = 0
        self.reads = 0
        self._session = session
        self._reopen = reopen
        self._collections = PREPARED.on(session)
        self._loop = asyncio.get_running_loop()
        self._asked: list[Job] = []
        self._jobs: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def statements(self) -> int:
        """How many statements ran."""
        return self._session.statements

    def write(self, work: Work[T]) -> asyncio.Future[T]:
        """Queue *work*; the future resolves after the commit, or with what it raised.

        Raises ``StorageUnavailable`` after :meth:`close`.
        """
        return self._queue(work, reads=False)

    def read(self, work: Work[T]) -> asyncio.Future[T]:
        """Queue *work* that only reads; it sees what was committed when it starts."""
        return self._queue(work, reads=True)

    async def close(self) -> None:
        """Finish what is queued, then close the connection."""
        if not self._closed:
            self._closed = True
            self._hand_over()
            self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _queue(self, work: Work[T], *, reads: bool) -> asyncio.Future[T]:
        if self._closed:
            raise StorageUnavailable("The storage is closed.")
        future: asyncio.Future[T] = self._loop.create_future()
        if not self._asked:
            # Waking the thread costs more than the work of many a job.
            self._loop.call_soon(self._hand_over)
        self._asked.append(Job(work, future, reads=reads))
        return future

    def _hand_over(self) -> None:
        jobs, self._asked = self._asked, []
        for start in range(0, len(jobs), _TOGETHER):
            self._jobs.put(jobs[start : start + _TOGETHER])

    def _work(self) -> None:
        more = True
        while more:
            jobs, more = self._next_batch()
            # Who does not wait any more has not asked for anything.
            jobs = [job for job in jobs if not job.future.cancelled()]
            if jobs:
                self._settle(jobs)
                self._tell(jobs)
        self._session.close()

    def _next_batch(self) -> tuple[list[Job], bool]:
        jobs: list[Job] = []
        asked = self._jobs.get()
        while asked is not None:
            jobs += asked
            if len(jobs) >= _TOGETHER:
                return jobs, True
            try:
                asked = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, True
        return jobs, False

    def _settle(self, jobs: list[Job]) -> None:
        try:
            if all(job.reads for job in jobs):
                self._read(jobs)
            else:
                self._write(jobs)
        except BaseException as error:
            for job in jobs:
                job.fail(error)
            self._recover()

    def _read(self, jobs: list[Job]) -> None:
        for job in jobs:
            job.run(self._collections)
        self.reads += len(jobs)

    def _write(self, jobs: list[Job]) -> None:
        session = self._session
        session.begin(jobs[0].since)
        if not self._run_together(jobs):
            session.rollback()
            if len(jobs) > 1:
                session.begin(jobs[0].since)
                self._run_apart(jobs)
        if session.lost:
            raise StorageUnavailable("SQLite gave up the transaction.")
        if session.inside:
            session.commit()
            self.commits += 1
        reads = sum(job.reads for job in jobs)
        self.reads += reads
        self.transactions += len(jobs) - reads

    def _run_together(self, jobs: list[Job]) -> bool:
        """Run all; return whether what they have written may stay."""
        session = self._session
        for job in jobs:
            before = session.changes
            job.run(self._collections)
            if session.lost:
                return True  # nothing stays anyway
            if job.error is not None and session.changes != before:
                return False
        return True

    def _run_apart(self, jobs: list[Job]) -> None:
        """Run all again, so that each can fail alone."""
        session = self._session
        for job in jobs:
            session.run("SAVEPOINT job")
            job.run(self._collections)
            if session.lost:
                return
            if job.error is not None:
                session.run("ROLLBACK TO job")
            session.run("RELEASE job")

    def _tell(self, jobs: list[Job]) -> None:
        # A closed loop: nobody waits any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_tell_all, jobs)

    def _recover(self) -> None:
        """Make the connection sound again, or get another one."""
        try:
            self._session.rollback()
        except (StorageError, sqlite3.Error):
            self._session.close()
            with contextlib.suppress(StorageError):
                fresh = self._reopen()
                fresh.statements = self._session.statements
                self._session, self._collections = fresh, PREPARED.on(fresh)


def _tell_all(jobs: list[Job]) -> None:
    for job in jobs:
        job.tell()
