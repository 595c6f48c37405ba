"""From an authorization to signed tokens."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs
import orjson

from ...jose import left_half_hash
from ...oauth2.ids import new_id
from ...oauth2.response_types import ID_TOKEN, TOKEN
from ...oauth2.scopes import OPENID
from ...signer import Signer
from . import claims
from .authorization import Authorization, new_jti
from .claims import ExtraClaims
from .resources import Resources
from .session_names import SessionNames

ACCESS_TOKEN_TYPE = "at+jwt"  # noqa: S105 - a media type (RFC 9068 section 2.1)
#: What the identifiers of token types begin with (RFC 8693 section 3).
TOKEN_TYPE = "urn:ietf:params:oauth:token-type:"  # noqa: S105


@attrs.frozen(eq=False)
class TokenIssuer:
    """Signs what a client gets.  ``lifetime`` is of ID and access tokens.

    With ``strict`` an access token is one of RFC 9068, which says in its header what it
    is, so that nobody takes an ID token for it; an ID token that comes with one leaves
    to userinfo what is told there; and the answer names the scopes.
    """

    url: str
    signer: Signer
    lifetime: timedelta
    now: Callable[[], datetime]
    extra: ExtraClaims
    resources: Resources
    session_names: SessionNames
    strict: bool = False

    async def issue(self, authorization: Authorization) -> dict[str, Any]:
        """Return a token response (RFC 6749 section 5.1)."""
        common = self._common(authorization)
        user = claims.about_the_user(authorization)
        if authorization.only:
            return await self._exchanged(authorization, common, user)
        access_token = await self._access_token(authorization, common, user)
        response: dict[str, Any] = {
            "access_token": access_token,
            "token_type": _token_type(authorization),
            "expires_in": self._expires_in(authorization),
        }
        if _is_less(authorization):
            # RFC 6749 section 5.1: a resource may see less than the client asked for.
            response |= self._scope(authorization)
        elif self.strict:
            # Some clients go by it, though it is what they asked for: Spring does.
            response["scope"] = " ".join(authorization.scopes)
        if authorization.refresh_token:
            response["refresh_token"] = authorization.refresh_token
        if authorization.always_identify or OPENID in authorization.scopes:
            response["id_token"] = await self._id_token(
                authorization, common, user, access_token
            )
        return response

    async def issue_by_browser(
        self, authorization: Authorization, types: Container[str]
    ) -> dict[str, str]:
        """Return what goes into an authorization response beside the code.

        OpenID Connect Core sections 3.2.2.5 and 3.3.2.5; *types* are the parts of the
        response type.  Never a refresh token.
        """
        common = self._common(authorization)
        user = claims.about_the_user(authorization)
        access_token = ""
        response: dict[str, str] = {}
        if TOKEN in types:
            access_token = await self._access_token(authorization, common, user)
            response = {
                "access_token": access_token,
                "token_type": "bearer",
                "expires_in": str(self._expires_in(authorization)),
            }
        if ID_TOKEN in types:
            response["id_token"] = await self._id_token(
                authorization, common, user, access_token
            )
        return response

    async def _exchanged(
        self,
        authorization: Authorization,
        common: dict[str, Any],
        user: dict[str, Any],
    ) -> dict[str, Any]:
        """Return the response of a token exchange (RFC 8693 section 2.2.1).

        Whatever the type of the token, it is called ``access_token`` there.
        """
        if authorization.only == "id_token":
            token = await self._sign(authorization, common, user, {})
        else:
            token = await self._access_token(authorization, common, user)
        return {
            "access_token": token,
            "issued_token_type": TOKEN_TYPE + authorization.only,
            "token_type": _token_type(authorization),
            "expires_in": self._expires_in(authorization),
            **(self._scope(authorization) if _is_less(authorization) else {}),
        }

    def _scope(self, authorization: Authorization) -> dict[str, str]:
        scopes = self.resources.scopes(authorization)
        return {"scope": " ".join(scopes)} if scopes else {}

    def _expires_in(self, authorization: Authorization) -> int:
        asked, lifetime = authorization.extras.resources, self.lifetime
        if asked:
            lifetime = self.resources.lifetime(asked, lifetime)
        # The client's clock starts when the answer arrives, so a second less.
        return int(lifetime.total_seconds()) - 1

    def _common(self, authorization: Authorization) -> dict[str, Any]:
        issued = int(self.now().timestamp())
        login = claims.about_the_login(authorization)
        if "sid" in login:
            login["sid"] = self.session_names.name(authorization.client, login["sid"])
        return {
            "iss": self.url,
            "sub": claims.subject(authorization),
            **claims.audience(authorization),
            "exp": issued + int(self.lifetime.total_seconds()),
            "iat": issued,
            # Each token has its own; here so that it comes at its place.
            "jti": "",
            **login,
        }

    async def _access_token(
        self,
        authorization: Authorization,
        common: dict[str, Any],
        user: dict[str, Any],
    ) -> str:
        if authorization.extras.resources:
            return await self._for_resources(authorization, common)
        more: dict[str, Any] = {
            "at_hash": self._hash(new_id()),
            # What userinfo will answer: it makes no query.
            **claims.asked_for(authorization, "userinfo"),
            **_confirmation(authorization),
        }
        if not self.strict:
            return await self._sign(authorization, common, user, more)
        # RFC 9068 sections 2.2 and 2.2.3.
        more["client_id"] = authorization.client.id
        more["scope"] = " ".join(authorization.scopes)
        return await self._sign(authorization, common, user, more, ACCESS_TOKEN_TYPE)

    async def _for_resources(
        self, authorization: Authorization, common: dict[str, Any]
    ) -> str:
        """Return an access token as resource servers expect it (RFC 9068)."""
        payload = self.resources.claims(authorization, common, self.lifetime)
        kept = self.resources.told(authorization)
        user = claims.about_the_user(kept)
        if self.url in authorization.extras.resources:
            user |= claims.asked_for(kept, "userinfo")
        bound = _confirmation(authorization)
        return await self._sign(kept, payload, user, bound, ACCESS_TOKEN_TYPE)

    async def _id_token(
        self,
        authorization: Authorization,
        common: dict[str, Any],
        user: dict[str, Any],
        access_token: str,
    ) -> str:
        # OpenID Connect Core sections 3.1.3.6, 3.2.2.10 and 3.3.2.11.
        hashes = {}
        if access_token:
            hashes["at_hash"] = self._hash(access_token)
        if authorization.code:
            hashes["c_hash"] = self._hash(authorization.code)
        if self.strict and hashes:
            # There is an access token, or will be for the code.
            user = claims.beside_an_access_token(user)
        asked = claims.asked_for(authorization, "id_token")
        return await self._sign(authorization, common, user, {**hashes, **asked})

    async def _sign(
        self,
        authorization: Authorization,
        common: dict[str, Any],
        user: dict[str, Any],
        others: Mapping[str, Any],
        typ: str | None = None,
    ) -> str:
        payload = {**common, **others, **user}
        payload["jti"] = new_jti(authorization.family)
        self.extra.add(authorization, payload)
        return await self.signer.sign(orjson.dumps(payload), typ=typ)

    def _hash(self, text: str) -> str:
        return left_half_hash(self.signer.key_set.algorithm, text)


def _is_less(authorization: Authorization) -> bool:
    """Return whether there may be less in the token than the client asked for."""
    return bool(authorization.extras.resources) or authorization.narrowed


def _token_type(authorization: Authorization) -> str:
    """Return how an access token is used (RFC 6750, RFC 9449 section 5)."""
    bound = authorization.jkt and authorization.only != "id_token"
    return "DPoP" if bound else "bearer"


def _confirmation(authorization: Authorization) -> dict[str, Any]:
    """Return the key that an access token is bound to (RFC 9449 section 6.1)."""
    return {"cnf": {"jkt": authorization.jkt}} if authorization.jkt else {}
