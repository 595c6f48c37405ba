"""The cookies that carry authorization requests: what is in them, and which may stay.

One a flow, named after its id, and sealed: nobody can read or change it.
"""

from __future__ import annotations

import time

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import orjson

from aiohttp import hdrs, web

from ...jose import b64decode, b64encode
from ...oauth2.ids import is_id
from ...storage import PKCE, AuthRequest
from ..sealing import Sealer
from ..urls import Issuer

COOKIE = "dexcore_flow_"
#: Proxies refuse header lines over 8 KB; all flows of a browser stay below this.
COOKIE_BUDGET = 6 * 1024  # bytes
ONE_COOKIE = 3800  # bytes: browsers keep 4096 of name, value and attributes


@attrs.frozen(eq=False)
class FlowCookies:
    """Writes and reads them; ``lifetime`` is how long a login may take."""

    issuer: Issuer
    sealer: Sealer
    lifetime: timedelta

    def seal(self, flow_id: str, plain: bytes) -> str:
        """Return the value of the cookie that holds *plain*."""
        # The time goes first and in clear, so that the oldest can be told.
        return f"{int(time.time()):x}.{self.sealer.seal(COOKIE + flow_id, plain)}"

    def are_sent(self, web_request: web.Request, flow_id: str) -> bool:
        """Return whether the browser sent the cookie of flow *flow_id*."""
        return _cookie(web_request, COOKIE + flow_id) is not None

    def read(self, web_request: web.Request, flow_id: str) -> bytes | None:
        """Return what the cookie of flow *flow_id* holds, if it is there and ours."""
        if not is_id(flow_id):
            return None
        cookie = _cookie(web_request, COOKIE + flow_id)
        if cookie is None:
            return None
        return self.sealer.open(COOKIE + flow_id, cookie.partition(".")[2])

    def keep(
        self,
        web_request: web.Request,
        response: web.StreamResponse,
        flow_id: str,
        value: str,
    ) -> None:
        """Let the browser keep *value*, and drop what is too much with it."""
        name = COOKIE + flow_id
        age = int(self.lifetime.total_seconds())
        response.headers.add(hdrs.SET_COOKIE, self._line(name, value, age))
        for stale in _surplus(web_request, name, len(value)):
            response.headers.add(hdrs.SET_COOKIE, self._line(stale, "", 0))

    def drop(self, response: web.StreamResponse, flow_id: str) -> None:
        """Let the browser forget the cookie of flow *flow_id*."""
        response.headers.add(hdrs.SET_COOKIE, self._line(COOKIE + flow_id, "", 0))

    def _line(self, name: str, value: str, age: int) -> str:
        secure = "; Secure" if self.issuer.secure else ""
        return (
            f"{name}={value}; Path={self.issuer.cookie_path}; Max-Age={age}; "
            f"HttpOnly{secure}; SameSite=Lax"
        )


def pack(request: AuthRequest, beside: tuple[Any, ...]) -> bytes:
    """Return *request*, of nobody who has logged in, and what goes *beside* it."""
    return orjson.dumps(
        (
            request.client_id,
            request.response_types,
            request.scopes,
            request.redirect_uri,
            request.nonce,
            request.state,
            request.force_approval_prompt,
            request.prompt,
            request.max_age,
            request.expiry.timestamp(),
            request.connector_id,
            b64encode(request.connector_data) if request.connector_data else "",
            request.pkce.code_challenge,
            request.pkce.code_challenge_method,
            *(beside if any(beside) else ()),
        )
    )


def unpack(flow_id: str, plain: bytes) -> tuple[AuthRequest, list[Any]]:
    """Return what :func:`pack` has packed; nothing beside it where all was empty."""
    (
        client_id,
        response_types,
        scopes,
        redirect_uri,
        nonce,
        state,
        force,
        prompt,
        max_age,
        expiry,
        connector_id,
        connector_data,
        challenge,
        method,
        *beside,
    ) = orjson.loads(plain)
    request = AuthRequest(
        id=flow_id,
        client_id=client_id,
        response_types=tuple(response_types),
        scopes=tuple(scopes),
        redirect_uri=redirect_uri,
        nonce=nonce,
        state=state,
        force_approval_prompt=force,
        prompt=prompt,
        max_age=max_age,
        expiry=datetime.fromtimestamp(expiry, UTC),
        connector_id=connector_id,
        connector_data=b64decode(connector_data),
        pkce=PKCE(challenge, method),
    )
    return request, beside


def _cookie(web_request: web.Request, name: str) -> str | None:
    """Return one cookie; parsing them all would cost more than all else here."""
    wanted = f"{name}="
    for line in web_request.headers.getall(hdrs.COOKIE, ()):
        for pair in line.split(";"):
            stripped = pair.strip()
            if stripped.startswith(wanted):
                return stripped[len(wanted) :]
    return None


def _surplus(web_request: web.Request, name: str, size: int) -> list[str]:
    """Return the oldest flows' cookies, as many as must go for the new one to fit."""
    if hdrs.COOKIE not in web_request.headers:
        return []
    others = sorted(
        (value.partition(".")[0].rjust(12, "0"), other, len(other) + len(value))
        for other, value in web_request.cookies.items()
        if other.startswith(COOKIE) and other != name
    )
    total = len(name) + size + sum(length for _, _, length in others)
    surplus = []
    for _, other, length in others:
        if total <= COOKIE_BUDGET:
            break
        surplus.append(other)
        total -= length
    return surplus
