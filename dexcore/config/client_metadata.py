"""What a file says about a client's ``metadata`` that cannot be meant."""

from __future__ import annotations

from collections.abc import Callable

from ..jose import ALGORITHMS
from ..oauth2 import scopes
from ..oauth2.client_metadata import (
    AUTH_METHODS,
    PRIVATE_KEY_JWT,
    ClientMetadata,
    check_jwks,
    may_be_fetched,
)
from .model import CLIENT_CREDENTIALS, GRANT_TYPES, RESPONSE_TYPES, StaticClient
from .problems import suggest

#: Reports an error at a key of the client: key, message, remedy.
Report = Callable[[str, str, str], None]

_KEYS = 'Add "jwks", with its public keys, or "jwks_uri", where it publishes them.'


def check_metadata(written: StaticClient, error: Report) -> None:
    """Report everything that is wrong with the metadata of a client of the file."""
    _check_method(written, error)
    _check_keys(written, error)
    _check_uses(written.metadata, error)
    _check_pages(written.metadata, error)


def _check_method(written: StaticClient, error: Report) -> None:
    metadata = written.metadata
    method, at = metadata.token_endpoint_auth_method, "token_endpoint_auth_method"
    if method and method not in AUTH_METHODS:
        message = f'the method "{method}" is not supported'
        error(f"metadata.{at}", message, suggest(method, AUTH_METHODS))
    algorithm = metadata.token_endpoint_auth_signing_alg
    if algorithm and algorithm not in ALGORITHMS:
        error(
            "metadata.token_endpoint_auth_signing_alg",
            f'the algorithm "{algorithm}" is not supported',
            suggest(algorithm, ALGORITHMS),
        )
    elif algorithm and method != PRIVATE_KEY_JWT:
        error(
            "metadata.token_endpoint_auth_signing_alg",
            "the client does not prove itself with a key, so there is no algorithm",
            f'Write "{at}: {PRIVATE_KEY_JWT}", or remove this.',
        )
    if method == PRIVATE_KEY_JWT:
        _check_private_key_jwt(written, error)
    elif method == "none" and not written.public:
        message = "a client without proof of who it is must be public"
        error(f"metadata.{at}", message, 'Write "public: true", or another method.')
    elif method == "none" and (written.secret or written.secret_env):
        message = "a client that has a secret must prove itself with it"
        error(f"metadata.{at}", message, "Remove the secret, or the method.")
    elif method.startswith("client_secret") and written.public and not written.secret:
        message = "the client has no secret to prove itself with"
        error(f"metadata.{at}", message, 'Add "secret: …", or write "none".')


def _check_private_key_jwt(written: StaticClient, error: Report) -> None:
    metadata, at = written.metadata, "metadata.token_endpoint_auth_method"
    if not (metadata.jwks or metadata.jwks_uri):
        error(at, "the client has no keys to prove itself with", _KEYS)
    if written.public:
        message = "a client that can keep a key is not a public one"
        error(at, message, 'Remove "public: true", or write "none".')
    for key in ("secret", "secretEnv"):
        if written.secret if key == "secret" else written.secret_env:
            message = "the client proves itself with its key, so the secret is not used"
            error(key, message, "Remove it.")


def _check_keys(written: StaticClient, error: Report) -> None:
    jwks, jwks_uri = written.metadata.jwks, written.metadata.jwks_uri
    if jwks and jwks_uri:
        # RFC 7591 section 2: one or the other.
        message = "jwks and jwks_uri exclude each other"
        error("metadata.jwks_uri", message, "Keep one of them.")
    elif jwks_uri and not may_be_fetched(jwks_uri, insecure=True):
        error(
            "metadata.jwks_uri",
            f'"{jwks_uri}" is no https address',
            "Publish the keys over https; plain http is for 127.0.0.1 only.",
        )
    if jwks:
        try:
            check_jwks(jwks)
        except ValueError as problem:
            remedy = "Write the public keys only, as they would be at a jwks_uri."
            error("metadata.jwks", str(problem), remedy)


def _check_uses(metadata: ClientMetadata, error: Report) -> None:
    grant_types = (*GRANT_TYPES, CLIENT_CREDENTIALS)
    for name in metadata.grant_types:
        if name not in grant_types:
            message = f'the grant type "{name}" is not known'
            error("metadata.grant_types", message, suggest(name, grant_types))
    known = {frozenset(each.split()) for each in RESPONSE_TYPES}
    for name in metadata.response_types:
        if frozenset(name.split()) not in known:
            message = f'the response type "{name}" is not supported'
            error("metadata.response_types", message, suggest(name, RESPONSE_TYPES))
    for name in scopes.unknown(scopes.parse(metadata.scope)):
        message = f'the scope "{name}" is not known'
        error("metadata.scope", message, suggest(name, scopes.SCOPES))


def _check_pages(metadata: ClientMetadata, error: Report) -> None:
    for key in ("client_uri", "policy_uri", "tos_uri"):
        uri = getattr(metadata, key)
        if uri and not may_be_fetched(uri, insecure=True):
            message = f'"{uri}" is no https address'
            error(f"metadata.{key}", message, "Write the whole address of the page.")
    if metadata.default_max_age is not None and metadata.default_max_age < 0:
        message = "a login cannot be younger than now"
        error("metadata.default_max_age", message, "Write seconds, or remove it.")
