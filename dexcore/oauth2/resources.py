"""Resource indicators: the APIs that a token is for (RFC 8707)."""

from __future__ import annotations

import re

from ..errors import InvalidTarget
from .words import quote

__all__ = ["is_resource", "parse"]

_MOST = 10
_LONGEST = 2048  # characters

# An absolute URI (RFC 3986 section 4.3): a scheme, and no fragment.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-\"$-~]+")


def is_resource(text: str) -> bool:
    """Say whether *text* can name a resource: an absolute URI without a fragment."""
    return len(text) <= _LONGEST and _URI.fullmatch(text) is not None


def parse(text: str) -> tuple[str, ...]:
    """Return the resources of a ``resource`` parameter, in order, each once.

    Raises ``InvalidTarget`` for what is none, and for none or too many of them.
    """
    found = tuple(dict.fromkeys(text.split()))
    if not found:
        # Who asks for less than all must not get what is for everything.
        raise InvalidTarget("The parameter resource names no resource.")
    if len(found) > _MOST:
        raise InvalidTarget(f"More than {_MOST} resources at once.")
    for each in found:
        if not is_resource(each):
            raise InvalidTarget(
                f"The resource {quote(each)} is not an absolute URI without fragment."
            )
    return found
