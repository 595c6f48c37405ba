"""``/connectors/{connector}/metadata``: what upstream providers read about us."""

from __future__ import annotations

import attrs

from aiohttp import web

from ..connector import MetadataConnector
from ..errors import MethodNotAllowed, NotFound, NotFoundPage
from .connectors import Connectors, guarded
from .urls import Issuer

_HEADERS = {
    # Whoever opens it in a browser gets to see text, whatever a connector wrote there.
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


@attrs.frozen(eq=False)
class MetadataEndpoint:
    """Publishes what a connector says about us, if it says anything."""

    connectors: Connectors
    issuer: Issuer

    async def show(self, request: web.Request) -> web.Response:
        """Answer with the connector's document."""
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("Method not supported")
        try:
            opened = await self.connectors.get(request.match_info["connector"])
        except NotFound:
            raise NotFoundPage("There is no such connector.") from None
        connector = opened.connector
        if not isinstance(connector, MetadataConnector):
            raise NotFoundPage("This connector has no metadata.")
        document = await guarded(
            opened, connector.metadata(self.issuer.absolute("/callback"))
        )
        headers = {**_HEADERS, "Content-Type": document.content_type}
        return web.Response(body=document.body, headers=headers)
