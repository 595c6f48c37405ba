"""Where a refusal goes.

On the front channel it goes back to the client once we know where the client is, and
until then to the end user as a page (RFC 6749 section 4.1.2.1).  On the back channel it
is always JSON (section 5.2).  Everything else that goes wrong ends here too: a storage
that cannot be reached is 503, an upstream that fails is a page with the connector's
name in the log, and what nobody expected is 500 with an id that the log repeats.
"""

from __future__ import annotations

import logging

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import attrs
import orjson

from aiohttp import web
from multidict import CIMultiDict

from ..errors import (
    InvalidRequest,
    OAuthError,
    PageRefusal,
    Refusal,
    ServerError,
    StorageError,
    StorageUnavailable,
    TemporarilyUnavailable,
    TooLarge,
    UpstreamError,
    UpstreamUnavailable,
    described,
)
from ..oauth2.forms import parse_form, parse_query
from ..oauth2.redirect_uris import add_fragment, add_parameters
from ..oauth2.response_modes import FORM_POST, FRAGMENT, QUERY
from ..oauth2.words import quote
from .middleware import REQUEST_ID, hung_up
from .pages import Pages

log = logging.getLogger("dexcore.server")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: The most bytes of a form we read; a SAML response needs more than a password.
FORM_LIMIT = 64 * 1024
UPSTREAM_FORM_LIMIT = 1024 * 1024

# Copying one is a fourth of the time of making one of a dictionary.
_JSON_HEADERS = CIMultiDict(
    {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Pragma": "no-cache",
    }
)

_RETRY = {"Retry-After": "5"}


@attrs.frozen
class ReplyTo:
    """A redirect URI we have checked, and what must go with every answer to it.

    ``issuer`` tells the client whose answer it is (RFC 9207); ``mode`` is how it gets
    there: success and refusal alike.  ``session_state`` is what the client can watch
    the browser's session by.
    """

    redirect_uri: str
    state: str
    issuer: str
    mode: str = QUERY
    session_state: str = ""

    def send(
        self, parameters: Mapping[str, str], pages: Pages, path: str
    ) -> web.Response:
        """Let the browser bring *parameters* to the client, with state and issuer.

        *path* is that of the request, for the page that a form needs.
        """
        # RFC 6749 section 4.1.2: a state only for whoever has sent one.
        state = {"state": self.state} if self.state else {}
        whole = {**parameters, **state, "iss": self.issuer}
        if self.session_state:
            whole["session_state"] = self.session_state
        if self.mode == FORM_POST:
            return pages.render(
                "form_post.html", path, url=self.redirect_uri, fields=whole
            )
        if self.mode == FRAGMENT:
            return see_other(add_fragment(self.redirect_uri, whole))
        return see_other(add_parameters(self.redirect_uri, whole))


REPLY_TO: web.RequestKey[ReplyTo] = web.RequestKey("reply_to", ReplyTo)


def see_other(location: str, status: int = 303) -> web.Response:
    """Redirect without an exception: raising one costs more than the answer."""
    return web.Response(
        status=status, headers={"Location": location, "Cache-Control": "no-store"}
    )


