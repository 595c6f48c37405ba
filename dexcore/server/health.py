"""Whether we can do our work: for load balancers and for whoever is on call.

The storage is asked every 15 seconds, beside the requests, so that a check from outside
costs nothing and never waits.  One failing connector makes nobody unhealthy: it is
shown, and login through the others goes on.
"""

from __future__ import annotations

import asyncio
import logging

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import attrs
import orjson

from aiohttp import web

from ..storage import Storage

INTERVAL = 15.0
DEADLINE = 5.0

_log = logging.getLogger("dexcore.server")


@attrs.frozen
class Check:
    """What the last look at the storage found.  ``duration`` is in nanoseconds."""

    timestamp: datetime
    error: str = ""
    duration: int | None = None
    failures: int = 0
    first_failure: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as dex shows it."""
        found: dict[str, Any] = {}
        if self.error:
            found["error"] = {"message": self.error}
        elif self.duration is not None:
            found["message"] = "storage is reachable"
        found["timestamp"] = self.timestamp
        if self.duration is not None:
            found["duration"] = self.duration
        found["contiguousFailures"] = self.failures
        found["timeOfFirstFailure"] = self.first_failure
        return found


@attrs.define(eq=False)
class Health:
    """Looks at the storage, and answers who asks.

    ``connectors`` returns, by connector id, why it could not be opened, or "" if it
    could.
    """

    storage: Storage
    connectors: Callable[[], Mapping[str, str]]
    now: Callable[[], datetime]
    deadline: float = DEADLINE
    _last: Check = attrs.field(init=False)
    _draining: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        # Until somebody has looked we are well: we would not have started otherwise.
        self._last = Check(self.now())

    @property
    def healthy(self) -> bool:
        """Whether the storage answered when it was last asked."""
        return not self._last.error

    @property
    def ready(self) -> bool:
        """Whether we should be sent requests."""
        return self.healthy and not self._draining

    def drain(self) -> None:
        """Say "not ready" from here on: we are about to stop."""
        self._draining = True

    async def run(self) -> None:
        """Look at the storage now, and every :data:`INTERVAL` seconds, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL)

    async def look(self) -> None:
        """Ask the storage, and remember what it says."""
        clock = asyncio.get_running_loop().time
        started = clock()
        error = ""
        try:
            async with asyncio.timeout(self.deadline):
                await self.storage.ping()
        except TimeoutError:
            error = f"no answer within {self.deadline:g} seconds"
        except Exception as failure:
            # Whatever it is, it is the storage's: a health check must not fall over it.
            error = str(failure) or type(failure).__name__
        self._remember(error, int((clock() - started) * 1e9))

    def _remember(self, error: str, duration: int) -> None:
        now, last = self.now(), self._last
        if not error:
            if last.error:
                _log.info("storage health check passes again")
            self._last = Check(now, duration=duration)
            return
        if not last.error:
            _log.error("storage health check failed", extra={"fields": {"err": error}})
        first = last.first_failure or now
        self._last = Check(now, error, duration, last.failures + 1, first)

    def routes(self) -> tuple[web.RouteDef, ...]:
        """Return the routes of the telemetry listener."""
        return (
            web.get("/healthz", self.detail),
            web.get("/healthz/ready", self.readiness),
            web.get("/healthz/live", self.liveness),
        )

    # — what is asked ------------------------------------------------------------------

    async def public(self, request: web.Request) -> web.Response:
        """``/healthz`` of the public listener: a sentence, and nothing about why."""
        if self.healthy:
            return web.Response(text="Health check passed")
        return web.Response(
            status=500, text="Health check failed.", content_type="text/html"
        )

    async def detail(self, request: web.Request) -> web.Response:
        """``/healthz`` of the telemetry listener."""
        return self._answer(request, self.healthy, {"storage": self._last.as_json()})

    async def readiness(self, request: web.Request) -> web.Response:
        """``/healthz/ready``: the same, the connectors, and whether we are stopping."""
        found: dict[str, Any] = {"storage": self._last.as_json()}
        connectors = self.connectors()
        if connectors:
            found["connectors"] = {
                id: {"error": {"message": why}} if why else {"message": "open"}
                for id, why in connectors.items()
            }
        if self._draining:
            found["server"] = {"error": {"message": "stopping"}}
        return self._answer(request, self.ready, found)

    async def liveness(self, request: web.Request) -> web.Response:
        """``/healthz/live``: we can answer, hence we live."""
        return web.Response(text="ok")

    def _answer(
        self, request: web.Request, well: bool, found: dict[str, Any]
    ) -> web.Response:
        if request.query.get("type") == "short":
            found = {name: _short(detail) for name, detail in found.items()}
        return web.Response(
            status=200 if well else 503,
            body=_tabbed(found),
            content_type="application/json",
        )


def _short(detail: Any) -> Any:
    if "error" in detail:
        return "FAIL"
    inner = [value for value in detail.values() if isinstance(value, dict)]
    return "FAIL" if any("error" in value for value in inner) else "PASS"


def _tabbed(value: Any) -> bytes:
    # orjson indents by two spaces; dex by a tab.
    lines = orjson.dumps(value, option=_OPTIONS).split(b"\n")
    return b"\n".join(
        b"\t" * ((len(line) - len(bare)) // 2) + bare
        for line, bare in ((line, line.lstrip(b" ")) for line in lines)
    )


_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
