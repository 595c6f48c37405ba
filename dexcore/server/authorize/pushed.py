"""``/par``: a client hands in its request itself, and the browser brings a reference.

RFC 9126.  What a browser brings could have been changed on its way; this cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import ClassVar

import attrs

from aiohttp import hdrs, web

from ...errors import InvalidRequest, NotFound, WrongRequest
from ...oauth2.ids import is_id, new_id
from ...oauth2.prompts import CHOOSE
from ...storage import Client, Collections, ParkedForm
from ..audit import Audit
from ..channels import answer_json, read_form
from ..clients import Clients
from ..guard import Guard
from ..middleware import ADDRESS
from .request import AuthorizationRequests

#: What the references begin with (RFC 9126 section 2.2).
REQUEST_URI = "urn:ietf:params:oauth:request_uri:"

#: So long may the browser take until somebody has chosen where to log in.
LIFETIME = timedelta(minutes=10)

_GONE = (
    "This authorization request has expired, or was used before. "
    "Please start again at the application."
)
# What proves who the client is has no place in the request.
_PROOF = ("client_secret", "client_assertion", "client_assertion_type")


def is_pushed(params: Mapping[str, str]) -> bool:
    """Say whether *params* refer to a request that was pushed."""
    return params.get("request_uri", "").startswith(REQUEST_URI)


@attrs.frozen(eq=False)
class PushedRequests:
    """Keeps what was pushed until a code is issued for it, or until it expires."""

    storage: Collections
    now: Callable[[], datetime]

    async def keep(self, params: Mapping[str, str]) -> str:
        """Store the parameters of a request; return its ``request_uri``."""
        form = ParkedForm(new_id(), params, self.now() + LIFETIME)
        await self.storage.parked_forms.create(form)
        return REQUEST_URI + form.id

    async def find(self, brought: Mapping[str, str]) -> Mapping[str, str]:
        """Return the parameters that the ``request_uri`` of *brought* stands for.

        Nothing else that the browser brings counts (RFC 9126 section 4), but for which
        account the end user chooses.  Raises ``WrongRequest``.
        """
        form_id = brought["request_uri"].removeprefix(REQUEST_URI)
        form = await self.storage.parked_forms.find(form_id) if is_id(form_id) else None
        if form is None or form.expiry < self.now():
            raise WrongRequest(_GONE)
        if form.fields.get("client_id") != brought.get("client_id"):
            raise WrongRequest(_GONE)
        return {**form.fields, **_choice(form.fields, brought)}


async def forget(collections: Collections, request_uri: str) -> None:
    """Let *request_uri* stand for nothing any more: a code was issued for it."""
    try:
        await collections.parked_forms.delete(request_uri.removeprefix(REQUEST_URI))
    except NotFound:
        return


def _choice(pushed: Mapping[str, str], brought: Mapping[str, str]) -> dict[str, str]:
    """Return the ``prompt`` of a link on our page, if it only chooses an account."""
    asked, now = pushed.get("prompt", "").split(), brought.get("prompt", "").split()
    if "prompt" in brought and {*asked} ^ {*now} <= {CHOOSE}:
        return {"prompt": brought["prompt"]}
    return {}


@attrs.frozen(eq=False)
class PushedAuthorizationEndpoint:
    """RFC 9126 section 2.  ``guard`` counts what clients without a secret store."""

    path: ClassVar = "/par"

    clients: Clients
    requests: AuthorizationRequests
    pushed: PushedRequests
    guard: Guard
    audit: Audit

    async def answer(self, request: web.Request) -> web.Response:
        """Check a request as if a browser had brought it, and keep it."""
        if request.method != "POST":
            raise InvalidRequest("Use POST.")
        form = await read_form(request)
        client = await self.clients.authenticate(
            request.headers.get(hdrs.AUTHORIZATION), form
        )
        if form.get("request_uri"):
            raise InvalidRequest("A pushed request cannot refer to another.")
        params = {name: value for name, value in form.items() if name not in _PROOF}
        params["client_id"] = client.id
        await self.requests.receive(
            request,
            params,
            connector_id=params.get("connector_id", ""),
            unknown_client=WrongRequest("Invalid client_id provided."),
            pushed=REQUEST_URI,
        )
        self._count(request, client)
        request_uri = await self.pushed.keep(params)
        self.audit.record("request pushed", client_id=client.id)
        return answer_json(
            {
                "request_uri": request_uri,
                "expires_in": int(LIFETIME.total_seconds()),
            },
            status=201,
        )

    def _count(self, request: web.Request, client: Client) -> None:
        if client.public and not client.secret:
            self.guard.check(request.get(ADDRESS) or "")
