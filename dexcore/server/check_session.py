"""``/check-session``: the frame that tells applications whether a session has changed.

OpenID Connect Session Management 1.0 section 3.2.  Any page may show it.  It is the
same for everybody: what it knows, its script reads from a cookie, in the browser.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from aiohttp import web
from markupsafe import escape

from ..errors import MethodNotAllowed
from .channels import Handler
from .middleware import OWN_POLICY
from .pages import Pages
from .sessions.states import BrowserStates

PATH = "/check-session"

_SCRIPT = "static/check-session.js"
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Session</title>'
    '<script src="{script}" data-cookie="{cookie}"></script></html>\n'
)
# No frame-ancestors and no X-Frame-Options: to be framed is what it is for.
_HEADERS = {
    "Cache-Control": "public, max-age=300",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@attrs.frozen(eq=False)
class CheckSession:
    """Answers the page of the frame."""

    path: ClassVar = PATH

    pages: Pages
    states: BrowserStates

    def routes(self) -> list[tuple[str, Handler]]:
        """Return where it is, below the issuer."""
        return [(PATH, self.show)]

    async def show(self, request: web.Request) -> web.Response:
        """Answer the page; no cookie is looked at here."""
        if request.method not in ("GET", "HEAD"):
            refusal = MethodNotAllowed("Use GET.")
            refusal.headers = {"Allow": "GET, HEAD"}
            raise refusal
        request[OWN_POLICY] = True
        text = _PAGE.format(
            script=self.pages.link(_SCRIPT), cookie=escape(self.states.name)
        )
        return web.Response(text=text, content_type="text/html", headers=_HEADERS)
