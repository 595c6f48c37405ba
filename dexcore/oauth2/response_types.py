"""What an authorization request wants in return: ``response_type``.

RFC 6749 section 3.1.1, OAuth 2.0 Multiple Response Type Encoding Practices section 3.
"""

from __future__ import annotations

from collections.abc import Container

from ..errors import InvalidRequest, UnsupportedResponseType
from .redirect_uris import OOB
from .words import quote

__all__ = ["CODE", "ID_TOKEN", "TOKEN", "parse"]

CODE = "code"
ID_TOKEN = "id_token"  # noqa: S105 - a response type
TOKEN = "token"  # noqa: S105 - a response type


def parse(
    text: str, supported: Container[str], *, nonce: str, redirect_uri: str
) -> tuple[str, ...]:
    """Return the parts of a ``response_type`` parameter, in order, each once.

    *supported* are the parts that are switched on.  Raises ``InvalidRequest`` or
    ``UnsupportedResponseType``.
    """
    types = tuple(dict.fromkeys(text.split()))
    for part in types:
        if part not in (CODE, ID_TOKEN, TOKEN):
            raise InvalidRequest(f"Invalid response type {quote(part)}")
        if part not in supported:
            raise UnsupportedResponseType(f"Unsupported response type {quote(part)}")
    if not types:
        raise InvalidRequest("No response_type provided")
    _check_combination(types, nonce, redirect_uri)
    return types


def _check_combination(types: tuple[str, ...], nonce: str, redirect_uri: str) -> None:
    if types == (TOKEN,):
        raise InvalidRequest(
            "Response type 'token' must come together with 'id_token' or 'code'."
        )
    # OpenID Connect Core section 3.2.2.1.
    if CODE not in types and not nonce:
        raise InvalidRequest("Response type 'token' requires a 'nonce' value.")
    if types != (CODE,) and redirect_uri == OOB:
        raise InvalidRequest(f"With redirect_uri {OOB} only 'code' can be answered.")
