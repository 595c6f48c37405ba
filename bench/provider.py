"""The provider under load, and the users who log in to it."""

from __future__ import annotations

import base64
import secrets

from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

import attrs
import orjson

from dexcore.testing.page import Form, Page, parse

from .wire import Address, Answer, BenchError, Connection

_REDIRECTS = (301, 302, 303, 307, 308)
_HOPS = 8
# RFC 7636 appendix B.
_VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
_CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@attrs.frozen
class Account:
    """The client that asks for tokens and the user who logs in.

    With several ``connectors`` the users are spread over them, so that they are
    different people.  Refresh tokens are asked for through ``refresh_connectors``, for
    ``refresh_clients`` in turn: dex's refresh never ends where the connector remembers
    nothing about a user, nor does the second one of a token.  Five, because what a user
    holds is read with each: few people use more applications offline.
    """

    client_id: str = "bench"
    client_secret: str = "bench-secret"
    redirect_uri: str = "http://127.0.0.1:1/callback"
    connectors: tuple[str, ...] = tuple(f"mock-{n:02}" for n in range(16))
    refresh_connectors: tuple[str, ...] = tuple(f"callback-{n:02}" for n in range(16))
    refresh_clients: tuple[str, ...] = tuple(f"bench-{n:02}" for n in range(5))
    username: str = "jane"
    password: str = "password"
    scope: str = "openid email profile groups offline_access"

    def basic(self, client_id: str = "") -> dict[str, str]:
        """Return a client's credentials (RFC 6749 section 2.3.1)."""
        pair = f"{quote(client_id or self.client_id)}:{quote(self.client_secret)}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def posted(self) -> dict[str, str]:
        """Return the client's credentials as fields of a form."""
        return {"client_id": self.client_id, "client_secret": self.client_secret}


@attrs.frozen
class Provider:
    """A provider that answers: its name in tables, its process, its endpoints."""

    name: str
    pid: int
    issuer: str
    address: Address
    endpoints: dict[str, Any]
    account: Account
    database: int = 0  # the process of its database's server

    @classmethod
    async def find(
        cls,
        name: str,
        issuer: str,
        pid: int,
        account: Account,
        *,
        origin: str = "",
        database: int = 0,
    ) -> Provider:
        """Ask *issuer* for its endpoints (OpenID Connect Discovery section 4).

        *origin* is where a replica listens that is not the issuer's first.
        """
        address = Address.of(origin or issuer)
        connection = Connection(address)
        path = urlsplit(issuer).path.rstrip("/") + "/.well-known/openid-configuration"
        answer = await connection.get(path)
        connection.close()
        if answer.status != 200:
            raise BenchError(f"{issuer}: discovery answered {answer.status}.")
        endpoints = orjson.loads(answer.body)
        return cls(name, pid, issuer, address, endpoints, account, database)

    def path(self, endpoint: str) -> str:
        """Return the path of *endpoint*, named as in the discovery document."""
        if endpoint == "discovery":
            base = urlsplit(self.issuer).path.rstrip("/")
            return base + "/.well-known/openid-configuration"
        return urlsplit(str(self.endpoints[endpoint])).path

    def users(self, count: int, *, refreshing: bool = False) -> list[User]:
        """Return users with a connection each."""
        account = self.account
        named = account.refresh_connectors if refreshing else account.connectors
        return [User(self, named[n % len(named)]) for n in range(count)]


@attrs.frozen
class LoginForm:
    """A login page that waits for its password: the POST is ready to be sent."""

    page: str
    post: bytes


