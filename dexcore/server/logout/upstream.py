"""Logging out upstream as well, and the way back from there.

By then the session has ended here.  Where the browser is to go afterwards travels with
it, sealed, in a cookie that only this browser has: nobody else can be sent there, and
nothing stays behind when it never comes back.
"""

from __future__ import annotations

import logging

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import attrs
import orjson

from aiohttp import hdrs, web
from multidict import CIMultiDict, MultiDict

from ...connector import Callback, LogoutConnector
from ...errors import DexcoreError
from ..channels import see_other
from ..connectors import Connectors, guarded
from ..sealing import Sealer
from ..urls import Issuer
from .target import Target

log = logging.getLogger("dexcore.logout")

CALLBACK = "/logout/callback"

#: How long the upstream provider may take to send the browser back.
AWAY = timedelta(minutes=10)

#: Seconds the upstream provider's connector has to say where that is.
_DEADLINE = 5.0
_COOKIE = "dexcore_logout"


@attrs.frozen(eq=False)
class UpstreamLogout:
    """Whatever goes wrong upstream, the logout goes on."""

    connectors: Connectors
    sealer: Sealer
    issuer: Issuer
    now: Callable[[], datetime]

    async def leave(self, connector_id: str, target: Target) -> web.Response | None:
        """Send the browser to log out upstream, if that can be done."""
        try:
            opened = await self.connectors.get(connector_id)
            if not isinstance(opened.connector, LogoutConnector):
                return None
            url = await guarded(
                opened,
                opened.connector.logout_url(self.issuer.absolute(CALLBACK)),
                _DEADLINE,
            )
        except DexcoreError as error:
            _note(connector_id, error)
            return None
        if not url:
            return None
        until = (self.now() + AWAY).timestamp()
        away = orjson.dumps((connector_id, until, *attrs.astuple(target)))
        response = see_other(url)
        cookie = self._cookie(self.sealer.seal(_COOKIE, away), AWAY.seconds)
        response.headers.add(hdrs.SET_COOKIE, cookie)
        return response

    def was_sent(self, request: web.Request) -> bool:
        """Return whether the browser says that it was sent away."""
        return _COOKIE in request.cookies

    def found(self, request: web.Request) -> tuple[str, Target] | None:
        """Return from which connector the browser comes, and where it is to go."""
        plain = self.sealer.open(_COOKIE, request.cookies.get(_COOKIE, ""))
        if plain is None:
            return None
        connector_id, until, *target = orjson.loads(plain)
        if datetime.fromtimestamp(until, UTC) < self.now():
            return None
        return connector_id, Target(*target)

    async def finish(
        self, request: web.Request, connector_id: str, params: Mapping[str, str]
    ) -> None:
        """Let the connector look at what came back; we are done whatever it says."""
        sent: MultiDict[str] = MultiDict(params)
        nothing: MultiDict[str] = MultiDict()
        headers = CIMultiDict(
            (name, value)
            for name, value in request.headers.items()
            if not name.lower().startswith("x-remote-")
        )
        callback = Callback(
            query=nothing if request.method == "POST" else sent,
            form=sent if request.method == "POST" else nothing,
            headers=headers,
            callback_url=self.issuer.absolute(CALLBACK),
        )
        try:
            opened = await self.connectors.get(connector_id)
            if isinstance(opened.connector, LogoutConnector):
                await guarded(opened, opened.connector.finish_logout(callback))
        except DexcoreError as error:
            _note(connector_id, error)

    def forget(self, response: web.Response) -> None:
        """Let the browser forget that it was sent away."""
        response.headers.add(hdrs.SET_COOKIE, self._cookie("", 0))

    def _cookie(self, value: str, age: int) -> str:
        secure = "; Secure" if self.issuer.secure else ""
        return (
            f"{_COOKIE}={value}; Path={self.issuer.path('/logout')}; Max-Age={age}; "
            f"HttpOnly{secure}; SameSite=Lax"
        )


def _note(connector_id: str, error: DexcoreError) -> None:
    fields = {"connector_id": connector_id, "err": str(error)}
    log.warning("upstream logout failed", extra={"fields": fields})
