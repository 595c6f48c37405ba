"""One connection to one SQLite file: opening, transactions, errors in our words."""

from __future__ import annotations

import os
import random
import sqlite3
import time

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from dexcore.storage import StorageError, StorageUnavailable

from .verbs import Session

_PATIENCE = 5.0  # seconds another process may hold the file; the same as dex's driver
_STATEMENTS = 256  # more than there are, so that each is compiled once


class SQLiteSession(Session):
    """A connection that belongs to one thread.

    Whatever SQLite raises becomes a ``StorageError``: ``StorageUnavailable`` for what
    may pass (locked, full, cannot be read).  ``lost`` says that SQLite gave up the
    transaction on its own; until :meth:`recover` nothing runs any more.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.statements = 0
        self.lost = False
        self._connection = connection
        self._inside = False

    @property
    def inside(self) -> bool:
        """Whether a transaction is under way."""
        return self._inside

    @property
    def changes(self) -> int:
        """How many rows were changed since the connection was opened."""
        return self._connection.total_changes

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        """Run a statement and return all its rows."""
        self.statements += 1
        return self.run(sql, parameters).fetchall()

    async def execute(self, sql: str, parameters: Sequence[Any]) -> int:
        """Run a statement and return how many rows it changed."""
        self.statements += 1
        return self.run(sql, parameters).rowcount

    def run(
        self, sql: str, parameters: Sequence[Any] = (), since: float | None = None
    ) -> sqlite3.Cursor:
        """Run a statement; while another process holds the file, try again.

        *since* is when the waiting began, in seconds of the monotonic clock: now if it
        is not given.
        """
        if self.lost:
            raise StorageUnavailable("The transaction is gone.")
        try:
            return self._connection.execute(sql, parameters)
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or self._inside:
                raise self._refusal(error) from error
        except sqlite3.Error as error:
            raise self._refusal(error) from error
        return self._run_patiently(sql, parameters, since or time.monotonic())

    def begin(self, since: float | None = None) -> None:
        """Start writing: from now on this is the only writer."""
        self.run("BEGIN IMMEDIATE", since=since)
        self._inside = True

    def commit(self) -> None:
        """Make it durable; when this returns, it is."""
        self._inside = False  # readers of a file without WAL may be waited for
        self.run("COMMIT")

    def rollback(self) -> None:
        """Undo everything since :meth:`begin`."""
        self._inside = self.lost = False
        if self._connection.in_transaction:
            self.run("ROLLBACK")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _run_patiently(
        self, sql: str, parameters: Sequence[Any], since: float
    ) -> sqlite3.Cursor:
        while True:
            # Jitter, so that two processes do not knock at the same moments.
            time.sleep(random.uniform(0.001, 0.01))  # noqa: S311 - no secret
            try:
                return self._connection.execute(sql, parameters)
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > since + _PATIENCE:
                    raise self._refusal(error) from error

    def _refusal(self, error: sqlite3.Error) -> StorageError:
        self.lost = self._inside and not self._connection.in_transaction
        if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError):
            return StorageError(f"SQLite refuses the record: {error}")
        return StorageUnavailable(f"SQLite: {error}")


def connect(file: str, *, synchronous: str = "full") -> SQLiteSession:
    """Open *file*, make it if it is not there; raise ``StorageUnavailable``."""
    name, is_uri = _driver_name(file)
    try:
        if not is_memory(file) and "mode=ro" not in file:
            _make(_path(file))
        session = SQLiteSession(
            sqlite3.connect(
                name,
                timeout=0,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=_STATEMENTS,
                uri=is_uri,
            )
        )
    except (OSError, sqlite3.Error) as error:
        raise StorageUnavailable(f"Cannot open {file}: {error}") from error
    try:
        session.run(f"PRAGMA synchronous = {synchronous}")
        # What a statement or a savepoint might have to undo is no file's business.
        session.run("PRAGMA temp_store = memory")
    except StorageError:
        session.close()
        raise
    return session


def is_memory(file: str) -> bool:
    """Return whether *file* names a database that lives in this process only."""
    return ":memory:" in file or "mode=memory" in file


def use_journal(session: SQLiteSession, mode: str) -> bool:
    """Switch the file's journal; return whether readers do not wait for the writer."""
    (now,) = session.run(f"PRAGMA journal_mode = {mode}").fetchone()
    return bool(now == "wal")


def _driver_name(file: str) -> tuple[str, bool]:
    if file.startswith("file:"):
        return file, True
    # dex's driver takes its own options after a question mark, and so do its users.
    return file.partition("?")[0], False


def _path(file: str) -> Path:
    if file.startswith("file:"):
        return Path(unquote(urlsplit(file).path))
    return Path(file.partition("?")[0])


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # Keys and secrets are in it: only its owner may read a new one.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _is_busy(error: sqlite3.OperationalError) -> bool:
    code = error.sqlite_errorcode & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