class User:
    """Somebody at a browser of their own, with one connection, and their tokens."""

    def __init__(self, provider: Provider, connector: str) -> None:
        self.provider = provider
        self.account = provider.account
        self.connector = connector
        self.client_id = provider.account.client_id
        self.connection = Connection(provider.address)
        self.cookies: dict[str, str] = {}
        self.tokens: dict[str, Any] = {}

    # — the way to a code --------------------------------------------------------------

    def authorization_request(self, **more: str) -> bytes:
        """Return a request nobody has made yet, with *more* parameters."""
        path = self.provider.path("authorization_endpoint")
        if self.connector:
            path += "/" + quote(self.connector, safe="")
        account = self.account
        query = {
            "client_id": self.client_id,
            "redirect_uri": account.redirect_uri,
            "response_type": "code",
            "scope": account.scope,
            "state": secrets.token_urlsafe(16),
            "nonce": secrets.token_urlsafe(16),
            "code_challenge": _CHALLENGE,
            "code_challenge_method": "S256",
            **more,
        }
        return self.provider.address.get(f"{path}?{urlencode(query)}", self._cookies())

    async def open_login(self, **more: str) -> LoginForm:
        """Begin a login in a fresh browser and stop at the password."""
        begun = await self._begin(**more)
        if isinstance(begun, str):
            raise BenchError(f"{self.connector} asks for no password.")
        return begun

    async def _begin(self, **more: str) -> LoginForm | str:
        self.cookies = {}
        target, answer = await self._follow("", self.authorization_request(**more))
        return self._code(target) or self._filled_in(target, answer)

    async def _follow(self, target: str, request: bytes) -> tuple[str, Answer]:
        """Go on until a page comes, or the way leads back to the app."""
        answer = await self._send(request)
        for _ in range(_HOPS):
            if answer.status not in _REDIRECTS:
                return target, answer
            url = urljoin(self._url(target), answer.header("Location"))
            if url.startswith(self.account.redirect_uri):
                return url, answer
            target = _target(url)
            answer = await self._send(
                self.provider.address.get(target, self._cookies())
            )
        raise BenchError("The login does not end.")

    def _code(self, url: str) -> str:
        """Return the code in *url*, or "" if the app has not been reached."""
        if not url.startswith(self.account.redirect_uri):
            return ""
        code = dict(parse_qsl(urlsplit(url).query)).get("code", "")
        if not code:
            raise BenchError(f"The login ended without a code: {url}")
        return code

    def _filled_in(self, target: str, answer: Answer) -> LoginForm:
        page = parse(self._url(target), answer.status, answer.body.decode(), {})
        if answer.status != 200:
            raise BenchError(f"The login page answered {answer.status}: {page.words}")
        try:
            form = next(form for form in page.forms if form.field("password"))
        except StopIteration:
            raise BenchError(f"{target} is no password form: {page.words}") from None
        fields = {
            **form.sent_by(form.buttons[0] if form.buttons else None),
            form.field("text", "email") or "login": self.account.username,
            form.field("password") or "password": self.account.password,
        }
        headers = {**self._cookies(), "Origin": _origin(self.provider.issuer)}
        post = self.provider.address.post(_target(form.url), fields, headers)
        return LoginForm(target, post)

    async def enter(self, form: LoginForm) -> str:
        """Send the password; follow the provider's own redirects; return the code."""
        target, answer = await self._follow(form.page, form.post)
        code = self._code(target)
        if not code:
            words = _words(self._url(target), answer)
            raise BenchError(f"{answer.status} instead of a code: {words}")
        return code

    async def arrive(self, request: bytes) -> str:
        """Send *request*; follow the provider's own redirects; return the code."""
        target, answer = await self._follow("", request)
        code = self._code(target)
        if not code:
            raise BenchError(f"{answer.status} instead of a code.")
        return code

    async def enter_and_agree(self, form: LoginForm) -> str:
        """As :meth:`enter`, with the page in between that asks; return the code."""
        target, answer = await self._follow(form.page, form.post)
        page = parse(self._url(target), answer.status, answer.body.decode(), {})
        try:
            asks = next(each for each in page.forms if _agrees(each))
        except StopIteration:
            raise BenchError(f"{target} does not ask: {page.words}") from None
        sent = asks.sent_by(asks.buttons[0] if asks.buttons else None)
        headers = {**self._cookies(), "Origin": _origin(self.provider.issuer)}
        post = self.provider.address.post(_target(asks.url), sent, headers)
        return await self.arrive(post)

    async def code(self) -> str:
        """Log in and return an authorization code."""
        begun = await self._begin()
        return begun if isinstance(begun, str) else await self.enter(begun)

    # — codes and tokens ---------------------------------------------------------------

    def exchange(self, code: str) -> bytes:
        """Return the request that makes tokens of *code*."""
        return self.token_request(
            grant_type="authorization_code",
            code=code,
            redirect_uri=self.account.redirect_uri,
            code_verifier=_VERIFIER,
        )

    def refresh(self) -> bytes:
        """Return the request that makes new tokens of the refresh token in hand."""
        if "refresh_token" not in self.tokens:
            raise BenchError("No refresh token was issued.")
        return self.token_request(
            grant_type="refresh_token", refresh_token=str(self.tokens["refresh_token"])
        )

    def token_request(self, **form: str) -> bytes:
        """Return a request of the client's to the token endpoint."""
        path = self.provider.path("token_endpoint")
        credentials = self.account.basic(self.client_id)
        return self.provider.address.post(path, form, credentials)

    def bearer(self) -> dict[str, str]:
        """Return the header that carries the access token."""
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    async def get_tokens(self) -> None:
        """Log in and keep the tokens."""
        answer = await self._send(self.exchange(await self.code()))
        self.keep(answer)

    def keep(self, answer: Answer) -> None:
        """Keep the tokens of a token response."""
        if answer.status != 200:
            raise BenchError(f"Token endpoint: {answer.status} {answer.body[:300]!r}")
        self.tokens = {**self.tokens, **orjson.loads(answer.body)}

    # — the browser --------------------------------------------------------------------

    async def _send(self, request: bytes) -> Answer:
        answer = await self.connection.send(request)
        for cookie in answer.headers("Set-Cookie"):
            pair, _, attributes = cookie.partition(";")
            name, _, value = pair.partition("=")
            gone = "max-age=0" in attributes.lower().replace(" ", "")
            if gone or not value.strip('"'):
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer

    def _cookies(self) -> dict[str, str]:
        if not self.cookies:
            return {}
        return {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}

    def _url(self, target: str) -> str:
        return urljoin(self.provider.issuer, target)


def _target(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _agrees(form: Form) -> bool:
    """Return whether *form* is the one that says yes on the page that asks."""
    return form.fields.get("approval") == "approve"


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _words(url: str, answer: Answer) -> str:
    page: Page = parse(url, answer.status, answer.body.decode(errors="replace"), {})
    return page.words[:300]
