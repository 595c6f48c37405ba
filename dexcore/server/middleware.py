"""What every request passes on its way in and every answer on its way out.

One middleware instead of seven, because each costs every request.  From outside to
inside: an id, the client's address, configured headers, numbers, a line in the access
log, a deadline for the body, and a net under whatever goes wrong.
"""

from __future__ import annotations

import asyncio
import logging

from collections.abc import Callable, Collection, Mapping
from time import perf_counter

import attrs

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from ..errors import TooSlow
from ..oauth2.ids import random_bytes
from . import logs
from .logs import Access
from .metrics import Metrics
from .real_ip import RealIP

#: The request's id: in every log line, and on the page of who met an error.
REQUEST_ID = web.RequestKey("request_id", str)
#: The client's address, without a port.
ADDRESS = web.RequestKey("address", str)
#: Whether a proxy that we trust (``web.clientRemoteIP.trustedProxies``) sent it.
VIA_TRUSTED_PROXY = web.RequestKey("via_trusted_proxy", bool)
#: Whether the answer's own word on framing and scripts counts, whatever is configured.
OWN_POLICY = web.RequestKey("own_policy", bool)

#: How long a body may take to arrive (seconds).
BODY_SECONDS = 30.0
#: A year: what RFC 6797 section 6.1.1 calls for.
HSTS = "max-age=31536000"

#: What requests no route knows are counted under: their paths are without end.
UNKNOWN = "unknown"

_POLICY = ("Content-Security-Policy", "X-Frame-Options")

#: Answers for whoever failed, and says so in the log.
Unexpected = Callable[[web.Request, Exception], web.StreamResponse]

_log = logging.getLogger("dexcore.server")


def combined(
    *,
    unexpected: Unexpected,
    metrics: Metrics,
    real_ip: RealIP = RealIP(),  # noqa: B008  # frozen
    headers: Mapping[str, str] | None = None,
    secure: bool = False,
    base: str = "",
    quiet: Collection[str] = ("/healthz",),
    body_seconds: float = BODY_SECONDS,
) -> Middleware:
    """Return the middleware; it goes outermost.

    *unexpected* answers, and logs, what a handler did not expect.  *headers* replace
    the answer's own; *secure*: browsers shall remember to come by HTTPS.  *base* is the
    issuer's path, which the names of routes leave out; *quiet* names the routes that
    are logged at DEBUG only.  A body must arrive within *body_seconds*.
    """
    return _Front(
        unexpected,
        metrics,
        real_ip,
        tuple((name, value) for name, value in (headers or {}).items() if value),
        secure,
        base,
        frozenset(quiet),
        body_seconds,
    ).pass_on


@attrs.frozen(eq=False)
class _Front:
    unexpected: Unexpected
    metrics: Metrics
    real_ip: RealIP
    headers: tuple[tuple[str, str], ...]
    secure: bool
    base: str
    quiet: frozenset[str]
    body_seconds: float
    _names: dict[object, str] = attrs.field(factory=dict, init=False)

    @web.middleware
    async def pass_on(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        started = perf_counter()
        request[REQUEST_ID] = request_id = new_id()
        request[ADDRESS] = address = self.real_ip.address(request)
        request[VIA_TRUSTED_PROXY] = self.real_ip.trusts_peer(request)
        logs.bind(request_id=request_id, client_remote_addr=address)
        name = self._name(request)
        timer = None
        if not request.content.is_eof():
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self.body_seconds, _give_up, request)
        try:
            response = await handler(request)
        except web.HTTPException as raised:
            response = _plain(raised)
        except ConnectionError as error:
            response = self._disconnected(request, error)
        except web.RequestPayloadError:
            response = web.Response(status=400, text="400 bad request\n")
        except Exception as error:
            response = self._answer(request, error)
        finally:
            if timer is not None:
                timer.cancel()
        if timer is not None and not request.content.is_eof():
            # What is left of the body shall not be taken for a request.
            response.force_close()
        if not response.prepared:
            self._adorn(request, response)
        size = _size(response)
        seconds = perf_counter() - started
        self.metrics.observe(name, request.method, response.status, seconds, size)
        self._note(request, name, response.status, seconds, size)
        return response

    def _disconnected(
        self, request: web.Request, error: ConnectionError
    ) -> web.StreamResponse:
        if not hung_up(request, error):
            return self._answer(request, error)  # it was a connection of ours
        # There is nobody to answer; the log and the numbers tell it as nginx does.
        response = web.Response(status=499)
        response.force_close()
        return response

    def _answer(self, request: web.Request, error: Exception) -> web.StreamResponse:
        try:
            return self.unexpected(request, error)
        except Exception:
            _log.exception("request failed, and so did saying so")
            return web.Response(status=500, text="500 internal server error\n")

    def _name(self, request: web.Request) -> str:
        resource = request.match_info.route.resource
        name = self._names.get(resource)
        if name is None:
            if resource is None:
                name = UNKNOWN
            else:
                name = resource.canonical.removeprefix(self.base) or "/"
            self._names[resource] = name
        return name

    def _adorn(self, request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        # aiohttp would tell the world its version.
        headers.setdefault(hdrs.SERVER, "dexcore")
        if self.secure and hdrs.STRICT_TRANSPORT_SECURITY not in headers:
            headers[hdrs.STRICT_TRANSPORT_SECURITY] = HSTS
        for name, value in self.headers:
            if name not in _POLICY or not request.get(OWN_POLICY):
                headers[name] = value

    def _note(
        self, request: web.Request, name: str, status: int, seconds: float, size: int
    ) -> None:
        path = request.rel_url.raw_path[:256]
        id, address = request[REQUEST_ID], request[ADDRESS]
        method = request.method
        logs.note(
            Access(method, path, name, status, seconds, size, id, address),
            logging.DEBUG if name in self.quiet else logging.INFO,
        )


def new_id() -> str:
    """Return a random UUID (RFC 9562 section 5.4), faster than :mod:`uuid` does."""
    h = random_bytes(16).hex()
    variant = "89ab"[ord(h[16]) & 3]
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{variant}{h[17:20]}-{h[20:]}"


def hung_up(request: web.Request, error: Exception) -> bool:
    """Return whether *error* says that the client has gone, or never spoke HTTP."""
    if isinstance(error, ConnectionError):
        return request.transport is None or request.transport.is_closing()
    return isinstance(error, web.RequestPayloadError)


def _give_up(request: web.Request) -> None:
    if not request.content.is_eof():
        request.content.set_exception(TooSlow("The request body took too long."))


def _plain(raised: web.HTTPException) -> web.Response:
    if raised.status == 404:
        return web.Response(status=404, text="404 page not found\n")
    headers = raised.headers.copy()
    for name in (hdrs.CONTENT_TYPE, hdrs.CONTENT_LENGTH):
        headers.popall(name, None)
    text = f"{raised.status} {raised.reason.lower()}\n"
    return web.Response(status=raised.status, text=text, headers=headers)


def _size(response: web.StreamResponse) -> int:
    if isinstance(response, web.Response):
        body = response.body
        if body is None:
            return 0  # a redirect; aiohttp would look for its length for long
        if isinstance(body, (bytes, bytearray)):
            return len(body)
    return response.content_length or 0
