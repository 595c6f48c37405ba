"""What every request passes on its way in and every answer on its way out.

One middleware instead of seven, because each costs every request.  From outside to
inside: an id, the client's address, configured headers, numbers, a line in the access
log, a limit and a deadline for the body, and a net under whatever goes wrong.
"""

from __future__ import annotations

import asyncio
import logging
import os

from collections.abc import Callable, Collection, Mapping
from time import perf_counter

import attrs

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from ..errors import StorageUnavailable
from . import logs
from .metrics import Metrics
from .real_ip import RealIP

#: The request's id: in every log line, and on the page of who met an error.
REQUEST_ID = web.RequestKey("request_id", str)
#: The client's address, without a port.
ADDRESS = web.RequestKey("address", str)

#: The largest body of a form, and of the few endpoints that get more (bytes).
FORM_SIZE = 64 * 1024
LARGE_SIZE = 1024 * 1024
#: How long a body may take to arrive (seconds).
BODY_SECONDS = 30.0
#: A year: what RFC 6797 section 6.1.1 calls for.
HSTS = "max-age=31536000"

#: What requests no route knows are counted under: their paths are without end.
UNKNOWN = "unknown"

Failed = Callable[[web.Request, BaseException], web.StreamResponse]

_access = logging.getLogger("dexcore.access")
_log = logging.getLogger("dexcore.server")


@attrs.frozen
class Answers:
    """What a request gets when we fail.

    ``unavailable``: the storage does not answer; ``unexpected``: anything else.  They
    need not log.
    """

    unavailable: Failed
    unexpected: Failed


def combined(
    *,
    answers: Answers,
    metrics: Metrics,
    real_ip: RealIP = RealIP(),  # noqa: B008  # frozen
    headers: Mapping[str, str] | None = None,
    https: bool = False,
    base: str = "",
    large: Collection[str] = (),
    quiet: Collection[str] = ("/healthz",),
    body_seconds: float = BODY_SECONDS,
) -> Middleware:
    """Return the middleware; it goes outermost.

    *headers* replace the answer's own; *https*: browsers shall remember to come by
    HTTPS.  *base* is the issuer's path, which the names of routes leave out.  *large*
    names the routes (``/callback``) that accept :data:`LARGE_SIZE`; *quiet* those that
    are logged at DEBUG only.  The application's own ``client_max_size`` must be
    :data:`LARGE_SIZE`.
    """
    front = _Front(
        answers,
        metrics,
        real_ip,
        tuple((name, value) for name, value in (headers or {}).items() if value),
        https,
        base,
        frozenset(large),
        frozenset(quiet),
        body_seconds,
    )

    # aiohttp wants a function with a mark, not an object.
    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await front.pass_on(request, handler)

    return around


@attrs.frozen
class _Front:
    answers: Answers
    metrics: Metrics
    real_ip: RealIP
    headers: tuple[tuple[str, str], ...]
    https: bool
    base: str
    large: frozenset[str]
    quiet: frozenset[str]
    body_seconds: float
    _names: dict[object, str] = attrs.field(factory=dict, init=False)

    async def pass_on(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        started = perf_counter()
        request[REQUEST_ID] = request_id = new_id()
        request[ADDRESS] = address = self.real_ip.of(request)
        logs.bind(request_id=request_id, client_remote_addr=address)
        name = self._name(request)
        try:
            refused = None
            if request.can_read_body:
                refused = await self._read(request, name)
            response = refused or await handler(request)
        except web.HTTPException as raised:
            response = _plain(raised)
        except StorageUnavailable as error:
            _log.error("storage unavailable", extra={"fields": {"err": str(error)}})
            response = self.answers.unavailable(request, error)
        except (ConnectionError, web.RequestPayloadError):
            # The client has gone: there is nobody to answer.
            self._note(request, name, 499, perf_counter() - started, 0)
            raise
        except Exception as error:
            _log.exception("request failed", extra={"fields": {"handler": name}})
            response = self.answers.unexpected(request, error)
        if not response.prepared:
            self._adorn(response)
        size = _size(response)
        seconds = perf_counter() - started
        self.metrics.observe(name, request.method, response.status, seconds, size)
        self._note(request, name, response.status, seconds, size)
        return response

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

    async def _read(self, request: web.Request, name: str) -> web.Response | None:
        """Read the body, which the handler then finds read; or return why not."""
        limit = LARGE_SIZE if name in self.large else FORM_SIZE
        if hdrs.CONTENT_ENCODING in request.headers:
            # A small compressed body can be a large one.
            return _refused(415, "415 compressed bodies are not accepted\n")
        if (request.content_length or 0) > limit:
            return _refused(413, "413 request body too large\n")
        if request.content.is_eof():
            body = await request.read()
        else:
            try:
                async with asyncio.timeout(self.body_seconds):
                    body = await request.read()
            except TimeoutError:
                return _refused(408, "408 request timeout\n")
        if len(body) > limit:
            return _refused(413, "413 request body too large\n")
        return None

    def _adorn(self, response: web.StreamResponse) -> None:
        headers = response.headers
        if self.https and hdrs.STRICT_TRANSPORT_SECURITY not in headers:
            headers[hdrs.STRICT_TRANSPORT_SECURITY] = HSTS
        for name, value in self.headers:
            headers[name] = value

    def _note(
        self, request: web.Request, name: str, status: int, seconds: float, size: int
    ) -> None:
        level = logging.DEBUG if name in self.quiet else logging.INFO
        if not _access.isEnabledFor(level):
            return
        fields = {
            "method": request.method,
            # Without the query: it carries codes, states and hints.
            "path": request.rel_url.raw_path[:256],
            "handler": name,
            "status": status,
            "seconds": round(seconds, 6),
            "bytes": size,
        }
        extra = {"fields": fields, "buffered": True}
        # Made by hand: looking for the calling line costs as much as the rest.
        entry = _access.makeRecord(
            _access.name, level, "", 0, "request", (), None, extra=extra
        )
        _access.handle(entry)


def new_id() -> str:
    """Return a random UUID (RFC 9562 section 5.4), faster than :mod:`uuid` does."""
    h = os.urandom(16).hex()
    variant = "89ab"[ord(h[16]) & 3]
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{variant}{h[17:20]}-{h[20:]}"


def _refused(status: int, text: str) -> web.Response:
    response = web.Response(status=status, text=text)
    # What is left of the body shall not be taken for a request.
    response.force_close()
    return response


def _plain(raised: web.HTTPException) -> web.Response:
    if raised.status == 404:
        return web.Response(status=404, text="404 page not found\n")
    if raised.status == 413:
        return _refused(413, "413 request body too large\n")
    headers = raised.headers.copy()
    for name in (hdrs.CONTENT_TYPE, hdrs.CONTENT_LENGTH):
        headers.popall(name, None)
    text = f"{raised.status} {raised.reason.lower()}\n"
    return web.Response(status=raised.status, text=text, headers=headers)


def _size(response: web.StreamResponse) -> int:
    body = getattr(response, "body", None)
    if isinstance(body, (bytes, bytearray)):
        return len(body)
    return response.content_length or 0
