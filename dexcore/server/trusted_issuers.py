"""Who may vouch for users: issuers of assertions, and their keys (RFC 7523 section 3).

Their keys are kept as those of clients are; where the file does not say where they are,
the issuer's own discovery document does.
"""

from __future__ import annotations

import asyncio
import logging
import time

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from ..config.model import TrustedIssuer
from ..errors import InvalidGrant, TemporarilyUnavailable, UpstreamError
from ..http import HttpClient
from ..jose import InvalidJWS, b64decode
from ..jose.encoding import load_strictly
from ..oauth2.client_metadata import ClientMetadata, may_be_fetched
from ..storage import DescribedClient
from .client_keys import LIMIT, PAUSE, TIMEOUT, ClientKeys

__all__ = ["ID_JAG", "Assertion", "TrustedIssuers"]

log = logging.getLogger("dexcore.server")

#: draft-ietf-oauth-identity-assertion-authz-grant section 3.
ID_JAG = "oauth-id-jag+jwt"

_MOST = 64 * 1024  # characters


@attrs.frozen
class Assertion:
    """What a trusted issuer has said; of it only the signature has been checked.

    ``id_jag``: it is for one client, which it names.
    """

    issuer: TrustedIssuer
    claims: Mapping[str, Any]
    id_jag: bool


@attrs.define(eq=False)
class TrustedIssuers:
    """The issuers of the file, by name."""

    known: Mapping[str, TrustedIssuer]
    keys: ClientKeys
    clock: Callable[[], float] = time.monotonic
    _places: dict[str, str] = attrs.field(factory=dict, init=False)
    _not_before: dict[str, float] = attrs.field(factory=dict, init=False)
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    @classmethod
    def of(cls, issuers: tuple[TrustedIssuer, ...]) -> TrustedIssuers:
        """Return these; nothing is fetched before it is needed."""
        known = {each.issuer: each for each in issuers}
        return cls(known, ClientKeys(trusted=frozenset(known)))

    @property
    def id_jag(self) -> bool:
        """Whether any of them may say who uses which client."""
        return any("id-jag" in each.assertions for each in self.known.values())

    def issuer_of(self, token: str) -> TrustedIssuer:
        """Return whose assertion *token* says it is; raise ``InvalidGrant``."""
        said = _part(token, 1).get("iss")
        issuer = self.known.get(said) if isinstance(said, str) else None
        if issuer is None:
            raise InvalidGrant("The issuer of the assertion is not trusted.")
        return issuer

    async def verify(self, token: str, issuer: TrustedIssuer) -> Assertion:
        """Return what *issuer* says in *token*.

        Raises ``InvalidGrant``, and ``TemporarilyUnavailable`` if its keys cannot be
        fetched.
        """
        header = _part(token, 0)
        algorithm, typ = header.get("alg"), str(header.get("typ", "jwt")).lower()
        if algorithm not in issuer.algorithms:
            raise InvalidGrant("The assertion's algorithm is not one of its issuer's.")
        id_jag = typ.removeprefix("application/") == ID_JAG
        if ("id-jag" if id_jag else "jwt") not in issuer.assertions:
            raise InvalidGrant("Assertions of this type are not taken from the issuer.")
        signer = DescribedClient(issuer.issuer, metadata=await self._metadata(issuer))
        try:
            claims = await self.keys.verify(
                signer, token, algorithm=str(algorithm), types=(ID_JAG,)
            )
        except InvalidJWS:
            raise InvalidGrant("The assertion is not signed by its issuer.") from None
        return Assertion(issuer, claims, id_jag)

    async def close(self) -> None:
        """Let go of connections."""
        await self.keys.close()

    async def _metadata(self, issuer: TrustedIssuer) -> ClientMetadata:
        if issuer.jwks:
            return ClientMetadata(jwks=issuer.jwks)
        place = issuer.jwks_uri or self._places.get(issuer.issuer)
        if not place:
            async with self._turn:
                place = self._places.get(issuer.issuer) or await self._discover(issuer)
        return ClientMetadata(jwks_uri=place)

    async def _discover(self, issuer: TrustedIssuer) -> str:
        """Return the ``jwks_uri`` of an issuer (OpenID Connect Discovery section 4)."""
        name = issuer.issuer
        if self.clock() < self._not_before.get(name, float("-inf")):
            raise TemporarilyUnavailable("The issuer's keys cannot be fetched.")
        self._not_before[name] = self.clock() + PAUSE
        http = HttpClient(timeout=TIMEOUT, limit=LIMIT)
        try:
            base = name.removesuffix("/")
            answer = await http.get(f"{base}/.well-known/openid-configuration")
            document = answer.check().object()
            place = document.get("jwks_uri")
            if document.get("issuer") != name or not isinstance(place, str):
                raise UpstreamError(f"{answer.call} is not the document of {name!r}.")
            if not may_be_fetched(place, insecure=not name.startswith("https:")):
                raise UpstreamError("The address of keys must begin with https.")
        except UpstreamError as error:
            fields = {"issuer": name, "reason": str(error)}
            log.warning("trusted issuer not discovered", extra={"fields": fields})
            raise TemporarilyUnavailable(
                "The issuer's keys cannot be fetched."
            ) from None
        finally:
            await http.close()
        self._places[name] = place
        return place


def _part(token: str, number: int) -> Mapping[str, Any]:
    """Return a part of a token that nobody has verified."""
    parts = token.split(".") if len(token) <= _MOST else []
    try:
        if len(parts) != 3:
            raise ValueError("not three parts")
        return load_strictly(b64decode(parts[number]))
    except (ValueError, RecursionError):
        raise InvalidGrant("The assertion is not a signed JWT.") from None
