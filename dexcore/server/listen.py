"""Sockets: where we listen, and how we stop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket

import attrs

from aiohttp import web

from ..errors import ConfigError
from .connections import Connection, Limits, connections
from .tls import Certificates

#: How many connections may wait to be accepted.
BACKLOG = 1024

#: How long requests under way may take when we stop (seconds).
DRAIN_SECONDS = 10.0

_log = logging.getLogger("dexcore.server")


def parse_address(text: str, key: str) -> tuple[str, int]:
    """Return host and port of ``host:port``, ``:port`` or ``[::1]:port``.

    An empty host is every interface.  *key* is where the file says it.
    Raises :class:`~dexcore.errors.ConfigError`.
    """
    host, colon, port = text.rpartition(":")
    try:
        if not colon:
            raise ValueError
        number = int(port) if port.isdigit() else socket.getservbyname(port, "tcp")
        if number > 0xFFFF:
            raise ValueError
    except (ValueError, OSError):
        raise ConfigError(
            f'{key}: "{text}" is not an address like 127.0.0.1:5556.'
        ) from None
    return host.removeprefix("[").removesuffix("]"), number


def free_address(text: str, key: str) -> str:
    """Return *text* with a port nobody listens on, chosen if it says 0.

    Raises :class:`~dexcore.errors.ConfigError` if its port is taken.
    """
    host, port = parse_address(text, key)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family) as found:
            port = found.getsockname()[1]
    except OSError as error:
        raise _cannot_listen(key, text, error) from error
    return _joined(host, port)


@attrs.define(eq=False)
class Listener:
    """The sockets at one address.

    ``name`` is what the log calls it, ``key`` where the file gives ``address``.
    """

    name: str
    key: str
    address: str
    certificates: Certificates | None = None
    _server: asyncio.Server | None = None

    async def open(
        self, runner: web.AppRunner, limits: Limits, *, reuse_port: bool = False
    ) -> None:
        """Listen; raise :class:`~dexcore.errors.ConfigError` if we cannot.

        *reuse_port*: other processes listen there too, and the kernel shares.
        """
        host, port = parse_address(self.address, self.key)
        secure = self.certificates
        try:
            self._server = await asyncio.get_running_loop().create_server(
                connections(runner, limits),
                host or None,
                port,
                backlog=BACKLOG,
                reuse_port=reuse_port or None,
                ssl=secure.context if secure else None,
                ssl_handshake_timeout=limits.handshake_seconds if secure else None,
            )
        except OSError as error:
            raise _cannot_listen(self.key, self.address, error) from error
        fields = {"server": self.name, "address": self.bound}
        _log.info("listening on", extra={"fields": fields})

    @property
    def bound(self) -> str:
        """Where we really listen, with the port the system chose for port 0."""
        sockets = self._server.sockets if self._server else ()
        if not sockets:
            return self.address
        return _joined(*sockets[0].getsockname()[:2])

    def refuse(self) -> None:
        """Accept no more connections; those there are stay."""
        if self._server is not None:
            self._server.close()
            self._server = None


async def open_runner(app: web.Application) -> web.AppRunner:
    """Return what serves *app*; :func:`drain` ends it."""
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        # What has not ended by itself while draining is not waited for again.
        shutdown_timeout=0.1,
    )
    await runner.setup()
    return runner


async def drain(runner: web.AppRunner, seconds: float = DRAIN_SECONDS) -> None:
    """Let requests under way finish for up to *seconds*; then close everything.

    Idle connections close at once.  A body that is still arriving may arrive: aiohttp's
    own shutdown would not read it.
    """
    # A request that has been read but not begun begins.
    await asyncio.sleep(0)
    server = runner.server
    if server is not None:
        found = [each for each in server.connections if isinstance(each, Connection)]
        waiting = [future for each in found if (future := each.retire()) is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)
    await runner.cleanup()


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _cannot_listen(key: str, address: str, error: OSError) -> ConfigError:
    if isinstance(error, socket.gaierror) or error.errno is None:
        why = error.strerror or str(error)
    else:
        why = os.strerror(error.errno)
    return ConfigError(f"{key}: cannot listen on {address}: {why}.")
