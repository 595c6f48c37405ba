"""What is known of a client beyond dex's record: its metadata (RFC 7591 section 2).

One vocabulary for the clients of the file (``staticClients[].metadata``), for those
that register themselves, and for those that publish a document about themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from ..options import option

__all__ = [
    "AUTH_METHODS",
    "MOST_KEYS",
    "NO_METADATA",
    "PRIVATE_KEY_JWT",
    "ClientMetadata",
    "check_jwks",
    "may_be_fetched",
]

PRIVATE_KEY_JWT: Final = "private_key_jwt"

#: How clients may prove themselves (OpenID Connect Core section 9).
AUTH_METHODS = ("client_secret_basic", "client_secret_post", PRIVATE_KEY_JWT, "none")

#: Keys of one client: a token without ``kid`` is tried with each of them.
MOST_KEYS = 20

_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@attrs.frozen
class ClientMetadata:
    """The names are the registry's (OAuth Dynamic Client Registration Metadata)."""

    token_endpoint_auth_method: str = option(
        "",
        key="token_endpoint_auth_method",
        choices=AUTH_METHODS,
        help="The only way the client proves itself; empty: with its secret.",
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
    request_object_signing_alg: str = option(
        "",
        key="request_object_signing_alg",
        help="The algorithm of its request objects; none: they are not signed; empty: "
        "any that a key of its is for.",
    )
    require_signed_request_object: bool = option(
        False,
        key="require_signed_request_object",
        help="Whether its requests must be signed (RFC 9101).",
    )
    require_pushed_authorization_requests: bool = option(
        False,
        key="require_pushed_authorization_requests",
        help="Whether its requests must be pushed (RFC 9126).",
    )
    dpop_bound_access_tokens: bool = option(
        False,
        key="dpop_bound_access_tokens",
        help="Whether it gets tokens only with a proof of its key (RFC 9449).",
    )
    subject_type: str = option(
        "",
        key="subject_type",
        choices=("public", "pairwise"),
        help="pairwise: what it calls a user, no other client does; empty: subject.",
    )
    sector_identifier_uri: str = option(
        "",
        key="sector_identifier_uri",
        help="Its host names the sector whose clients share pairwise subjects; empty: "
        "the host of its redirect URIs.",
    )
    subject: str = option(
        "",
        key="subject",
        choices=("dex", "plain", "claim:email", "pairwise", "hashed"),
        help="Ours: dex, plain, claim:<name>, pairwise or hashed; empty: "
        "subjects.default.",
    )
    previous_subjects: tuple[str, ...] = option(
        (),
        key="previous_subjects",
        help="Ours: what subject was before; still understood where a client names a "
        "user.",
    )
    grant_types: tuple[str, ...] = option(
        (), key="grant_types", help="The grants it may use; empty: all."
    )
    response_types: tuple[str, ...] = option(
        (), key="response_types", help="The response types it may use; empty: all."
    )
    scope: str = option("", key="scope", help="The scopes it may ask for; empty: all.")
    default_max_age: int | None = option(
        None,
        key="default_max_age",
        help="How old a login may be, in seconds, if a request does not say.",
    )
    client_uri: str = option(
        "", key="client_uri", help="The page about it, for the approval page."
    )
    policy_uri: str = option(
        "", key="policy_uri", help="What it does with data, for the approval page."
    )
    tos_uri: str = option(
        "", key="tos_uri", help="Its terms of service, for the approval page."
    )


#: A client of which nothing more is known.
NO_METADATA = ClientMetadata()


def check_jwks(jwks: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` unless *jwks* is a set of public keys to verify with.

    RFC 7517 section 5.  The text ends without a full stop, and shows no key.
    """
    keys = jwks.get("keys")
    if not isinstance(keys, Iterable) or isinstance(keys, (str, bytes, Mapping)):
        raise ValueError('a JWK set needs a list of "keys"')
    listed = [*keys]
    if not 0 < len(listed) <= MOST_KEYS:
        raise ValueError(f"a client has 1 to {MOST_KEYS} keys, not {len(listed)}")
    for key in listed:
        if not isinstance(key, Mapping) or not isinstance(key.get("kty"), str):
            raise ValueError('each key needs a "kty"')
        if key["kty"] == "oct" or any(name in key for name in _PRIVATE):
            raise ValueError("only public keys belong here; this one is compromised")
    if all(key.get("use", "sig") != "sig" for key in listed):
        raise ValueError("none of the keys is for signatures")


def may_be_fetched(uri: str, *, insecure: bool = False) -> bool:
    """Say whether *uri* may be fetched: https, or if *insecure* our own machine."""
    try:
        parts = urlsplit(uri)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment or not uri.isascii():
        return False
    if any(character <= " " or character in '\\"<>' for character in uri):
        return False
    return parts.scheme == "https" or (
        insecure and parts.scheme == "http" and host in _LOOPBACK
    )
