"""A double of an OAuth 2.0 provider: a login page, a token endpoint, user info.

::

    with OAuth2Provider() as provider:
        provider.users["jane"] = User(info={"id": 7, "user_name": "jane"})
        connector = open_it(provider.url + "/authorize", provider.url + "/token", …)

It takes the authorization code flow with PKCE and refresh tokens (RFC 6749, 7636), and
can be as odd as real ones are: see the attributes of :class:`OAuth2Provider`.

``python -m dexcore.testing.upstreams.oauth2`` serves one to click through.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import sys
import time

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import attrs

from aiohttp import web

from ...oauth2.redirect_uris import add_parameters
from . import pages
from .base import Upstream
from .serve import serve

__all__ = ["OAuth2Provider", "Refused", "Token", "User"]

PASSWORD = "password"


@attrs.define
class User:
    """Somebody who can log in; ``info`` is what the provider says about them."""

    info: dict[str, Any] = attrs.field(factory=dict)
    password: str = attrs.field(default=PASSWORD, repr=False)


@attrs.frozen
class Pending:
    """A browser that has been sent here; ``login`` is set once it has logged in."""

    query: Mapping[str, str]
    login: str = ""


@attrs.define(eq=False)
class Token:
    """What an access token, or a refresh token, is good for.

    ``until`` is when it expires, in seconds since 1970.
    """

    login: str
    scope: str
    until: float = float("inf")


class Refused(Exception):
    """The token endpoint refuses (RFC 6749 section 5.2)."""

    def __init__(self, error: str, description: str = "", status: int = 400) -> None:
        super().__init__(error)
        self.error, self.description, self.status = error, description, status


class OAuth2Provider(Upstream):
    """An OAuth 2.0 provider with one client.

    What it does, and what tests may change:

    * ``users`` by their name; ``client_id``, ``client_secret`` and ``redirect_uris``
      (empty: any);
    * ``accepts``: how the client may prove itself, ``basic`` and ``post``;
    * ``expires_in`` (seconds, or a text, or ``None``), ``refreshable``: whether there
      are refresh tokens, ``rotates``: whether each is good once;
    * ``form_answers``: token answers are forms, as before RFC 6749;
    * ``errors_with_200``: they have status 200, as at GitHub;
    * ``asks``: people are asked whether they agree, each time;
    * ``token_fields``: added to token answers, in place of what is there;
    * ``callback``: added to what the browser brings back; ``None`` removes.
    """

    title = "Example Login"
    authorize_path, token_path, info_path = "/authorize", "/token", "/userinfo"

    def __init__(
        self,
        *,
        client_id: str = "dexcore",
        client_secret: str = "secret of dexcore",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.client_id, self.client_secret = client_id, client_secret
        self.redirect_uris: tuple[str, ...] = ()
        self.users: dict[str, Any] = {}
        self.accepts: tuple[str, ...] = ("basic", "post")
        self.expires_in: Any = 3600
        self.refreshable = self.rotates = True
        self.form_answers = self.errors_with_200 = self.asks = False
        self.token_fields: dict[str, Any] = {}
        self.callback: dict[str, str | None] = {}
        self.pending: dict[str, Pending] = {}
        self.codes: dict[str, Pending] = {}
        self.tokens: dict[str, Token] = {}
        self.refresh_tokens: dict[str, Token] = {}

    # — what may happen ----------------------------------------------------------------

    def revoke(self, login: str) -> None:
        """Let *login* take back what they allowed: no token of theirs is good."""
        for kept in (self.tokens, self.refresh_tokens):
            for value in [value for value, its in kept.items() if its.login == login]:
                del kept[value]

    def expire(self) -> None:
        """Let every access token expire now."""
        for token in self.tokens.values():
            token.until = 0

    def visit(self, url: str, login: str) -> dict[str, str]:
        """Log *login* in at the authorization request *url*, without a browser.

        Returns the parameters the browser would bring back.
        """
        query = dict(parse_qsl(urlsplit(url).query))
        back = self._accepted(Pending(query, login))
        return dict(parse_qsl(urlsplit(back).query))

    def token(self, login: str, scope: str = "") -> dict[str, Any]:
        """Issue tokens, as the token endpoint does."""
        made = {"access_token": self._new("a"), "token_type": "bearer"}
        lifetime = float("inf") if self.expires_in is None else float(self.expires_in)
        until = time.time() + lifetime
        self.tokens[made["access_token"]] = Token(login, scope, until)
        answer: dict[str, Any] = {**made, "scope": scope}
        if self.expires_in is not None:
            answer["expires_in"] = self.expires_in
        if self.refreshable:
            answer["refresh_token"] = self._new("r")
            self.refresh_tokens[answer["refresh_token"]] = Token(login, scope)
        return answer

    # — for doubles to override --------------------------------------------------------

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Return the login page and the two endpoints."""
        return [*self.oauth2_routes(), web.get(self.info_path, self._info)]

    def oauth2_routes(self) -> list[web.AbstractRouteDef]:
        """Return what RFC 6749 knows."""
        return [
            web.get(self.authorize_path, self._authorize),
            web.post(self.authorize_path, self._answered),
            web.post(self.token_path, self._token),
        ]

    def password_of(self, login: str) -> str | None:
        """Return the password of *login*, if there is such a user."""
        user = self.users.get(login)
        return None if user is None else str(user.password)

    def bearer(self, request: web.Request) -> Token | None:
        """Return what the token of *request* is good for, if it is."""
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        token = self.tokens.get(value)
        if scheme.lower() != "bearer" or token is None or token.until < time.time():
            return None
        return token

    def _new(self, kind: str) -> str:
        return f"{kind}-{secrets.token_urlsafe(24)}"

    # — the authorization endpoint -----------------------------------------------------

    async def _authorize(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        if query.get("client_id") != self.client_id:
            return pages.sorry(self.title, "There is no such application.", 404)
        uri = query.get("redirect_uri", "")
        if self.redirect_uris and uri not in self.redirect_uris:
            return pages.sorry(self.title, "This redirect URI is not registered.", 400)
        if query.get("response_type", "code") != "code":
            return _see(self._back(query, {"error": "unsupported_response_type"}))
        known = secrets.token_urlsafe()
        self.pending[known] = Pending(query)
        return self._login_page(known)

    async def _answered(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        known = str(form.get("request", ""))
        pending = self.pending.get(known)
        if pending is None:
            return pages.sorry(self.title, "Please begin at the application.", 400)
        if pending.login:
            agreed = form.get("approval") == "approve"
            return self._decided(known, pending, agreed=agreed)
        login = str(form.get("login", ""))
        if self.password_of(login) != form.get("password"):
            return self._login_page(known, wrong=True)
        pending = self.pending[known] = attrs.evolve(pending, login=login)
        if not self.asks:
            return self._decided(known, pending, agreed=True)
        wants = pending.query.get("scope", "").split()
        return pages.ask(self.title, login, self.client_id, wants, {"request": known})

    def _login_page(self, known: str, *, wrong: bool = False) -> web.StreamResponse:
        people = {login: str(user.password) for login, user in self.users.items()}
        fields = {"request": known}
        return pages.log_in(self.title, fields, people=people, wrong=wrong)

    def _decided(
        self, known: str, pending: Pending, *, agreed: bool
    ) -> web.StreamResponse:
        del self.pending[known]
        if not agreed:
            return _see(self._back(pending.query, {"error": "access_denied"}))
        return _see(self._accepted(pending))

    def _accepted(self, pending: Pending) -> str:
        code = self._new("c")
        self.codes[code] = pending
        return self._back(pending.query, {"code": code})

    def _back(self, query: Mapping[str, str], found: Mapping[str, str]) -> str:
        """Return where the browser goes with what it has *found*."""
        said = {**found, "state": query.get("state"), **self.callback}
        sent = {name: value for name, value in said.items() if value is not None}
        return add_parameters(query["redirect_uri"], sent)

    # — the token endpoint -------------------------------------------------------------

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        try:
            self._check_client(request, form)
            answer = {**self._granted(form), **self.token_fields}
        except Refused as refused:
            status = 200 if self.errors_with_200 else refused.status
            said = {"error": refused.error, "error_description": refused.description}
            return self._said({k: v for k, v in said.items() if v}, status, request)
        return self._said(answer, 200, request)

    def _check_client(self, request: web.Request, form: Mapping[str, str]) -> None:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            way, pair = "basic", base64.b64decode(value).decode().split(":", 1)
            proof = tuple(map(unquote_plus, pair))
        else:
            way = "post"
            proof = (form.get("client_id", ""), form.get("client_secret", ""))
        if way not in self.accepts or proof != (self.client_id, self.client_secret):
            raise self._wrong_client()

    def _wrong_client(self) -> Refused:
        return Refused("invalid_client", "The client is not who it says.", 401)

    def _granted(self, form: Mapping[str, str]) -> dict[str, Any]:
        grant_type = form.get("grant_type", "authorization_code")
        if grant_type == "authorization_code":
            pending = self.codes.pop(form.get("code", ""), None)
            if pending is None or not _fits(pending.query, form):
                raise Refused("invalid_grant", "The code is not good.")
            return self.token(pending.login, pending.query.get("scope", ""))
        if grant_type == "refresh_token":
            return self._refreshed(form.get("refresh_token", ""))
        raise Refused("unsupported_grant_type")

    def _refreshed(self, value: str) -> dict[str, Any]:
        known = self.refresh_tokens.get(value)
        if known is None:
            raise Refused("invalid_grant", "The refresh token is not good.")
        answer = self.token(known.login, known.scope)
        if self.rotates:
            del self.refresh_tokens[value]
        else:
            del self.refresh_tokens[answer.pop("refresh_token")]
        return answer

    def _said(
        self, answer: Mapping[str, Any], status: int, request: web.Request
    ) -> web.StreamResponse:
        if not self.form_answers:
            return web.json_response(answer, status=status)
        return web.Response(
            status=status,
            text=urlencode(answer),
            content_type="application/x-www-form-urlencoded",
        )

    # — user info ----------------------------------------------------------------------

    async def _info(self, request: web.Request) -> web.StreamResponse:
        token = self.bearer(request)
        if token is None or token.login not in self.users:
            challenge = 'Bearer error="invalid_token"'
            return web.json_response(
                {"error": "invalid_token"},
                status=401,
                headers={"WWW-Authenticate": challenge},
            )
        return web.json_response(self.users[token.login].info)


def _see(url: str) -> web.Response:
    return web.Response(status=303, headers={"Location": url})


def _fits(query: Mapping[str, str], form: Mapping[str, str]) -> bool:
    """Say whether a token request fits the authorization request before it."""
    if query.get("redirect_uri") != form.get("redirect_uri"):
        return False
    verifier, challenge = form.get("code_verifier"), query.get("code_challenge")
    if verifier is None or challenge is None:
        return verifier is challenge  # RFC 9700 section 4.8.2
    digest = hashlib.sha256(verifier.encode()).digest()
    return challenge == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def example(port: int) -> OAuth2Provider:
    """Return a provider with somebody in it, to click through."""
    provider = OAuth2Provider(port=port, host="127.0.0.1")
    provider.asks = True
    provider.users = {
        "jane": User(
            {
                "id": 12345678,
                "user_name": "Jane Example",
                "preferred_username": "jane",
                "email": "jane@example.com",
                "email_verified": True,
                "groups": ["admins", {"name": "authors"}],
            }
        ),
        "john": User({"id": "john", "user_name": "John Example", "groups": []}),
    }
    return provider


if __name__ == "__main__":
    sys.exit(serve(example, "An OAuth 2.0 provider", port=5560))
