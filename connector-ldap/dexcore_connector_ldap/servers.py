"""The servers of one directory: which is asked, and the connections kept to each.

Two kinds of connection are kept.  On the ones that *search* we are bound as our own
account, and nothing else ever binds there.  On the others people's passwords are tried,
one after the other: each bind forgets the one before (RFC 4511 section 4.2.1), nothing
is ever searched there, and so nobody's rights are left to anybody else.  Neither costs
a TCP and TLS handshake for each login.
"""

from __future__ import annotations

import threading
import time

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

import attrs

from dexcore.errors import UpstreamError, UpstreamUnavailable

from . import codec
from .addresses import Address
from .wire import Broken, Connection, Security, TimedOut

T = TypeVar("T")

#: What is done with a connection, until a moment.
Job = Callable[[Connection, float], T]

#: Seconds a connection may wait for its next use: firewalls and servers forget those
#: that are quiet for long.
IDLE = 30.0

#: Seconds until a connection is replaced in any case: names get new addresses,
#: accounts new rights.
OLD = 300.0

#: Seconds in which a server that failed is asked after the others.
AVOIDED = 30.0

#: Codes with which a server says that another one may do better (RFC 4511 A.1).
_TRY_ANOTHER = (codec.BUSY, codec.UNAVAILABLE)


class Declined(Broken):
    """The server is there, but says that it cannot work."""


@attrs.frozen
class Account:
    """Who searches; anonymous if ``dn`` is empty."""

    dn: str = ""
    password: bytes = attrs.field(default=b"", repr=False)


class Server:
    """One server and the idle connections to it.

    *security* tells how the next connection is encrypted.
    """

    def __init__(
        self, address: Address, security: Callable[[], Security], account: Account
    ) -> None:
        self.address = address
        self.avoided_until = 0.0
        self._security = security
        self._account = account
        self._lock = threading.Lock()
        self._idle: dict[bool, deque[Connection]] = {True: deque(), False: deque()}
        self._busy: set[Connection] = set()
        self._closed = False

    def use(self, searching: bool, job: Job[T], until: float) -> T:
        """Return what *job* returns, given a connection of the kind.

        A connection that broke while it was idle is no news: then a new one is tried.
        Raises `Broken`.
        """
        kept = self._take(searching)
        if kept is not None:
            try:
                return self._run(kept, searching, job, until)
            except Broken as error:
                self.forget()  # what broke one of them will have broken the others
                if isinstance(error, TimedOut):
                    raise
        return self._run(self._open(searching, until), searching, job, until)

    def forget(self, before: float | None = None) -> bool:
        """Close idle connections, those last used *before*; return if some are left."""
        with self._lock:
            gone: list[Connection] = []
            for idle in self._idle.values():
                while idle and (before is None or idle[0].used < before):
                    gone.append(idle.popleft())
            left = any(self._idle.values())
        for connection in gone:
            connection.close()
        return left

    def close(self) -> None:
        """Close everything, also under those who wait for an answer."""
        with self._lock:
            self._closed = True
            busy = list(self._busy)
        self.forget()
        for connection in busy:
            connection.interrupt()

    def _run(
        self, connection: Connection, searching: bool, job: Job[T], until: float
    ) -> T:
        try:
            done = job(connection, until)
        except BaseException:
            # An answer may still be on its way, and must not meet the next question.
            self._drop(connection)
            raise
        self._give_back(connection, searching)
        return done

    def _take(self, searching: bool) -> Connection | None:
        while True:
            with self._lock:
                if not self._idle[searching]:
                    return None
                # The one used last: the others may grow old and go.
                connection = self._idle[searching].pop()
                self._busy.add(connection)
            if self._is_fresh(connection) and connection.is_quiet():
                return connection
            self._drop(connection)

    def _is_fresh(self, connection: Connection) -> bool:
        now = time.monotonic()
        return now - connection.used < IDLE and now - connection.opened < OLD

    def _give_back(self, connection: Connection, searching: bool) -> None:
        with self._lock:
            self._busy.discard(connection)
            if not self._closed:
                self._idle[searching].append(connection)
                return
        connection.close()

    def _drop(self, connection: Connection) -> None:
        with self._lock:
            self._busy.discard(connection)
        connection.abandon()

    def _open(self, searching: bool, until: float) -> Connection:
        connection = Connection.open(self.address, self._security(), until)
        with self._lock:
            self._busy.add(connection)
            closed = self._closed
        try:
            if closed:
                raise Broken(f"{self.address}: the connector was closed")
            if searching and self._account.dn:
                self._introduce(connection, until)
        except BaseException:
            self._drop(connection)
            raise
        return connection

    def _introduce(self, connection: Connection, until: float) -> None:
        account = self._account
        result = connection.bind(account.dn, account.password, until)
        if result.code in _TRY_ANOTHER:
            raise Declined(f"{self.address}: bind as {account.dn!r}: {result}")
        if result.code != codec.SUCCESS:
            raise UpstreamError(
                f"{self.address}: bind as {account.dn!r} (bindDN): {result}"
            )


class Servers:
    """The servers in the order of the file; all hold the same data.

    ``idle``: after how many seconds without use a connection is closed.
    """

    def __init__(self, servers: Iterable[Server], idle: float = IDLE) -> None:
        self.idle = idle
        self._servers = tuple(servers)

    def search(self, job: Job[T], until: float) -> T:
        """Return what *job* returns, given a connection on which our account is bound.

        Raises ``UpstreamUnavailable`` if no server can be used, ``UpstreamError`` if
        one will not have our account.
        """
        return self._use(True, job, until)

    def try_password(self, job: Job[T], until: float) -> T:
        """Return what *job* returns, given a connection to bind people on."""
        return self._use(False, job, until)

    def prune(self) -> bool:
        """Close connections idle for long; return whether there are younger ones."""
        before = time.monotonic() - self.idle
        return any([server.forget(before) for server in self._servers])

    def close(self) -> None:
        """Close all connections."""
        for server in self._servers:
            server.close()

    def _use(self, searching: bool, job: Job[T], until: float) -> T:
        failures: list[str] = []
        servers = self._by_luck()
        for server in servers:
            left = until - time.monotonic()
            others = server is not servers[-1]
            if failures and left <= 0:
                break
            try:
                # As long as there are others, half of the time is for them.
                share = time.monotonic() + left / 2 if others else until
                done = server.use(searching, job, share)
            except Broken as error:
                failures.append(str(error))
                server.avoided_until = time.monotonic() + AVOIDED
            else:
                server.avoided_until = 0.0
                return done
        raise UpstreamUnavailable("; ".join(failures))

    def _by_luck(self) -> list[Server]:
        """Return all servers, those that failed of late behind the others."""
        now = time.monotonic()
        return sorted(self._servers, key=lambda server: server.avoided_until > now)
