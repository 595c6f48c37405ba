"""One connection to PostgreSQL: opening, transactions, errors in our words."""

from __future__ import annotations

import asyncio
import os
import ssl

from collections.abc import Sequence
from operator import itemgetter
from typing import Any
from urllib.parse import urlencode

import asyncpg

from dexcore.storage import StorageError, StorageUnavailable

from ..network import tls_context
from ..remote import Conflict, Counts, RemoteSession
from ..verbs import Prepared
from . import Postgres
from .dialect import POSTGRES

PREPARED = Prepared(POSTGRES)
_STATEMENTS = 512  # more than there are
# Who vanishes inside a transaction does not keep others from its rows for long.
_SETTINGS = (
    "SET statement_timeout = '{0}s'; SET idle_in_transaction_session_timeout = '15s'"
)
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
_GRACE = 2.0  # seconds more than the server takes to give a statement up


_GONE = (OSError, asyncpg.InterfaceError, asyncpg.exceptions.InternalClientError)


class Overtaken(StorageError):
    """What a statement had to find as it was has changed."""


class PostgresSession(RemoteSession):
    """A connection; whatever PostgreSQL raises becomes a ``StorageError``."""

    def __init__(
        self, connection: Any, counts: Counts, *, seconds: float, remembers: bool
    ) -> None:
        self.seconds = seconds
        self.collections = PREPARED.on(self)
        self.counts = counts
        self._connection = connection
        self._remembers = remembers
        self._known: set[str] = set()
        self._doubtful = False

    @property
    def usable(self) -> bool:
        """Whether it is open, and nothing is under way on it."""
        return not self._doubtful and not self._connection.is_closed()

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        """Run a statement and return all its rows."""
        if _is_nowhere(sql, parameters):
            return []
        self._count(sql)
        try:
            rows: list[Any] = await self._connection.fetch(
                sql, *parameters, timeout=self.seconds
            )
        except BaseException as error:
            raise self._refusal(error) from error
        return rows

    async def execute(self, sql: str, parameters: Sequence[Any]) -> int:
        """Run a statement and return how many rows it changed."""
        if _is_nowhere(sql, parameters):
            return 0
        self._count(sql)
        try:
            status: str = await self._connection.execute(
                sql, *parameters, timeout=self.seconds
            )
        except BaseException as error:
            raise self._refusal(error) from error
        changed = status.rpartition(" ")[2]
        return int(changed) if changed.isdecimal() else 0

    async def begin(self) -> None:
        """Start a transaction."""
        await self._run(_BEGIN)

    async def commit(self) -> None:
        """Make it durable."""
        if await self._run("COMMIT") != "COMMIT":
            raise StorageError("PostgreSQL gave up the transaction.")

    async def rollback(self) -> None:
        """Undo it."""
        await self._run("ROLLBACK")

    async def close(self) -> None:
        """Say goodbye."""
        await self._connection.close()

    def drop(self) -> None:
        """Cut the connection."""
        self._connection.terminate()

    async def _run(self, sql: str) -> str:
        self.counts.round_trips += 1
        try:
            status: str = await self._connection.execute(sql, timeout=self.seconds)
        except BaseException as error:
            raise self._refusal(error) from error
        return status

    def _count(self, sql: str) -> None:
        self.counts.statements += 1
        self.counts.round_trips += 1
        if sql not in self._known:
            # The driver asks what the statement means before it runs it.
            self.counts.round_trips += 1
            if self._remembers:
                self._known.add(sql)

    def _refusal(self, error: BaseException) -> BaseException:
        """Return *error* in our words; note whether the connection is still good."""
        if isinstance(error, asyncpg.PostgresError):
            state = str(error.sqlstate or "")
            # 57P: the server is going down.  08: the connection is gone.
            self.lost = state[:2] in ("08", "") or state[:3] == "57P"
            self._doubtful = self.lost
            return _refused(state, error)
        if isinstance(error, asyncpg.exceptions.DataError | ValueError):
            # Said by the driver, before anything was sent.
            return StorageError(f"PostgreSQL cannot store this: {error}")
        self._doubtful = True
        self.lost = isinstance(error, (TimeoutError, *_GONE))
        if isinstance(error, TimeoutError):
            return StorageUnavailable("PostgreSQL does not answer.")
        if isinstance(error, _GONE):
            return StorageUnavailable(f"The connection to PostgreSQL: {error}")
        return error


