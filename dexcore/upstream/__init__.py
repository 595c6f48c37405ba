"""The client's side of OAuth 2.0, which many connectors have in common.

Where a provider does it as all do, a :class:`CodeFlow` is all a connector needs::

    flow = CodeFlow(context, endpoint, "https://provider.example/authorize")
    redirect = flow.begin(callback_url, state, ["read:user"])
    …
    tokens = await flow.finish(callback)

Else it sends the browser to :func:`authorization_url`, reads what it brings back with
:func:`code_of`, and trades the code at a :class:`TokenEndpoint`::

    verifier = new_verifier()
    url = authorization_url(endpoint, {"client_id": "me", **challenge(verifier)})
    …
    tokens = await endpoint.exchange(code_of(callback), redirect_uri, verifier)

What several connectors of dex keep as ``connector_data`` are such tokens:
:meth:`Tokens.dump` and :meth:`Tokens.load`.  A refresh begins with
:func:`refresh_with_newest`.
"""

from .authorization import (
    authorization_url,
    challenge,
    code_of,
    new_verifier,
    redirect_uri_of,
)
from .code_flow import CodeFlow
from .token_endpoint import TokenEndpoint, TokenRefused
from .tokens import Tokens, TokensRevoked, refresh_with_newest

__all__ = [
    "CodeFlow",
    "TokenEndpoint",
    "TokenRefused",
    "Tokens",
    "TokensRevoked",
    "authorization_url",
    "challenge",
    "code_of",
    "new_verifier",
    "redirect_uri_of",
    "refresh_with_newest",
]
