"""One connection to MySQL or MariaDB: opening, transactions, errors in our words."""

from __future__ import annotations

import asyncio
import ssl

from collections.abc import Sequence
from functools import cache
from typing import Any

import asyncmy

from asyncmy.constants import FIELD_TYPE
from asyncmy.converters import conversions
from asyncmy.errors import MySQLError

from dexcore.storage import Collections, StorageError, StorageUnavailable

from ..network import tls_context
from ..remote import Conflict, Counts, RemoteSession
from ..verbs import Prepared
from . import MySQL
from .dialect import dialect

# Strict about what does not fit; backslashes escape, as the driver has it; and rows of
# dex's with 0000-00-00 in them may be copied.
_SETTINGS = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',"
    " time_zone = '+00:00', innodb_lock_wait_timeout = {0}"
)
# Who vanishes inside a transaction does not keep others from its rows for long; MySQL
# has no such setting.
_MARIADB = ", idle_transaction_timeout = {0}"
# Locks what it reads for writing, and no gaps beside it.
_ISOLATION = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"

_SLACK = 5  # seconds more than a statement may take, until nobody comes with the next

_THERE = (1062, 1586)
_AGAIN = (1205, 1213)  # waited too long for a lock; a deadlock
# Data that does not fit, a constraint, something is not there or not allowed.
_REFUSED = frozenset(
    (
        *(1044, 1048, 1054, 1064, 1071, 1118, 1142, 1146, 1153, 1264, 1292, 1300),
        *(1366, 1406, 1451, 1452, 3988),
    )
)


@cache
def prepared(collation: str, returning: bool) -> Prepared:
    """Return the statements for a server of this sort."""
    return Prepared(dialect(collation, returning=returning))


