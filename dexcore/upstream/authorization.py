"""Where the browser goes, and what it brings back (RFC 6749 section 4.1, RFC 7636)."""

from __future__ import annotations

import hashlib
import logging

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote as percent_encoded
from urllib.parse import urlencode

from ..connector import Callback
from ..errors import AccessDenied, UpstreamError, UpstreamUnavailable
from ..jose import b64encode
from ..oauth2.ids import random_bytes
from ..oauth2.words import quote

__all__ = [
    "authorization_url",
    "challenge",
    "code_of",
    "new_verifier",
    "redirect_uri_of",
    "said_by",
]

log = logging.getLogger("dexcore.upstream")


def new_verifier() -> str:
    """Return a new PKCE verifier (RFC 7636 section 4.1)."""
    return b64encode(random_bytes(32))


def challenge(verifier: str) -> dict[str, str]:
    """Return the parameters that go with *verifier* (RFC 7636 section 4.3)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return {"code_challenge": b64encode(digest), "code_challenge_method": "S256"}


def authorization_url(endpoint: str, parameters: Mapping[str, str]) -> str:
    """Return where the browser goes (RFC 6749 section 4.1.1), as Go writes it.

    The query *endpoint* may have already is kept.
    """
    query = urlencode(sorted(parameters.items()))
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"


def redirect_uri_of(configured: str, callback_url: str, connector_id: str) -> str:
    """Return the redirect URI to send: what is *configured*, or else *callback_url*.

    With the connector's id at its end it is the connector's own, so that no other
    provider can pass off a code of its own there (RFC 9700 section 4.4.2.2).  Raises
    ``UpstreamError`` if browsers would come back elsewhere.
    """
    if configured in ("", callback_url):
        return callback_url
    if configured == f"{callback_url}/{percent_encoded(connector_id, safe='')}":
        return configured
    raise UpstreamError(
        f"redirectURI is {configured!r}, but browsers come back to {callback_url!r}: "
        "write that, here and at the provider."
    )


def code_of(callback: Callback) -> str:
    """Return the code the browser brought back (RFC 6749 section 4.1.2).

    Raises ``AccessDenied`` if the end user or the provider said no,
    ``UpstreamUnavailable`` if the provider cannot answer now, and ``UpstreamError`` for
    its other errors, or if there is no code.
    """
    error = callback.query.get("error", "")
    if error:
        said = said_by(error, callback.query.get("error_description", ""))
        if error == "access_denied":
            log.info("The upstream provider refused the login: %s", said)
            raise AccessDenied("The upstream provider did not let you log in.")
        if error in ("server_error", "temporarily_unavailable"):
            raise UpstreamUnavailable(f"The login failed upstream: {said}.")
        raise UpstreamError(f"The login failed upstream: {said}.")
    code: str = callback.query.get("code", "")
    if not code:
        raise UpstreamError("The browser came back without a code.")
    return code


def said_by(error: Any, description: Any) -> str:
    """Return what a stranger said, safe for a log."""
    more = f" {quote(str(description))}" if description else ""
    return quote(str(error)) + more
