"""``/signup``: a stranger becomes a user of the password database.

One address for people and programs: a browser gets a page and posts a form, a program
posts JSON.  What is asked, who is admitted and how they are greeted is up to the
sign-up plugins, in the order of the file; here their fields are read, their record is
stored, and whoever asked is told.
"""

from __future__ import annotations

import asyncio
import json
import logging

from collections.abc import Mapping
from typing import Any

import attrs

from aiohttp import web

from ...errors import (
    AccessDenied,
    AlreadyExists,
    DexcoreError,
    InvalidRequest,
    MethodNotAllowed,
    ReadOnly,
    ServerError,
    TooLarge,
)
from ...signup import Application, Field, InvalidField, Signup
from ...storage import Collections, Password
from ..audit import Audit
from ..channels import Channels, Handler, answer_json, read_form
from ..csrf import FIELD, Csrf
from ..guard import Guard
from ..middleware import ADDRESS
from ..pages import Pages
from ..urls import Issuer

log = logging.getLogger("dexcore.server")

PATH = "/signup"

#: The most bytes of a body we read.
LIMIT = 1024 * 1024

#: Seconds a plugin may take to greet somebody who waits for the answer.
WELCOME_SECONDS = 10

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_TAKEN = "Somebody has signed up with this email address already."


class _NotAdmitted(Exception):
    """Why not, as a status, a sentence and the fields it is about."""

    def __init__(
        self, status: int, message: str, errors: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors or {}


@attrs.frozen(eq=False)
class SignupEndpoint:
    """Asks, stores, welcomes.  The guard counts by the client's address."""

    storage: Collections
    signups: tuple[Signup, ...]
    pages: Pages
    csrf: Csrf
    guard: Guard
    audit: Audit
    issuer: Issuer

    def routes(self) -> list[tuple[str, Handler]]:
        """Return where this is below the issuer; every method comes here."""
        return [(PATH, self.handle)]

    async def handle(self, request: web.Request) -> web.Response:
        """Show the page, or answer a form or JSON."""
        if request.method in ("GET", "HEAD"):
            return self._page(request, back=self._back(request.query.get("back", "")))
        if request.method != "POST":
            refusal = MethodNotAllowed("Use GET or POST.")
            refusal.headers = {"Allow": "GET, HEAD, POST"}
            raise refusal
        if request.content_type.lower() == _FORM:
            return await self._answer_form(request)
        try:
            return await self._answer_json(request)
        except DexcoreError as error:
            return Channels(self.pages).json(request, error)

    # — People -------------------------------------------------------------------------

    async def _answer_form(self, request: web.Request) -> web.Response:
        form = await read_form(request, LIMIT)
        self.csrf.check(request, form)
        back = self._back(form.get("back", ""))
        try:
            user = await self._sign_up(request, form)
        except _NotAdmitted as refused:
            return self._page(request, form, back, refused)
        return self.pages.render(
            "signup_done.html",
            request.path,
            status=201,
            email=user.email,
            login_url=back,
        )

    def _page(
        self,
        request: web.Request,
        sent: Mapping[str, str] | None = None,
        back: str = "",
        refused: _NotAdmitted | None = None,
    ) -> web.Response:
        issued = self.csrf.issue(request)
        fields = self._fields()
        typed = {
            field.name: sent.get(field.name, "")
            for field in fields
            if sent and field.type != "password"
        }
        response = self.pages.render(
            "signup.html",
            request.path,
            status=refused.status if refused else 200,
            post_url=self.issuer.path(PATH),
            fields=fields,
            values=typed,
            errors=refused.errors if refused else {},
            message=refused.message if refused and not refused.errors else "",
            hidden={FIELD: issued.value, "back": back},
            login_url=back,
        )
        self.csrf.remember(response, issued)
        return response

    def _back(self, text: str) -> str:
        """Return *text* if it is a path of ours, where a login waits, else nothing.

        A browser reads ``\\`` as ``/`` and drops tabs and line ends, so that less than
        all of this would send people elsewhere.
        """
        ours = text.startswith(f"{self.issuer.base}/") and not text.startswith("//")
        plain = text.isascii() and text.isprintable() and not set(text) & set("\\ ")
        return text if ours and plain else ""

    # — Programs -----------------------------------------------------------------------

    async def _answer_json(self, request: web.Request) -> web.Response:
        if request.content_type.lower() != _JSON:
            # Another site can make a browser post text/plain, but never this type.
            refusal = InvalidRequest(f"Content-Type must be {_JSON} or {_FORM}.")
            refusal.status = 415
            raise refusal
        try:
            sent = _parse(await _read(request), self._fields())
            user = await self._sign_up(request, sent)
        except InvalidField as error:
            return _answer_refused(_invalid(error))
        except _NotAdmitted as refused:
            return _answer_refused(refused)
        return answer_json(
            {
                "user_id": user.user_id,
                "email": user.email,
                "username": user.username,
                "message": "User created successfully",
            },
            201,
        )

    # — Both ---------------------------------------------------------------------------

    def _fields(self) -> tuple[Field, ...]:
        """Return every field once: a plugin may ask for what another already does."""
        found: dict[str, Field] = {}
        for signup in self.signups:
            for field in signup.fields():
                found.setdefault(field.name, field)
        return tuple(found.values())

    async def _sign_up(self, request: web.Request, sent: Mapping[str, str]) -> Password:
        """Return the new user, stored and welcomed, or raise ``_NotAdmitted``."""
        application = Application(
            {field.name: sent.get(field.name, "") for field in self._fields()},
            request.get(ADDRESS) or request.remote or "",
        )
        try:
            self._check_required(application)
            self.guard.check(application.address)
            user = await self._admit(application)
            await self.storage.passwords.create(user)
        except InvalidField as error:
            refused = _invalid(error)
        except AccessDenied as denied:
            refused = _NotAdmitted(403, denied.description)
        except (AlreadyExists, ReadOnly):
            # Read-only: the address of a user the configuration file names.
            refused = _NotAdmitted(409, _TAKEN, {"email": _TAKEN})
        except _NotAdmitted as missing:
            refused = missing
        else:
            self._record("sign-up successful", user)
            await self._welcome(user)
            return user
        self.audit.record("sign-up refused", reason=refused.message)
        raise refused

    def _check_required(self, application: Application) -> None:
        missing = {
            field.name: f"{field.label} is required."
            for field in self._fields()
            if field.required and not application.fields[field.name].strip()
        }
        if missing:
            raise _NotAdmitted(400, next(iter(missing.values())), missing)

    async def _admit(self, application: Application) -> Password:
        user = Password("")
        for signup in self.signups:
            user = await signup.admit(application, user)
        if not (user.email and user.hash and user.user_id):
            log.error("the sign-up plugins in use make no complete user")
            raise ServerError("Internal server error.")
        return user

    async def _welcome(self, user: Password) -> None:
        for signup in self.signups:
            try:
                async with asyncio.timeout(WELCOME_SECONDS):
                    await signup.welcome(user)
            except Exception:
                log.exception("a sign-up plugin could not welcome %s", user.email)

    def _record(self, event: str, user: Password) -> None:
        self.audit.record(
            event, user_id=user.user_id, username=user.username, email=user.email
        )


def _invalid(error: InvalidField) -> _NotAdmitted:
    return _NotAdmitted(400, error.message, {error.field: error.message})


def _answer_refused(refused: _NotAdmitted) -> web.Response:
    error = "access_denied" if refused.status == 403 else "invalid_request"
    answer = {"error": error, "error_description": refused.message}
    for field, message in refused.errors.items():
        answer |= {"error_description": f"{field}: {message}", "field": field}
        break
    return answer_json(answer, refused.status)


async def _read(request: web.Request) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > LIMIT:
            raise TooLarge("The request body has more than 1 MB.")
    return bytes(body)


def _parse(body: bytes, fields: tuple[Field, ...]) -> dict[str, str]:
    """Return the *fields* of a JSON object; raise ``InvalidField``/``InvalidRequest``.

    Members nobody asked for are ignored, as RFC 6749 section 3.1 does with parameters.
    """
    try:
        found = json.loads(body.decode(), object_pairs_hook=_Members)
    except (ValueError, RecursionError):
        raise InvalidRequest("The request body is not valid JSON.") from None
    if not isinstance(found, _Members):
        raise InvalidRequest("The request body must be a JSON object.")
    return {field.name: found.text(field.name) for field in fields}


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object as sent, a name possibly twice (RFC 8259, 4)."""

    def text(self, name: str) -> str:
        values = [value for member, value in self if member == name]
        if not values:
            return ""
        if len(values) > 1:
            raise InvalidField(name, "is there more than once.")
        (value,) = values
        if not isinstance(value, str):
            raise InvalidField(name, "must be a string.")
        # JSON can spell half of a surrogate pair, which is no text (RFC 8259, 8.2).
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise InvalidField(name, "is not valid Unicode.")
        return value
