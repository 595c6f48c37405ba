"""The bare issuer: a page that says what this is."""

from __future__ import annotations

import attrs

from aiohttp import web

from .pages import Pages
from .urls import Issuer


@attrs.frozen(eq=False)
class HomePage:
    """Links to the discovery document and, if it is on, to sign-up."""

    pages: Pages
    issuer: Issuer
    signup: bool

    async def show(self, request: web.Request) -> web.Response:
        """Show the page."""
        return self.pages.render(
            "home.html",
            request.path,
            discovery_url=self.issuer.path("/.well-known/openid-configuration"),
            signup_url=self.issuer.path("/signup") if self.signup else "",
        )
