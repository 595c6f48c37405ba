"""An OpenID Connect provider that can be strict, careless or malicious.

::

    with OpenIDProvider() as provider:
        provider.add_user("jane", groups=["admins"])
        provider.add_client("dexcore", "secret")
        ...
        provider.id_token_changes["aud"] = "somebody-else"

As it comes it does everything right: it checks redirect URIs, PKCE, how clients
authenticate, codes and refresh tokens that are used twice.  What it says can be changed
piece by piece; ``None`` leaves a piece out.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
import time

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs

from aiohttp import web

from ...jose import b64encode, left_half_hash
from ..people import PASSWORD
from ._openid_clients import OpenIDClient, OpenIDClients
from ._openid_signing import FAULTS, SigningUpstream, changed, to_json
from .serve import serve

__all__ = ["FAULTS", "OpenIDClient", "OpenIDProvider", "OpenIDUser"]

_FORM = """<!doctype html><title>Sign in</title><h1>Sign in</h1>
<form method="post"><label>Name <input name="login" autofocus></label>
<label>Password <input name="password" type="password"></label>
<button>Sign in</button></form>"""

_SUPPORTED_AUTH = [
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
    "none",
]


@attrs.frozen
class OpenIDUser:
    """Somebody; ``claims`` are all but ``sub``."""

    sub: str
    claims: Mapping[str, Any]
    password: str = PASSWORD


@attrs.frozen
class _Grant:
    """What a code or a token stands for.  A family falls together."""

    client_id: str
    sub: str
    family: str
    parameters: Mapping[str, str] = {}


class OpenIDProvider(SigningUpstream):
    """The double.  ``path`` is that of its issuer.

    * ``metadata_changes``, ``id_token_changes``, ``header_changes``,
      ``userinfo_changes``, ``token_changes``, ``callback_changes``: what is said
      instead in discovery, ID tokens and their headers, UserInfo, the answer of the
      token endpoint and the parameters of the callback;
    * ``signature``: how ID tokens are signed;
    * ``userinfo_claims``: claims that are in the UserInfo only;
    * ``rotates``: whether refresh tokens change at each use; one that was used before
      ends its family, unless the provider ``forgives``;
    * ``requires_pkce``, ``id_token_at_refresh``, ``signs_userinfo``,
      ``jwt_access_tokens``, ``names_itself``: what it does.
    """

    def __init__(
        self, *, path: str = "", algorithm: str = "ES256", **options: Any
    ) -> None:
        super().__init__(algorithm, **options)
        self.issuer = self.url + path
        self.users: dict[str, OpenIDUser] = {}
        self._clients = OpenIDClients(f"{self.issuer}/token")
        self.clients = self._clients.known
        self.metadata_changes: dict[str, Any] = {}
        self.userinfo_changes: dict[str, Any] = {}
        self.token_changes: dict[str, Any] = {}
        self.callback_changes: dict[str, Any] = {}
        self.userinfo_claims: frozenset[str] = frozenset()
        self.rotates = False
        self.forgives = False
        self.requires_pkce = False
        self.id_token_at_refresh = True
        self.signs_userinfo = False
        self.jwt_access_tokens = False
        self.names_itself = False
        self.lifetime = 300  # seconds, of ID tokens
        self._codes: dict[str, _Grant] = {}
        self._access: dict[str, _Grant] = {}
        self._refresh: dict[str, _Grant] = {}
        self._used: dict[str, _Grant] = {}
        self._ended: set[str] = set()

    # — who there is -------------------------------------------------------------------

    def add_user(
        self,
        login: str = "jane",
        /,
        *,
        sub: str = "",
        password: str = PASSWORD,
        **claims: Any,
    ) -> OpenIDUser:
        """Let somebody log in, or change who they are."""
        standard = {
            "name": login.title(),
            "preferred_username": login,
            "email": f"{login}@example.com",
            "email_verified": True,
        }
        told = {key: it for key, it in {**standard, **claims}.items() if it is not None}
        self.users[login] = OpenIDUser(sub or f"id-of-{login}", told, password)
        return self.users[login]

    def add_client(
        self,
        client_id: str = "dexcore",
        secret: str = "secret",
        *,
        auth: Iterable[str] = (),
        jwks: Mapping[str, Any] | None = None,
    ) -> OpenIDClient:
        """Register a client; the redirect URI it names first is the one it keeps to."""
        self.clients[client_id] = OpenIDClient(secret, tuple(auth), jwks)
        return self.clients[client_id]

    def revoke(self, name: str) -> None:
        """End everything that was granted to somebody."""
        sub = self.users[name].sub
        known = (*self._access.values(), *self._refresh.values())
        self._ended |= {grant.family for grant in known if grant.sub == sub}

    def sign_in(self, url: str, name: str = "jane") -> dict[str, Any]:
        """Return what the browser brings back that went to *url* and signed in."""
        return self._answer(self.users[name], dict(parse_qsl(urlsplit(url).query)))

    def tokens(self, name: str = "jane", client_id: str = "dexcore") -> dict[str, Any]:
        """Return what the token endpoint would give *client_id* for *name*."""
        user = self.users[name]
        return self._granted(_Grant(client_id, user.sub, secrets.token_hex(8)))

    # — what it serves -----------------------------------------------------------------

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Return the endpoints, all below the issuer's path."""
        base = self.issuer.removeprefix(self.url)
        return [
            web.get(f"{base}/.well-known/openid-configuration", self._discovery),
            web.get(f"{base}/jwks", self._jwks),
            web.get(f"{base}/authorize", self._form),
            web.post(f"{base}/authorize", self._sign_in),
            web.post(f"{base}/token", self._token),
            web.get(f"{base}/userinfo", self._userinfo),
            web.post(f"{base}/introspect", self._introspect),
            web.get(f"{base}/logout", self._logout),
        ]

    async def _discovery(self, request: web.Request) -> web.StreamResponse:
        known = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "introspection_endpoint": f"{self.issuer}/introspect",
            "end_session_endpoint": f"{self.issuer}/logout",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self._algorithm],
            "token_endpoint_auth_methods_supported": _SUPPORTED_AUTH,
            "code_challenge_methods_supported": ["S256", "plain"],
            "authorization_response_iss_parameter_supported": self.names_itself,
        }
        return web.json_response(changed(known, self.metadata_changes))

    async def _jwks(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.jwks)

    async def _form(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=_FORM, content_type="text/html")

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        query, form = dict(request.query), await request.post()
        user = self.users.get(str(form["login"]))
        if user is None or user.password != form["password"]:
            return web.Response(status=401, text=_FORM, content_type="text/html")
        if query.get("client_id") not in self.clients:
            return web.Response(status=400, text="Who asks?")
        answer = self._answer(user, query)
        raise web.HTTPFound(f"{query['redirect_uri']}?{urlencode(answer)}")

    def _answer(self, user: OpenIDUser, query: Mapping[str, str]) -> dict[str, Any]:
        """Return what the browser of *user* takes back."""
        answer = {"error": "invalid_request", "error_description": "PKCE!"}
        if not self.requires_pkce or query.get("code_challenge_method") == "S256":
            code = secrets.token_urlsafe(16)
            family = secrets.token_hex(8)
            self._codes[code] = _Grant(query["client_id"], user.sub, family, query)
            answer = {"code": code}
        answer["state"] = query["state"]
        if self.names_itself:
            answer["iss"] = self.issuer
        return changed(answer, self.callback_changes)

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        client_id = self._clients.authenticated(request, form)
        if client_id is None:
            return _error("invalid_client", 401)
        if form.get("grant_type") == "authorization_code":
            return self._code(form, client_id)
        return self._refreshed(form, client_id)

    def _code(self, form: dict[str, str], client_id: str) -> web.StreamResponse:
        code = form.get("code", "")
        if code in self._used:
            self._ended.add(self._used[code].family)
        grant = self._codes.pop(code, None)
        if grant is None or grant.client_id != client_id:
            return _error("invalid_grant")
        self._used[code] = grant
        challenge = grant.parameters.get("code_challenge", "")
        verifier = form.get("code_verifier", "")
        if grant.parameters.get("code_challenge_method") == "S256":
            verifier = b64encode(hashlib.sha256(verifier.encode()).digest())
        same = form.get("redirect_uri") == grant.parameters["redirect_uri"]
        if verifier != challenge or not same:
            return _error("invalid_grant")
        return web.json_response(self._granted(grant))

    def _refreshed(self, form: dict[str, str], client_id: str) -> web.StreamResponse:
        token = form.get("refresh_token", "")
        if token in self._used and not self.forgives:
            self._ended.add(self._used[token].family)
        grant = self._refresh.get(token)
        if grant is None or grant.client_id != client_id or self._is_over(grant):
            return _error("invalid_grant")
        if self.rotates:
            self._used[token] = self._refresh.pop(token)
        again = attrs.evolve(grant, parameters={})
        answer = self._granted(again, token)
        if not self.id_token_at_refresh:
            answer.pop("id_token", None)
        return web.json_response(answer)

    async def _userinfo(self, request: web.Request) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        grant = self._access.get(token)
        if grant is None or self._is_over(grant):
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        told = {"sub": grant.sub, **self._user(grant).claims}
        if self.signs_userinfo:
            told |= {"iss": self.issuer, "aud": grant.client_id}
            signed = self._keys[0].sign(to_json(changed(told, self.userinfo_changes)))
            return web.Response(text=signed, content_type="application/jwt")
        return web.json_response(changed(told, self.userinfo_changes))

    async def _introspect(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        if self._clients.authenticated(request, form) is None:
            return _error("invalid_client", 401)
        grant = self._access.get(form.get("token", ""))
        if grant is None or self._is_over(grant):
            return web.json_response({"active": False})
        known = {"active": True, "client_id": grant.client_id, "sub": grant.sub}
        return web.json_response(known)

    async def _logout(self, request: web.Request) -> web.StreamResponse:
        back = request.query.get("post_logout_redirect_uri")
        if back and request.query.get("client_id") in self.clients:
            raise web.HTTPFound(back)
        return web.Response(text="Goodbye.")

    # — tokens -------------------------------------------------------------------------

    def _granted(self, grant: _Grant, refresh_token: str = "") -> dict[str, Any]:
        access_token = secrets.token_urlsafe(16)
        if self.jwt_access_tokens:
            about = {**self._stamp(grant), "aud": "api", "azp": grant.client_id}
            access_token = self._keys[0].sign(to_json(about), "at+jwt")
        if self.rotates or not refresh_token:
            refresh_token = secrets.token_urlsafe(16)
        self._access[access_token] = grant
        self._refresh[refresh_token] = grant
        answer = {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": 300,
            "refresh_token": refresh_token,
            "id_token": self._id_token(grant, access_token),
        }
        return changed(answer, self.token_changes)

    def _id_token(self, grant: _Grant, access_token: str) -> str:
        kept = {
            name: value
            for name, value in self._user(grant).claims.items()
            if name not in self.userinfo_claims
        }
        claims = {**self._stamp(grant), **kept}
        claims["at_hash"] = left_half_hash(self._algorithm, access_token)
        if "nonce" in grant.parameters:
            claims["nonce"] = grant.parameters["nonce"]
        return self._signed(changed(claims, self.id_token_changes))

    def _stamp(self, grant: _Grant) -> dict[str, Any]:
        now = int(time.time())
        return {
            "iss": self.issuer,
            "sub": grant.sub,
            "aud": grant.client_id,
            "iat": now,
            "exp": now + self.lifetime,
        }

    def _user(self, grant: _Grant) -> OpenIDUser:
        return next(user for user in self.users.values() if user.sub == grant.sub)

    def _is_over(self, grant: _Grant) -> bool:
        known = any(user.sub == grant.sub for user in self.users.values())
        return not known or grant.family in self._ended


def _error(error: str, status: int = 400) -> web.StreamResponse:
    return web.json_response({"error": error}, status=status)


def example(port: int) -> OpenIDProvider:
    """Return a provider with two users and a client, to click through."""
    provider = OpenIDProvider(port=port, host="127.0.0.1")
    provider.rotates = True
    provider.add_user("jane", groups=["admins", "authors"])
    provider.add_user("john", groups=["authors"])
    provider.add_client("dexcore", "secret")
    return provider


if __name__ == "__main__":
    sys.exit(serve(example, "An OpenID Connect provider", port=5564))
