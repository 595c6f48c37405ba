"""How an authorization response gets to the client: ``response_mode``.

OAuth 2.0 Multiple Response Type Encoding Practices section 2.1, OAuth 2.0 Form Post
Response Mode.
"""

from __future__ import annotations

from collections.abc import Collection

from ..errors import InvalidRequest
from .response_types import ID_TOKEN, TOKEN
from .words import quote

__all__ = ["FORM_POST", "FRAGMENT", "MODES", "QUERY", "check", "default", "effective"]

QUERY = "query"
FRAGMENT = "fragment"
FORM_POST = "form_post"
MODES = (QUERY, FRAGMENT, FORM_POST)


def default(types: Collection[str]) -> str:
    """Return the mode for these parts of a ``response_type``: tokens stay out of logs.

    A query goes to the client's server, and into its log; a fragment does not.
    """
    return FRAGMENT if TOKEN in types or ID_TOKEN in types else QUERY


def effective(asked: str, types: Collection[str]) -> str:
    """Return the mode that counts, for refusals too: the default if *asked* cannot."""
    usual = default(types)
    if asked not in MODES or (asked == QUERY and usual != QUERY):
        return usual
    return asked


def check(asked: str, types: Collection[str]) -> None:
    """Raise ``InvalidRequest`` unless *types* may be answered as *asked*."""
    if asked in ("", effective(asked, types)):
        return
    if asked in MODES:
        raise InvalidRequest(f"Tokens are not sent with response_mode {quote(asked)}.")
    raise InvalidRequest(f"Unsupported response_mode {quote(asked)}.")
