"""HTTP/1.1 over one kept-open connection, as cheap as it gets.

The load generator shares the machine with what it measures, so it must cost little: a
request is bytes made beforehand, an answer is looked at only where something is needed.
"""

from __future__ import annotations

import asyncio

from collections.abc import Iterator, Mapping
from typing import cast
from urllib.parse import urlencode, urlsplit

import attrs

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_TIMEOUT = 60.0  # seconds


class BenchError(Exception):
    """The server did not do what the benchmark needs of it."""


@attrs.frozen
class Answer:
    """An HTTP response: ``head`` is the status line and headers, as they came."""

    status: int
    head: bytes
    body: bytes

    def headers(self, name: str) -> Iterator[str]:
        """Yield the values of header *name*."""
        wanted = name.lower().encode()
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == wanted:
                yield value.strip().decode("latin-1")

    def header(self, name: str) -> str:
        """Return the first value of header *name*, or ""."""
        return next(self.headers(name), "")


@attrs.frozen
class Address:
    """Where the server listens; only loopback addresses are accepted."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Address:
        """Return the address *url* is served at."""
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname not in LOOPBACK:
            raise BenchError(f"{url}: only http on a loopback address is measured.")
        return cls(parts.hostname, parts.port or 80)

    def get(self, target: str, headers: Mapping[str, str] | None = None) -> bytes:
        """Return a GET of *target* (path and query)."""
        return self._request("GET", target, headers)

    def post(
        self,
        target: str,
        form: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return a POST of *form* to *target*."""
        body = urlencode(form)
        more = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }
        return self._request("POST", target, more) + body.encode()

    def _request(
        self, method: str, target: str, headers: Mapping[str, str] | None
    ) -> bytes:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


class _Wire(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._buffer = b""
        self._head = b""
        self._rest = -1  # bytes of body to come; -2: chunked, -1: no head yet

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not asyncio's by descent.
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("The server hung up."))

    def send(self, request: bytes) -> asyncio.Future[Answer]:
        assert self.transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if self._rest == -1 and not self._read_head():
            return
        body = self._read_chunks() if self._rest == -2 else self._read_body()
        if body is None:
            return
        answer, head = self._answer, self._head
        self._buffer, self._rest, self._answer = b"", -1, None
        if answer and not answer.done():
            answer.set_result(Answer(int(head[9:12]), head, body))
        if b"\r\nconnection: close" in head.lower() and self.transport:
            self.transport.close()
            self.transport = None

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        self._head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        folded = self._head.lower()
        at = folded.find(b"\r\ncontent-length:")
        if at >= 0:
            self._rest = int(folded[at + 17 :].partition(b"\r\n")[0])
        elif b"\r\ntransfer-encoding: chunked" in folded:
            self._rest = -2
        else:
            self._rest = 0
        return True

    def _read_body(self) -> bytes | None:
        return self._buffer if len(self._buffer) >= self._rest else None

    def _read_chunks(self) -> bytes | None:
        body, rest = b"", self._buffer
        while True:
            size, found, rest = rest.partition(b"\r\n")
            if not found:
                return None
            length = int(size, 16)
            if len(rest) < length + 2:
                return None
            if length == 0:
                return body
            body, rest = body + rest[:length], rest[length + 2 :]


class Connection:
    """A connection to *address*, opened when needed and again when it was closed."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._wire: _Wire | None = None

    async def send(self, request: bytes) -> Answer:
        """Send *request* and return the answer."""
        wire = self._wire
        if wire is None or wire.transport is None:
            _, wire = await asyncio.get_running_loop().create_connection(
                _Wire, self.address.host, self.address.port
            )
            self._wire = wire
        return await wire.send(request)

    async def get(
        self, target: str, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """GET *target*, with a deadline."""
        async with asyncio.timeout(_TIMEOUT):
            return await self.send(self.address.get(target, headers))

    def close(self) -> None:
        """Close the connection."""
        if self._wire and self._wire.transport:
            self._wire.transport.close()
