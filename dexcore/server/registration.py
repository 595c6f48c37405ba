"""``/register``: clients that register themselves, and look after it.

RFC 7591, RFC 7592, OpenID Connect Dynamic Client Registration 1.0.
"""

from __future__ import annotations

import hashlib

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from aiohttp import hdrs, web

from ..errors import (
    InvalidClientMetadata,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    NotFound,
    UpstreamError,
)
from ..http import HttpClient
from ..jose import load_strictly
from ..oauth2.client_metadata import PRIVATE_KEY_JWT
from ..oauth2.registration import Rules, registered
from .audit import Audit
from .channels import Handler, answer_json, read_body
from .guard import Guard
from .middleware import ADDRESS
from .registered_clients import RegisteredClients, Registration, digest
from .urls import Issuer

__all__ = ["REGISTRATION", "RegistrationEndpoint", "initial_tokens"]

REGISTRATION = "/register"

# Of the document that names a sector's redirect URIs: seconds, bytes.
_TIMEOUT, _LIMIT = 5.0, 64 * 1024

# RFC 7592 section 2.2: these are ours to say.
_OURS = (
    "registration_access_token",
    "registration_client_uri",
    "client_secret_expires_at",
    "client_id_issued_at",
)


@attrs.frozen(eq=False)
class RegistrationEndpoint:
    """Registers clients, shows, changes and removes them.

    ``tokens`` are digests of the initial access tokens; ``open``: it goes without one,
    as often as ``strangers`` allows.  ``rules`` says what may be registered now.
    """

    clients: RegisteredClients
    rules: Callable[[], Rules]
    tokens: Mapping[str, str]
    open: bool
    strangers: Guard
    audit: Audit
    issuer: Issuer

    def routes(self) -> list[tuple[str, Handler]]:
        """Return where this is below the issuer."""
        return [
            (REGISTRATION, self.register),
            (f"{REGISTRATION}/{{client_id}}", self.manage),
        ]

    async def register(self, request: web.Request) -> web.Response:
        """Register a client (RFC 7591 section 3)."""
        if request.method != "POST":
            raise InvalidRequest("Use POST.", status=405)
        registrar = self._registrar(request)
        document = await self._registered(await _document(request))
        made = await self.clients.create(document, registrar)
        self._note("client registered", made)
        return answer_json(self._described(made, made.token), 201)

    async def manage(self, request: web.Request) -> web.Response:
        """Show, change or remove a client (RFC 7592 section 2)."""
        if request.method not in ("GET", "PUT", "DELETE"):
            raise InvalidRequest("Use GET, PUT or DELETE.", status=405)
        client_id, token = request.match_info["client_id"], _bearer(request)
        try:
            known = await self.clients.get(client_id, token)
            if request.method == "DELETE":
                await self.clients.remove(client_id)
                self._note("client removed", known)
                return web.Response(status=204, headers={"Cache-Control": "no-store"})
            if request.method == "PUT":
                document = await self._replacement(request, known)
                known = await self.clients.replace(known, document)
                self._note("client changed", known)
        except NotFound:
            # RFC 7592 section 2: the same whether it is unknown or another's.
            raise InvalidToken("This token is for no such client.") from None
        return answer_json(self._described(known, token))

    # — who may ------------------------------------------------------------------------

    def _registrar(self, request: web.Request) -> str:
        """Return the name of the initial access token, "" for a stranger."""
        address = request.get(ADDRESS) or ""
        if self.open and hdrs.AUTHORIZATION not in request.headers:
            self.strangers.check(address)
            return ""
        registrar = self.tokens.get(digest(_bearer(request)))
        if registrar is None:
            self.strangers.check(address)
            raise InvalidToken("This is no initial access token.")
        return registrar

    # — what is said -------------------------------------------------------------------

    async def _replacement(
        self, request: web.Request, known: Registration
    ) -> dict[str, Any]:
        """Return what the client shall be from now on (RFC 7592 section 2.2)."""
        said = await _document(request)
        if said.get("client_id") != known.client.id:
            raise InvalidRequest("client_id must be the client's.")
        for name in _OURS:
            if name in said:
                raise InvalidRequest(f"{name} cannot be chosen.")
        secret = said.get("client_secret")
        if secret is not None and secret != known.client.secret:
            raise InvalidRequest("client_secret cannot be chosen.")
        return await self._registered(said)

    async def _registered(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Return what of the document is registered; look at the sector it names."""
        rules = self.rules()
        document = registered(said, rules)
        if uri := document.get("sector_identifier_uri"):
            listed = await _fetched(uri, public_only=not rules.insecure)
            # Registration section 5: nobody joins a sector that does not know them.
            if not isinstance(listed, list) or not all(
                each in listed for each in document["redirect_uris"]
            ):
                raise InvalidClientMetadata(
                    "sector_identifier_uri must list all redirect_uris."
                )
        return document

    def _described(self, known: Registration, token: str) -> dict[str, Any]:
        """Return the client information response (RFC 7591 section 3.2.1)."""
        record = known.record
        document = dict(record.metadata)
        # What it was not asked for is the default of section 2.
        method = document.setdefault(
            "token_endpoint_auth_method", "client_secret_basic"
        )
        found: dict[str, Any] = {
            "client_id": record.id,
            "client_id_issued_at": int(record.created_at.timestamp()),
        }
        if method not in ("none", PRIVATE_KEY_JWT):
            ends = int(record.expiry.timestamp()) if self.clients.lifetime else 0
            found["client_secret"] = known.client.secret
            found["client_secret_expires_at"] = ends
        path = f"{REGISTRATION}/{record.id}"
        return {
            **found,
            "registration_access_token": token,
            "registration_client_uri": self.issuer.absolute(path),
            **document,
        }

    def _note(self, what: str, known: Registration) -> None:
        self.audit.record(
            what,
            client_id=known.record.id,
            client_name=known.client.name,
            registrar=known.record.registrar,
        )


def initial_tokens(tokens: Iterable[str]) -> dict[str, str]:
    """Return digests of initial access tokens, and a name for each."""
    return {
        known: hashlib.sha256(known.encode()).hexdigest()[:16]
        for known in map(digest, tokens)
    }


def _bearer(request: web.Request) -> str:
    """Return the token of the request (RFC 6750 section 2.1)."""
    header = request.headers.get(hdrs.AUTHORIZATION, "")
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise MissingToken("An access token for registrations is needed.")
    return token.strip()


async def _fetched(uri: str, *, public_only: bool) -> Any:
    """Return the JSON document at *uri*."""
    http = HttpClient(timeout=_TIMEOUT, limit=_LIMIT, public_only=public_only)
    try:
        return (await http.get(uri)).check().json()
    except UpstreamError:
        raise InvalidClientMetadata(
            "sector_identifier_uri cannot be fetched."
        ) from None
    finally:
        await http.close()


async def _document(request: web.Request) -> dict[str, Any]:
    """Return the JSON object of the body."""
    if request.content_type != "application/json":
        raise InvalidRequest("The body must be application/json.", status=415)
    try:
        return load_strictly(await read_body(request))
    except (ValueError, RecursionError):
        raise InvalidClientMetadata("The body is not a JSON object.") from None
