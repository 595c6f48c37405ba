"""Speaks to the provider: the part of an app that a client library usually is.

OpenID Connect Core 1.0, the authorization code flow with PKCE (RFC 7636), refresh,
UserInfo, introspection (RFC 7662) and revocation (RFC 7009).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import ssl
import time

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote_plus, urlencode

import attrs

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from jwcrypto.common import JWException
from jwcrypto.jwk import JWKSet
from jwcrypto.jws import JWS

#: Signatures only, all with a public key: RFC 8725 section 3.1.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA"]

#: Seconds two clocks may differ.
LEEWAY = 60

Claims = Mapping[str, Any]


class ProviderError(Exception):
    """The provider refused, answered nonsense or did not answer.  Safe to show."""

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.details = details or {}


@attrs.frozen
class Client:
    """What the provider knows of this app."""

    id: str
    secret: str
    redirect_uri: str
    pkce: bool = True


@attrs.frozen
class Login:
    """A login that has begun; the browser comes back with ``state``."""

    state: str = attrs.field(factory=lambda: secrets.token_urlsafe(24))
    nonce: str = attrs.field(factory=lambda: secrets.token_urlsafe(24))
    verifier: str = attrs.field(factory=lambda: secrets.token_urlsafe(48))
    at: float = attrs.field(factory=time.monotonic)

    @property
    def challenge(self) -> str:
        """The S256 code challenge, RFC 7636 section 4.2."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@attrs.frozen
class Tokens:
    """What the token endpoint gave, and what the ID token in it says."""

    access_token: str
    id_token: str
    header: Claims
    claims: Claims
    refresh_token: str = ""
    scope: str = ""
    expires_in: int | None = None


@asynccontextmanager
async def open_provider(
    issuer: str, client: Client, root_ca: str | None = None
) -> AsyncIterator[Provider]:
    """Open connections to *issuer*; what it offers is looked up when first needed."""
    tls = ssl.create_default_context(cafile=root_ca)
    async with ClientSession(
        connector=TCPConnector(ssl=tls), timeout=ClientTimeout(total=15)
    ) as http:
        yield Provider(issuer, client, http)


