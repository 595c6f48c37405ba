"""Scripts of other origins: who may read our answers (``web.allowedOrigins``).

The Fetch standard's CORS protocol, for the endpoints a single-page application calls:
discovery, keys, token, userinfo, introspection and the home page.  Credentials are
never allowed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

from aiohttp import hdrs, web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_METHODS = frozenset({"GET", "HEAD", "POST"})
#: Headers any script may send, which a browser hence does not need to hear of.
_SIMPLE = frozenset({"Accept", "Accept-Language", "Content-Language", "Origin"})
#: What a refusal says in headers (RFC 6750 section 3, RFC 9449 section 8.1, RFC 9110
#: section 10.2.3): a script that cannot read them cannot do what they ask.
_TOLD = ("DPoP-Nonce", "Retry-After", "WWW-Authenticate")


@attrs.frozen(eq=False)
class Cors:
    """Answers preflights, and marks answers that a script may read."""

    allowed_origins: tuple[str, ...] = ()
    allowed_headers: tuple[str, ...] = ("Authorization",)
    _headers: frozenset[str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        headers = {*map(_canonical, self.allowed_headers), _canonical("DPoP")} | _SIMPLE
        object.__setattr__(self, "_headers", frozenset(headers))

    def wrap(self, handler: Handler) -> Handler:
        """Return *handler* for scripts of the allowed origins too.

        What *handler* returns is marked; what it raises is not.  Without allowed
        origins *handler* itself is returned, and gets ``OPTIONS`` requests like others.
        """
        if not self.allowed_origins:
            return handler

        async def with_cors(request: web.Request) -> web.StreamResponse:
            origin = request.headers.get(hdrs.ORIGIN, "")
            allowed = self._allows(origin)
            if request.method == "OPTIONS":
                return self._preflight(request, origin) if allowed else web.Response()
            response = await handler(request)
            if allowed:
                self._mark(response, origin)
            return response

        return with_cors

    def _allows(self, origin: str) -> bool:
        # Sandboxed frames and local files share "null": it names nobody.
        if not origin or origin == "null":
            return False
        return "*" in self.allowed_origins or origin in self.allowed_origins

    def _preflight(self, request: web.Request, origin: str) -> web.StreamResponse:
        method = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
        if method is None:
            return web.Response(status=400)
        if method not in _METHODS:
            return web.Response(status=405)
        asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "").split(",")
        names = [_canonical(name.strip()) for name in asked if name.strip()]
        if not self._headers.issuperset(names):
            return web.Response(status=403)
        response = web.Response()
        special = [name for name in names if name not in _SIMPLE]
        if special:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = ",".join(special)
        self._mark(response, origin)
        return response

    def _mark(self, response: web.StreamResponse, origin: str) -> None:
        if "*" in self.allowed_origins:
            origin = "*"
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        told = ", ".join(name for name in _TOLD if name in response.headers)
        if told:
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = told
        if len(self.allowed_origins) > 1:
            response.headers.add(hdrs.VARY, hdrs.ORIGIN)


def _canonical(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))