def _is_nowhere(sql: str, parameters: Sequence[Any]) -> bool:
    """Return whether a statement looks for what no row can hold."""
    return sql[:6] in ("SELECT", "DELETE") and not all(
        _can_be_stored(one) for one in parameters if type(one) is str
    )


def _can_be_stored(text: str) -> bool:
    if text.isascii():
        return "\x00" not in text
    try:
        return b"\x00" not in text.encode()
    except UnicodeEncodeError:
        return False


def _refused(state: str, error: Exception) -> StorageError:
    if state in ("40001", "40P01", "55P03"):
        return Conflict(f"PostgreSQL: {error}")
    if state == "22P02":
        return Overtaken(str(error))
    # 22: data it does not take.  23: a constraint.  54: a limit.  42: what should be
    # there is not, or dexcore may not.
    if state[:2] in ("22", "23", "54", "42", "0A"):
        return StorageError(f"PostgreSQL refuses: {error}")
    return StorageUnavailable(f"PostgreSQL: {error}")


async def connect(config: Postgres, counts: Counts) -> PostgresSession:
    """Open a connection; raise ``StorageUnavailable`` if there is none in time."""
    options = _options(config)
    try:
        async with asyncio.timeout(config.connect_seconds):
            connection = await asyncpg.connect(
                timeout=config.connect_seconds + 1,
                statement_cache_size=_STATEMENTS if config.prepared_statements else 0,
                max_cached_statement_lifetime=0,
                server_settings={"application_name": "dexcore", "timezone": "UTC"},
                **options,
            )
            # As numbers: see the dialect's times.
            await connection.set_type_codec(
                "timestamptz",
                schema="pg_catalog",
                encoder=lambda microseconds: (microseconds,),
                decoder=itemgetter(0),
                format="tuple",
            )
            await connection.execute(_SETTINGS.format(config.statement_timeout))
    except TimeoutError as error:
        raise StorageUnavailable("PostgreSQL does not answer.") from error
    except asyncpg.exceptions.ClientConfigurationError as error:
        raise StorageError(f"storage.config: {error}") from error
    except (*_GONE, asyncpg.PostgresError) as error:
        raise StorageUnavailable(f"Cannot connect to PostgreSQL: {error}") from error
    return PostgresSession(
        connection,
        counts,
        seconds=config.statement_timeout + _GRACE,
        remembers=config.prepared_statements,
    )


def _options(config: Postgres) -> dict[str, Any]:
    host, port = config.address
    given = {
        "host": host or os.environ.get("PGHOST", "") or "localhost",
        "port": port,
        "user": config.user,
        "password": config.password,
        "database": config.database,
    }
    if not host and os.environ.get("PGHOST"):
        del given["host"]  # the driver reads lists of hosts there
    # What is left out comes from PG* variables and ~/.pgpass.
    return {name: value for name, value in given.items() if value} | _tls(config)


def _tls(config: Postgres) -> dict[str, Any]:
    mode, files = config.ssl_mode, config.ssl
    ca = files.ca_file or os.environ.get("PGSSLROOTCERT", "")
    certificate = files.cert_file or os.environ.get("PGSSLCERT", "")
    key = files.key_file or os.environ.get("PGSSLKEY", "")
    if mode == "disable":
        return {"ssl": False}
    if mode in ("allow", "prefer"):
        # The driver's own, for it falls back.
        given = {"sslcert": certificate, "sslkey": key}
        query = {name: value for name, value in given.items() if value}
        return {"ssl": mode, "dsn": f"postgresql://?{urlencode(query)}"}
    # As libpq: who requires TLS and names an authority wants it checked.
    verify = mode != "require" or bool(ca)
    context = tls_context(
        "" if ca == "system" else ca,
        certificate,
        key,
        verify=verify,
        names=mode == "verify-full",
    )
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return {"ssl": context}
