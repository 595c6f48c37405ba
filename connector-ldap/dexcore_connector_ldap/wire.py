"""One connection to one server of the directory.  Blocking: for threads only.

Every wait ends at a moment its caller names (``until``, of :func:`time.monotonic`),
however slowly the other side sends, and no answer may be larger than the limits here.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time

from collections.abc import Callable, Iterator

import attrs

from . import codec
from .addresses import Address
from .codec import Message, Result
from .entries import Entry
from .sockets import connect, message_size, time_left

#: What all answers to one request may have in bytes.
LARGEST_ANSWER = 32 << 20

#: How many entries are asked for at a time (RFC 2696).  Active Directory gives no more
#: than a thousand.
PAGE = 500

_CHUNK = 1 << 16
_MOST_IDS = 1 << 30


class Broken(Exception):
    """A connection could not be made or used; the text names host and operation."""


class TimedOut(Broken):
    """The server did not answer in time."""


@attrs.frozen
class Security:
    """How a connection is encrypted: not at all without ``context``."""

    context: ssl.SSLContext | None = None
    start_tls: bool = False


@attrs.frozen
class Query:
    """What is searched: no more than ``at_most`` entries of what matches ``filter``."""

    base: str
    scope: str
    filter: str
    attributes: tuple[str, ...]
    at_most: int


@attrs.frozen
class Found:
    """What a search brought; ``result`` says whether that is all."""

    entries: tuple[Entry, ...]
    result: Result


class Connection:
    """Speaks LDAP with one server, one request at a time."""

    def __init__(self, address: Address, sock: socket.socket) -> None:
        self.address = address
        self.opened = self.used = time.monotonic()
        self._socket = sock
        self._buffer = bytearray()
        self._received = 0
        self._id = 0

    @classmethod
    def open(cls, address: Address, security: Security, until: float) -> Connection:
        """Connect and encrypt.  Raises `Broken`."""
        with _named(address, "connect"):
            connection = cls(address, connect(address, until))
        try:
            if security.context is not None:
                if security.start_tls:
                    connection._start_tls(until)
                connection._encrypt(security.context, until)
        except BaseException:
            connection.abandon()
            raise
        return connection

    def bind(self, dn: str, password: bytes, until: float) -> Result:
        """Say who we are.  Whatever this answers, who we were before is forgotten."""
        with self._exchange("bind"):
            answers = self._ask(
                lambda id: codec.bind_request(id, dn, password), codec.BIND, until
            )
            return _last(answers)

    def search(self, query: Query, until: float) -> Found:
        """Return what matches; if there is more, the result says ``SIZE_LIMIT``."""
        entries: list[Entry] = []
        cookie = b""
        while True:
            with self._exchange("search"):
                page = self._page(query, cookie, until)
            entries += page.entries
            if len(entries) > query.at_most:
                whole = tuple(entries[: query.at_most])
                return Found(whole, Result(codec.SIZE_LIMIT))
            cookie = page.result.cookie
            if page.result.code != codec.SUCCESS or not cookie:
                return Found(tuple(entries), page.result)

    def _page(self, query: Query, cookie: bytes, until: float) -> Found:
        paged = query.at_most > PAGE

        def request(id: int) -> bytes:
            return codec.search_request(
                id,
                query.base,
                query.scope,
                query.filter,
                query.attributes,
                size_limit=0 if paged else query.at_most,
                # The server need not work on when nobody waits any more.
                seconds=max(1, int(until - time.monotonic())),
                page=PAGE if paged else 0,
                cookie=cookie,
            )

        entries: list[Entry] = []
        for answer in self._ask(request, codec.DONE, until):
            if answer.entry is not None:
                entries.append(answer.entry)
                if len(entries) > query.at_most + PAGE:
                    raise codec.Malformed("it does not stop sending entries")
            if answer.result is not None:
                return Found(tuple(entries), answer.result)
        raise AssertionError("answers end with a result")

    def is_quiet(self) -> bool:
        """Return whether nothing has come in since: no farewell, no notice."""
        if self._buffer:
            return False
        try:
            self._socket.settimeout(0.0)
            # Below TLS: there is nothing to decrypt, or it is something bad.
            socket.socket.recv(self._socket, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        """Say goodbye and close."""
        with contextlib.suppress(OSError, ValueError):
            self._socket.settimeout(0.0)
            self._socket.send(codec.unbind_request(self._next_id()))
        self.abandon()

    def abandon(self) -> None:
        """Close without a word."""
        self._socket.close()

    def interrupt(self) -> None:
        """Let whoever waits for an answer, in another thread, wait no longer."""
        with contextlib.suppress(OSError):
            # Not SSLSocket's: it would take the encryption away under a reader.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    # — encryption ---------------------------------------------------------------------

    def _start_tls(self, until: float) -> None:
        with self._exchange("StartTLS"):
            result = _last(self._ask(codec.start_tls_request, codec.EXTENDED, until))
            if result.code != codec.SUCCESS:
                raise ConnectionError(f"the server refuses: {result}")
            # What came before encryption began may come from anybody.
            if self._buffer or not self.is_quiet():
                raise codec.Malformed("it went on in plain text")

    def _encrypt(self, context: ssl.SSLContext, until: float) -> None:
        with self._exchange("TLS"):
            # The handshake ends with the timeout, all its steps together.
            self._socket.settimeout(time_left(until))
            self._socket = context.wrap_socket(
                self._socket, server_hostname=self.address.host
            )

    # — requests and answers -----------------------------------------------------------

    @contextlib.contextmanager
    def _exchange(self, operation: str) -> Iterator[None]:
        with _named(self.address, operation):
            yield
        self.used = time.monotonic()

    def _ask(
        self, request: Callable[[int], bytes], last: int, until: float
    ) -> Iterator[Message]:
        id = self._next_id()
        self._send(request(id), until)
        self._received = 0
        while True:
            answer = codec.parse_message(self._receive(until))
            if answer.id == 0:
                raise ConnectionError(f"the server ends the session: {answer.result}")
            if answer.id != id:
                raise codec.Malformed("it answers what nobody asked")
            if answer.tag not in (last, *_BEFORE[last]):
                raise codec.Malformed("it answers something else")
            yield answer
            if answer.tag == last:
                return

    def _next_id(self) -> int:
        self._id = self._id % _MOST_IDS + 1
        return self._id

    def _send(self, data: bytes, until: float) -> None:
        self._socket.settimeout(time_left(until))
        self._socket.sendall(data)

    def _receive(self, until: float) -> bytes:
        """Return the next whole message."""
        while (size := message_size(self._buffer)) > len(self._buffer):
            self._socket.settimeout(time_left(until))
            chunk = self._socket.recv(_CHUNK)
            if not chunk:
                raise ConnectionError("the server closed the connection")
            self._received += len(chunk)
            if self._received > LARGEST_ANSWER:
                raise codec.Malformed("the answer is too large")
            self._buffer += chunk
        message = bytes(self._buffer[:size])
        del self._buffer[:size]
        return message


# What may come before the last answer to a request.
_BEFORE = {
    codec.BIND: (),
    codec.EXTENDED: (),
    codec.DONE: (codec.ENTRY, codec.REFERENCE),
}


def _last(answers: Iterator[Message]) -> Result:
    for answer in answers:
        if answer.result is not None:
            return answer.result
    raise AssertionError("answers end with a result")


@contextlib.contextmanager
def _named(address: Address, operation: str) -> Iterator[None]:
    """Turn what goes wrong inside into `Broken`, with *address* and *operation*."""
    try:
        yield
    except TimeoutError:
        raise TimedOut(f"{address}: {operation}: no answer in time") from None
    except ssl.SSLCertVerificationError as error:
        why = f"the certificate is not trusted: {error.verify_message}"
        raise Broken(f"{address}: {operation}: {why}") from None
    except (OSError, UnicodeError, codec.Malformed) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise Broken(f"{address}: {operation}: {why}") from None
