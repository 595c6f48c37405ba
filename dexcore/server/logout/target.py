"""Where the browser goes after a logout."""

from __future__ import annotations

import attrs

from aiohttp import web

from ...errors import NotFound, WrongRequest
from ...oauth2.redirect_uris import add_parameters
from ..channels import see_other
from ..clients import Clients


@attrs.frozen
class Target:
    """Where the browser goes in the end; nowhere without a ``uri``.

    ``client_id`` is the client that asked, as far as that is known.
    """

    client_id: str = ""
    uri: str = ""
    state: str = ""

    def redirect(self) -> web.Response | None:
        """Send the browser there, if there is somewhere to go."""
        if not self.uri:
            return None
        uri = self.uri
        if self.state:
            uri = add_parameters(uri, {"state": self.state})
        return see_other(uri, status=302)


async def checked(target: Target, clients: Clients) -> Target:
    """Return *target*; raise ``WrongRequest`` if its client did not register it.

    RP-Initiated Logout section 3: to the letter, or nobody is sent anywhere.
    """
    if not target.uri:
        return target
    if not target.client_id:
        raise WrongRequest(
            "post_logout_redirect_uri requires id_token_hint or client_id."
        )
    try:
        client = await clients.get(target.client_id)
    except NotFound:
        raise WrongRequest("Invalid client.") from None
    if target.uri not in client.post_logout_redirect_uris:
        raise WrongRequest("Unregistered post_logout_redirect_uri.")
    return target
