"""``request``: the parameters of an authorization request in a JWT of the client.

OpenID Connect Core section 6.1, RFC 9101.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import attrs
import orjson

from ...errors import InvalidRequestObject, NotFound, RequestNotSupported
from ...jose import InvalidJWS, b64decode
from ...jose.encoding import load_strictly
from ...oauth2.client_metadata import ClientMetadata
from ...oauth2.forms import REPEATABLE
from ...storage import Client, metadata_of
from ..client_keys import ClientKeys
from ..clients import Clients

# RFC 9101 section 10.8: its own media type, or the one of every JWT.
_TYPES = ("oauth-authz-req+jwt",)
# RFC 7519 section 4.1: what is about the JWT and not about the request.
_OF_THE_JWT = frozenset(("iss", "sub", "aud", "exp", "nbf", "iat", "jti"))
_SKEW = 60  # seconds that the client's clock may differ from ours


@attrs.frozen(eq=False)
class RequestObjects:
    """Opens request objects; ``issuer`` is whom they must be for."""

    clients: Clients
    keys: ClientKeys
    issuer: str
    now: Callable[[], datetime]

    async def open(self, params: Mapping[str, str]) -> Mapping[str, str]:
        """Return *params* with those of the object that they bring in their place.

        What the object says counts, whatever stands beside it (Core section 6.1); of a
        client that must sign its requests nothing else counts (RFC 9101 section 6.3).
        Raises ``InvalidRequestObject``, and ``RequestNotSupported`` if the client has
        nothing to sign with.
        """
        client = await self._client(params)
        if client is None:
            return params
        metadata = metadata_of(client)
        said = await self._claims(client, metadata, params["request"])
        self._check(said, client)
        inner = {
            name: _text(name, value)
            for name, value in said.items()
            if name not in _OF_THE_JWT
        }
        _compare(inner, params)
        if metadata.require_signed_request_object:
            return {**inner, "client_id": client.id}
        outer = {name: value for name, value in params.items() if name != "request"}
        return {**outer, **inner}

    async def _client(self, params: Mapping[str, str]) -> Client | None:
        try:
            return await self.clients.get(params.get("client_id", ""))
        except NotFound:
            return None  # which is for the checks that follow to say

    async def _claims(
        self, client: Client, metadata: ClientMetadata, token: str
    ) -> Mapping[str, Any]:
        algorithm = metadata.request_object_signing_alg
        if algorithm == "none":
            return _unsigned(token)
        if not metadata.jwks and not metadata.jwks_uri:
            raise RequestNotSupported(
                "The client has registered no keys to sign a request with."
            )
        try:
            return await self.keys.verify(
                client, token, algorithm=algorithm, types=_TYPES
            )
        except InvalidJWS:
            raise InvalidRequestObject(
                "The request object is not signed as the client has registered."
            ) from None

    def _check(self, said: Mapping[str, Any], client: Client) -> None:
        now = self.now().timestamp()
        if said.get("iss", client.id) != client.id:
            raise InvalidRequestObject("The request object is of another client.")
        audience = said.get("aud", self.issuer)
        if self.issuer not in (audience if isinstance(audience, list) else [audience]):
            raise InvalidRequestObject("The request object is for somebody else.")
        # A client assertion must not pass for a request (RFC 9101 section 10.8).
        if said.get("sub") == client.id:
            raise InvalidRequestObject("This JWT is a client assertion.")
        if (
            _time(said, "exp", now) + _SKEW < now
            or _time(said, "nbf", now) > now + _SKEW
        ):
            raise InvalidRequestObject("The request object has expired.")


def _unsigned(token: str) -> Mapping[str, Any]:
    """Return the claims of an unsecured JWS (RFC 7515 appendix A.5)."""
    try:
        head, payload, signature = token.split(".")
        header, said = load_strictly(b64decode(head)), load_strictly(b64decode(payload))
    except ValueError:
        raise InvalidRequestObject("The request object is no JWT.") from None
    if (
        signature
        or not isinstance(header, dict)
        or not isinstance(said, dict)
        or header.keys() - {"alg", "typ"}
        or header.get("alg") != "none"
    ):
        raise InvalidRequestObject(
            "The request object is not as the client has registered: without signature."
        )
    return said


def _time(said: Mapping[str, Any], name: str, default: float) -> float:
    value = said.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRequestObject(f"The request object has no time as {name}.")
    return value


def _text(name: str, value: object) -> str:
    """Return the member *name* as the parameter would be written."""
    if name in ("request", "request_uri"):
        raise InvalidRequestObject("A request object cannot refer to another request.")
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return orjson.dumps(value).decode()
    if name in REPEATABLE and isinstance(value, list):
        return " ".join(_text(name, each) for each in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InvalidRequestObject("A parameter of the request object is of no known type.")


def _compare(inner: Mapping[str, str], outer: Mapping[str, str]) -> None:
    # Core section 6.1: these must be the same where both say them.
    for name in ("client_id", "response_type"):
        if name in outer and inner.get(name, outer[name]) != outer[name]:
            raise InvalidRequestObject(
                f"The request object has another {name} than the request."
            )
