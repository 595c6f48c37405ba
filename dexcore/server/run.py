"""The life of a server process: open, listen, wait for a signal, drain, close."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
import resource
import signal

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import attrs

from aiohttp import web
from aiohttp.web import Application

from .. import __version__
from ..config.model import Config
from .background import Background
from .connections import Limits
from .health import Health
from .listen import Listener, drain, open_runner
from .tls import INTERVAL, Certificates

TELEMETRY = "http/telemetry"

_log = logging.getLogger("dexcore.server")


class Served(Protocol):
    """What is served: the endpoints, and what runs beside them."""

    @property
    def web(self) -> Application:
        """The public endpoints."""

    @property
    def telemetry(self) -> Application:
        """Metrics and health."""

    @property
    def health(self) -> Health:
        """Told when we are about to stop."""

    async def start(self) -> None:
        """Start what runs beside the endpoints."""

    async def close(self) -> None:
        """Stop everything and let go of connections."""


Open = Callable[[], Awaitable[Served]]


def announce(config: Config) -> None:
    """Tell the log what we are about to serve."""
    version = {"dexcore_version": __version__, "python": platform.python_version()}
    _log.info("Version info", extra={"fields": version})
    _log.info("config issuer", extra={"fields": {"issuer": config.issuer}})
    kind = {"storage_type": config.storage.type}
    _log.info("config storage", extra={"fields": kind})
    for client in config.static_clients:
        name = {"client_name": client.name or client.id}
        _log.info("config static client", extra={"fields": name})
    for connector in config.connectors:
        fields = {"connector_id": connector.id}
        _log.info("config connector", extra={"fields": fields})


def run(
    config: Config,
    open_server: Open,
    *,
    shared: bool = False,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve what *open_server* returns until SIGTERM or SIGINT.

    *shared*: other processes listen at the same addresses.  *ready* is called once
    everything listens.  Raises what *open_server* raises, and
    :class:`~dexcore.errors.ConfigError`.
    """
    raise_file_limit()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(config, open_server, shared, ready))


async def _run(
    config: Config, open_server: Open, shared: bool, ready: Callable[[], None]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    # Until there is something to reload it is ignored; by default it kills.
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    async with serving(config, open_server, shared=shared) as running:
        loop.add_signal_handler(signal.SIGHUP, running.reload)
        ready()
        await stop.wait()
        _log.info("stopping")
    # All is done: who asks again shall not kill us on our last lines, for the exit code
    # would say that it had not been.
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(each)
        signal.signal(each, signal.SIG_IGN)


@contextlib.asynccontextmanager
async def serving(
    config: Config,
    open_server: Open,
    *,
    shared: bool = False,
    limits: Limits | None = None,
) -> AsyncIterator[Serving]:
    """Serve while the ``async with`` lasts; on leaving, drain and close."""
    served = await open_server()
    running = Serving(served)
    try:
        await served.start()
        await running.open(config, limits or Limits(), shared)
        yield running
    finally:
        await running.close()


@attrs.define(eq=False)
class Serving:
    """A server that listens.  ``listeners`` by the name the log calls them."""

    served: Served
    listeners: dict[str, Listener] = attrs.field(factory=dict)
    _runners: list[web.AppRunner] = attrs.field(factory=list)
    _background: Background = attrs.field(factory=Background)
    _closed: bool = False

    async def open(self, config: Config, limits: Limits, shared: bool) -> None:
        """Listen everywhere, and watch the certificate."""
        for app, listeners in (
            (self.served.telemetry, _telemetry(config)),
            (self.served.web, _public(config)),
        ):
            runner = await open_runner(app)
            self._runners.append(runner)
            for listener in listeners:
                self.listeners[listener.name] = listener
                await listener.open(runner, limits, reuse_port=shared)
        self._background.every(INTERVAL, self._look, name="certificates")

    def reload(self) -> None:
        """Load the certificates again, as SIGHUP asks for."""
        certificates = self._certificates()
        if not certificates:
            _log.info("nothing to reload: there is no certificate")
        for each in certificates:
            each.reload()

    async def close(self) -> None:
        """Drain and close, everything, whatever fails; once."""
        if self._closed:
            return
        self._closed = True
        # Readiness first: who asks while requests finish is told not to send more.
        self.served.health.drain()
        for name, listener in self.listeners.items():
            if name != TELEMETRY:
                listener.refuse()
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.served.close)
            # An exit stack goes backwards: telemetry was opened first and goes last.
            for runner in self._runners:
                stack.push_async_callback(drain, runner)
                if runner is self._runners[0]:
                    stack.callback(self._refuse)
            await self._background.close()

    def _refuse(self) -> None:
        for listener in self.listeners.values():
            listener.refuse()

    async def _look(self) -> None:
        for each in self._certificates():
            each.reload_if_changed()

    def _certificates(self) -> list[Certificates]:
        found = (each.certificates for each in self.listeners.values())
        return [each for each in found if each is not None]


def _telemetry(config: Config) -> list[Listener]:
    address = config.telemetry.http
    return [Listener(TELEMETRY, "telemetry.http", address)] if address else []


def _public(config: Config) -> list[Listener]:
    web = config.web
    found = []
    if web.http:
        found.append(Listener("http", "web.http", web.http))
    if web.https:
        certificates = Certificates.of(web)
        found.append(Listener("https", "web.https", web.https, certificates))
    return found


def raise_file_limit() -> None:
    """Allow as many open files, hence connections, as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # macOS calls its hard limit infinite and then refuses it.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's if it is installed (extra ``speed``): it halves the overhead."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
