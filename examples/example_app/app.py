"""The app: a page to log in, a page that shows what came of it, and buttons."""

from __future__ import annotations

import json

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import attrs
import jinja2

from aiohttp import web

from .provider import Provider, ProviderError, Tokens
from .sessions import COOKIE, Outcome, Session, Sessions

HERE = Path(__file__).parent

#: Each scope, whether it is ticked at first, and what it is good for.
SCOPES = (
    ("profile", True, "the user's name"),
    ("email", True, "the user's email address"),
    ("groups", True, "the groups the user is in"),
    ("offline_access", True, "a refresh token"),
)

_HEADERS = {
    "Cache-Control": "no-store",
    # No form-action: browsers apply it to redirects too, and logging in is one.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_TIMES = ("exp", "iat", "nbf", "auth_time", "updated_at")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Button = Callable[[web.Request, Session, Tokens], Awaitable[Outcome]]


def make_app(provider: Provider) -> web.Application:
    """Return the app that logs in through *provider*."""
    redirect_uri = provider.client.redirect_uri
    pages = _Pages(provider, Sessions(), urlsplit(redirect_uri).scheme == "https")
    app = web.Application(middlewares=[pages.guard])
    app.add_routes(
        [
            web.get("/", pages.home),
            web.post("/login", pages.login),
            web.get(urlsplit(redirect_uri).path, pages.callback),
            web.post("/refresh", pages.button(pages.refresh)),
            web.post("/userinfo", pages.button(pages.userinfo)),
            web.post("/introspect", pages.button(pages.introspect)),
            web.post("/revoke", pages.button(pages.revoke)),
            web.post("/logout", pages.logout),
            web.get("/style.css", pages.style),
        ]
    )
    return app


@attrs.frozen
class _Pages:
    provider: Provider
    sessions: Sessions
    secure: bool
    templates: jinja2.Environment = attrs.field(
        factory=lambda: jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
    )

    # — Pages --------------------------------------------------------------------------

    async def home(self, request: web.Request) -> web.Response:
        """Show the login form, or the tokens."""
        session = self._session(request) or self.sessions.new()
        outcome, session.outcome = session.outcome, None
        if session.tokens is None:
            return self._page("login.html", session, outcome=outcome, scopes=SCOPES)
        return self._page(
            "tokens.html",
            session,
            outcome=outcome,
            details=_rows(outcome.details) if outcome else [],
            tokens=session.tokens,
            header=_rows(session.tokens.header),
            claims=_rows(session.tokens.claims),
            access=await self._access(session.tokens),
        )

    async def style(self, request: web.Request) -> web.StreamResponse:
        """Answer with the style sheet."""
        return web.FileResponse(HERE / "static" / "style.css")

    # — Logging in and out -------------------------------------------------------------

    async def login(self, request: web.Request) -> web.Response:
        """Send the browser to the provider."""
        session, form = await self._form(request)
        scopes = ["openid", *(str(scope) for scope in form.getall("scope", []))]
        scopes += str(form.get("more_scopes", "")).split()
        connector = str(form.get("connector_id", "")).strip()
        more = {"connector_id": connector} if connector else {}
        login = session.begin()
        return _see_other(await self.provider.authorization_url(login, scopes, more))

    async def callback(self, request: web.Request) -> web.Response:
        """Take the browser back, and the code it brings."""
        session = self._session(request)
        login = session.take(request.query.get("state", "")) if session else None
        if session is None or login is None:
            raise ProviderError(
                "This login was not begun in this browser, or it took too long. "
                "Begin again."
            )
        session.tokens = await self.provider.finish(login, request.query)
        session.outcome = Outcome("You are logged in.")
        return self._keep(_see_other("/"), self.sessions.renew(session))

    async def logout(self, request: web.Request) -> web.Response:
        """Forget the session, and log out at the provider if it can do that."""
        session, _ = await self._form(request)
        self.sessions.end(session)
        target = None
        if session.tokens is not None:
            home = urljoin(self.provider.client.redirect_uri, "/")
            target = await self.provider.logout_url(session.tokens, home)
        return _see_other(target or "/")

    # — Buttons ------------------------------------------------------------------------

    def button(self, act: Button) -> Handler:
        """Return a handler that acts, and shows the outcome on the next page."""

        async def pressed(request: web.Request) -> web.Response:
            session, _ = await self._form(request)
            async with session.lock:
                if session.tokens is not None:
                    try:
                        outcome = await act(request, session, session.tokens)
                    except ProviderError as error:
                        outcome = Outcome(
                            "That failed.", str(error), error.details, True
                        )
                    session.outcome = outcome
            return _see_other("/")

        return pressed

    async def refresh(
        self, request: web.Request, session: Session, tokens: Tokens
    ) -> Outcome:
        """Get new tokens."""
        session.tokens = await self.provider.refresh(tokens)
        return Outcome("The tokens are new.")

    async def userinfo(
        self, request: web.Request, session: Session, tokens: Tokens
    ) -> Outcome:
        """Ask who the user is."""
        return Outcome("UserInfo", details=await self.provider.userinfo(tokens))

    async def introspect(
        self, request: web.Request, session: Session, tokens: Tokens
    ) -> Outcome:
        """Ask whether a token is still good."""
        token, hint = _chosen(await request.post(), tokens)
        found = await self.provider.introspect(token, hint)
        return Outcome(f"Introspection of the {_words(hint)}", details=found)

    async def revoke(
        self, request: web.Request, session: Session, tokens: Tokens
    ) -> Outcome:
        """Make a token worthless; it stays here, to see that it is."""
        token, hint = _chosen(await request.post(), tokens)
        await self.provider.revoke(token, hint)
        return Outcome(
            f"The {_words(hint)} is revoked.", "Introspect it, or try to use it."
        )

    # — Below --------------------------------------------------------------------------

    @property
    def guard(self) -> Any:
        """A middleware: what goes wrong is a page, and every answer is guarded."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                answer = await handler(request)
            except ProviderError as error:
                answer = self._error(_status(error), str(error), _rows(error.details))
            except web.HTTPException as error:
                answer = self._error(error.status, error.text or error.reason, [])
            answer.headers.update(_HEADERS)
            return answer

        return guard

    async def _form(self, request: web.Request) -> tuple[Session, Any]:
        """Return whose form this is; refuse one that another site made them send."""
        session, form = self._session(request), await request.post()
        if session is None or not session.sent(str(form.get("form_token", ""))):
            raise web.HTTPForbidden(text="This page is out of date. Begin again.")
        return session, form

    def _session(self, request: web.Request) -> Session | None:
        return self.sessions.find(request.cookies.get(COOKIE, ""))

    def _keep(self, response: web.Response, session: Session) -> web.Response:
        response.set_cookie(
            COOKIE, session.id, httponly=True, samesite="Lax", secure=self.secure
        )
        return response

    def _page(self, name: str, session: Session, **values: Any) -> web.Response:
        text = self._render(name, form_token=session.form_token, **values)
        return self._keep(web.Response(text=text, content_type="text/html"), session)

    def _error(
        self, status: int, message: str, details: list[tuple[str, str, str]]
    ) -> web.Response:
        text = self._render("error.html", message=message, details=details)
        return web.Response(text=text, status=status, content_type="text/html")

    def _render(self, name: str, **values: Any) -> str:
        return self.templates.get_template(name).render(
            issuer=self.provider.issuer, client_id=self.provider.client.id, **values
        )

    async def _access(self, tokens: Tokens) -> list[tuple[str, str, str]]:
        """Return what the access token says, if it is a JWT of the provider."""
        try:
            _, claims = await self.provider.verify(tokens.access_token)
        except ProviderError:
            # RFC 6749 section 1.4: to a client it need not mean anything.
            return []
        return _rows(claims)


def _see_other(url: str) -> web.Response:
    return web.Response(status=303, headers={"Location": url})


def _chosen(form: Mapping[str, Any], tokens: Tokens) -> tuple[str, str]:
    if form.get("token") == "refresh_token" and tokens.refresh_token:
        return tokens.refresh_token, "refresh_token"
    return tokens.access_token, "access_token"


def _words(hint: str) -> str:
    return hint.replace("_", " ")


def _status(error: ProviderError) -> int:
    """Return what we answer: it was the request, the user who said no, the provider."""
    if not error.details:
        return 400
    return 403 if error.details.get("error") == "access_denied" else 502


def _rows(claims: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return name, value and, for a time, what it means to people."""
    return [(name, _shown(value), _time(name, value)) for name, value in claims.items()]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _time(name: str, value: Any) -> str:
    if name not in _TIMES or not isinstance(value, int):
        return ""
    try:
        return f"{datetime.fromtimestamp(value, UTC):%-d %B %Y, %H:%M:%S UTC}"
    except (OverflowError, ValueError, OSError):
        return ""
