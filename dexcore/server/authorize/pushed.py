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
from ...oauth2.dpop import HEADER
from ...oauth2.extras import Extras
from ...oauth2.ids import derived_id, is_id, new_id
from ...storage import Client, Collections, ParkedForm
from ..audit import Audit
from ..channels import answer_json, read_form
from ..clients import Clients
from ..dpop import Proofs
from ..guard import Guard
from ..middleware import ADDRESS
from ..policy import Policy
from .request import AuthorizationRequests
from .request_objects import RequestObjects

#: What the references begin with (RFC 9126 section 2.2).
REQUEST_URI = "urn:ietf:params:oauth:request_uri:"

#: So long may the browser take until somebody has chosen where to log in.
LIFETIME = timedelta(minutes=10)

# What we note ourselves begins like this; no parameter that counts does.
_SIGNED = " signed"

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

    async def keep(self, params: Mapping[str, str], *, signed: bool) -> str:
        """Store the parameters of a request; return its ``request_uri``."""
        fields = {name: value for name, value in params.items() if name != _SIGNED}
        if signed:
            fields[_SIGNED] = "yes"
        name = new_id()
        form = ParkedForm(_record_id(name), fields, self.now() + LIFETIME)
        await self.storage.parked_forms.create(form)
        return REQUEST_URI + name

    async def find(
        self, brought: Mapping[str, str]
    ) -> tuple[Mapping[str, str], Extras]:
        """Return the parameters that the ``request_uri`` of *brought* stands for.

        Nothing else that the browser brings counts (RFC 9126 section 4).  Raises
        ``WrongRequest``.
        """
        name = brought["request_uri"].removeprefix(REQUEST_URI)
        form = None
        if is_id(name):
            form = await self.storage.parked_forms.find(_record_id(name))
        if form is None or form.expiry < self.now():
            raise WrongRequest(_GONE)
        if form.fields.get("client_id") != brought.get("client_id"):
            raise WrongRequest(_GONE)
        signed = _SIGNED in form.fields
        return form.fields, Extras(request_uri=brought["request_uri"], signed=signed)


async def forget(collections: Collections, request_uri: str) -> None:
    """Let *request_uri* stand for nothing any more: a code was issued for it."""
    try:
        name = request_uri.removeprefix(REQUEST_URI)
        await collections.parked_forms.delete(_record_id(name))
    except NotFound:
        return


def _record_id(name: str) -> str:
    """Return where the request is kept that is called *name*.

    Strangers' forms are kept beside it; nobody finds a name that leads to theirs.
    """
    return derived_id(f"pushed|{name}")


@attrs.frozen(eq=False)
class PushedAuthorizationEndpoint:
    """RFC 9126 section 2.  ``guard`` counts what clients without a secret store."""

    path: ClassVar = "/par"

    clients: Clients
    requests: AuthorizationRequests
    objects: RequestObjects
    pushed: PushedRequests
    proofs: Proofs
    policy: Policy
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
        asked = await self.objects.open(params) if params.get("request") else params
        signed = asked is not params
        jkt = ""
        if HEADER in request.headers:
            jkt = await self.proofs.of_client(request, client)
            # RFC 9449 section 10.1: as if the request had named the key.
            if asked.get("dpop_jkt", jkt) != jkt:
                raise InvalidRequest("dpop_jkt names another key than the proof's.")
            asked = {**asked, "dpop_jkt": jkt}
        flow = await self.requests.receive(
            request,
            asked,
            connector_id=asked.get("connector_id", ""),
            unknown_client=WrongRequest("Invalid client_id provided."),
            how=Extras(request_uri=REQUEST_URI, signed=signed),
        )
        self.policy.check_request(flow.request, client)
        self._count(request, client)
        # Checked now, it need not be fresh when the browser comes.
        request_uri = await self.pushed.keep(asked, signed=signed)
        self.audit.record("request pushed", client_id=client.id)
        return answer_json(
            {
                "request_uri": request_uri,
                "expires_in": int(LIFETIME.total_seconds()),
            },
            status=201,
            headers=self.proofs.headers() if jkt else None,
        )

    def _count(self, request: web.Request, client: Client) -> None:
        if client.public and not client.secret:
            self.guard.check(request.get(ADDRESS) or "")