class MySQLSession(RemoteSession):
    """A connection; whatever the server raises becomes a ``StorageError``."""

    collections: Collections

    def __init__(self, connection: Any, counts: Counts, seconds: float) -> None:
        self.counts = counts
        self.seconds = seconds
        self._connection = connection
        self._doubtful = False

    @property
    def usable(self) -> bool:
        """Whether it is open, and nothing is under way on it."""
        return (
            not self._doubtful
            and bool(self._connection.connected)
            and not getattr(self._connection, "_stream_broken", False)
        )

    @property
    def is_mariadb(self) -> bool:
        """Whether the server is MariaDB, which has ``DELETE … RETURNING``."""
        return "mariadb" in self._version.lower()

    @property
    def collation(self) -> str:
        """The collation that compares byte by byte, trailing blanks too if it can."""
        if self.is_mariadb:
            return "utf8mb4_nopad_bin"
        numbers = tuple(
            int(part) for part in self._version.partition("-")[0].split(".")[:3]
        )
        return "utf8mb4_0900_bin" if numbers >= (8, 0, 17) else "utf8mb4_bin"

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        """Run a statement and return all its rows."""
        if sql[:6] in ("SELECT", "DELETE") and not _can_be_stored(parameters):
            return []
        cursor = await self._run(sql, parameters)
        rows: list[Any] = list(await cursor.fetchall())
        return rows

    async def execute(self, sql: str, parameters: Sequence[Any]) -> int:
        """Run a statement and return how many rows it changed."""
        if sql[:6] == "DELETE" and not _can_be_stored(parameters):
            return 0
        try:
            return int((await self._run(sql, parameters)).rowcount)
        except _Duplicate:
            return 0

    async def begin(self) -> None:
        """Start a transaction."""
        await self._run("BEGIN")

    async def commit(self) -> None:
        """Make it durable."""
        await self._run("COMMIT")

    async def rollback(self) -> None:
        """Undo it."""
        await self._run("ROLLBACK")

    async def close(self) -> None:
        """Say goodbye."""
        await self._connection.ensure_closed()

    def drop(self) -> None:
        """Cut the connection."""
        self._connection.close()

    async def _run(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        self.counts.statements += 1
        self.counts.round_trips += 1
        cursor = self._connection.cursor()
        try:
            _check(parameters)
            async with asyncio.timeout(self.seconds):
                await cursor.execute(sql, tuple(parameters) if parameters else None)
        except BaseException as error:
            raise self._refusal(error) from error
        return cursor

    @property
    def _version(self) -> str:
        return str(self._connection.get_server_info())

    def _refusal(self, error: BaseException) -> BaseException:
        """Return *error* in our words; note whether the connection is still good."""
        if isinstance(error, UnicodeEncodeError):
            return StorageError(f"MySQL cannot store this: {error}")
        if isinstance(error, MySQLError):
            number = error.args[0] if error.args else 0
            # From 2000 on it is the driver that speaks.
            self._doubtful = not isinstance(number, int) or not 1000 <= number < 2000
            self.lost = self._doubtful
            return _refused(number, error)
        self._doubtful = True
        self.lost = isinstance(error, OSError | RuntimeError)  # timeouts among them
        if isinstance(error, TimeoutError):
            return StorageUnavailable("MySQL does not answer.")
        if isinstance(error, OSError | RuntimeError):
            return StorageUnavailable(f"The connection to MySQL: {error}")
        return error


class _Duplicate(StorageError):
    """The key is there."""


def _refused(number: Any, error: Exception) -> StorageError:
    if number in _THERE:
        return _Duplicate(str(error))
    if number in _AGAIN:
        return Conflict(f"MySQL: {error}")
    if number in _REFUSED:
        return StorageError(f"MySQL refuses: {error}")
    return StorageUnavailable(f"MySQL: {error}")


def _check(parameters: Sequence[Any]) -> None:
    for one in parameters:
        if type(one) is str and not one.isascii():
            one.encode()


def _can_be_stored(parameters: Sequence[Any]) -> bool:
    try:
        _check(parameters)
    except UnicodeEncodeError:
        return False
    return True


async def connect(
    config: MySQL, counts: Counts, returning: bool | None
) -> MySQLSession:
    """Open a connection; raise ``StorageUnavailable`` if there is none in time."""
    if config.ssl_mode != "preferred":
        return await _connect(config, counts, returning, _tls(config))
    try:
        return await _connect(config, counts, returning, _tls(config))
    except StorageUnavailable:
        return await _connect(config, counts, returning, None)


async def _connect(
    config: MySQL,
    counts: Counts,
    returning: bool | None,
    context: ssl.SSLContext | None,
) -> MySQLSession:
    try:
        async with asyncio.timeout(config.connect_seconds):
            connection = await asyncmy.connect(
                **_address(config),
                user=config.user,
                password=config.password.encode(),
                database=config.database or None,
                charset="utf8mb4",
                autocommit=True,
                binary_prefix=True,
                connect_timeout=int(config.connect_seconds) + 1,
                conv={**conversions, FIELD_TYPE.DATETIME: str},
                ssl=context,
            )
            session = MySQLSession(connection, counts, float(config.statement_timeout))
            await session.execute(_settings(config, session.is_mariadb), ())
            await session.execute(_ISOLATION, ())
    except TimeoutError as error:
        raise StorageUnavailable("MySQL does not answer.") from error
    except (OSError, RuntimeError, MySQLError) as error:
        raise StorageUnavailable(f"Cannot connect to MySQL: {error}") from error
    if returning is None:
        returning = session.is_mariadb
    session.collections = prepared(session.collation, returning).on(session)
    return session


def _settings(config: MySQL, is_mariadb: bool) -> str:
    # Some tries for a lock within the time of a statement.
    settings = _SETTINGS.format(max(config.statement_timeout // 3, 1))
    if is_mariadb:
        settings += _MARIADB.format(config.statement_timeout + _SLACK)
    return settings


def _address(config: MySQL) -> dict[str, Any]:
    host, port = config.address
    if host.startswith("/"):
        return {"unix_socket": host}
    return {"host": host or "127.0.0.1", "port": port or 3306}


def _tls(config: MySQL) -> ssl.SSLContext | None:
    mode, files = config.ssl_mode, config.ssl
    if mode == "false":
        return None
    verify = mode in ("true", "custom")
    return tls_context(
        files.ca_file, files.cert_file, files.key_file, verify=verify, names=verify
    )
