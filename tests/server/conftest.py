"""A small server to run: a few handlers behind everything every request passes."""

from __future__ import annotations

import asyncio

from collections.abc import Mapping
from datetime import UTC, datetime

import attrs
import pytest

from aiohttp import web

from dexcore.config.model import Config, Plugged, Telemetry, Web
from dexcore.errors import Refusal, StorageUnavailable
from dexcore.server.health import Health
from dexcore.server.metrics import Metrics
from dexcore.server.middleware import combined


@attrs.define
class Database:
    """All a health check asks of a storage."""

    broken: Exception | None = None
    delay: float = 0.0
    pings: int = 0

    async def ping(self) -> None:
        self.pings += 1
        await asyncio.sleep(self.delay)
        if self.broken is not None:
            raise self.broken


@attrs.define(slots=False, eq=False)
class Small:
    """A server of our own shape; ``enter`` and ``leave`` hold ``/slow`` up."""

    database: Database = attrs.field(factory=Database)
    connectors: Mapping[str, str] = attrs.field(factory=dict)
    options: dict[str, object] = attrs.field(factory=dict)
    metrics: Metrics = attrs.field(factory=Metrics)
    entered: asyncio.Event = attrs.field(factory=asyncio.Event)
    leave: asyncio.Event = attrs.field(factory=asyncio.Event)
    happened: list[str] = attrs.field(factory=list)

    async def open(self) -> Small:
        return self

    def __attrs_post_init__(self) -> None:
        self.health = Health(
            self.database,  # type: ignore[arg-type]
            lambda: self.connectors,
            lambda: datetime.now(UTC),
        )
        self.web = web.Application(middlewares=[self._middleware()])
        for path, handler in (
            ("/dex/auth/{connector}", self._hello),
            ("/dex/slow", self._slow),
            ("/dex/form", self._form),
            ("/dex/boom", self._boom),
            ("/dex/away", self._away),
            ("/dex/unavailable", self._unavailable),
            ("/dex/csp", self._csp),
            ("/dex", self._hello),
            ("/dex/healthz", self.health.public),
        ):
            self.web.router.add_route("*", path, handler)
        self.telemetry = web.Application()
        self.telemetry.add_routes(
            [web.get("/metrics", self.metrics.answer), *self.health.routes()]
        )

    def _middleware(self) -> web.typedefs.Middleware:
        defaults: dict[str, object] = {
            "unexpected": self._unexpected,
            "metrics": self.metrics,
            "base": "/dex",
        }
        return combined(**{**defaults, **self.options})  # type: ignore[arg-type]

    async def start(self) -> None:
        self.happened.append("start")

    async def close(self) -> None:
        self.happened.append("close")

    def _unexpected(self, request: web.Request, error: Exception) -> web.Response:
        if request.query.get("again"):
            raise error
        if isinstance(error, StorageUnavailable):
            return web.Response(status=503, text="later")
        status = error.status if isinstance(error, Refusal) else 500
        return web.Response(status=status, text=f"unexpected {error}")

    async def _hello(self, request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async def _slow(self, request: web.Request) -> web.Response:
        self.entered.set()
        await self.leave.wait()
        return web.Response(text="finished")

    async def _form(self, request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.content.read())))

    async def _boom(self, request: web.Request) -> web.Response:
        raise ValueError("boom")

    async def _away(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("/elsewhere")

    async def _unavailable(self, request: web.Request) -> web.Response:
        raise StorageUnavailable("locked")

    async def _csp(self, request: web.Request) -> web.Response:
        policy = {"Content-Security-Policy": "default-src 'none'"}
        return web.Response(headers=policy)


@pytest.fixture
async def small() -> type[Small]:
    """The class of small servers; made inside a running loop."""
    return Small


@pytest.fixture
def config() -> Config:
    """A configuration that listens on free ports."""
    return Config(
        issuer="http://127.0.0.1/dex",
        storage=Plugged("memory"),
        web=Web(http="127.0.0.1:0"),
        telemetry=Telemetry(http="127.0.0.1:0"),
    )
