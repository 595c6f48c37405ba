"""What is known of a client beyond dex's record: its metadata (RFC 7591 section 2).

One vocabulary for the clients of the file (``staticClients[].metadata``), for those
that register themselves, and for those that publish a document about themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ..options import option

__all__ = ["NO_METADATA", "ClientMetadata"]


@attrs.frozen
class ClientMetadata:
    """The names are the registry's (OAuth Dynamic Client Registration Metadata)."""

    token_endpoint_auth_method: str = option(
        "",
        key="token_endpoint_auth_method",
        help="How the client proves itself; empty: with its secret.",
    )
    token_endpoint_auth_signing_alg: str = option(
        "",
        key="token_endpoint_auth_signing_alg",
        help="The algorithm of its assertions; empty: any that we know.",
    )
    jwks: Mapping[str, Any] = option(
        factory=dict, key="jwks", help="The client's public keys, a JWK set."
    )
    jwks_uri: str = option("", key="jwks_uri", help="Where they are published.")
    require_pushed_authorization_requests: bool = option(
        False,
        key="require_pushed_authorization_requests",
        help="Whether its requests must be pushed (RFC 9126).",
    )


#: A client of which nothing more is known.
NO_METADATA = ClientMetadata()