@attrs.define
class Provider:
    """One provider, seen by one client."""

    issuer: str
    client: Client
    http: ClientSession
    _metadata: Claims | None = attrs.field(default=None, init=False)
    _keys: JWKSet | None = attrs.field(default=None, init=False)

    async def metadata(self) -> Claims:
        """Return the discovery document (OpenID Connect Discovery section 4)."""
        if self._metadata is None:
            url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
            found = await self._ask("GET", url)
            # Section 4.3: or somebody else answers in the issuer's name.
            if found.get("issuer") != self.issuer:
                raise ProviderError(f"{url} speaks for {found.get('issuer')!r}.")
            self._metadata = found
        return self._metadata

    async def authorization_url(
        self, login: Login, scopes: list[str], more: Mapping[str, str]
    ) -> str:
        """Return where the browser goes to log in (Core section 3.1.2.1)."""
        parameters = {
            "response_type": "code",
            "client_id": self.client.id,
            "redirect_uri": self.client.redirect_uri,
            "scope": " ".join(scopes),
            "state": login.state,
            "nonce": login.nonce,
            **more,
        }
        if self.client.pkce:
            parameters["code_challenge"] = login.challenge
            parameters["code_challenge_method"] = "S256"
        endpoint = await self._endpoint("authorization_endpoint")
        return endpoint + ("&" if "?" in endpoint else "?") + urlencode(parameters)

    async def finish(self, login: Login, query: Mapping[str, str]) -> Tokens:
        """Return the tokens for the code the browser brought (Core section 3.1.3)."""
        # RFC 9207 section 2.4: a code of another provider must not go to this one.
        if query.get("iss", self.issuer) != self.issuer:
            raise ProviderError("The answer comes from another provider.")
        if "error" in query:
            raise _refusal(query)
        form = {
            "grant_type": "authorization_code",
            "code": query.get("code", ""),
            "redirect_uri": self.client.redirect_uri,
        }
        if self.client.pkce:
            form["code_verifier"] = login.verifier
        return await self._tokens(form, nonce=login.nonce)

    async def refresh(self, tokens: Tokens) -> Tokens:
        """Return new tokens for the refresh token (Core section 12)."""
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
        new = await self._tokens(form)
        # Section 12.2: it must still be the same person.
        if new.claims.get("sub") != tokens.claims.get("sub"):
            raise ProviderError("The new ID token is about somebody else.")
        if not new.refresh_token:
            new = attrs.evolve(new, refresh_token=tokens.refresh_token)
        return new

    async def userinfo(self, tokens: Tokens) -> Claims:
        """Return what the provider says about the user (Core section 5.3)."""
        url = await self._endpoint("userinfo_endpoint")
        bearer = {"Authorization": f"Bearer {tokens.access_token}"}
        found = await self._ask("GET", url, headers=bearer)
        if found.get("sub") != tokens.claims.get("sub"):
            raise ProviderError("The answer is about somebody else.", found)
        return found

    async def introspect(self, token: str, hint: str) -> Claims:
        """Return whether *token* is active, and what it stands for (RFC 7662)."""
        url = await self._endpoint("introspection_endpoint")
        return await self._post(url, {"token": token, "token_type_hint": hint})

    async def revoke(self, token: str, hint: str) -> None:
        """Make *token* worthless (RFC 7009)."""
        url = await self._endpoint("revocation_endpoint")
        await self._post(url, {"token": token, "token_type_hint": hint})

    async def logout_url(self, tokens: Tokens, return_to: str) -> str | None:
        """Return where the browser goes to log out there, if that is offered."""
        endpoint = (await self.metadata()).get("end_session_endpoint")
        if not isinstance(endpoint, str):
            return None
        parameters = {
            "id_token_hint": tokens.id_token,
            "post_logout_redirect_uri": return_to,
            "client_id": self.client.id,
        }
        return f"{endpoint}?{urlencode(parameters)}"

    async def verify(self, token: str) -> tuple[Claims, Claims]:
        """Return header and claims of the JWT *token*, whose signature we checked."""
        signed = JWS()
        try:
            signed.deserialize(token)
            header = dict(signed.jose_header)
            keys = await self._keys_with(header.get("kid"))
            signed.allowed_algs = ALGORITHMS
            signed.verify(keys)
            claims = json.loads(signed.payload)
        except (JWException, ValueError, TypeError) as error:
            raise ProviderError(f"A token cannot be verified: {error}") from None
        if not isinstance(claims, dict):
            raise ProviderError("A token holds no claims.")
        return header, claims

    async def _tokens(self, form: Mapping[str, str], nonce: str = "") -> Tokens:
        found = await self._post(await self._endpoint("token_endpoint"), form)
        for name in ("access_token", "id_token"):
            if not isinstance(found.get(name), str):
                raise ProviderError(f"The answer has no {name}.")
        header, claims = await self.verify(found["id_token"])
        self._check(claims, nonce)
        return Tokens(
            access_token=found["access_token"],
            id_token=found["id_token"],
            header=header,
            claims=claims,
            refresh_token=str(found.get("refresh_token") or ""),
            scope=str(found.get("scope") or ""),
            expires_in=found.get("expires_in"),
        )

    def _check(self, claims: Claims, nonce: str) -> None:
        """Check what the ID token says (Core section 3.1.3.7)."""
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else audience or []
        expiry = claims.get("exp")
        if claims.get("iss") != self.issuer:
            raise ProviderError("The ID token was issued by somebody else.")
        if self.client.id not in audiences:
            raise ProviderError("The ID token is for another client.")
        if len(audiences) > 1 and claims.get("azp", self.client.id) != self.client.id:
            raise ProviderError("The ID token was given to another client.")
        if not isinstance(expiry, (int, float)) or expiry < time.time() - LEEWAY:
            raise ProviderError("The ID token has expired.")
        if nonce and claims.get("nonce") != nonce:
            raise ProviderError("The ID token belongs to another login.")

    async def _keys_with(self, kid: object) -> JWKSet:
        """Return the provider's keys, fetched again if it has a new one."""
        if self._keys is None or (kid and not self._keys.get_keys(kid)):
            found = await self._ask("GET", await self._endpoint("jwks_uri"))
            self._keys = JWKSet.from_json(json.dumps(found))
        return self._keys

    async def _endpoint(self, name: str) -> str:
        url = (await self.metadata()).get(name)
        if not isinstance(url, str):
            raise ProviderError(f"The provider offers no {name}.")
        return url

    async def _post(self, url: str, form: Mapping[str, str]) -> Claims:
        """Post *form* as this client (RFC 6749 section 2.3.1)."""
        if not self.client.secret:
            return await self._ask("POST", url, {**form, "client_id": self.client.id})
        pair = f"{quote_plus(self.client.id)}:{quote_plus(self.client.secret)}"
        basic = "Basic " + base64.b64encode(pair.encode()).decode()
        return await self._ask("POST", url, form, {"Authorization": basic})

    async def _ask(
        self,
        method: str,
        url: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Return the JSON object the provider answers with, empty if it is silent."""
        try:
            async with self.http.request(
                method, url, data=form, headers=headers, allow_redirects=False
            ) as answer:
                body = await answer.read()
        except (ClientError, TimeoutError) as error:
            raise ProviderError(f"{url} does not answer: {error}") from None
        found = _object(body)
        if answer.status != 200:
            raise _refusal(found or {"status": answer.status})
        if found is None and body.strip():
            raise ProviderError(f"{url} answered no JSON object.")
        return found or {}


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _refusal(found: Mapping[str, Any]) -> ProviderError:
    reason = found.get("error_description") or found.get("error") or "no reason given"
    return ProviderError(f"The provider refused: {reason}", found)
