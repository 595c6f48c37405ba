"""What an authorization request wants in return: ``response_type``.

RFC 6749 section 3.1.1, OAuth 2.0 Multiple Response Type Encoding Practices section 3.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable

from ..errors import InvalidRequest, UnsupportedResponseType
from .grant_types import IMPLICIT
from .redirect_uris import DEVICE_CALLBACK, OOB
from .words import quote

__all__ = ["CODE", "ID_TOKEN", "TOKEN", "parse", "possible", "switched_on"]

CODE = "code"
ID_TOKEN = "id_token"  # noqa: S105 - a response type
TOKEN = "token"  # noqa: S105 - a response type

# An access token alone says nothing about who has logged in.
_TYPES = (
    CODE,
    ID_TOKEN,
    "code token",
    "code id_token",
    "id_token token",
    "code id_token token",
)


def switched_on(
    configured: Iterable[str], grant_types: Container[str]
) -> tuple[str, ...]:
    """Return the parts that requests may name.

    As in dex, what counts of *configured* are the parts that stand there alone.  What
    carries a token is the grant ``implicit``.
    """
    return tuple(
        part
        for part in configured
        if part == CODE or (part in (ID_TOKEN, TOKEN) and IMPLICIT in grant_types)
    )


def possible(parts: Collection[str]) -> tuple[str, ...]:
    """Return the response types that are made of *parts*, for discovery."""
    return tuple(each for each in _TYPES if set(each.split()) <= set(parts))


def parse(
    text: str,
    supported: Container[str],
    *,
    nonce: str,
    redirect_uri: str,
    device_callback: str = DEVICE_CALLBACK,
) -> tuple[str, ...]:
    """Return the parts of a ``response_type`` parameter, in order, each once.

    *supported* are the parts that are switched on; *device_callback* is where our own
    device pages are.  Raises ``InvalidRequest`` or ``UnsupportedResponseType``.
    """
    types = tuple(dict.fromkeys(text.split()))
    for part in types:
        if part not in (CODE, ID_TOKEN, TOKEN):
            raise InvalidRequest(f"Invalid response type {quote(part)}")
        if part not in supported:
            raise UnsupportedResponseType(f"Unsupported response type {quote(part)}")
    if not types:
        raise InvalidRequest("No response_type provided")
    _check_combination(types, nonce)
    # Our pages show a code, or take one; nobody there knows what to do with a token.
    if types != (CODE,) and redirect_uri in (OOB, device_callback):
        raise InvalidRequest(
            f"With redirect_uri {redirect_uri} only 'code' can be answered."
        )
    return types


def _check_combination(types: tuple[str, ...], nonce: str) -> None:
    if types == (TOKEN,):
        raise InvalidRequest(
            "Response type 'token' must come together with 'id_token' or 'code'."
        )
    # OpenID Connect Core sections 3.2.2.1 and 3.3.2.11: nobody else's token counts.
    if ID_TOKEN in types and not nonce:
        raise InvalidRequest("Response type 'id_token' requires a 'nonce' value.")
