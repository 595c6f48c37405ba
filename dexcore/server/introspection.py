"""``/token/introspect``: whether a token still counts (RFC 7662)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from aiohttp import hdrs, web

from ..errors import InvalidRequest, InvalidToken, NotFound
from ..oauth2 import subjects
from ..storage import Client, Storage
from .channels import answer_json, read_form
from .clients import Clients
from .sessions.bound import TokenSessions
from .tokens.access import AccessTokens
from .tokens.refresh import RefreshTokens, extras_of
from .tokens.resources import Resources, is_for_resources
from .tokens.subjects import subject_of

_INACTIVE = {"active": False}
_EXT = (
    "azp",
    "sid",
    "email",
    "email_verified",
    "groups",
    "name",
    "preferred_username",
    "federated_claims",
)


@attrs.frozen(eq=False)
class IntrospectionEndpoint:
    """Answers clients that prove who they are, about tokens that concern them.

    What is unknown, expired, revoked or somebody else's looks the same: inactive.
    """

    clients: Clients
    storage: Storage
    access_tokens: AccessTokens
    refresh_tokens: RefreshTokens
    resources: Resources
    sessions: TokenSessions | None = None

    async def answer(self, request: web.Request) -> web.Response:
        """Answer about the token in the form."""
        if request.method != "POST":
            raise InvalidRequest(
                f'HTTP method is "{request.method}", expected "POST".', status=405
            )
        form = await read_form(request)
        client = await self.clients.authenticate(
            request.headers.get(hdrs.AUTHORIZATION), form, public=False
        )
        token = form.get("token", "")
        if not token:
            raise InvalidRequest("The POST body doesn't contain 'token' parameter.")
        return answer_json(await self._about(token, client))

    async def _about(self, token: str, client: Client) -> Mapping[str, Any]:
        if token.count(".") == 2:
            return await self._access(token, client)
        return await self._refresh(token, client)

    async def _access(self, token: str, client: Client) -> Mapping[str, Any]:
        try:
            claims, _ = self.access_tokens.check(token)
        except InvalidToken:
            return _INACTIVE
        audience = claims.get("aud")
        everyone = [audience] if isinstance(audience, str) else list(audience or ())
        client_id = claims.get("azp") or (everyone[0] if everyone else "")
        concerned = client.id in everyone
        if is_for_resources(claims):
            client_id = claims["client_id"]
            concerned = self.resources.serves(client.id, everyone)
        if not concerned and client.id != client_id:
            return _INACTIVE
        if self.sessions is not None and not await self.sessions.access_counts(
            client_id, str(claims.get("sid", ""))
        ):
            return _INACTIVE
        return {
            "active": True,
            **({"scope": claims["scope"]} if "scope" in claims else {}),
            "client_id": client_id,
            "sub": claims.get("sub"),
            "exp": claims.get("exp"),
            "iat": claims.get("iat"),
            "nbf": claims.get("iat"),
            **_username(claims.get("preferred_username")),
            "aud": audience,
            "iss": claims.get("iss"),
            "jti": claims.get("jti"),
            # RFC 9449 section 6.2.
            "token_type": "DPoP" if "cnf" in claims else "Bearer",
            **({"cnf": claims["cnf"]} if "cnf" in claims else {}),
            "token_use": "access_token",
            "ext": {name: claims[name] for name in _EXT if name in claims},
        }

    async def _refresh(self, token: str, client: Client) -> Mapping[str, Any]:
        refresh_id, secret = subjects.decode_refresh(token)
        try:
            record = await self.storage.refresh_tokens.get(refresh_id)
            extras = await extras_of(self.storage, refresh_id)
        except NotFound:
            return _INACTIVE
        refresh_tokens = self.refresh_tokens
        if (
            record.client_id != client.id
            or refresh_tokens.standing(record, secret) not in ("current", "repeat")
            or refresh_tokens.policy.expired(record, refresh_tokens.now())
        ):
            return _INACTIVE
        if self.sessions is not None and not await self.sessions.refresh_counts(
            client, record
        ):
            return _INACTIVE
        issued = int(record.created_at.timestamp())
        lifetime = refresh_tokens.policy.absolute_lifetime
        expiry = {"exp": issued + int(lifetime.total_seconds())} if lifetime else {}
        claims = record.claims
        return {
            "active": True,
            "client_id": record.client_id,
            "sub": subject_of(claims.user_id, record.connector_id, extras),
            **expiry,
            "iat": issued,
            "nbf": issued,
            **_username(claims.preferred_username),
            "aud": record.client_id,
            "iss": self.access_tokens.url,
            "token_type": "Bearer",
            "token_use": "refresh_token",
            "ext": {},
        }


def _username(name: str | None) -> dict[str, str]:
    return {"username": name} if name else {}