def answer_json(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer a client with JSON that nobody may keep (RFC 6749 section 5.1)."""
    merged = _JSON_HEADERS.copy()
    merged.update(headers or {})
    return web.Response(body=orjson.dumps(value), status=status, headers=merged)


async def read_form(request: web.Request, limit: int = FORM_LIMIT) -> Mapping[str, str]:
    """Return the form that was posted, of at most *limit* bytes.

    Raises ``InvalidRequest`` if it is no form, or names a parameter twice.
    """
    return parse_form(await read_body(request, limit))


async def read_body(request: web.Request, limit: int = FORM_LIMIT) -> bytes:
    """Return the body, of at most *limit* bytes; raise ``TooLarge``."""
    if request.content_length is not None and request.content_length > limit:
        raise TooLarge("The request body is too large.")
    body = await request.content.read(limit + 1)
    while len(body) <= limit and not request.content.at_eof():
        body += await request.content.read(limit + 1 - len(body))
    if len(body) > limit:
        raise TooLarge("The request body is too large.")
    return body


async def read_parameters(request: web.Request) -> Mapping[str, str]:
    """Return the parameters of a query, or of a form (OpenID Connect Core 3.1.2.1).

    One that is in both is there twice (RFC 6749 section 3.1).
    """
    query = read_query(request)
    if request.method != "POST":
        return query
    form = await read_form(request)
    for name in form:
        if name in query:
            raise InvalidRequest(f"The parameter {quote(name)} comes more than once.")
    return {**query, **form}


def read_query(request: web.Request) -> Mapping[str, str]:
    """Return the parameters of the query."""
    return parse_query(request.rel_url.raw_query_string)


@attrs.frozen
class Channels:
    """Wraps handlers, so that what they raise reaches whoever asked."""

    pages: Pages

    def front(self, handler: Handler) -> Handler:
        """Wrap a handler that a browser talks to."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except OAuthError as refusal:
                return self._to_client_by_browser(request, refusal)
            except Exception as error:
                if hung_up(request, error):
                    raise
                return self.page(request, error)

        return guarded

    def back(self, handler: Handler) -> Handler:
        """Wrap a handler that a client talks to."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except Exception as error:
                if hung_up(request, error):
                    raise
                return self.json(request, error)

        return guarded

    def _to_client_by_browser(
        self, request: web.Request, refusal: OAuthError
    ) -> web.Response:
        reply_to: ReplyTo | None = request.get(REPLY_TO)
        # What the end user can mend by trying again shall not end the whole login.
        if reply_to is None or refusal.status in (413, 429, 503):
            return self.page(request, refusal)
        log.info(
            "authorization request refused",
            extra={"fields": refusal.parameters()},
        )
        return reply_to.send(refusal.parameters(), self.pages, request.path)

    def page(self, request: web.Request, error: Exception) -> web.Response:
        """Tell a person, and the log, what went wrong."""
        refusal = _as_refusal(error)
        error_id = str(request.get(REQUEST_ID, ""))
        _note(refusal, error, error_id)
        response = self.pages.render(
            "error.html",
            request.path,
            status=refusal.status,
            heading=HTTPStatus(refusal.status).phrase,
            message=refusal.description,
            error_id=error_id,
        )
        response.headers.update(
            {k: v for k, v in refusal.headers.items() if k != "WWW-Authenticate"}
        )
        return response

    def json(self, request: web.Request, error: Exception) -> web.Response:
        """Tell a client, and the log, what went wrong."""
        refusal = _as_refusal(error)
        _note(refusal, error, str(request.get(REQUEST_ID, "")))
        if isinstance(refusal, OAuthError):
            body = refusal.parameters()
        else:
            # Whoever reads "invalid_request" does not try again.
            error_code = "server_error" if refusal.status >= 500 else "invalid_request"
            body = {"error": error_code, "error_description": described(str(refusal))}
        return answer_json(body, refusal.status, refusal.headers)


def _as_refusal(error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, StorageUnavailable):
        return TemporarilyUnavailable("The database is unavailable. Try again later.")
    if isinstance(error, UpstreamUnavailable):
        return TemporarilyUnavailable(
            "The identity provider you chose is temporarily unavailable. "
            "Try again later, or choose another way to log in."
        )
    if isinstance(error, UpstreamError):
        return PageRefusal(
            "Authentication failed. Try again later, or contact your administrator.",
            status=502,
        )
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return TooLarge("The request body is too large.")
    if isinstance(error, StorageError):
        return ServerError("Internal server error.")
    return ServerError("Internal server error.")


def _note(refusal: Refusal, error: Exception, error_id: str) -> None:
    fields = {"status": refusal.status, "reason": str(error), "error_id": error_id}
    if refusal.status < 500:
        log.info("request refused", extra={"fields": fields})
    elif isinstance(error, (Refusal, StorageUnavailable, UpstreamError)):
        log.error("request failed", extra={"fields": fields})
    else:
        log.error("request failed", extra={"fields": fields}, exc_info=error)
